"""One keep-alive connection to one port of one member, on the standard library: small, and fast to import.

Nothing that listens on the other side can hold or fill this process: one deadline and one budget of bytes hold for a
whole answer, however it trickles in. Redirects are not followed, proxies of the environment are not used, and no
address is connected to but the given one.
"""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, TypeVar

from .answers import Headers
from .samples import Outcome, Reply
from .way import NotReached, Way, direct, left

T = TypeVar("T")
Read = Callable[[Any, Headers], T]
Understood = Callable[[str, Headers, bytes], Reply[T]]

LIMIT = 1 << 20  # bytes of one answer; the list of nine members has 2 kB
_ETCD_ERRORS = ("message", "error")  # grpc-gateway's JSON since 3.6, and before


class _TooMuchError(Exception):
    """More bytes than the budget."""


class _Metered(socket.socket):
    """A socket whose reads share one deadline (monotonic, in seconds) and one budget of bytes."""

    until: float = 0.0
    received: int = 0

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        self.settimeout(left(self.until))
        count = super().recv_into(buffer, nbytes, flags)
        self.received += count
        if self.received > LIMIT:
            raise _TooMuchError
        return count


class Connection:
    """Asks one address and port; every call ends by its deadline with a typed outcome and never raises for a fault.

    For one thread at a time. `until` is a time of `time.monotonic`; `way` leads there, straight from here if none is
    given.
    """

    def __init__(self, address: str, port: int, way: Way | None = None) -> None:
        self._http = http.client.HTTPConnection(address, port)
        self._way = way or direct(address)
        self._socket: _Metered | None = None

    def post(self, path: str, content: dict[str, Any], read: Read[T], until: float) -> Reply[T]:
        """Ask etcd's JSON gateway."""
        return self._ask("POST", path, json.dumps(content).encode(), partial(_json, read), until)

    def get(self, path: str, read: Read[T], until: float, content: dict[str, Any] | None = None) -> Reply[T]:
        """Ask with GET; the peer port wants some questions in the body of a GET."""
        return self._ask("GET", path, json.dumps(content).encode() if content else None, partial(_json, read), until)

    def text(self, path: str, read: Read[T], until: float) -> Reply[T]:
        """Ask with GET for what is no JSON."""
        return self._ask("GET", path, None, partial(_text, read), until)

    def close(self) -> None:
        """Forget the connection; the next call makes a new one."""
        self._http.close()
        self._socket = None

    def _ask(self, method: str, path: str, content: bytes | None, understood: Understood[T], until: float) -> Reply[T]:
        begun = time.monotonic()
        if until <= begun:
            return Reply("not asked", detail="the time was up")
        reused = self._http.sock is not None
        reply = self._try(method, path, content, understood, until)
        if reused and reply.outcome == "broken":  # a member that was restarted has closed the old connection
            reply = self._try(method, path, content, understood, until)
        return replace(reply, seconds=time.monotonic() - begun)

    def _try(self, method: str, path: str, content: bytes | None, understood: Understood[T], until: float) -> Reply[T]:
        try:
            if self._http.sock is None and (failed := self._connect(until)):
                return failed
            status, kind, headers, body = self._exchange(method, path, content, until)
        except (OSError, http.client.HTTPException, ValueError, _TooMuchError) as error:
            reply: Reply[T] = self._interrupted(error)
            self.close()
            return reply
        if status >= 300:
            return _refusal(status, headers, body)
        return replace(understood(kind, headers, body), ahead=_ahead(headers.get("date", "")))

    def _connect(self, until: float) -> Reply[Any] | None:
        try:
            sock = self._way(self._http.port, until)
        except NotReached as error:
            return Reply("not asked", detail=str(error))
        except OSError as error:
            refused = isinstance(error, ConnectionRefusedError)
            return Reply("refused" if refused else "unreachable", detail=_words(error))
        self._http.sock = self._socket = _Metered(fileno=sock.detach())
        return None

    def _exchange(self, method: str, path: str, content: bytes | None, until: float) -> tuple[int, str, Headers, bytes]:
        assert self._socket is not None  # noqa: S101 - for the type checker: _connect has just set it
        self._socket.until, self._socket.received = until, 0
        self._socket.settimeout(left(until))
        self._http.request(method, path, content, {"Content-Type": "application/json"})
        response = self._http.getresponse()
        pieces = []
        # In pieces: one read of a promised length would reserve all of it at once.
        while piece := response.read(1 << 16):
            pieces.append(piece)
        if response.length:
            raise ConnectionResetError("closed before the end of the answer")
        headers = {name.lower(): value for name, value in response.getheaders()}
        return response.status, headers.get("content-type", ""), headers, b"".join(pieces)

    def _interrupted(self, error: Exception) -> Reply[Any]:
        """What an exchange means that did not come to its end."""
        begun = self._socket is not None and self._socket.received > 0
        if isinstance(error, _TooMuchError):
            return Reply("not etcd", detail=f"its answer is longer than {LIMIT >> 20} MiB")
        if isinstance(error, TimeoutError):
            return Reply("not etcd", detail="its answer does not end") if begun else Reply("mute")
        if isinstance(error, OSError):
            return Reply("broken", detail=_words(error))
        return Reply("not etcd", detail=f"not HTTP: {_short(str(error) or type(error).__name__)}")


def _json(read: Read[T], kind: str, headers: Headers, body: bytes) -> Reply[T]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        outcome: Outcome = "bad JSON" if "json" in kind else "not etcd"
        return Reply(outcome, detail=_short(body.decode(errors="replace")) or "an empty answer")
    return _read(read, content, headers)


def _text(read: Read[T], _: str, headers: Headers, body: bytes) -> Reply[T]:
    return _read(read, body.decode(errors="replace"), headers)


def _read(read: Read[T], content: Any, headers: Headers) -> Reply[T]:
    try:
        return Reply("answered", read(content, headers))
    except ValueError as error:
        return Reply("not etcd", detail=_short(str(error)))


def _ahead(date: str) -> float | None:
    """How far its clock is ahead of ours; a header says whole seconds, rounded down (RFC 9110, section 5.6.7)."""
    try:
        return parsedate_to_datetime(date).timestamp() + 0.5 - time.time()
    except (TypeError, ValueError):
        return None


def _refusal(status: int, headers: Headers, body: bytes) -> Reply[Any]:
    """An HTTP error: etcd's own, as its gateway or its peer port writes them, or somebody else's."""
    text = body.decode(errors="replace")
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None
    if isinstance(content, dict):
        for key in _ETCD_ERRORS:
            if isinstance(content.get(key), str):
                return Reply("failed", detail=_short(content[key]))
    if "x-etcd-cluster-id" in headers:
        return Reply("failed", detail=_short(text))
    moved = f" to {headers['location']}" if "location" in headers else ""
    return Reply("not etcd", detail=_short(f"HTTP {status}{moved}: {text}"))


def _words(error: OSError) -> str:
    return "no answer to the attempt to connect" if isinstance(error, TimeoutError) else error.strerror or str(error)


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= 120 else words[:117] + "…"
