"""Azure's SDK: logging in, the clients, and its errors in an operator's words."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import azure.identity
from azure.core.credentials import TokenCredential
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.network import NetworkManagementClient
from azure.mgmt.resource.resources import ResourceManagementClient

from ..errors import Refused, RunbookError, ServiceFailed, TimedOut, Unreachable
from ..fleet import Azure

_WHO = ("tid", "oid", "appid", "upn", "unique_name")  # tenant, object, application, and a person's names
POLL = 5  # seconds between two polls where Azure says nothing else; the SDK's own default is 30

# The chain tells every failed link in its log, at length; the one sentence of `told` is what an operator needs.
logging.getLogger("azure.identity").setLevel(logging.ERROR)


class LoginFailed(Refused):
    """No credential was accepted."""


@dataclass(frozen=True, slots=True)
class Cloud:
    """The clients of one subscription."""

    resources: ResourceManagementClient
    network: NetworkManagementClient
    compute: ComputeManagementClient


def credential_of(name: str) -> TokenCredential:
    """The credential that the parameters name; `default` is azure-identity's own chain."""
    kinds = {
        "default": azure.identity.DefaultAzureCredential,
        "azure-cli": azure.identity.AzureCliCredential,
        "managed-identity": azure.identity.ManagedIdentityCredential,
        "environment": azure.identity.EnvironmentCredential,
    }
    credential: TokenCredential = kinds[name]()
    return credential


def connect(account: Azure, *, endpoint: str | None, verify: str | None, credential: TokenCredential) -> Cloud:
    """Clients for a subscription: of Azure itself, or of the endpoint whose certificate the CA file `verify` signed."""
    elsewhere: dict[str, Any] = {} if endpoint is None else {"base_url": endpoint, "connection_verify": verify}
    # The SDK's own limits are 300 s for a connection and for each read, ten times over: too long for an operator.
    limits = {"connection_timeout": 10, "read_timeout": 60, "retry_total": 4}
    common: dict[str, Any] = {"polling_interval": POLL, **limits, **elsewhere}
    return Cloud(
        ResourceManagementClient(credential, account.subscription, **common),
        NetworkManagementClient(credential, account.subscription, **common),
        ComputeManagementClient(credential, account.subscription, **common),
    )


def identity(credential: TokenCredential, endpoint: str) -> dict[str, str]:
    """Who a credential is, from the claims of its token (Microsoft identity platform: access token claims).

    Only names are taken, never the token. Empty values are left out; a token that is not a JWT tells nothing.
    Raises LoginFailed.
    """
    with told("logging in to Azure"):
        token = credential.get_token(f"{endpoint}/.default").token
    try:
        middle = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    except (IndexError, ValueError):
        return {"kind": type(credential).__name__}
    named = {name: str(claims[name]) for name in _WHO if claims.get(name)}
    return {"kind": type(credential).__name__, **named}


def check_tenant(who: Mapping[str, str], account: Azure) -> None:
    """Raise LoginFailed if a login is for another tenant than the parameters name, and so than a plan shows."""
    found = who.get("tid", account.tenant)
    if found != account.tenant:
        remedy = f"az login --tenant {account.tenant}, or correct fleet.azure.tenant"
        raise LoginFailed("logging in to Azure", f"the login is for the tenant {found}, not {account.tenant}", remedy)


@contextmanager
def told(doing: str) -> Iterator[None]:
    """Turn the SDK's errors into ours: which kind, and its own words in one sentence."""
    try:
        yield
    except ClientAuthenticationError as problem:
        remedy = "az login, or name another credential in fleet.azure.credential"
        raise LoginFailed(doing, f"Azure did not accept a login: {_first(problem)}", remedy) from None
    except ServiceRequestError as problem:
        raise Unreachable(
            doing, f"Azure was not reached: {_first(problem)}", "check the network, then run again"
        ) from None
    except ServiceResponseError as problem:
        remedy = "run again: it observes first, and goes on with what is left"
        raise TimedOut(doing, f"the connection ended before the answer came: {_first(problem)}", remedy) from None
    except HttpResponseError as problem:
        raise failure(doing, problem) from None


def failure(doing: str, problem: HttpResponseError) -> RunbookError:
    """Azure's own error code and message (Resource Manager: error response)."""
    code = problem.error.code if problem.error else str(problem.status_code)
    message = problem.error.message if problem.error else problem.message
    return ServiceFailed(doing, f"{code}: {message}", "remove the cause, then run again: it goes on with what is left")


def _first(problem: Exception) -> str:
    return str(problem).strip().splitlines()[0]
