"""The connections of one pass over all members, and what is asked on them. Judges nothing.

In each round all members are asked in parallel, so a round lasts as long as its slowest member, never a sum.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ..member import CLIENT_PORT, PEER_PORT, Member
from . import answers, v2
from .canary import RESERVED, Canaries, base64_of
from .client import Connection
from .credentials import AUTH_IS_OFF, Credentials, barred
from .crew import Crew, Task
from .elections import Across, Port
from .samples import (
    NOT_ASKED,
    Alarm,
    Canary,
    Hash,
    HostFacts,
    Metrics,
    Range,
    Reply,
    Sample,
    View,
)
from .turns import ALONE, Turns
from .way import Way

if TYPE_CHECKING:
    from .tls import Trust

T = TypeVar("T")
AskHost = Callable[[float], Reply[HostFacts]]  # until a time of `time.monotonic`

ROUNDS = 3  # reads whose shortest one is a round trip: a single one may have met a collection of garbage
HOST_S = 6.0  # all that is asked of one host, while the members are asked
PAUSE_S = 0.2  # before hashes that differ are asked for again


class Access(NamedTuple):
    """What lets us in: over TLS, and as a user of etcd's own authentication."""

    trust: Trust | None = None
    credentials: Credentials | None = None


class Pass:
    """The connections of one pass, three for each member, and who uses them in turns."""

    def __init__(
        self, members: Sequence[Member], patience_s: float, end: float, ways: Mapping[str, Way], access: Access
    ) -> None:
        self._members = members
        self._patience, self._end = patience_s, end
        self._crew = Crew()
        self._client, self._beside, self._peer = (
            {m.name: connection(m, port, ways.get(m.name), access.trust, self._crew) for m in members}
            for port in (CLIENT_PORT, CLIENT_PORT, PEER_PORT)
        )
        self._credentials = access.credentials
        self._logins: dict[str, Reply[bool]] = {}  # by name, of those that have said yes or no
        self._old: set[str] = set()  # the names of those that run etcd 2.x
        self._gateways: dict[str, Port] = dict(self._client)
        self._asides: dict[str, Port] = dict(self._beside)

    def __enter__(self) -> Pass:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self._crew.dismiss()  # every call is bounded, and so is this
        finally:
            for connection in (*self._client.values(), *self._beside.values(), *self._peer.values()):
                connection.close()

    def each(self, members: Iterable[Member], act: Callable[[Member], T]) -> dict[str, T]:
        """Do it for all these members at the same time; the results by name.

        Nothing is still under way when it ends, an interrupt included: a connection is for one at a time.
        """
        tasks: dict[str, Task[T]] = {}
        try:
            for member in members:
                tasks[member.name] = self._crew.start(partial(act, member))
            return {name: task.result() for name, task in tasks.items()}
        finally:
            for task in tasks.values():
                task.wait()

    def start(self, act: Callable[[], T]) -> Task[T]:
        """Do it meanwhile; it ends before the pass does."""
        return self._crew.start(act)

    def settled(self, samples: Sequence[Sample], election_s: float) -> None:
        """From here on a call that an election has swallowed is made again."""
        for sample in samples:
            if (status := sample.status.value) is not None:
                name, term = sample.member.name, status.term
                self._gateways[name] = Across(self._client[name], term, self.until, election_s, self._crew.sleep)
                self._asides[name] = Across(self._beside[name], term, self.until, election_s, self._crew.sleep)

    def start_hosts(self, hosts: Mapping[str, AskHost]) -> dict[str, Task[Reply[HostFacts]]]:
        """Ask all hosts at the same time, while the members are asked; each ends within its own bound."""
        until = min(time.monotonic() + HOST_S, self._end)
        return {name: self._crew.start(partial(self._crew.apart, partial(ask, until))) for name, ask in hosts.items()}

    def until(self) -> float:
        """When a call that begins now is given up; 0: there is no time left for it."""
        then = time.monotonic() + self._patience
        return then if then <= self._end else 0.0

    def rest(self, until: float) -> None:
        """Wait until then, or the deadline."""
        self._crew.sleep(max(0.0, min(until, self._end) - time.monotonic()))

    def look(self) -> tuple[Sample, ...]:
        """Ask every member all that hurts nobody, on both ports at the same time."""
        peers = [(m, self._crew.start(partial(self._ask_peer, m))) for m in self._members]
        clients = self.each(self._members, self._ask_client)
        return tuple(clients[m.name]._replace(peer=task.result()) for m, task in peers)

    def _ask_peer(self, member: Member) -> Reply[View]:
        return self._peer[member.name].get("/members", answers.peer_view, self.until())

    def _ask_client(self, member: Member) -> Sample:
        """What may hang comes last; after a port that does not answer nothing more is asked of it.

        A linearizable read is answered from a member's own store, once the leader has said how new that must be: who
        answers one has answered a local one as well.
        """
        line = self._client[member.name]
        sample = Sample(member, version=line.version(self.until()))
        if sample.version.outcome not in ("answered", "failed"):
            return sample
        if v2.speaks(sample.version):
            self._old.add(member.name)
            if self._credentials is not None:
                line.authorize(self._credentials.basic, self._credentials.password)
            return v2.ask(sample, line, self.until)
        listing = line.post("/v3/cluster/member/list", {"linearizable": False}, answers.view, self.until())
        sample = sample._replace(listing=listing)
        if listing.outcome != "answered":
            return sample
        sample = sample._replace(status=line.post("/v3/maintenance/status", {}, answers.status, self.until()))
        sample = sample._replace(login=self._log_in(member))
        if barred(sample.login):  # what is asked without a user would only be refused with other words
            no: Reply[Range] = Reply("failed", detail=sample.login.detail)
            return sample._replace(local=no, linearizable=no)
        sample = sample._replace(linearizable=self._read(member))
        return sample if sample.linearizable.value else sample._replace(local=self._read(member, local=True))

    def _log_in(self, member: Member) -> Reply[bool]:
        """A token through this member for all that is asked of it; one that said yes or no is not asked again."""
        if self._credentials is None or member.name in self._logins:
            return self._logins.get(member.name, NOT_ASKED)
        line, content = self._client[member.name], {"name": self._credentials.user}
        line.authorize("", self._credentials.password)
        content["password"] = self._credentials.password
        reply = line.post("/v3/auth/authenticate", content, answers.token, self.until())
        login: Reply[bool] = Reply(reply.outcome, value=reply.value is not None or None, detail=reply.detail)
        if reply.value is not None:
            for one in (line, self._beside[member.name]):
                one.authorize(reply.value, self._credentials.password)
        if reply.value is not None or barred(login) or AUTH_IS_OFF in login.detail:
            self._logins[member.name] = login
        return login

    def _read(self, member: Member, *, local: bool = False) -> Reply[Range]:
        content = {"key": base64_of(RESERVED), "serializable": local}
        return self._client[member.name].post("/v3/kv/range", content, answers.range_, self.until())

    def alarms(self, member: Member) -> Reply[tuple[Alarm, ...]]:
        """The alarms; hangs without a quorum, so it is asked only of members that reach one."""
        if member.name in self._old:
            return v2.lacks("alarms")
        content = {"action": "GET"}
        return self._asides[member.name].post("/v3/maintenance/alarm", content, answers.alarms, self.until())

    def canary(self, members: Sequence[Member]) -> Canary:
        """A canary through these members; none is begun that could not be removed before the deadline.

        As a task: an interrupt meets whoever waits for it, and it removes what it has written.
        """
        if not members or time.monotonic() + 6 * self._patience > self._end:
            return Canary("", NOT_ASKED)
        alike = [member for member in members if (member.name in self._old) == (members[0].name in self._old)]
        nonce = os.urandom(8).hex()
        canaries: Canaries | v2.Canaries = Canaries(self._gateways, nonce, self.until)
        if members[0].name in self._old:
            canaries = v2.Canaries(self._client, nonce, self.until)
        task = self._crew.start(partial(canaries.sing, alike, self.each))
        try:
            return task.result()
        finally:
            task.wait()

    def aside(self, teller: Member | None, member: Member) -> dict[str, Any]:
        """Metrics, and of one the alarms, on a connection of their own: they do not wait for what else is asked."""
        told = {"alarms": self.alarms(member)} if member == teller else {}
        return {**told, "metrics": self.metrics(member)}

    def measure(self, member: Member, rounds: tuple[float, ...], *, reads: bool) -> dict[str, Any]:
        """What says how near a member is to its limits: reads, as many as `rounds` lacks, and its status at the end.

        One that reaches no leader is asked for no read.
        """
        if member.name in self._old:  # its reads by quorum are written to its log: they measure no way
            return {"after": v2.lacks("figures of its log, its disk and its round trips")}
        more = [self._read(member) for _ in range(ROUNDS - len(rounds) if reads else 0)]
        return {
            "rounds": rounds + tuple(one.seconds for one in more if one.outcome == "answered"),
            "after": self._client[member.name].post("/v3/maintenance/status", {}, answers.status, self.until()),
        }

    def strain(self, members: Sequence[Member]) -> dict[str, Reply[Metrics]]:
        """The metrics after one more canary: whose disk it was that made the first one slow."""
        self.canary(members)
        return self.each(members, self.metrics)

    def metrics(self, member: Member) -> Reply[Metrics]:
        """Its figures, since its process began."""
        if member.name in self._old:
            return v2.lacks("metrics of that name")
        return self._beside[member.name].text("/metrics", answers.metrics, self.until(), answers.METRICS_END)

    def hashes(self, able: Sequence[Member], samples: Sequence[Sample], written: int) -> dict[str, Reply[Hash]]:
        """HashKV at one revision that all able members have.

        From the peer port: before 3.5.10 the gateway's hash is that of the whole backend, which differs between
        healthy versions; the peer port's is HashKV on every version. Best at the revision that we have `written`
        ourselves: there is no hash of one that was compacted, as the newest one of an idle cluster is every hour
        (etcd 3.4 does not even answer then).
        """
        reads = [s.linearizable for s in samples if s.member in able and s.member.name not in self._old]
        revisions = [written] if written else _revisions(reads)
        old = {name: v2.lacks("hash of its data") for name in self._old}
        return old | self._hashes(samples, revisions or _revisions(s.local for s in self._listening(samples)))

    def certain(
        self, hashes: dict[str, Reply[Hash]], able: Sequence[Member], samples: Sequence[Sample]
    ) -> dict[str, Reply[Hash]]:
        """The same hashes, had once more if they differ, as a compaction makes them.

        Reads of the client ports: nobody else may be asking there.
        """
        if not _in_doubt(hashes):
            return hashes
        self._crew.sleep(PAUSE_S)
        reads = self.each([member for member in able if member.name not in self._old], self._read)
        before = [reply.value.revision for reply in hashes.values() if reply.value is not None]
        return hashes | self._hashes(samples, _revisions(reads.values()) or before)

    def _listening(self, samples: Sequence[Sample]) -> list[Sample]:
        """Whose peer ports can be asked for a hash."""
        return [s for s in samples if s.peer.outcome == "answered" and s.member.name not in self._old]

    def _hashes(self, samples: Sequence[Sample], revisions: Sequence[int]) -> dict[str, Reply[Hash]]:
        asked = [s.member for s in self._listening(samples)] if revisions else []
        return self.each(asked, lambda member: self._hash(min(revisions), member))

    def _hash(self, revision: int, member: Member) -> Reply[Hash]:
        content = {"revision": revision}
        return self._peer[member.name].get("/members/hashkv", partial(answers.hash_kv, revision), self.until(), content)


def connection(member: Member, port: int, way: Way | None, trust: Trust | None, turns: Turns = ALONE) -> Connection:
    """To one port of a member, over TLS where there is trust to be held against."""
    if trust is None:
        return Connection(str(member.address), port, way, turns)
    from .secured import Secured  # noqa: PLC0415 - ssl takes 5 ms to load

    return Secured(str(member.address), port, trust, way, turns)


def _revisions(reads: Iterable[Reply[Range]]) -> list[int]:
    return [read.value.revision for read in reads if read.value is not None]


def _in_doubt(hashes: Mapping[str, Reply[Hash]]) -> bool:
    """Whether the hashes differ, or one could not be had for a compaction: corruption stays, a compaction passes."""
    values = {reply.value for reply in hashes.values() if reply.value is not None}
    return len(values) > 1 or any("compacted" in reply.detail for reply in hashes.values())
