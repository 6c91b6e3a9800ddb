"""The later checks: one leader, reads through it, no alarm, writes, and the same data on all."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ..member import PEER_PORT, Member
from .case import CLUSTER, Case, Check, Layer, State
from .credentials import barred
from .samples import Alarm, Canary, Hash, Reply, Sample, Status, Trace
from .sides import alone, split

_CORRUPT = "corrupt cluster"  # etcd's refusal of everything, once the alarm CORRUPT is raised
_KEEP = "do not wipe its data"

_ALARM_REMEDIES = {
    "NOSPACE": (
        "compact and defragment, one member at a time, compare the database's size with its quota, then "
        "etcdctl alarm disarm; do not disarm it before there is room"
    ),
    "CORRUPT": (
        "compare HashKV, remove and re-add the member whose data differ; do not disarm it before, and do not "
        "restart all members"
    ),
}


def leader(case: Case) -> Layer:
    """One leader, which all members name and which is in the list."""
    said = _said(case)
    known = [] if split(case) else [status.leader for status in said.values()]
    chosen = max(set(known) - {0}, key=known.count, default=0)
    return tuple(_leader(case, member, sample, said.get(member.name), chosen) for member, sample in case.pairs())


def _said(case: Case) -> dict[str, Status]:
    """Each member's word about its leader; where some do not read, its last one, for an election may have ended."""
    first = {m.name: s.status.value for m, s in case.pairs() if s.status.value is not None}
    if first.keys() <= set(case.serving()):
        return first
    return first | {m.name: s.after.value for m, s in case.pairs() if s.after.value is not None}


def _leader(case: Case, member: Member, sample: Sample, status: Status | None, chosen: int) -> Check:
    expected = f"{case.name_of(chosen)} leads" if chosen else "a leader"
    if status is None:
        return _unanswered(member, "leader", expected, sample.status, "gives no status")
    found = f"{case.name_of(status.leader)} leads, term {status.term}" if status.leader else "no leader"
    listed = {entry.id for view in case.views().values() for entry in view.members}
    if status.leader and status.leader == chosen and chosen in listed:
        return Check(member.name, "leader", expected, found, "passed")
    waited = f" after {case.samples.waited:.1f} s of waiting" if case.samples.waited >= 1 else ""
    sees = "no leader with a quorum" if split(case) else found
    problem = f"{member.name} sees {sees}{waited}" + (f", while others see {case.name_of(chosen)}" if chosen else "")
    if chosen and alone(case, member.name):
        problem += ", and hears none of them: its peer path is blocked"
    return Check(member.name, "leader", expected, found, "failed", problem, _way_to_a_leader(case, member, chosen))


def _way_to_a_leader(case: Case, member: Member, chosen: int) -> str:
    """A cluster that is cut apart heals by itself when the network does."""
    if not chosen and split(case):
        return (
            f"mend the network between the sides (port {PEER_PORT}): they elect a leader by themselves then; restart "
            "and wipe nothing; three or five voters leave one side with a quorum"
        )
    if chosen and alone(case, member.name):
        return (
            f"check network and firewall between {member.name} and the others' port {PEER_PORT}, both ways; it comes "
            "back by itself: restart and wipe nothing"
        )
    return (
        "check that the members reach each other's peer port; an election may be under way: verify again in a minute, "
        "and restart or wipe nothing before"
    )


def reads(case: Case) -> Layer:
    """Each member reads through a leader with a quorum (linearizable), and so from its own store."""
    return tuple(_reads(member, sample) for member, sample in case.pairs())


def _reads(member: Member, sample: Sample) -> Check:
    expected, reply = "reads through the leader", sample.linearizable
    if reply.value is None:
        row = _unanswered(member, "reads", expected, reply, "does not read through a leader")
        return row._replace(problem="") if _CORRUPT in reply.detail else row  # told by the alarm
    milliseconds = reply.seconds * 1000
    return Check(member.name, "reads", expected, f"reads, {milliseconds:.0f} ms", "passed")


def alarms(case: Case) -> Layer:
    """No alarm on any member, as any member tells it."""
    raised = {alarm for _, s in case.pairs() for alarm in s.alarms.value or ()}
    told = any(s.alarms.value is not None for _, s in case.pairs())
    rows = [_alarms(member, sample, _ids(case, member), raised, told=told) for member, sample in case.pairs()]
    own = {number for member in case.expected for number in _ids(case, member)}
    rows += [_nameless(case, alarm) for alarm in sorted(raised, key=repr) if alarm.member not in own]
    return tuple(rows)


def _ids(case: Case, member: Member) -> set[int]:
    return {e.id for view in case.views().values() for e in view.members if e.name == member.name}


def _alarms(member: Member, sample: Sample, ids: set[int], raised: set[Alarm], *, told: bool) -> Check:
    if own := sorted({alarm.kind for alarm in raised if alarm.member in ids}):
        kinds = " and ".join(own)
        problem = f"{member.name} has raised the alarm {kinds}"
        return Check(member.name, "alarms", "none", kinds, "failed", problem, _alarm_remedy(own[0]))
    if sample.alarms.value is not None:
        return Check(member.name, "alarms", "none", "none", "passed")
    row = _unanswered(member, "alarms", "none", sample.alarms, "does not tell its alarms")
    # Every member tells the alarms of all: where another did, this one was only too slow.
    return row._replace(state="not checked") if told and sample.alarms.outcome == "mute" else row


def _nameless(case: Case, alarm: Alarm) -> Check:
    """An alarm about nobody, or about a member that was not rendered."""
    about = f" about {case.name_of(alarm.member)}" if alarm.member else " that names no member"
    differing = [row.member for row in data(case) if row.state == "failed" and row.member != CLUSTER]
    hint = f" (the data of {differing[0]} differ)" if len(differing) == 1 else ""
    problem = f"the cluster has raised the alarm {alarm.kind}{about}{hint}"
    return Check(CLUSTER, "alarms", "none", alarm.kind, "failed", problem, _alarm_remedy(alarm.kind))


def _alarm_remedy(kind: str) -> str:
    return _ALARM_REMEDIES.get(kind, "read etcd's journal on every member before anything is disarmed")


def canary(case: Case) -> Layer:
    """A value written through each member was read back through each, and nothing of it is left."""
    tried = case.samples.canary
    if tried is None:
        return ()
    acknowledged = {t.member.name for t in tried.traces if t.put.value is not None}
    rows = tuple(_canary(member, case.trace(member), tried, acknowledged) for member in case.expected)
    return (*rows, _removed(tried))


def _canary(member: Member, trace: Trace, tried: Canary, acknowledged: set[str]) -> Check:
    expected = f"writes, and reads {len(acknowledged)} written values" if acknowledged else "writes"
    reply: Reply[Any] = trace.put if tried.lease.value is not None else tried.lease
    if reply.value is None:
        return _unanswered(member, "canary", expected, reply, "does not take a write")
    if trace.found.value is None:
        return _unanswered(member, "canary", expected, trace.found, "does not read the canary")
    if missing := sorted(acknowledged - set(trace.found.value)):
        problem = f"{member.name} does not return what was just written through {' and '.join(missing)}"
        remedy = f"stop writing to the cluster and compare HashKV on all members; {_KEEP}"
        return Check(member.name, "canary", expected, f"without {', '.join(missing)}", "failed", problem, remedy)
    return Check(member.name, "canary", expected, f"writes, and reads {len(acknowledged)} values", "passed")


def _removed(tried: Canary) -> Check:
    """That the canary is gone, as every member that wrote it sees it."""
    left = [trace.left.value for trace in tried.traces]
    most = max((count for count in left if count is not None), default=0)
    remedy = f"etcd removes it with its lease within two minutes; otherwise: etcdctl del --prefix {tried.prefix}"
    if most:
        problem = f"{most} values of the canary are left under {tried.prefix}"
        return Check(CLUSTER, "canary removed", "0 left", f"{most} left", "failed", problem, remedy)
    if tried.lease.value is None:  # whatever came of the lease, nothing was written under it
        return Check(CLUSTER, "canary removed", "0 left", "none was written", "not checked")
    if tried.revoked.value is None or not left or None in left:
        problem = "it is unknown whether the canary is removed"
        return Check(CLUSTER, "canary removed", "0 left", "unknown", "not checked", problem, remedy)
    return Check(CLUSTER, "canary removed", "0 left", "0 left", "passed")


def data(case: Case) -> Layer:
    """The same HashKV at the same revision, since the same compaction, on all."""
    values = [s.hash.value for _, s in case.pairs() if s.hash.value is not None]
    bases = Counter((value.revision, value.compacted) for value in values).most_common(1)
    comparable = [value for value in values if bases and (value.revision, value.compacted) == bases[0][0]]
    votes = Counter(comparable).most_common(2)
    tie = len(votes) > 1 and votes[0][1] == votes[1][1]
    common = votes[0][0] if votes else None
    return tuple(_data(member, sample, common, tie=tie) for member, sample in case.pairs())


def _data(member: Member, sample: Sample, common: Hash | None, *, tie: bool) -> Check:
    expected = f"hash {common.value:x} at revision {common.revision}" if common and not tie else "the same hash on all"
    own = sample.hash.value
    if "has been compacted" in sample.hash.detail:  # nothing was written since, by us neither
        problem = f"the data of {member.name} cannot be compared: their newest revision was compacted"
        return Check(member.name, "data", expected, "no hash", "not checked", problem, "verify again, with a canary")
    if own is None or common is None:
        return _unanswered(member, "data", expected, sample.hash, "gives no hash of its data")
    found = f"hash {own.value:x} at revision {own.revision}"
    if own == common and not tie:
        return Check(member.name, "data", expected, found, "passed")
    if (own.revision, own.compacted) != (common.revision, common.compacted):
        problem = f"the data of {member.name} cannot be compared: a compaction came in between"
        return Check(member.name, "data", expected, found, "not checked", problem, "verify again")
    which = "and there is no majority to say which are right" if tie else "from the majority's"
    problem = f"the data of {member.name} differ ({found}) {which}"
    remedy = "keep a snapshot of every member first; " + (
        "ask which member's data are right; restart and wipe nothing"
        if tie
        else f"then remove {member.name}, wipe its data and add it again; it serves wrong data until then"
    )
    return Check(member.name, "data", expected, found, "failed", problem, remedy)


def _unanswered(member: Member, check: str, expected: str, reply: Reply[Any], what: str) -> Check:
    """A call without its answer: etcd's own refusal has failed, no answer is unknown, not asked is not checked."""
    detail = f": {reply.detail}" if reply.detail else ""
    found = f"{reply.outcome}{detail}"
    if reply.outcome == "not asked":
        return Check(member.name, check, expected, found, "not checked", f"{member.name} was not asked ({check})")
    if reply.outcome == "lacks":
        return Check(member.name, check, expected, reply.detail, "not checked")
    if no := barred(reply):
        problem = f"{member.name} {no.problem}"
        return Check(member.name, check, expected, found, "not checked", problem, no.remedy)
    if reply.outcome == "mute":
        silence = f"{member.name} {what}: no answer in {reply.seconds:.1f} s"
        writing = check == "canary"
        problem = f"{silence}, and it is unknown whether the write was made" if writing else silence
        state: State = "not checked" if writing else "failed"
    else:
        problem, state = f"{member.name} {what} ({found})", "failed"
    remedy = f"check that {member.name} and its peers reach each other, and its disk; {_KEEP}"
    return Check(member.name, check, expected, found, state, problem, remedy)
