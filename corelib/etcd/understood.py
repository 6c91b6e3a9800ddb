"""An HTTP answer into a typed reply: etcd's JSON or text by a reader, its errors, or somebody else's answer. Pure."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from .answers import Headers
from .samples import Outcome, Reply

T = TypeVar("T")
Read = Callable[[Any, Headers], T]
Understood = Callable[[str, Headers, bytes], Reply[T]]

_DATE = re.compile(r"[A-Z][a-z]{2}, (\d\d) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT")
_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"
_ETCD_ERRORS = ("message", "error")  # grpc-gateway's JSON since 3.6 and that of etcd 2.x, and before 3.6


def json_(read: Read[T], kind: str, headers: Headers, body: bytes) -> Reply[T]:
    """A JSON answer as `read` makes a value of it."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        outcome: Outcome = "bad JSON" if "json" in kind else "not etcd"
        return Reply(outcome, detail=short(body.decode(errors="replace")) or "an empty answer")
    return _read(read, content, headers)


def text(read: Read[T], _: str, headers: Headers, body: bytes) -> Reply[T]:
    """An answer that is no JSON."""
    return _read(read, body.decode(errors="replace"), headers)


def either(read: Read[T], kind: str, headers: Headers, body: bytes) -> Reply[T]:
    """JSON, or what etcd 2.0 wrote before it told its version in JSON: `etcd 2.0.13`; with what its clock says."""
    words = body[:40].decode(errors="replace").strip()
    reply = _read(read, words, headers) if re.match(r"etcd \d", words) else json_(read, kind, headers, body)
    return reply._replace(ahead=ahead(headers.get("date", "")))


def refusal(status: int, headers: Headers, body: bytes) -> Reply[Any]:
    """An HTTP error: etcd's own, as its gateway or its peer port writes them, or somebody else's."""
    words = body.decode(errors="replace")
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None
    if isinstance(content, dict):
        for key in _ETCD_ERRORS:
            if isinstance(content.get(key), str):
                cause = f": {content['cause']}" if content.get("cause") else ""  # etcd 2.x
                return Reply("failed", detail=short(content[key] + cause))
        if str(content.get("health")).lower() == "false":
            return Reply("failed", detail=short(f"it says that it is not healthy {content.get('reason', '')}"))
    if status == 400 and "HTTPS" in words:  # what Go's and nginx's TLS servers say to plain HTTP
        return Reply("speaks TLS", detail=short(words))
    if "x-etcd-cluster-id" in headers:
        return Reply("failed", detail=short(words))
    moved = f" to {headers['location']}" if "location" in headers else ""
    return Reply("not etcd", detail=short(f"HTTP {status}{moved}: {words}"))


def ahead(date: str) -> float | None:
    """How far its clock is ahead of ours; a header says whole seconds, rounded down (RFC 9110, section 5.6.7)."""
    if not (found := _DATE.fullmatch(date)):
        return None
    day, month, *rest = found.groups()
    year, hour, minute, second = map(int, rest)
    try:
        there = datetime(year, _MONTHS.index(month) // 3 + 1, int(day), hour, minute, min(second, 59), tzinfo=UTC)
    except ValueError:
        return None
    return there.timestamp() + 0.5 - time.time()


def short(words: str) -> str:
    """In one line, and not long."""
    words = " ".join(words.split())
    return words if len(words) <= 120 else words[:117] + "…"


def _read(read: Read[T], content: Any, headers: Headers) -> Reply[T]:
    try:
        return Reply("answered", read(content, headers))
    except ValueError as error:
        return Reply("not etcd", detail=short(str(error)))
