"""The last checks: how near each member is to what it can bear. Beyond a limit is a fault, near one a warning.

Round trips are taken from linearizable reads: a follower asks the leader, and the leader a quorum, so the shortest of
a few reads, without what a member's own status takes, is the leader's way to its quorum, and with a follower's own way
to the leader added for a follower. etcd's own figures of round trips begin near zero and grow slowly, so they only
inform.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from ..member import Member
from ..report import Finding
from .case import CLUSTER, Case, Check, Layer
from .credentials import AUTH_IS_OFF
from .samples import Metrics, Sample

LAG = 5000  # entries behind; a leader takes no more writes when as many are not carried out (etcd, maxGapBetween…)
SLOW_DISK_MS = 250  # a write of the log that takes as long; etcd's own advice is under 10 ms for 99 of 100
SLOW_COMMIT_MS = 100  # etcd itself complains of a slow disk there; under 25 ms for 99 of 100 is its advice
_NEAR = 0.5
_FULL = 0.8
_SKEW_S = 1.0  # from there on etcd itself complains (rafthttp, maxClockDifference)
_ROUGH_S = 1.0  # how far a Date may be off, which tells whole seconds only
_RENEW_DAYS = 30  # before a certificate expires
_WIDE = 100 << 20  # bytes that are not worth a defragmentation


def limits(case: Case) -> Layer:
    """Round trips against the heartbeat, disks, and the log, for every member that could be measured."""
    rows: list[Check] = []
    for member, sample in case.pairs():
        rows += (_trip(case, member), _disk(case, member, sample), _lag(case, member, sample))
    return tuple(rows)


def near(case: Case) -> Iterator[Finding]:
    """What is not beyond its limit, and will be."""
    for member, sample in case.pairs():
        yield from _near_trip(case, member, sample)
        yield from _space(case, member, sample)
        yield from _commits(member, sample)
        yield from _clock(member, sample)
        yield from _certificates(member, sample)
        yield from _plans(member, sample)
    yield from _elections(case)


def trips(case: Case) -> dict[str, float]:
    """Milliseconds from each follower to the leader, and from the leader to its quorum, of all that were measured."""
    leader = leader_of(case)
    reach = {m.name: s for m, sample in case.pairs() if (s := _reach(sample)) is not None}
    own = reach.get(leader, 0.0)
    return {name: 1000 * (s if name == leader else max(0.0, s - own)) for name, s in reach.items()}


def between(case: Case) -> dict[str, dict[str, float]]:
    """Milliseconds between members as etcd itself has measured them since its start, by the one who measured."""
    found: dict[str, dict[str, float]] = {}
    for member, sample in case.pairs():
        metrics: Metrics | None = sample.metrics.value
        trips = {
            case.name_of(to): 1000 * total / count
            for to, (total, count) in (metrics or Metrics()).trips.items()
            if count
        }
        if trips:
            found[member.name] = trips
    return found


def slowest_write_ms(sample: Sample) -> float | None:
    """How long the log's writes took on average, while something was written: since it was first asked, or ever."""
    before, after = sample.metrics.value, sample.strained.value
    if before is None:
        return None
    total, count = before.fsync
    if after is not None and after.fsync[1] > count:
        total, count = after.fsync[0] - total, after.fsync[1] - count
    return 1000 * total / count if count else None


def _reach(sample: Sample) -> float | None:
    if not sample.rounds:
        return None
    beside = min((one.seconds for one in (sample.status, sample.after) if one.outcome == "answered"), default=0.0)
    return max(0.0, min(sample.rounds) - beside)


def leader_of(case: Case) -> str:
    """The name of whom most members call their leader; empty if nobody does."""
    known = [s.status.value.leader for _, s in case.pairs() if s.status.value and s.status.value.leader]
    return case.name_of(max(set(known), key=known.count)) if known else ""


def _trip(case: Case, member: Member) -> Check:
    heartbeat, election = case.intended.heartbeat_ms, case.intended.election_ms
    expected, taken = f"a round trip under the heartbeat of {heartbeat} ms", trips(case).get(member.name)
    if taken is None:
        found = next((_unmeasured(s) for m, s in case.pairs() if m == member), "not measured")
        return Check(member.name, "round trip", expected, found, "not checked")
    found = f"{taken:.0f} ms"
    if taken <= heartbeat:
        return Check(member.name, "round trip", expected, found, "passed")
    leads = member.name == leader_of(case)
    way = "from the leader to a quorum of its followers" if leads else "to the leader"
    beyond = "election timeout" if taken > election else "heartbeat"
    limit = election if taken > election else heartbeat
    problem = f"{member.name} needs {taken:.0f} ms for a round trip {way}, more than the {beyond} of {limit} ms"
    remedy = (
        "mend the network between them; if it is to stay so slow, give all members a heartbeat of that round trip and "
        "an election timeout of ten times as much, one member at a time"
    )
    return Check(member.name, "round trip", expected, found, "failed", problem, remedy)


def _near_trip(case: Case, member: Member, sample: Sample) -> Iterator[Finding]:
    heartbeat, taken = case.intended.heartbeat_ms, trips(case).get(member.name, 0.0)
    if _NEAR * heartbeat < taken <= heartbeat:
        message = f"a round trip of {taken:.0f} ms is near the heartbeat of {heartbeat} ms"
        yield Finding("warning", member.name, message, "look at the network before it becomes slower")
    apart = (max(sample.rounds) - min(sample.rounds)) * 1000 if sample.rounds else 0.0
    if apart > heartbeat:
        message = f"reads in a row took between {min(sample.rounds) * 1000:.0f} and {max(sample.rounds) * 1000:.0f} ms"
        yield Finding("warning", member.name, message, "the network or the host is unsteady: look at its load")


def _disk(case: Case, member: Member, sample: Sample) -> Check:
    limit = max(case.intended.heartbeat_ms, SLOW_DISK_MS)
    expected, taken = f"writes its log in under {limit} ms", slowest_write_ms(sample)
    if taken is None:
        return Check(member.name, "disk", expected, _unmeasured(sample), "not checked")
    found = f"{taken:.1f} ms on average"
    if taken < limit:
        return Check(member.name, "disk", expected, found, "passed")
    problem = f"the disk of {member.name} needs {taken:.0f} ms for a write of etcd's log"
    remedy = (
        f"find what else uses that disk, or move {member.name} to a faster one; do not restart the others meanwhile"
    )
    return Check(member.name, "disk", expected, found, "failed", problem, remedy)


def _lag(case: Case, member: Member, sample: Sample) -> Check:
    expected = f"under {LAG} entries behind"
    newest = max((s.after.value.newest for _, s in case.pairs() if s.after.value is not None), default=0)
    own = sample.after.value
    if own is None or not newest:
        return Check(member.name, "log", expected, _unmeasured(sample), "not checked")
    behind = newest - own.applied
    if behind < LAG:
        return Check(member.name, "log", expected, f"{behind} behind", "passed")
    problem = f"{member.name} has carried out {behind} entries less than the newest one"
    remedy = "let it catch up, and lose no other member before it has; if it does not, look at its disk and its network"
    return Check(member.name, "log", expected, f"{behind} behind", "failed", problem, remedy)


def _space(case: Case, member: Member, sample: Sample) -> Iterator[Finding]:
    status = sample.after.value or sample.status.value
    metrics: Metrics | None = sample.metrics.value
    if status is None:
        return
    quota = status.quota or (metrics.quota if metrics else 0) or case.intended.quota_mb << 20
    if status.db_size > _FULL * quota:
        message = f"its data have {_mb(status.db_size)}, and its quota is {_mb(quota)}: beyond that it takes no writes"
        yield Finding("warning", member.name, message, "compact and defragment, one member at a time")
    elif status.db_used and status.db_size > max(2 * status.db_used, _WIDE):
        message = f"of {_mb(status.db_size)} on its disk only {_mb(status.db_used)} are used"
        yield Finding("info", member.name, message, "etcdctl defrag, one member at a time, when it is quiet")


def _commits(member: Member, sample: Sample) -> Iterator[Finding]:
    total, count = (sample.metrics.value or Metrics()).commit
    if count and 1000 * total / count > SLOW_COMMIT_MS:
        message = f"its database needs {1000 * total / count:.0f} ms for a commit on average"
        yield Finding("warning", member.name, message, "look at what else uses that disk, before writes time out")


def _clock(member: Member, sample: Sample) -> Iterator[Finding]:
    exact = sample.host.value.ahead if sample.host.value is not None else None
    ahead, limit = (sample.version.ahead, _SKEW_S + _ROUGH_S) if exact is None else (exact, _SKEW_S)
    if ahead is not None and abs(ahead) > limit:
        message = f"its clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} this machine's"
        yield Finding("warning", member.name, message, "look at its time service; leases and certificates depend on it")


def _certificates(member: Member, sample: Sample) -> Iterator[Finding]:
    """What expires soon, of the client port and of the peer port, which often show the same."""
    shown = [reply.certificate for reply in (sample.version, sample.peer) if reply.value is not None]
    soon = [(one.expires, one.left) for one in shown if one is not None and one.left < _RENEW_DAYS * 86400]
    for expires, left in sorted(soon)[:1]:
        message = (
            f"its certificate expires on {datetime.fromtimestamp(expires, UTC):%Y-%m-%d}, in {left / 86400:.0f} days"
        )
        yield Finding("warning", member.name, message, "bring it a new one of the same CA, one member at a time")


def _plans(member: Member, sample: Sample) -> Iterator[Finding]:
    """What is neither a fault nor near one, and hardly meant to stay so."""
    if AUTH_IS_OFF in sample.login.detail:
        message = "a user is given, and etcd's authentication is off: whoever reaches it can read and write"
        yield Finding("warning", member.name, message, "etcdctl auth enable, or take etcd.login out")
    if sample.status.value is not None and sample.status.value.downgrade:
        message = f"a downgrade to {sample.status.value.downgrade} is under way"
        yield Finding("warning", member.name, message, "finish it, one member at a time, or: etcdctl downgrade cancel")


def _unmeasured(sample: Sample) -> str:
    return sample.metrics.detail if sample.metrics.outcome == "lacks" else "not measured"


def _elections(case: Case) -> Iterator[Finding]:
    pairs = [(s.status.value, s.after.value) for _, s in case.pairs()]
    if any(one and other and other.term > one.term for one, other in pairs):
        yield Finding(
            "warning",
            CLUSTER,
            "the leader changed during this check",
            "verify again; if it does so again, look at the network and the disks",
        )


def _mb(size: int) -> str:
    return f"{size / (1 << 20):,.0f} MiB"
