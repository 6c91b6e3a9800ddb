"""One keep-alive connection to one port of one member, on the standard library: small, and fast to import.

Nothing that listens on the other side can hold or fill this process: one deadline and one budget of bytes hold for a
whole answer, however it trickles in. Redirects are not followed, proxies of the environment are not used, and no
address is connected to but the given one.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from . import answers, http1, understood
from .metered import LIMIT, Metered, TooMuchError
from .samples import Certificate, Reply
from .turns import ALONE, Turns
from .understood import Read, Understood, short
from .way import NotReached, Way, direct

if TYPE_CHECKING:
    import socket

T = TypeVar("T")

_ALERT = b"\x15\x03"  # how a TLS record begins that refuses what is no TLS (RFC 8446, section 5.1)


class _Question(NamedTuple):
    """One request; its answer need not be read beyond `enough`."""

    method: str
    path: str
    content: bytes | None = None
    enough: bytes = b""


class Connection:
    """Asks one address and port; every call ends by its deadline with a typed outcome and never raises for a fault.

    For one at a time. `until` is a time of `time.monotonic`; `way` leads there, straight from here if none is given;
    `turns` says what happens while an answer is waited for. Over TLS: `secured.Secured`.
    """

    def __init__(self, address: str, port: int, way: Way | None = None, turns: Turns = ALONE) -> None:
        self._address, self._port = address, port
        self._way, self._turns = way, turns
        self._socket: Metered | None = None
        self._authorization: dict[str, str] = {}
        self._hidden: tuple[str, ...] = ()

    def authorize(self, value: str, *hidden: str) -> None:
        """Send this `Authorization` from now on; what is `hidden` no detail shows, whoever says it to us."""
        self._authorization = {"Authorization": value} if value else {}
        self._hidden = tuple(word for word in (*self._hidden, value, *hidden) if word)

    def post(self, path: str, content: dict[str, Any], read: Read[T], until: float) -> Reply[T]:
        """Ask etcd's JSON gateway."""
        return self._ask(_Question("POST", path, json.dumps(content).encode()), partial(understood.json_, read), until)

    def get(self, path: str, read: Read[T], until: float, content: dict[str, Any] | None = None) -> Reply[T]:
        """Ask with GET; the peer port wants some questions in the body of a GET."""
        body = json.dumps(content).encode() if content else None
        return self._ask(_Question("GET", path, body), partial(understood.json_, read), until)

    def text(self, path: str, read: Read[T], until: float, enough: bytes = b"") -> Reply[T]:
        """Ask with GET for what is no JSON; what comes after `enough` may be left unread."""
        return self._ask(_Question("GET", path, enough=enough), partial(understood.text, read), until)

    def version(self, until: float) -> Reply[str]:
        """Ask for the version, which every etcd tells to everybody, and when it says so."""
        return self._ask(_Question("GET", "/version"), partial(understood.either, answers.version), until)

    def form(self, method: str, path: str, fields: Mapping[str, str], read: Read[T], until: float) -> Reply[T]:
        """Ask etcd's v2 interface, which takes forms and answers in JSON."""
        from urllib.parse import urlencode  # noqa: PLC0415 - only etcd 2.x is asked in forms

        body = urlencode(fields).encode() if fields else None
        return self._ask(_Question(method, path, body), partial(understood.json_, read), until)

    @property
    def authorization(self) -> str:
        """What is sent as `Authorization`; empty: nothing."""
        return self._authorization.get("Authorization", "")

    def line(self, until: float) -> socket.socket:
        """A connection of its own, for what is too much for one answer. Raises OSError."""
        return self._open(until)

    def close(self) -> None:
        """Forget the connection; the next call makes a new one."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def _ask(self, question: _Question, read: Understood[T], until: float) -> Reply[T]:
        begun = time.monotonic()
        if until <= begun:
            return Reply("not asked", detail="the time was up")
        reused = self._socket is not None
        reply = self._try(question, read, until)
        if reused and reply.outcome == "broken":  # a member that was restarted has closed the old connection
            reply = self._try(question, read, until)
        detail, taken = reply.detail, time.monotonic() - begun
        for word in self._hidden:
            detail = detail.replace(word, "[hidden]")
        return reply._replace(detail=detail, seconds=taken)

    def _try(self, question: _Question, read: Understood[T], until: float) -> Reply[T]:
        fresh = self._socket is None
        try:
            if fresh and (failed := self._connect(until)):
                return failed
            found = self._exchange(question, until)
        except (OSError, http1.NotHttpError, TooMuchError) as error:
            reply: Reply[T] = self._interrupted(error, until, fresh=fresh)
            self.close()
            return reply
        except BaseException:  # an interrupt: the answer may still come, and is nobody else's
            self.close()
            raise
        certificate = self._certificate()
        if not found.open:
            self.close()
        if found.status >= 300:
            return understood.refusal(found.status, found.fields, found.body)._replace(certificate=certificate)
        reply = read(found.fields.get("content-type", ""), found.fields, found.body)
        return reply if certificate is None else reply._replace(certificate=certificate)

    def _connect(self, until: float) -> Reply[Any] | None:
        try:
            plain = self._open(until)
        except NotReached as error:
            return Reply("not asked", detail=str(error))
        except ConnectionResetError as error:  # accepted, and closed before we could say anything
            return Reply("broken", detail=words(error))
        except OSError as error:
            refused = isinstance(error, ConnectionRefusedError)
            return Reply("refused" if refused else "unreachable", detail=words(error))
        self._socket = plain
        return None

    def _certificate(self) -> Certificate | None:
        """What the other side has shown."""
        return None

    def _open(self, until: float) -> Metered:
        """A plain connection to the port."""
        if self._way is None:
            sock = direct(self._address, self._turns)(self._port, until)
        else:
            sock = self._turns.apart(partial(self._way, self._port, until))
        metered = Metered(fileno=sock.detach())
        metered.setblocking(False)  # noqa: FBT003 - the socket's own interface
        metered.turns, metered.until = self._turns, until
        return metered

    def _exchange(self, question: _Question, until: float) -> http1.Answer:
        assert self._socket is not None  # noqa: S101 - for the type checker: _connect has just set it
        sock = self._socket
        sock.until, sock.received = until, 0
        form = question.path.startswith("/v2/")  # the one interface that takes no JSON
        kind = "application/x-www-form-urlencoded" if form else "application/json"
        fields = {"User-Agent": "runbooks", "Content-Type": kind, **self._authorization}
        host = f"{self._address}:{self._port}"
        sock.say(http1.request(question.method, host, question.path, question.content, fields))
        return http1.answer(partial(sock.recv, 1 << 16), question.enough)

    def _interrupted(self, error: Exception, until: float, *, fresh: bool) -> Reply[Any]:
        """What an exchange means that did not come to its end."""
        begun = self._socket is not None and self._socket.received > 0
        if isinstance(error, TooMuchError):
            return Reply("not etcd", detail=f"its answer is longer than {LIMIT >> 20} MiB")
        if isinstance(error, TimeoutError):
            return Reply("not etcd", detail="its answer does not end") if begun else Reply("mute")
        if heard := self._heard(error, until, fresh=fresh):
            return heard
        if isinstance(error, OSError):
            return Reply("broken", detail=words(error))
        return Reply("not etcd", detail=f"not HTTP: {short(str(error) or type(error).__name__)}")

    def _heard(self, error: Exception, until: float, *, fresh: bool) -> Reply[Any] | None:
        """What a broken exchange means besides that: what does not answer plain HTTP may be a TLS server.

        One closes without a word, another alerts.
        """
        begun = self._socket is not None and self._socket.received > 0
        alerts = isinstance(error, http1.NotHttpError) and error.began.startswith(_ALERT)
        closes = isinstance(error, OSError) and not begun
        if not fresh or not (alerts or closes):
            return None
        from . import tls  # noqa: PLC0415 - ssl takes 5 ms to load, and most who speak plain HTTP meet nobody else

        with contextlib.suppress(OSError):
            return Reply("speaks TLS") if alerts or tls.answers(self._open(until)) else None
        return None


def words(error: OSError) -> str:
    """What the system says of it."""
    return "no answer to the attempt to connect" if isinstance(error, TimeoutError) else error.strerror or str(error)
