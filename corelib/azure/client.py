"""Azure's SDK: logging in, the clients, and its errors in an operator's words."""

from __future__ import annotations

import base64
import json
import logging
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import azure.identity
import requests
from azure.core.credentials import TokenCredential
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResponseNotReadError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.transport import RequestsTransport
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.core.policies import ARMChallengeAuthenticationPolicy
from azure.mgmt.network import NetworkManagementClient
from azure.mgmt.resource.resources import ResourceManagementClient

from ..errors import Refused, RunbookError, ServiceFailed, TimedOut, Unreachable
from ..fleet import Azure
from .pace import UNSURE, Pace

_WHO = ("tid", "oid", "appid", "upn", "unique_name")  # tenant, object, application, and a person's names
_SCOPE = "https://management.azure.com/.default"
_CONNECTIONS = 64  # that are kept open, for all workers together; the SDK would close all but ten after each request

AGAIN = "run again: it observes first, and goes on with what is left"
_REMEDY = "remove the cause, then run again: it goes on with what is left"
_REMEDIES = {
    "SubscriptionNotFound": "correct fleet.azure.subscription, or az login as somebody who sees it (az account list)",
    "AuthorizationFailed": "have somebody grant this login the role Contributor there, then run again",
}

# The chain tells every failed link in its log, at length; the one sentence of `told` is what an operator needs.
logging.getLogger("azure.identity").setLevel(logging.ERROR)


class LoginFailed(Refused):
    """No credential was accepted."""


class Unknown(TimedOut):
    """A request had no answer, or one that says nothing: look what became of it, and go on from there."""


class NotRegistered(Refused):
    """A resource provider is not registered in the subscription: it answers nothing."""


@dataclass(frozen=True, slots=True)
class Cloud:
    """The clients of one subscription, and the pace that they keep together."""

    resources: ResourceManagementClient
    network: NetworkManagementClient
    compute: ComputeManagementClient
    pace: Pace


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


def connect(
    account: Azure, *, endpoint: str | None, verify: str | None, credential: TokenCredential, pace: Pace | None = None
) -> Cloud:
    """Clients for a subscription: of Azure itself, or of the endpoint whose certificate the CA file `verify` signed."""
    pace = pace or Pace()
    elsewhere: dict[str, Any] = {} if endpoint is None else {"base_url": endpoint}
    common: dict[str, Any] = {**elsewhere, "transport": _transport(verify), "raw_response_hook": _not_registered}

    def own() -> dict[str, Any]:  # a policy knows which comes next in its client's row, and so cannot be in two
        return {"retry_policy": pace.policy(), "authentication_policy": _Login(credential, _SCOPE), **common}

    return Cloud(
        ResourceManagementClient(credential, account.subscription, **own()),
        NetworkManagementClient(credential, account.subscription, **own()),
        ComputeManagementClient(credential, account.subscription, **own()),
        pace,
    )


class _Login(ARMChallengeAuthenticationPolicy):
    """The SDK's own, which renews a token before it expires; and once more where Azure takes it for too old already."""

    def on_challenge(self, request: PipelineRequest[Any], response: PipelineResponse[Any, Any]) -> bool:
        """Whether the request can be sent again, with another token (RFC 6750, 3.1: expired, revoked)."""
        if super().on_challenge(request, response):
            return True
        if "invalid_token" not in response.http_response.headers["WWW-Authenticate"]:
            return False
        # As Azure itself does in a challenge of its own (continuous access evaluation): a kept token will not do.
        claims = {"access_token": {"nbf": {"essential": True, "value": str(int(time.time()))}}}
        self.authorize_request(request, _SCOPE, claims=json.dumps(claims))
        return True


def _transport(verify: str | None) -> RequestsTransport:
    """One set of connections for all clients. The SDK's own limits are 300 s for a connection and for each read."""
    session = requests.Session()
    session.mount("https://", requests.adapters.HTTPAdapter(pool_maxsize=_CONNECTIONS))
    limits = {"connection_timeout": 10, "read_timeout": 60}
    return RequestsTransport(session=session, connection_verify=verify or True, **limits)


def _not_registered(response: Any) -> None:
    """Raise NotRegistered where a provider is not: the SDK would register it, though whoever only looks changes nothing
    (azure-mgmt-core, ARMAutoResourceProviderRegistrationPolicy)."""
    answer = response.http_response
    if answer.status_code == 409 and b"MissingSubscriptionRegistration" in _body(answer):
        found = re.search(r"namespace '([^']+)'", answer.text())
        name = found[1] if found else "a resource provider"
        remedy = f"az provider register --wait --namespace {name}"
        raise NotRegistered("asking Azure", f"{name} is not registered in this subscription", remedy)


def _body(answer: Any) -> bytes:
    try:
        return bytes(answer.content)
    except ResponseNotReadError:  # of a long-running operation, which the SDK lets pass too
        return b""


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
        raise Unknown(doing, f"the connection ended before the answer came: {_first(problem)}", AGAIN) from None
    except HttpResponseError as problem:
        raise failure(doing, problem) from None


def failure(doing: str, problem: HttpResponseError) -> RunbookError:
    """Azure's own error code and message (Resource Manager: error response); Unknown if it may have acted."""
    code = problem.error.code if problem.error else str(problem.status_code)
    message = problem.error.message if problem.error else problem.message
    if problem.status_code is None or problem.status_code in UNSURE:
        return Unknown(doing, f"{code}: {message}", AGAIN)
    return ServiceFailed(doing, f"{code}: {message}", _REMEDIES.get(str(code), _REMEDY))


def _first(problem: Exception) -> str:
    return str(problem).strip().splitlines()[0]
