"""Ask every member at its rendered address, all at the same time, within a bounded time. Judges nothing.

In each round all members are asked in parallel, so a round lasts as long as its slowest member, never a sum.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial
from types import MappingProxyType, TracebackType
from typing import Any, TypeVar

from ..fleet import CLIENT_PORT, PEER_PORT, Member, quorum
from . import answers
from .canary import RESERVED, Canaries, base64_of
from .client import Connection
from .samples import NOT_ASKED, Alarm, Canary, Hash, HostFacts, Metrics, Range, Reply, Sample, Samples, View
from .way import Way

T = TypeVar("T")
AskHost = Callable[[float], Reply[HostFacts]]  # until a time of `time.monotonic`

ELECTIONS = 2  # an election takes between one and two election timeouts: etcd randomises it in that range
LATECOMER_S = 1.0  # a member that is just starting, while the others serve
PAUSE_S = 0.2  # between looks
SLOW_S = 0.1  # a write
ROUNDS = 3  # reads whose shortest one is a round trip: a single one may have met a collection of garbage
HOST_S = 6.0  # all that is asked of one host, while the members are asked
# Calls one after the other at most: the last look, alarms, six of the canary, four for HashKV, five to
# measure, and where writes are slow six of another canary and the metrics.
AFTER_SETTLING = 24


def probe(
    members: Sequence[Member],
    *,
    election_ms: int,
    deadline_s: float | None = None,
    canary: bool = True,
    patience_s: float = 3.0,
    ways: Mapping[str, Way] = MappingProxyType({}),
    hosts: Mapping[str, AskHost] = MappingProxyType({}),
) -> Samples:
    """Everything that the members answer, in at most `deadline_s` (default: two election timeouts and twelve calls).

    Waits up to two election timeouts for a leader before it lets "no leader" stand. A call that has no answer after
    `patience_s` is given up; one that could not have that long before the deadline is not made ("not asked"). The
    canary is written only through members that the cluster lists by their rendered name and peer URL. By member's
    name, `ways` lead to their ports, straight from here where none is given, and `hosts` tell of them what they know.
    """
    begun = time.monotonic()
    election_s = ELECTIONS * election_ms / 1000
    end = begun + (deadline_s if deadline_s is not None else election_s + AFTER_SETTLING * patience_s)
    if not members:
        return Samples(())
    with Pass(members, patience_s, end, ways) as run:
        told = run.start_hosts(hosts)
        samples, waited = _settle(run, election_s)
        able = [s.member for s in samples if s.linearizable.outcome == "answered"]
        alarms = run.each(able, run.alarms)
        tried = run.canary(_listed(samples, able)) if canary else None
        hashes = run.hashes(able, samples)
        measured = run.each(able, run.measure)
        strained = run.strain(able, samples) if _slow(tried) else {}
        known = {name: future.result() for name, future in told.items()}
    whole = [
        replace(s, alarms=alarms.get(s.member.name, NOT_ASKED), hash=hashes.get(s.member.name, NOT_ASKED))
        for s in samples
    ]
    whole = [
        replace(
            s,
            **measured.get(s.member.name, {}),
            strained=strained.get(s.member.name, NOT_ASKED),
            host=known.get(s.member.name, NOT_ASKED),
        )
        for s in whole
    ]
    return Samples(tuple(whole), tried, waited, time.monotonic() - begun)


class Pass:
    """The connections of one pass, two for each member, and the threads that use them, one more for each host."""

    def __init__(self, members: Sequence[Member], patience_s: float, end: float, ways: Mapping[str, Way]) -> None:
        self._members = members
        self._patience, self._end = patience_s, end
        self._client = {m.name: Connection(str(m.address), CLIENT_PORT, ways.get(m.name)) for m in members}
        self._peer = {m.name: Connection(str(m.address), PEER_PORT, ways.get(m.name)) for m in members}
        self._pool = ThreadPoolExecutor(3 * len(members), thread_name_prefix="probe")

    def __enter__(self) -> Pass:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pool.shutdown(cancel_futures=True)  # every call is bounded, and so is this
        for connection in (*self._client.values(), *self._peer.values()):
            connection.close()

    def each(self, members: Iterable[Member], act: Callable[[Member], T]) -> dict[str, T]:
        """Do it for all these members at the same time; the results by name.

        Nothing is still under way when it ends, an interrupt included: a connection is for one thread at a time.
        """
        futures = {member.name: self._pool.submit(act, member) for member in members}
        try:
            return {name: future.result() for name, future in futures.items()}
        finally:
            wait(futures.values())

    def start_hosts(self, hosts: Mapping[str, AskHost]) -> dict[str, Future[Reply[HostFacts]]]:
        """Ask all hosts at the same time, while the members are asked; each ends within its own bound."""
        until = min(time.monotonic() + HOST_S, self._end)
        return {name: self._pool.submit(ask, until) for name, ask in hosts.items()}

    def until(self) -> float:
        """When a call that begins now is given up; 0: there is no time left for it."""
        then = time.monotonic() + self._patience
        return then if then <= self._end else 0.0

    def look(self) -> tuple[Sample, ...]:
        """Ask every member all that hurts nobody, on both ports at the same time."""
        peers = [(m, self._pool.submit(self._ask_peer, m)) for m in self._members]
        clients = self.each(self._members, self._ask_client)
        return tuple(replace(clients[m.name], peer=future.result()) for m, future in peers)

    def _ask_peer(self, member: Member) -> Reply[View]:
        return self._peer[member.name].get("/members", answers.peer_view, self.until())

    def _ask_client(self, member: Member) -> Sample:
        """What may hang comes last; after a port that does not answer nothing more is asked of it."""
        line = self._client[member.name]
        sample = Sample(member, version=line.get("/version", answers.version, self.until()))
        if sample.version.outcome not in ("answered", "failed"):
            return sample
        listing = line.post("/v3/cluster/member/list", {"linearizable": False}, answers.view, self.until())
        sample = replace(sample, listing=listing)
        if listing.outcome != "answered":
            return sample
        return replace(
            sample,
            status=line.post("/v3/maintenance/status", {}, answers.status, self.until()),
            local=self._read(member, local=True),
            linearizable=self._read(member),
        )

    def _read(self, member: Member, *, local: bool = False) -> Reply[Range]:
        content = {"key": base64_of(RESERVED), "serializable": local}
        return self._client[member.name].post("/v3/kv/range", content, answers.range_, self.until())

    def alarms(self, member: Member) -> Reply[tuple[Alarm, ...]]:
        """The alarms; hangs without a quorum, so it is asked only of members that reach one."""
        content = {"action": "GET"}
        return self._client[member.name].post("/v3/maintenance/alarm", content, answers.alarms, self.until())

    def canary(self, members: Sequence[Member]) -> Canary:
        """A canary through these members; none is begun that could not be removed before the deadline."""
        if not members or time.monotonic() + 6 * self._patience > self._end:
            return Canary("", NOT_ASKED)
        return Canaries(self._client, secrets.token_hex(8), self.until).sing(members, self.each)

    def measure(self, member: Member) -> dict[str, Any]:
        """What says how near a member is to its limits: some reads in a row, its status once more, its metrics."""
        reads = [self._read(member) for _ in range(ROUNDS)]
        line = self._client[member.name]
        return {
            "rounds": tuple(one.seconds for one in reads if one.outcome == "answered"),
            "after": line.post("/v3/maintenance/status", {}, answers.status, self.until()),
            "metrics": self._metrics(member),
        }

    def strain(self, able: Sequence[Member], samples: Sequence[Sample]) -> dict[str, Reply[Metrics]]:
        """The metrics after one more canary: whose disk it was that made the first one slow."""
        self.canary(_listed(samples, able))
        return self.each(able, self._metrics)

    def _metrics(self, member: Member) -> Reply[Metrics]:
        return self._client[member.name].text("/metrics", answers.metrics, self.until())

    def hashes(self, able: Sequence[Member], samples: Sequence[Sample]) -> dict[str, Reply[Hash]]:
        """HashKV at one revision that all able members have; once more if that differs, as a compaction makes it.

        From the peer port: before 3.5.10 the gateway's hash is that of the whole backend, which differs between
        healthy versions; the peer port's is HashKV on every version.
        """
        hashes: dict[str, Reply[Hash]] = {}
        listening = [s.member for s in samples if s.peer.outcome == "answered"]
        for _ in range(2):
            reads = self.each(able, self._read) if able else {s.member.name: s.local for s in samples}
            revisions = [read.value.revision for read in reads.values() if read.value is not None]
            if not revisions:
                break
            hashes = self.each(listening, partial(self._hash, min(revisions)))
            if not _in_doubt(hashes):
                break
            time.sleep(PAUSE_S)
        return hashes

    def _hash(self, revision: int, member: Member) -> Reply[Hash]:
        content = {"revision": revision}
        return self._peer[member.name].get("/members/hashkv", partial(answers.hash_kv, revision), self.until(), content)


def _settle(run: Pass, election_s: float) -> tuple[tuple[Sample, ...], float]:
    """Look until nothing is left that time alone may mend; the last look, and how long that took."""
    begun = time.monotonic()
    while True:
        samples = run.look()
        waited = time.monotonic() - begun
        if waited >= _worth_waiting(samples, election_s) or not run.until():
            return samples, waited
        time.sleep(PAUSE_S)


def _worth_waiting(samples: Sequence[Sample], election_s: float) -> float:
    """How long a look like this may be a passing state: an election, or one member that is just starting."""
    serving = [s for s in samples if s.listing.value is not None]
    asked = [s for s in samples if s.version.outcome != "not asked"]  # time does not mend a host that is not reached
    if not asked:
        return 0.0
    leaders = {s.status.value.leader if s.status.value else 0 for s in serving}
    read = all(s.linearizable.outcome == "answered" for s in serving)
    if len(serving) < min(quorum(len(samples)), len(asked)) or not read or len(leaders) != 1 or 0 in leaders:
        return election_s
    published = all(entry.client_urls for s in serving if s.listing.value for entry in s.listing.value.members)
    return 0.0 if len(serving) == len(asked) and published else min(LATECOMER_S, election_s)


def _slow(tried: Canary | None) -> bool:
    return tried is not None and any(trace.put.seconds > SLOW_S for trace in tried.traces)


def _listed(samples: Sequence[Sample], able: Sequence[Member]) -> list[Member]:
    """The able members that their own list calls by the rendered name and peer URL."""
    views = {s.member.name: s.listing.value for s in samples}
    listed = []
    for member in able:
        view = views[member.name]
        if view and any(e.name == member.name and member.peer_url in e.peer_urls for e in view.members):
            listed.append(member)
    return listed


def _in_doubt(hashes: Mapping[str, Reply[Hash]]) -> bool:
    """Whether the hashes differ, or one could not be had for a compaction: corruption stays, a compaction passes."""
    values = {reply.value for reply in hashes.values() if reply.value is not None}
    return len(values) > 1 or any("compacted" in reply.detail for reply in hashes.values())
