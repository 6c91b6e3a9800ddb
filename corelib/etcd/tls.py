"""TLS as an operator of etcd speaks it: one CA, a certificate of our own, and each server known by its address.

How a handshake may end is told apart, so that nobody looks for a dead process where a certificate has expired.
Verification is never loosened for a call: a certificate that was refused is only looked at once more, for its dates
and names, on a connection of its own that carries no request.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple, TypeVar

from ..errors import BadInput
from .metered import Metered
from .samples import Certificate, Reply
from .turns import READABLE, WRITABLE
from .way import left

T = TypeVar("T")

# OpenSSL's x509_vfy.h; Python names neither the codes nor the flag.
_NOT_YET, _EXPIRED, _OTHER_NAME = 9, 10, (62, 64)
_OTHER_CA = (2, 18, 19, 20, 21)
_NO_CHECK_TIME = 0x200000
# TLS alerts (RFC 8446, section 6.2) with which a server refuses a client's certificate, or that there is none.
_ABOUT_OURS = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED")


class MeteredTls(ssl.SSLSocket, Metered):
    """A metered socket over TLS, which a context makes of a plain one (`sslsocket_class`).

    What counts is what comes out of it; OpenSSL itself bounds what may be in it without anything coming out.
    """

    def recv(self, size: int = 1024, flags: int = 0) -> bytes:
        """The next bytes."""
        return Metered.recv(self, size, flags)

    def _take(self, size: int, flags: int) -> bytes:
        # Wrapping a connection that the other side has closed meanwhile, `ssl` reads before there is any TLS.
        take = socket.socket.recv if self.version() is None else ssl.SSLSocket.recv
        return take(self, size, flags)

    def patiently(self, act: Callable[[], T], event: int) -> T:  # noqa: ARG002 - OpenSSL says which
        """The same; in TLS who reads may have to write, and the other way round."""
        while True:
            left(self.until)
            try:
                return act()
            except ssl.SSLWantReadError:
                self._pause(READABLE)
            except ssl.SSLWantWriteError:
                self._pause(WRITABLE)


class Trust(NamedTuple):
    """`strict` is for every call; `lenient` accepts any date and name of the same CA; `presents`: we have our own."""

    strict: ssl.SSLContext
    lenient: ssl.SSLContext
    presents: bool


def trust(ca: str, certificate: str = "", key: str = "") -> Trust:
    """What trusts `ca` alone, and presents `certificate` with its `key`: texts in PEM. Raises BadInput."""
    lenient = _context(ca, certificate, key)
    lenient.check_hostname = False
    lenient.verify_flags |= ssl.VerifyFlags(_NO_CHECK_TIME)
    return Trust(_context(ca, certificate, key), lenient, bool(certificate))


def secure(context: ssl.SSLContext, plain: Metered, address: str | None) -> MeteredTls:
    """TLS over a connected socket, within its time; the socket is closed if it fails. Raises OSError."""
    turns, until = plain.turns, plain.until
    secured = context.wrap_socket(plain, server_hostname=address, do_handshake_on_connect=False)
    assert isinstance(secured, MeteredTls)  # noqa: S101 - for the type checker: _context chose the class
    secured.turns, secured.until = turns, until
    try:
        secured.patiently(secured.do_handshake, READABLE)
    except BaseException:
        secured.close()
        raise
    return secured


def shown(sock: ssl.SSLSocket) -> Certificate | None:
    """What the other side has shown, if it was verified."""
    found: Any = sock.getpeercert()
    if not found:
        return None
    expires = float(ssl.cert_time_to_seconds(str(found["notAfter"])))
    return Certificate(expires, expires - time.time())


def refused(error: OSError, presents: bool) -> Reply[Any] | None:
    """What it means that the other side ends TLS for want of a certificate of ours; None: it is not that."""
    reason = (error.reason or "") if isinstance(error, ssl.SSLError) else ""
    if "_ALERT_" not in reason or not any(word in reason for word in _ABOUT_OURS):
        return None
    words = reason.rpartition("_ALERT_")[2].replace("_", " ").lower()
    what = "it does not accept ours" if presents else "none was given"
    return Reply("wants certificate", detail=f"{what} ({words})")


def unacceptable(error: ssl.SSLCertVerificationError, address: str, found: Any) -> Reply[Any]:
    """Why the other side's certificate is refused; `found` is it as `getpeercert` tells it, empty if nobody knows."""
    code, certificate, now = error.verify_code, None, time.time()
    words = {_EXPIRED: "has expired", _NOT_YET: "is not valid yet"}.get(code, f"is refused: {error.verify_message}")
    if found:
        begins, expires = (ssl.cert_time_to_seconds(str(found[key])) for key in ("notBefore", "notAfter"))
        certificate = Certificate(float(expires), expires - now)
        if code == _EXPIRED:
            words = f"expired on {day(expires)}" if expires < now else "is signed by one that has expired"
        elif code == _NOT_YET:
            words = f"is not valid before {day(begins)}" if begins > now else "is signed by one that is not valid yet"
    if code in _OTHER_NAME:
        names = " ".join(name for _, name in found.get("subjectAltName", ())) if found else ""
        words = f"is for {names or 'another name'}, not for {address}"
    elif code in _OTHER_CA:
        words = "is signed by another CA than the given one"
    return Reply("bad certificate", detail=words, certificate=certificate)


def answers(plain: Metered) -> bool:
    """Whether a TLS server is on the other side of a connected socket, which is closed: says hello, and no more."""
    try:
        with secure(_greeting(), plain, None):
            return True
    except ssl.SSLError as error:
        return "_ALERT_" in (error.reason or "")
    except OSError:
        return False


def day(seconds: float) -> str:
    """The day of a POSIX time, in UTC."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"


def _context(ca: str, certificate: str, key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.sslsocket_class = MeteredTls
    try:
        context.load_verify_locations(cadata=ca)
    except (ssl.SSLError, ValueError) as problem:
        found = f"etcd's CA is no certificate in PEM: {problem}"
        raise BadInput("preparing TLS for etcd", found, "name the CA's PEM file in etcd.tls.ca") from None
    if certificate:
        _present(context, certificate, key)
    return context


def _present(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Load our own certificate and key; the standard library takes them from files only, so one is there for that."""
    try:
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:  # only its owner may read it
            file.write(f"{certificate.rstrip()}\n{key.rstrip()}\n")
            file.flush()
            context.load_cert_chain(file.name, password=_no_passphrase)
    except (ssl.SSLError, ValueError) as problem:
        found = f"the client certificate and its key cannot be used: {getattr(problem, 'reason', None) or problem}"
        remedy = "etcd.tls names a certificate and its own key, both in PEM, the key without a passphrase"
        raise BadInput("preparing TLS for etcd", found, remedy) from None


def _no_passphrase() -> str:
    raise ValueError("the key has a passphrase, and nobody is asked for it")


@cache
def _greeting() -> ssl.SSLContext:
    """For a hello to whoever is there; no certificate is believed, and nothing is sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.sslsocket_class = MeteredTls
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def look(context: ssl.SSLContext, plain: Metered, address: str) -> Any:
    """The certificate of whoever is there, as `getpeercert` tells it; empty if its CA is not ours, or it says no."""
    with contextlib.suppress(OSError), secure(context, plain, address) as secured:
        return secured.getpeercert()
    return {}
