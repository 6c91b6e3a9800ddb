"""Robot over HTTP: Basic login, form-encoded requests, JSON answers, each in the envelope of its reference."""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tornado.web import Application, RequestHandler

from .account import Account, Form, Server
from .failure import Failure, server_not_found
from .limits import Limits, Refusals, refuse

Answer = tuple[int, Any]  # status and body; a body of None is an empty one
Route = tuple[str, str, Callable[..., Answer]]  # method, path, what answers

_SERVER = r"/(\d+)"
_KEY = r"/([0-9a-f]{2}(?::[0-9a-f]{2}){15})"


@dataclass
class Login:
    """The one login. Three failures block an address for `block` seconds, the right password included."""

    user: str
    password: str
    block: float = 2.0
    _failures: dict[str, list[float]] = field(default_factory=dict)

    def check(self, header: str, address: str) -> None:
        """Raises Failure unless the header is right and the address is not blocked."""
        now = time.monotonic()
        recent = [at for at in self._failures.get(address, ()) if now - at < self.block]
        self._failures[address] = recent
        if len(recent) >= 3 or not secrets.compare_digest(_decode(header), f"{self.user}:{self.password}".encode()):
            recent.append(now)
            raise Failure(401, "UNAUTHORIZED", "Unauthorized")


def application(account: Account, login: Login, log: Path, limits: Limits, refusals: Refusals) -> Application:
    """The web service of one account; `log` gets a JSON line per request, without forms and headers."""
    options = {"account": account, "login": login, "log": log, "limits": limits, "refusals": refusals}
    return Application([(r".*", _Handler, options)], log_function=lambda _: None)


def _routes(account: Account) -> list[Route]:
    """Each is given a form; what names a key also its fingerprint."""
    return [
        ("GET", "/server", lambda _: (200, [{"server": one.server()} for one in account.servers.values()])),
        ("GET", "/key", lambda _: (200, [{"key": key} for key in account.keys.values()])),
        ("POST", "/key", lambda form: (201, {"key": account.add_key(form)})),
        ("GET", f"/key{_KEY}", lambda key, _: (200, {"key": account.key(key)})),
        ("POST", f"/key{_KEY}", lambda key, form: (200, {"key": account.rename_key(key, form)})),
        ("DELETE", f"/key{_KEY}", lambda key, _: account.delete_key(key)),
    ]


def _of_a_server(server: Server) -> list[Route]:
    return [
        ("GET", f"/server{_SERVER}", lambda _: (200, {"server": server.server_in_full()})),
        ("POST", f"/server{_SERVER}", lambda form: (200, {"server": server.rename(form)})),
        ("GET", f"/boot{_SERVER}", lambda _: (200, {"boot": server.boot()})),
        ("GET", f"/boot{_SERVER}/rescue", lambda _: (200, {"rescue": server.rescue()})),
        ("POST", f"/boot{_SERVER}/rescue", lambda form: (200, {"rescue": server.arm(form)})),
        ("DELETE", f"/boot{_SERVER}/rescue", lambda _: (200, {"rescue": server.disarm()})),
        ("GET", f"/boot{_SERVER}/rescue/last", lambda _: (200, {"rescue": server.last_rescue()})),
        ("GET", f"/reset{_SERVER}", lambda _: (200, {"reset": server.reset_options()})),
        ("POST", f"/reset{_SERVER}", lambda form: (200, {"reset": server.press(form)})),
        ("GET", f"/wol{_SERVER}", lambda _: (200, {"wol": server.wol()})),
        ("POST", f"/wol{_SERVER}", lambda _: (200, {"wol": server.send_wol()})),
    ]


class _Handler(RequestHandler):
    SUPPORTED_METHODS = ("GET", "POST", "DELETE")

    def initialize(self, account: Account, login: Login, log: Path, limits: Limits, refusals: Refusals) -> None:
        self._account, self._login, self._requests = account, login, log
        self._limits, self._refusals = limits, refusals

    def answer(self) -> None:
        method, path = str(self.request.method), self.request.path
        refusal = self._refusals.next(method, path) or {}
        if refusal.get("silent") == "before":
            self._hang_up()
            return
        try:
            self._login.check(self.request.headers.get("Authorization", ""), str(self.request.remote_ip))
            self._limits.count(method, path)
            refuse(refusal)
            status, body = self._route()
        except Failure as failure:
            status, body = failure.status, failure.body
        if refusal.get("silent") == "after":
            self._note(status)
            self._hang_up()
            return
        self.set_status(status)
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self._note(status)
        self.finish("" if body is None else json.dumps(body))

    get = post = delete = answer

    def _hang_up(self) -> None:
        """End the connection without a word."""
        stream = self.detach()
        stream.close()

    def _route(self) -> Answer:
        form: Form = {name: [text.decode() for text in texts] for name, texts in self.request.body_arguments.items()}
        for method, pattern, respond in self._table():
            match = re.fullmatch(pattern, self.request.path)
            if match is not None and method == self.request.method:
                return respond(form) if _SERVER in pattern else respond(*match.groups(), form)
        raise Failure(404, "NOT_FOUND", "Not Found")

    def _table(self) -> list[Route]:
        named = re.match(rf"/(?:server|boot|reset|wol){_SERVER}(?:/|$)", self.request.path)
        if named is None:
            return _routes(self._account)
        if int(named[1]) not in self._account.servers:
            raise server_not_found(named[1])
        return _of_a_server(self._account.servers[int(named[1])])

    def write_error(self, status_code: int, **_more: Any) -> None:
        """A fault of the stand-in itself, in the same shape."""
        error = {"status": status_code, "code": "INTERNAL_ERROR", "message": "The stand-in has failed."}
        self._note(status_code)
        self.finish(json.dumps({"error": error}))

    def _note(self, status: int) -> None:
        """One line: what was asked and how it ends; written before the answer, so that who has it finds the line."""
        line = {"time": datetime.now(UTC).isoformat(), "method": self.request.method, "path": self.request.path}
        with self._requests.open("a") as log:
            log.write(json.dumps({**line, "status": status}) + "\n")


def _decode(header: str) -> bytes:
    """User and password of a Basic login (RFC 7617); empty if the header is none."""
    kind, _, text = header.partition(" ")
    try:
        return base64.b64decode(text, validate=True) if kind.lower() == "basic" else b""
    except binascii.Error:
        return b""
