"""The canary: one small value written through every member under one lease, read back through each, and removed.

It proves that writes pass through each member and are replicated; it proves nothing about the room on the disks.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from ..member import Member
from . import answers
from .elections import Port
from .samples import NOT_ASKED, Canary, Range, Reply, Trace

T = TypeVar("T")

RESERVED = "/_runbooks/canary/"  # what this project may write; nothing else does
LEASE_S = 120  # after a crash between write and revoke, etcd itself removes the value by then


class Each(Protocol):
    """Do something for all these members at the same time; the results by name."""

    def __call__(self, members: Iterable[Member], act: Callable[[Member], T]) -> Mapping[str, T]: ...


class Canaries:
    """One canary: `nonce` makes its keys and values unique, `until` is asked anew for every call."""

    def __init__(self, ports: Mapping[str, Port], nonce: str, until: Callable[[], float]) -> None:
        self._ports = ports
        self._until = until
        self._nonce = nonce
        self._prefix = f"{RESERVED}{nonce}/"

    def sing(self, members: Sequence[Member], each: Each) -> Canary:
        """Write, read back and remove. Once there is a lease it is revoked, whatever happens in between."""
        lease = self._call(members[0], "/v3/lease/grant", {"TTL": str(LEASE_S)}, answers.lease)
        if lease.value is None:
            return Canary(self._prefix, lease)
        puts: Mapping[str, Reply[int]] = {}
        found: Mapping[str, Reply[tuple[str, ...]]] = {}
        number = lease.value
        try:
            puts = each(members, lambda member: self._put(member, number))
            found = each(members, self._find)
        finally:
            revoked = self._revoke(members, number)
        left = each(members, self._left) if revoked.outcome == "answered" else {}
        traces = (Trace(m, puts[m.name], found[m.name], left.get(m.name, NOT_ASKED)) for m in members)
        return Canary(self._prefix, lease, revoked, tuple(traces))

    def _put(self, member: Member, lease: int) -> Reply[int]:
        content = {"key": base64_of(self._prefix + member.name), "value": base64_of(self._value(member.name))}
        return self._call(member, "/v3/kv/put", content | {"lease": str(lease)}, answers.revision)

    def _find(self, member: Member) -> Reply[tuple[str, ...]]:
        return self._call(member, "/v3/kv/range", self._all(), self._exact)

    def _left(self, member: Member) -> Reply[int]:
        return self._call(member, "/v3/kv/range", self._all() | {"count_only": True}, answers.count)

    def _revoke(self, members: Sequence[Member], lease: int) -> Reply[bool]:
        """Through the first member that can; a lease that is not found has been revoked by an attempt before."""
        reply: Reply[bool] = NOT_ASKED
        for member in members[:2]:
            reply = self._call(member, "/v3/lease/revoke", {"ID": str(lease)}, answers.done)
            if reply.outcome == "failed" and "lease not found" in reply.detail:
                reply = Reply("answered", value=True, seconds=reply.seconds)
            if reply.outcome == "answered":
                break
        return reply

    def _exact(self, body: Any, headers: answers.Headers) -> tuple[str, ...]:
        read: Range = answers.range_(body, headers)
        names = ((key.removeprefix(self._prefix), value) for key, value in read.pairs)
        return tuple(name for name, value in names if value == self._value(name))

    def _value(self, name: str) -> str:
        return f"{self._nonce} through {name}"

    def _all(self) -> dict[str, Any]:
        return {"key": base64_of(self._prefix), "range_end": base64_of(self._prefix[:-1] + "0")}  # "0" follows "/"

    def _call(self, member: Member, path: str, content: dict[str, Any], read: Callable[..., T]) -> Reply[T]:
        return self._ports[member.name].post(path, content, read, self._until())


def base64_of(text: str) -> str:
    """A key or value as the gateway wants it."""
    return binascii.b2a_base64(text.encode(), newline=False).decode()
