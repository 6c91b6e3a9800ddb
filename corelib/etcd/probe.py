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
from typing import Any, NamedTuple, TypeVar

from ..fleet import CLIENT_PORT, PEER_PORT, Member, quorum
from . import answers, v2
from .canary import RESERVED, Canaries, base64_of
from .client import Connection
from .credentials import AUTH_IS_OFF, Credentials, barred
from .elections import MOST, Across, Port
from .samples import (
    ABOUT_TLS,
    NOT_ASKED,
    Alarm,
    Canary,
    Hash,
    HostFacts,
    Metrics,
    Range,
    Reply,
    Sample,
    Samples,
    View,
)
from .tls import Trust
from .way import Way

T = TypeVar("T")
AskHost = Callable[[float], Reply[HostFacts]]  # until a time of `time.monotonic`

ELECTIONS = 2  # an election takes between one and two election timeouts: etcd randomises it in that range
LATECOMER_S = 1.0  # a member that is just starting, while the others serve
PAUSE_S = 0.2  # between looks, or longer
MOST_LOOKS = 12
SLOW_S = 0.1  # a write
ROUNDS = 3  # reads whose shortest one is a round trip: a single one may have met a collection of garbage
HOST_S = 6.0  # all that is asked of one host, while the members are asked
# Calls one after the other at most: the last look, a login, alarms, six of the canary, four for HashKV, five to
# measure, and where writes are slow six of another canary and the metrics.
AFTER_SETTLING = 25
# What one member is asked at most, on both ports: eight calls a look (of etcd 2.x; six otherwise), and as much as 22
# once it is settled. A call that finds its connection closed is made once more, which a healthy member does not cause.
MOST_REQUESTS = 8 * MOST_LOOKS + 25 + 2 * MOST


def probe(  # noqa: PLR0913 - two say what to ask, each other one has a default that means something by itself
    members: Sequence[Member],
    *,
    election_ms: int,
    deadline_s: float | None = None,
    canary: bool = True,
    patience_s: float | None = None,
    ways: Mapping[str, Way] = MappingProxyType({}),
    hosts: Mapping[str, AskHost] = MappingProxyType({}),
    trust: Trust | None = None,
    credentials: Credentials | None = None,
) -> Samples:
    """Everything that the members answer, in at most `deadline_s` (default: two election timeouts and AFTER_SETTLING
    calls), with at most MOST_REQUESTS requests to each of them.

    Waits up to two election timeouts for a leader before it lets "no leader" stand. A call that has no answer after
    `patience_s` (default: `patience`) is given up; one that could not have that long before the deadline is not made
    ("not asked"). The canary is written only through members that the cluster lists by their rendered name and peer
    URL. By member's name, `ways` lead to their ports, straight from here where none is given, and `hosts` tell of them
    what they know. No address of a member list is ever connected to. `trust`: over TLS; `credentials`: of a user of
    etcd's own authentication.
    """
    begun = time.monotonic()
    patience_s = patience(election_ms) if patience_s is None else patience_s
    election_s = ELECTIONS * election_ms / 1000
    end = begun + (deadline_s if deadline_s is not None else election_s + AFTER_SETTLING * patience_s)
    if not members:
        return Samples(())
    with Pass(members, patience_s, end, ways, Access(trust, credentials)) as run:
        told = run.start_hosts(hosts)
        samples, waited = _settle(run, election_s)
        run.settled(samples, election_s)
        able = [s.member for s in samples if s.linearizable.outcome == "answered"]
        # An alarm may be why a member refuses to read; one that waits for a quorum would wait for this as well.
        alarms = run.each([s.member for s in samples if s.linearizable.outcome in ("answered", "failed")], run.alarms)
        tried = run.canary(_listed(samples)) if canary else None
        rounds = {s.member.name: _rounds(s, tried) for s in samples}
        hashing = run.start(lambda: run.hashes(able, samples))  # on the peer ports, and the rest on the others
        serving = [s.member for s in samples if s.listing.value is not None]
        measured = run.each(serving, lambda member: run.measure(member, rounds[member.name], reads=member in able))
        hashes = hashing.result()
        strained = run.strain(_listed(samples)) if _slow(tried, samples) else {}
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


def patience(election_ms: int) -> float:
    """Seconds until a call is given up: longer than an election timeout, so that a way that slow is still measured."""
    return max(3.0, 1.5 * election_ms / 1000)


class Access(NamedTuple):
    """What lets us in: over TLS, and as a user of etcd's own authentication."""

    trust: Trust | None = None
    credentials: Credentials | None = None


class Pass:
    """The connections of one pass, two for each member, and the threads that use them, one more for each host."""

    def __init__(
        self, members: Sequence[Member], patience_s: float, end: float, ways: Mapping[str, Way], access: Access
    ) -> None:
        self._members = members
        self._patience, self._end = patience_s, end
        self._client = {
            m.name: Connection(str(m.address), CLIENT_PORT, ways.get(m.name), access.trust) for m in members
        }
        self._peer = {m.name: Connection(str(m.address), PEER_PORT, ways.get(m.name), access.trust) for m in members}
        self._credentials = access.credentials
        self._logins: dict[str, Reply[bool]] = {}  # by name, of those that have said yes or no
        self._old: set[str] = set()  # the names of those that run etcd 2.x
        self._gateways: dict[str, Port] = dict(self._client)
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

    def start(self, act: Callable[[], T]) -> Future[T]:
        """Do it meanwhile; it ends before the pass does."""
        return self._pool.submit(act)

    def settled(self, samples: Sequence[Sample], election_s: float) -> None:
        """From here on a call that an election has swallowed is made again."""
        for sample in samples:
            if (status := sample.status.value) is not None:
                line = self._client[sample.member.name]
                self._gateways[sample.member.name] = Across(line, status.term, self.until, election_s)

    def start_hosts(self, hosts: Mapping[str, AskHost]) -> dict[str, Future[Reply[HostFacts]]]:
        """Ask all hosts at the same time, while the members are asked; each ends within its own bound."""
        until = min(time.monotonic() + HOST_S, self._end)
        return {name: self._pool.submit(ask, until) for name, ask in hosts.items()}

    def until(self) -> float:
        """When a call that begins now is given up; 0: there is no time left for it."""
        then = time.monotonic() + self._patience
        return then if then <= self._end else 0.0

    def rest(self, until: float) -> None:
        """Wait until then, or the deadline."""
        time.sleep(max(0.0, min(until, self._end) - time.monotonic()))

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
        sample = Sample(member, version=line.version(self.until()))
        if sample.version.outcome not in ("answered", "failed"):
            return sample
        if v2.speaks(sample.version):
            self._old.add(member.name)
            if self._credentials is not None:
                line.authorize(self._credentials.basic, self._credentials.password)
            return v2.ask(sample, line, self.until)
        listing = line.post("/v3/cluster/member/list", {"linearizable": False}, answers.view, self.until())
        sample = replace(sample, listing=listing)
        if listing.outcome != "answered":
            return sample
        sample = replace(sample, status=line.post("/v3/maintenance/status", {}, answers.status, self.until()))
        sample = replace(sample, login=self._log_in(member))
        if barred(sample.login):  # what is asked without a user would only be refused with other words
            no: Reply[Range] = Reply("failed", detail=sample.login.detail)
            return replace(sample, local=no, linearizable=no)
        return replace(sample, local=self._read(member, local=True), linearizable=self._read(member))

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
            line.authorize(reply.value, self._credentials.password)
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
        return self._gateways[member.name].post("/v3/maintenance/alarm", content, answers.alarms, self.until())

    def canary(self, members: Sequence[Member]) -> Canary:
        """A canary through these members; none is begun that could not be removed before the deadline."""
        if not members or time.monotonic() + 6 * self._patience > self._end:
            return Canary("", NOT_ASKED)
        alike = [member for member in members if (member.name in self._old) == (members[0].name in self._old)]
        if members[0].name in self._old:
            return v2.Canaries(self._client, secrets.token_hex(8), self.until).sing(alike, self.each)
        return Canaries(self._gateways, secrets.token_hex(8), self.until).sing(alike, self.each)

    def measure(self, member: Member, rounds: tuple[float, ...], *, reads: bool) -> dict[str, Any]:
        """What says how near a member is to its limits: reads, as many as `rounds` lacks, its status, its metrics.

        One that reaches no leader is asked for no read: its metrics say whom it hears.
        """
        if member.name in self._old:  # its reads by quorum are written to its log: they measure no way
            lacking = v2.lacks("figures of its log, its disk and its round trips")
            return {"after": lacking, "metrics": lacking}
        more = [self._read(member) for _ in range(ROUNDS - len(rounds) if reads else 0)]
        line = self._client[member.name]
        return {
            "rounds": rounds + tuple(one.seconds for one in more if one.outcome == "answered"),
            "after": line.post("/v3/maintenance/status", {}, answers.status, self.until()),
            "metrics": self.metrics(member),
        }

    def strain(self, members: Sequence[Member]) -> dict[str, Reply[Metrics]]:
        """The metrics after one more canary: whose disk it was that made the first one slow."""
        self.canary(members)
        return self.each(members, self.metrics)

    def metrics(self, member: Member) -> Reply[Metrics]:
        """Its figures, since its process began."""
        if member.name in self._old:
            return v2.lacks("metrics of that name")
        return self._client[member.name].text("/metrics", answers.metrics, self.until())

    def hashes(self, able: Sequence[Member], samples: Sequence[Sample]) -> dict[str, Reply[Hash]]:
        """HashKV at one revision that all able members have; once more if that differs, as a compaction makes it.

        From the peer port: before 3.5.10 the gateway's hash is that of the whole backend, which differs between
        healthy versions; the peer port's is HashKV on every version.
        """
        hashes: dict[str, Reply[Hash]] = {}
        hashes |= {name: v2.lacks("hash of its data") for name in self._old}
        able = [member for member in able if member.name not in self._old]
        listening = [s.member for s in samples if s.peer.outcome == "answered" and s.member.name not in self._old]
        revisions = _revisions(s.linearizable for s in samples if s.member in able) or _revisions(
            s.local for s in samples if s.member in listening
        )
        for again in (False, True):
            if again:
                time.sleep(PAUSE_S)
                revisions = _revisions(self.each(able, self._read).values()) or revisions
            if not revisions:
                break
            hashes |= self.each(listening, partial(self._hash, min(revisions)))
            if not _in_doubt(hashes):
                break
        return hashes

    def _hash(self, revision: int, member: Member) -> Reply[Hash]:
        content = {"revision": revision}
        return self._peer[member.name].get("/members/hashkv", partial(answers.hash_kv, revision), self.until(), content)


def _settle(run: Pass, election_s: float) -> tuple[tuple[Sample, ...], float]:
    """Look until nothing is left that time alone may mend; the last look, and how long that took.

    Where there is no leader the metrics are read before, and again after as long as every member needs to want to
    lead: who heard of whom in between shows where the network is cut.
    """
    begun = time.monotonic()
    earlier: dict[str, Reply[Metrics]] = {}
    while True:
        at = time.monotonic() - begun
        samples = run.look()
        waited = time.monotonic() - begun
        lost = not _led(samples)
        # What began before the election was over says nothing about afterwards, however long it took.
        over = at >= election_s if lost else waited >= _worth_waiting(samples, election_s)
        if over or not run.until():
            break
        if lost and not earlier:
            serving = [s.member for s in samples if s.listing.value is not None]
            earlier, since = run.each(serving, run.metrics), time.monotonic()
        hung = lost and any(s.linearizable.outcome == "mute" for s in samples)
        run.rest(begun + election_s if hung else time.monotonic() + max(PAUSE_S, election_s / (MOST_LOOKS - 1)))
    if lost and earlier:
        run.rest(since + election_s)
    return tuple(replace(s, earlier=earlier.get(s.member.name, NOT_ASKED)) for s in samples), waited


def _led(samples: Sequence[Sample]) -> bool:
    """Whether enough members serve, and all that do read through the one leader that they name.

    Where time mends nothing it is no matter of elections: a host that is not reached, a door that is another's.
    """
    asked = [s for s in samples if s.version.outcome != "not asked"]
    if not asked or all(s.version.outcome in ABOUT_TLS for s in samples):
        return True
    serving = [s for s in samples if s.listing.value is not None]
    leaders = {s.status.value.leader if s.status.value else 0 for s in serving}
    read = all(s.linearizable.outcome == "answered" or barred(s.linearizable) for s in serving)
    return len(serving) >= min(quorum(len(samples)), len(asked)) and read and len(leaders) == 1 and 0 not in leaders


def _worth_waiting(samples: Sequence[Sample], election_s: float) -> float:
    """How long a look with a leader may still be a passing state: one member may be just starting."""
    asked = [s for s in samples if s.version.outcome != "not asked"]
    if not asked or all(s.version.outcome in ABOUT_TLS for s in samples):
        return 0.0
    serving = [s for s in samples if s.listing.value is not None]
    published = all(entry.client_urls for s in serving if s.listing.value for entry in s.listing.value.members)
    return 0.0 if len(serving) == len(asked) and published else min(LATECOMER_S, election_s)


def _rounds(sample: Sample, tried: Canary | None) -> tuple[float, ...]:
    """Seconds of the reads through a leader that were made anyway."""
    traces = [trace for trace in tried.traces if trace.member == sample.member] if tried else []
    reads = [sample.linearizable, *(reply for trace in traces for reply in (trace.found, trace.left))]
    return tuple(reply.seconds for reply in reads if reply.outcome == "answered")


def _slow(tried: Canary | None, samples: Sequence[Sample]) -> bool:
    """Whether a write took longer than the way to the leader and back, twice, can explain."""
    ways = {s.member.name: s.linearizable.seconds for s in samples}
    return tried is not None and any(t.put.seconds > SLOW_S + 2 * ways[t.member.name] for t in tried.traces)


def _listed(samples: Sequence[Sample]) -> list[Member]:
    """Who reads through a leader and is in its own list by the rendered name and peer URL; the fastest first."""
    listed = []
    for one in sorted(samples, key=lambda s: s.linearizable.seconds):
        view, member = one.listing.value, one.member
        if one.linearizable.outcome != "answered" or view is None:
            continue
        if any(e.name == member.name and member.peer_url in e.peer_urls for e in view.members):
            listed.append(member)
    return listed


def _revisions(reads: Iterable[Reply[Range]]) -> list[int]:
    return [read.value.revision for read in reads if read.value is not None]


def _in_doubt(hashes: Mapping[str, Reply[Hash]]) -> bool:
    """Whether the hashes differ, or one could not be had for a compaction: corruption stays, a compaction passes."""
    values = {reply.value for reply in hashes.values() if reply.value is not None}
    return len(values) > 1 or any("compacted" in reply.detail for reply in hashes.values())
