"""The first layer: what each member's host says of it. Nothing above can be well for long where this is not.

A host that could not be asked is not checked where the members are reached through their hosts, as nothing is known of
its member then; where they are reached from here, what the host would have added is only said to be missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..member import Member
from ..report import Finding
from .case import Case, Check, Layer
from .intended import OnHost
from .lastwords import explain
from .samples import HostFacts, Reply, Sample, Unit

# Below this etcd's next segment of the log (64 MB, allocated ahead) and a snapshot beside it may find no room; with a
# larger quota a tenth of that, as a copy of the data is what a defragmentation or a snapshot needs first.
LEAST_FREE = 500 * 10**6
_PART_OF_QUOTA = 10

# What a running member goes by; what is read at its bootstrap only; everything else is tuning, of less weight.
_BINDING = (
    *("ETCD_NAME", "ETCD_DATA_DIR", "ETCD_HEARTBEAT_INTERVAL", "ETCD_ELECTION_TIMEOUT"),
    *("ETCD_LISTEN_PEER_URLS", "ETCD_LISTEN_CLIENT_URLS", "ETCD_ADVERTISE_CLIENT_URLS"),
)
_BOOTSTRAP = "ETCD_INITIAL_"
_TRIES = 6  # by systemd: the unit comes again every 10 s, so what would pass has had a minute


def hosts(case: Case) -> Layer:
    """What can be known from each host: is it there, does etcd run, has it room, on its disk, as it was rendered."""
    return tuple(row for member, sample in case.pairs() for row in _host(case, member, sample))


def is_told(sample: Sample, reply: Reply[Any]) -> bool:
    """Whether the host says already why a port gives that reply: no etcd runs there, or nobody got to the host."""
    facts = sample.host.value
    if facts is not None:
        return facts.pid == 0 and reply.outcome == "refused"
    return sample.host.outcome != "not asked" and reply.outcome == "not asked"


def ended(sample: Sample) -> str:
    """How a member's etcd has ended, in a clause, where nothing starts it any more; empty: it runs, or may yet."""
    facts = sample.host.value
    if facts is None or facts.pid != 0 or facts.unit is None or sample.version.value is not None:
        return ""
    lost = facts.unit.active == "failed" or (facts.fatal and facts.unit.restarts >= _TRIES)
    words = f": {facts.fatal}" if facts.fatal else ""
    return f"etcd has ended on {sample.member.name}, {_state(facts.unit, 'its unit')}{words}" if lost else ""


def _host(case: Case, member: Member, sample: Sample) -> Iterator[Check]:
    facts, on = sample.host.value, case.intended.hosts.get(member.name)
    if member.name in case.gone():
        yield _gone(member)
        return
    if facts is None or on is None:
        yield from _unreached(case, member, sample.host)
        return
    rows = (
        _process(member, sample, facts, on),
        _space(case, member, facts, on),
        _data_disk(member, facts, on),
        _environment(member, facts, on),
    )
    for row in rows:
        if row is not None and (row.state != "not checked" or case.intended.only_from_hosts):
            yield row


def _gone(member: Member) -> Check:
    problem = f"{member.name} has no machine any more"
    remedy = "go on with what was interrupted, or let deploy-azure make it again, with its disk as it is; wipe nothing"
    return Check(member.name, "machine", "its machine is there", "it is gone", "failed", problem, remedy)


def _unreached(case: Case, member: Member, reply: Reply[HostFacts]) -> Iterator[Check]:
    name, strict = member.name, case.intended.only_from_hosts
    expected = "its host lets us in by SSH"
    found = f"{reply.outcome}: {reply.detail}" if reply.detail else reply.outcome
    if reply.outcome == "another host key":
        problem = f"{name} may not be itself: {reply.detail}"
        remedy = (
            "nothing was sent to it; find out whether the machine was replaced outside of the runbooks, or someone is "
            "in between; do not accept the key, wipe nothing; was it replaced, run deploy-azure, which notes its new id"
        )
        yield Check(name, "host", expected, found, "failed", problem, remedy)
    elif strict:
        problem, remedy = _why(name, reply)
        yield Check(name, "host", expected, found, "not checked", problem, remedy)


def _why(name: str, reply: Reply[HostFacts]) -> tuple[str, str]:
    """Why a host told nothing, which says nothing about its etcd."""
    unknown = "so its etcd was not asked, and may be well"
    leave = "leave etcd as it is, and wipe nothing"
    match reply.outcome:
        case "refused" | "unreachable":
            problem = f"{name} cannot be reached by SSH ({reply.detail}), {unknown}"
            remedy = f"check that the machine runs, and that ssh_from lets this machine's address in; {leave}"
        case "not let in":
            problem = f"{name} does not let us in by SSH ({reply.detail}), {unknown}"
            remedy = f"compare azure.login_key with the ssh_keys that the host booted with; {leave}"
        case "failed":
            problem = f"{name} lets us in and answers no question about itself ({reply.detail})"
            remedy = f"log in and look at its load and its disks; {leave}"
        case _:
            problem, remedy = f"{name} was not asked about itself", "verify again"
    return problem, remedy


def _process(member: Member, sample: Sample, facts: HostFacts, on: OnHost) -> Check:
    expected = f"{on.unit} runs etcd"
    if facts.pid == 0 and sample.version.value is not None:  # started meanwhile, or called otherwise
        return Check(member.name, "process", expected, "it answers, and no process of that name was seen", "passed")
    if facts.pid is None:
        return _missing(member, "process", expected, facts, "pid")
    if facts.pid:
        return Check(member.name, "process", expected, f"etcd runs, pid {facts.pid}", "passed")
    state = _state(facts.unit, on.unit)
    cause = explain(facts.fatal or "")
    why = f": {cause.why} ({facts.fatal})" if cause else f": {facts.fatal}" if facts.fatal else ""
    problem = f"{member.name} runs no etcd, {state}{why}"
    remedy = cause.remedy if cause else f"read its journal and start {on.unit} there; do not wipe its data"
    return Check(member.name, "process", expected, state, "failed", problem, remedy)


def _state(unit: Unit | None, name: str) -> str:
    """A unit's state in words, with how it ended and how often it came again."""
    if unit is None:
        return f"and the state of {name} is unknown"
    ended = {
        "signal": f", ended by signal {unit.code}",
        "core-dump": f", ended by signal {unit.code}",
        "exit-code": f", exited with {unit.code}",
        "oom-kill": ", killed for lack of memory",
    }.get(unit.result, f", {unit.result}" if unit.result not in ("", "success") else "")
    again = f", started again {unit.restarts} times" if unit.restarts else ""
    sub = f" ({unit.sub})" if unit.sub != unit.active else ""
    return f"{name} is {unit.active}{sub}{ended}{again}"


def _space(case: Case, member: Member, facts: HostFacts, on: OnHost) -> Check:
    least = max(LEAST_FREE, (case.intended.quota_mb << 20) // _PART_OF_QUOTA)
    expected = f"over {_mb(least)} free for {on.data_dir}"
    if facts.space is None:
        return _missing(member, "space", expected, facts, "space")
    found = f"{_mb(facts.space.free)} of {_mb(facts.space.size)} free"
    if facts.space.free > least:
        return Check(member.name, "space", expected, found, "passed")
    problem = f"{member.name} has {found} on the disk of its data: etcd ends when it is full"
    remedy = (
        f"find what fills it (sudo du -xh {on.data_dir}), or make the disk larger; delete nothing there, and "
        "defragment only where a copy of the data has room"
    )
    return Check(member.name, "space", expected, found, "failed", problem, remedy)


def _data_disk(member: Member, facts: HostFacts, on: OnHost) -> Check | None:
    if not on.data_disk:
        return None
    expected = f"{on.data_dir} is its data disk"
    if facts.mount is None:
        return _missing(member, "data disk", expected, facts, "mount")
    found = f"on {facts.mount.source}, mounted at {facts.mount.target} ({facts.mount.kind})"
    if facts.mount.target == on.data_dir:
        return Check(member.name, "data disk", expected, found, "passed")
    problem = f"{member.name} keeps its data {found}, not on its data disk: they go when the machine goes"
    remedy = (
        f"look at the mount unit of {on.data_dir} (systemctl status {on.data_dir}); while the others hold the quorum, "
        "stop etcd there, keep a copy of its data, mount the disk, start etcd; one member at a time"
    )
    return Check(member.name, "data disk", expected, found, "failed", problem, remedy)


def _environment(member: Member, facts: HostFacts, on: OnHost) -> Check | None:
    expected = "etcd's environment is the rendered one"
    if facts.environment is None:  # where no etcd runs there is none
        return None if facts.pid == 0 else _missing(member, "environment", expected, facts, "environment")
    wrong = [name for name in differing(facts.environment, on.environment) if name in _BINDING]
    if not wrong:
        return Check(member.name, "environment", expected, f"pid {facts.pid} has it", "passed")
    told = "; ".join(_difference(name, facts.environment, on.environment) for name in wrong)
    problem = f"{member.name} runs etcd with other settings than rendered: {told}"
    remedy = (
        "correct its environment files and drop-in to the rendered ones and restart etcd there, one member at a time; "
        "do not wipe its data"
    )
    return Check(member.name, "environment", expected, told, "failed", problem, remedy)


def differing(found: Mapping[str, str], rendered: Mapping[str, str]) -> list[str]:
    """The rendered variables that a process has otherwise; lists of URLs have no order."""
    return [name for name, value in rendered.items() if _parts(found.get(name, "")) != _parts(value)]


def _parts(value: str) -> list[str]:
    return sorted(value.split(","))


def _difference(name: str, found: Mapping[str, str], rendered: Mapping[str, str]) -> str:
    return f"{name} is {found.get(name) or 'not set'} instead of {rendered[name]}"


def _missing(member: Member, check: str, expected: str, facts: HostFacts, field: str) -> Check:
    why = facts.missing.get(field, "it was not said")
    problem = f"{member.name} does not tell the {check} of its etcd ({why})"
    return Check(member.name, check, expected, why, "not checked", problem, "log in and look; verify again")


def beside(case: Case) -> Iterator[Finding]:
    """What is no fault of the layer's and worth a word."""
    for member, sample in case.pairs():
        facts, on = sample.host.value, case.intended.hosts.get(member.name)
        if facts is not None and on is not None:
            yield from _settings(member, facts, on)
            yield from _restarts(member, facts)
        elif not case.intended.only_from_hosts and sample.host.outcome not in ("not asked", "another host key"):
            message = f"its host told nothing of etcd ({sample.host.outcome}: {sample.host.detail})"
            yield Finding("warning", member.name, message, "its ports were asked from here; look at the host's SSH")


def _settings(member: Member, facts: HostFacts, on: OnHost) -> Iterator[Finding]:
    """Differences that a running member does not go by: stale since its bootstrap, or tuning."""
    found = facts.environment
    if found is None:
        return
    for name in differing(found, on.environment):
        told = _difference(name, found, on.environment)
        if name.startswith(_BOOTSTRAP):
            yield Finding("info", member.name, f"stale, and harmless after the bootstrap: {told}")
        elif name not in _BINDING:
            yield Finding("warning", member.name, told, "correct its environment files, and restart etcd there")


def _restarts(member: Member, facts: HostFacts) -> Iterator[Finding]:
    if facts.pid and facts.unit is not None and facts.unit.restarts:
        message = f"systemd has started etcd again {facts.unit.restarts} times, as it had ended"
        yield Finding("warning", member.name, message, "read its journal for what ends it")


def _mb(size: int) -> str:
    return f"{size / 10**6:,.0f} MB"
