"""One keep-alive connection to one port of one member, on the standard library: small, and fast to import.

Nothing that listens on the other side can hold or fill this process: one deadline and one budget of bytes hold for a
whole answer, however it trickles in. Redirects are not followed, proxies of the environment are not used, and no
address is connected to but the given one.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlencode

from . import answers, tls, understood
from .answers import Headers
from .metered import LIMIT, Metered, MeteredTls, TooMuchError
from .samples import Reply
from .tls import Trust
from .understood import Read, Understood, short
from .way import NotReached, Way, direct, left

T = TypeVar("T")

_ALERT = "\x15\x03"  # how a TLS record begins that refuses what is no TLS (RFC 8446, section 5.1)


class Connection:
    """Asks one address and port; every call ends by its deadline with a typed outcome and never raises for a fault.

    For one thread at a time. `until` is a time of `time.monotonic`; `way` leads there, straight from here if none is
    given. With `trust` over TLS, whatever the way.
    """

    def __init__(self, address: str, port: int, way: Way | None = None, trust: Trust | None = None) -> None:
        self._http = http.client.HTTPConnection(address, port)
        self._way = way or direct(address)
        self._socket: Metered | MeteredTls | None = None
        self._trust = trust
        self._authorization: dict[str, str] = {}
        self._hidden: tuple[str, ...] = ()

    def authorize(self, value: str, *hidden: str) -> None:
        """Send this `Authorization` from now on; what is `hidden` no detail shows, whoever says it to us."""
        self._authorization = {"Authorization": value} if value else {}
        self._hidden = tuple(word for word in (*self._hidden, value, *hidden) if word)

    def post(self, path: str, content: dict[str, Any], read: Read[T], until: float) -> Reply[T]:
        """Ask etcd's JSON gateway."""
        return self._ask("POST", path, json.dumps(content).encode(), partial(understood.json_, read), until)

    def get(self, path: str, read: Read[T], until: float, content: dict[str, Any] | None = None) -> Reply[T]:
        """Ask with GET; the peer port wants some questions in the body of a GET."""
        body = json.dumps(content).encode() if content else None
        return self._ask("GET", path, body, partial(understood.json_, read), until)

    def text(self, path: str, read: Read[T], until: float) -> Reply[T]:
        """Ask with GET for what is no JSON."""
        return self._ask("GET", path, None, partial(understood.text, read), until)

    def version(self, until: float) -> Reply[str]:
        """Ask for the version, which every etcd tells to everybody."""
        return self._ask("GET", "/version", None, partial(understood.either, answers.version), until)

    def form(self, method: str, path: str, fields: Mapping[str, str], read: Read[T], until: float) -> Reply[T]:
        """Ask etcd's v2 interface, which takes forms and answers in JSON."""
        body = urlencode(fields).encode() if fields else None
        return self._ask(method, path, body, partial(understood.json_, read), until)

    def close(self) -> None:
        """Forget the connection; the next call makes a new one."""
        self._http.close()
        self._socket = None

    def _ask(self, method: str, path: str, content: bytes | None, read: Understood[T], until: float) -> Reply[T]:
        begun = time.monotonic()
        if until <= begun:
            return Reply("not asked", detail="the time was up")
        reused = self._http.sock is not None
        reply = self._try(method, path, content, read, until)
        if reused and reply.outcome == "broken":  # a member that was restarted has closed the old connection
            reply = self._try(method, path, content, read, until)
        detail = reply.detail
        for word in self._hidden:
            detail = detail.replace(word, "[hidden]")
        return replace(reply, detail=detail, seconds=time.monotonic() - begun)

    def _try(self, method: str, path: str, content: bytes | None, read: Understood[T], until: float) -> Reply[T]:
        fresh = self._http.sock is None
        try:
            if fresh and (failed := self._connect(until)):
                return failed
            status, kind, headers, body = self._exchange(method, path, content, until)
        except (OSError, http.client.HTTPException, ValueError, TooMuchError) as error:
            reply: Reply[T] = self._interrupted(error, until, fresh=fresh)
            self.close()
            return reply
        certificate = tls.shown(self._socket) if isinstance(self._socket, MeteredTls) else None
        if status >= 300:
            return replace(understood.refusal(status, headers, body), certificate=certificate)
        ahead = understood.ahead(headers.get("date", ""))
        return replace(read(kind, headers, body), ahead=ahead, certificate=certificate)

    def _connect(self, until: float) -> Reply[Any] | None:
        try:
            plain = self._open(until)
        except NotReached as error:
            return Reply("not asked", detail=str(error))
        except OSError as error:
            refused = isinstance(error, ConnectionRefusedError)
            return Reply("refused" if refused else "unreachable", detail=_words(error))
        self._http.sock = self._socket = plain
        if self._trust is not None:
            try:
                self._http.sock = self._socket = tls.secure(self._trust.strict, plain, self._http.host)
            except OSError as error:
                self.close()
                return self._without_tls(self._trust, error, until)
        return None

    def _open(self, until: float) -> Metered:
        """A plain connection to the port."""
        sock = Metered(fileno=self._way(self._http.port, until).detach())
        sock.settimeout(max(0.001, until - time.monotonic()))  # what comes next ends at once if the time is up
        return sock

    def _exchange(self, method: str, path: str, content: bytes | None, until: float) -> tuple[int, str, Headers, bytes]:
        assert self._socket is not None  # noqa: S101 - for the type checker: _connect has just set it
        self._socket.until, self._socket.received = until, 0
        self._socket.settimeout(left(until))
        form = path.startswith("/v2/")  # the one interface that takes no JSON
        kind = "application/x-www-form-urlencoded" if form else "application/json"
        self._http.request(method, path, content, {"Content-Type": kind, **self._authorization})
        response = self._http.getresponse()
        pieces = []
        # In pieces: one read of a promised length would reserve all of it at once.
        while piece := response.read(1 << 16):
            pieces.append(piece)
        if response.length:
            raise ConnectionResetError("closed before the end of the answer")
        headers = {name.lower(): value for name, value in response.getheaders()}
        return response.status, headers.get("content-type", ""), headers, b"".join(pieces)

    def _interrupted(self, error: Exception, until: float, *, fresh: bool) -> Reply[Any]:
        """What an exchange means that did not come to its end."""
        begun = self._socket is not None and self._socket.received > 0
        if isinstance(error, TooMuchError):
            return Reply("not etcd", detail=f"its answer is longer than {LIMIT >> 20} MiB")
        if isinstance(error, TimeoutError):
            return Reply("not etcd", detail="its answer does not end") if begun else Reply("mute")
        if self._trust is None and fresh and self._is_tls(error, until):
            return Reply("speaks TLS")
        if isinstance(error, OSError):
            said = self._last_word(error, until)
            about_ours = tls.refused(said, self._trust.presents) if self._trust is not None else None
            return about_ours or Reply("broken", detail=_words(said))
        return Reply("not etcd", detail=f"not HTTP: {short(str(error) or type(error).__name__)}")

    def _last_word(self, error: OSError, until: float) -> OSError:
        """Since TLS 1.3 a server refuses a client's certificate when that has begun to ask already: what it said."""
        if isinstance(self._socket, MeteredTls) and not isinstance(error, ssl.SSLError):
            try:
                self._socket.settimeout(left(until))
                self._socket.recv(1)
            except ssl.SSLError as said:
                return said
            except (OSError, ValueError):  # it said nothing
                return error
        return error

    def _is_tls(self, error: Exception, until: float) -> bool:
        """Whether what does not answer plain HTTP is a TLS server: one closes without a word, another alerts."""
        if isinstance(error, http.client.BadStatusLine) and str(error.args[0]).startswith(_ALERT):
            return True
        begun = self._socket is not None and self._socket.received > 0
        if begun or not isinstance(error, OSError):
            return False
        with contextlib.suppress(OSError):
            return tls.answers(self._open(until))
        return False

    def _without_tls(self, trust: Trust, error: OSError, until: float) -> Reply[Any]:
        """What a handshake means that did not come to its end."""
        if isinstance(error, ssl.SSLCertVerificationError):
            found: Any = {}
            with contextlib.suppress(OSError):
                found = tls.look(trust.lenient, self._open(until), self._http.host)
            return tls.unacceptable(error, self._http.host, found)
        if reply := tls.refused(error, trust.presents):
            return reply
        if isinstance(error, TimeoutError):
            return Reply("mute")
        if self._is_plain(until):
            return Reply("speaks plain")
        if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
            return Reply("not etcd", detail=f"not TLS: {short(error.reason or str(error))}")
        return Reply("broken", detail=_words(error))

    def _is_plain(self, until: float) -> bool:
        """Whether what does not speak TLS is an HTTP server."""
        with contextlib.suppress(OSError), self._open(until) as sock:
            sock.sendall(f"GET /version HTTP/1.1\r\nHost: {self._http.host}\r\nConnection: close\r\n\r\n".encode())
            return sock.recv(16).startswith(b"HTTP/")
        return False


def _words(error: OSError) -> str:
    return "no answer to the attempt to connect" if isinstance(error, TimeoutError) else error.strerror or str(error)
