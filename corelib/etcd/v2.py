"""etcd 2.x, by its v2 interface: who it is, who leads, reads by quorum and without, and the canary.

Source: etcd 2.3's Documentation (api.md, members_api.md, admin_guide.md). What it has no word for (alarms, a hash of
its data, what its log and its disk do) is said to be lacking: nobody may take it for passed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from ..member import Member
from . import v2_answers
from .answers import Headers
from .canary import LEASE_S, RESERVED, Each
from .client import Connection
from .samples import NOT_ASKED, Canary, Range, Reply, Sample, Status, Trace, View

T = TypeVar("T")

_KEYS = "/v2/keys"
_ABSENT = "Key not found"  # code 100


def speaks(version: Reply[str]) -> bool:
    """Whether it is one that has no other interface."""
    return version.value is not None and version.value.split(".")[0] == "2"


def lacks(what: str) -> Reply[Any]:
    """In place of an answer that no etcd 2.x can give."""
    return Reply("lacks", detail=f"etcd 2.x has no {what}")


def ask(sample: Sample, line: Connection, until: Callable[[], float]) -> Sample:
    """All that hurts nobody; what may hang comes last."""
    listing = line.form("GET", "/v2/members", {}, v2_answers.members, until())
    if listing.value is None:
        return sample._replace(listing=listing)
    own = line.form("GET", "/v2/stats/self", {}, v2_answers.own, until())
    if own.value is not None:
        listing = listing._replace(value=listing.value._replace(member=own.value.id))
    sample = sample._replace(listing=listing, status=_status(sample, listing.value, own, line, until))
    health = line.get("/health", v2_answers.health, until())
    strong = _read(line, "?quorum=true", until()) if health.value else Reply(health.outcome, None, health.detail)
    sample = sample._replace(linearizable=strong)
    return sample if strong.value else sample._replace(local=_read(line, "", until()))


def _status(
    sample: Sample, view: View | None, own: Reply[v2_answers.Own], line: Connection, until: Callable[[], float]
) -> Reply[Status]:
    """Its own word about itself; of one that says it leads, only if it keeps a leader's statistics (others: 403)."""
    if own.value is None or view is None:
        return Reply(own.outcome, None, own.detail, own.seconds)
    if own.value.leads:
        leader = line.form("GET", "/v2/stats/leader", {}, v2_answers.leader, until())
        if leader.value != own.value.id:
            return Reply(
                "failed", detail=f"it says that it leads, and not as a leader: {leader.detail or leader.outcome}"
            )
    value = Status(view.cluster, own.value.id, own.value.leader, 0, sample.version.value or "")
    return Reply("answered", value, "", own.seconds)


def _read(line: Connection, how: str, until: float) -> Reply[Range]:
    """A read of the reserved place, which is empty between two checks: that it is not there is an answer."""
    reply = line.form("GET", f"{_KEYS}/_runbooks{how}", {}, v2_answers.range_, until)
    return reply._replace(outcome="answered", value=Range(0, 0), detail="") if _absent(reply) else reply


class Canaries:
    """The canary of etcd 2.x: a directory that ends by itself, a key in it through each member, and its removal."""

    def __init__(self, lines: Mapping[str, Connection], nonce: str, until: Callable[[], float]) -> None:
        self._lines = lines
        self._until = until
        self._nonce = nonce
        self._place = f"{RESERVED}{nonce}"

    def sing(self, members: Sequence[Member], each: Each) -> Canary:
        """Write, read back and remove, whatever happens in between."""
        fields = {"dir": "true", "ttl": str(LEASE_S), "prevExist": "false"}
        made = self._call(members[0], "PUT", self._place, fields, v2_answers.index)
        if made.value is None:
            return Canary(self._place, made)
        puts: Mapping[str, Reply[int]] = {}
        found: Mapping[str, Reply[tuple[str, ...]]] = {}
        try:
            puts = each(members, self._put)
            found = each(members, self._find)
        finally:
            removed = self._remove(members)
        left = each(members, self._left) if removed.outcome == "answered" else {}
        traces = (Trace(m, puts[m.name], found[m.name], left.get(m.name, NOT_ASKED)) for m in members)
        return Canary(self._place, made, removed, tuple(traces))

    def _put(self, member: Member) -> Reply[int]:
        return self._call(
            member, "PUT", f"{self._place}/{member.name}", {"value": self._value(member.name)}, v2_answers.index
        )

    def _find(self, member: Member) -> Reply[tuple[str, ...]]:
        return self._call(member, "GET", f"{self._place}?quorum=true&recursive=true", {}, self._exact)

    def _left(self, member: Member) -> Reply[int]:
        reply = self._call(member, "GET", f"{self._place}?quorum=true&recursive=true", {}, v2_answers.count)
        return reply._replace(outcome="answered", value=0, detail="") if _absent(reply) else reply

    def _remove(self, members: Sequence[Member]) -> Reply[bool]:
        """Through the first member that can; then the places above it, which etcd keeps unless they are in use."""
        reply: Reply[bool] = NOT_ASKED
        for attempt, member in enumerate(members[:2]):
            reply = self._call(member, "DELETE", f"{self._place}?recursive=true&dir=true", {}, v2_answers.done)
            if attempt and _absent(reply):
                reply = Reply("answered", value=True, seconds=reply.seconds)
            if reply.outcome == "answered":
                for above in ("/_runbooks/canary", "/_runbooks"):
                    self._call(member, "DELETE", f"{above}?dir=true", {}, v2_answers.done)
                break
        return reply

    def _exact(self, body: Any, _: Headers) -> tuple[str, ...]:
        pairs = [(str(node.get("key", "")).rpartition("/")[2], node.get("value")) for node in v2_answers.nodes(body)]
        return tuple(name for name, value in pairs if value == self._value(name))

    def _value(self, name: str) -> str:
        return f"{self._nonce} through {name}"

    def _call(
        self, member: Member, method: str, key: str, fields: Mapping[str, str], read: Callable[..., T]
    ) -> Reply[T]:
        return self._lines[member.name].form(method, _KEYS + key, fields, read, self._until())


def _absent(reply: Reply[Any]) -> bool:
    return reply.outcome == "failed" and reply.detail.startswith(_ABSENT)
