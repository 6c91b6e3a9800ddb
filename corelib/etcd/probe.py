"""Ask every member at its rendered address, all at the same time, within a bounded time. Judges nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..member import Member
from . import answers
from .asking import Access, AskHost, Pass
from .credentials import Credentials
from .elections import MOST
from .samples import (
    NOT_ASKED,
    Alarm,
    Canary,
    Reply,
    Sample,
    Samples,
    Status,
)
from .settling import ELECTIONS, MOST_LOOKS, settle
from .way import Way

if TYPE_CHECKING:
    from .tls import Trust

SLOW_S = 0.1  # a write
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
        samples, waited = settle(run, election_s)
        run.settled(samples, election_s)
        able = [s.member for s in samples if s.linearizable.outcome == "answered"]
        serving = [s.member for s in samples if s.listing.value is not None]
        beside = run.start(lambda: run.each(serving, partial(run.aside, _teller(samples))))
        tried = run.canary(_listed(samples)) if canary else None
        rounds = {s.member.name: _rounds(s, tried) for s in samples}
        # On the peer ports, and the rest on the others.
        hashing = run.start(lambda: run.hashes(able, samples, _written(tried)))
        measured = run.each(serving, lambda member: run.measure(member, rounds[member.name], reads=member in able))
        hashes, besides = run.certain(hashing.result(), able, samples), beside.result()
        strained = run.strain(_listed(samples)) if _slow(tried, samples) else {}
        known = {name: future.result() for name, future in told.items()}
    whole = [
        s._replace(
            **{"alarms": _alarms(measured.get(s.member.name, {})), **besides.get(s.member.name, {})},
            **measured.get(s.member.name, {}),
            hash=hashes.get(s.member.name, NOT_ASKED),
            strained=strained.get(s.member.name, NOT_ASKED),
            host=known.get(s.member.name, NOT_ASKED),
        )
        for s in samples
    ]
    return Samples(tuple(whole), tried, waited, time.monotonic() - begun)


def patience(election_ms: int) -> float:
    """Seconds until a call is given up: longer than an election timeout, so that a way that slow is still measured."""
    return max(3.0, 1.5 * election_ms / 1000)


def _teller(samples: Sequence[Sample]) -> Member | None:
    """Of whom the alarms are asked through the log; the others tell them in their status, which costs no write.

    An alarm may be why a member refuses to read; one that waits for a quorum would wait for this as well.
    """
    able = sorted((s for s in samples if s.linearizable.outcome == "answered"), key=lambda s: s.linearizable.seconds)
    refusing = [s for s in samples if s.linearizable.outcome == "failed"]
    return next((s.member for s in (*able, *refusing)), None)


def _alarms(measured: Mapping[str, Any]) -> Reply[tuple[Alarm, ...]]:
    """The alarms that a member's last status names."""
    after: Reply[Status] = measured.get("after", NOT_ASKED)
    if after.value is None:
        return Reply(after.outcome, detail=after.detail, seconds=after.seconds)
    return Reply("answered", answers.named(after.value.errors), seconds=after.seconds)


def _rounds(sample: Sample, tried: Canary | None) -> tuple[float, ...]:
    """Seconds of the reads through a leader that were made anyway."""
    traces = [trace for trace in tried.traces if trace.member == sample.member] if tried else []
    reads = [sample.linearizable, *(reply for trace in traces for reply in (trace.found, trace.left))]
    return tuple(reply.seconds for reply in reads if reply.outcome == "answered")


def _written(tried: Canary | None) -> int:
    """The newest revision of the canary; 0: nothing was written."""
    return max((t.put.value for t in tried.traces if t.put.value is not None), default=0) if tried else 0


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
