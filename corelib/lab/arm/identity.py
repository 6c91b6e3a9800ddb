"""The managed-identity endpoint: hands out the only tokens that the stand-in accepts.

It speaks the protocol of App Service (IDENTITY_ENDPOINT and IDENTITY_HEADER; "REST endpoint reference" in "How to use
managed identities for App Service"), which azure-identity chooses when those two variables are set.
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

from .account import TENANT
from .cloud import Reply, Request
from .failure import Failure

_WHO = {"tid": TENANT, "oid": "00000000-0000-0000-0000-0000000001ac", "appid": "00000000-0000-0000-0000-0000000001ad"}
LIFETIME = 3600 * 8  # seconds
_AUDIENCES = ("https://management.azure.com", "https://management.core.windows.net")


class Identity:
    """Issues bearer tokens to who knows `secret`, and says which ones are good. Tokens are kept in memory only."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.secret = secrets.token_urlsafe(24)
        self._clock = clock
        self._tokens: dict[str, tuple[str, float]] = {}  # token: resource, expiry

    def issue(self, request: Request) -> Reply:
        """Answer a call of the endpoint: a token, or why there is none, in the shape of App Service."""
        if request.path != "/msi/token" or request.method != "GET":
            return _refuse(404, "No such endpoint.")
        if not hmac.compare_digest(request.headers.get("x-identity-header", ""), self.secret):
            return _refuse(401, "The X-IDENTITY-HEADER is missing or is not the one of this lab.")
        if request.query.get("api-version") not in ("2019-08-01", "2017-09-01"):
            return _refuse(400, "The api-version is missing or not supported.")
        resource = request.query.get("resource", "")
        if resource.rstrip("/") not in _AUDIENCES:
            return _refuse(400, f"No token is issued for the resource '{resource}'.")
        return Reply(200, self._issue(resource), {"Cache-Control": "no-store"})

    def _issue(self, resource: str) -> dict[str, Any]:
        expiry = self._clock() + LIFETIME
        token = _token({"aud": resource, "exp": int(expiry), **_WHO})
        self._tokens[token] = (resource, expiry)
        return {"access_token": token, "expires_on": str(int(expiry)), "resource": resource, "token_type": "Bearer"}

    def expire(self) -> None:
        """Every token that was given out so far is too old from now on."""
        self._tokens = {token: (resource, 0.0) for token, (resource, _) in self._tokens.items()}

    def check(self, headers: Mapping[str, str]) -> None:
        """Failure 401 unless the request carries a token of ours that has not expired."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if not scheme:
            raise _unauthorized("AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
        if scheme.lower() != "bearer":
            text = "Authentication failed. The 'Authorization' header is provided in an invalid format."
            raise _unauthorized("AuthenticationFailedInvalidHeader", text)
        if token not in self._tokens:
            raise _unauthorized("InvalidAuthenticationToken", "The access token is invalid.")
        if self._tokens[token][1] <= self._clock():
            raise _unauthorized(
                "ExpiredAuthenticationToken", "The access token expiry is earlier than the current time."
            )


def _token(claims: Mapping[str, Any]) -> str:
    """A token that looks like Azure's (RFC 7519) and is signed by nobody: only this endpoint's memory makes it good."""
    parts = [json.dumps(part).encode() for part in ({"alg": "RS256", "typ": "JWT"}, claims)]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (*parts, secrets.token_bytes(32)))


def _unauthorized(code: str, message: str) -> Failure:
    where = f'Bearer authorization_uri="https://login.microsoftonline.com/{TENANT}"'
    challenge = f'{where}, error="invalid_token", error_description="{message}"'
    return Failure(401, code, message, headers={"WWW-Authenticate": challenge})


def _refuse(status: int, message: str) -> Reply:
    return Reply(status, {"statusCode": status, "message": message})
