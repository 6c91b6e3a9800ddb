"""The verdict: pure, from samples. Never healthy unless every check of every rendered member has passed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Literal, NamedTuple

from ..member import quorum
from ..report import Finding, Report
from .case import CLUSTER, Case, Check, Layer, Underway, joined, numbers
from .hosts import beside, hosts
from .identity import identities, shown
from .intended import Intended
from .limits import between, leader_of, limits, near, trips
from .margin import margin
from .membership import member_list
from .samples import NOTHING, Samples
from .standing import client_port, identity, peer_port
from .working import alarms, canary, data, leader, reads

__all__ = ["Check", "Intended", "Verdict", "judge"]

# From the ground up: what a layer shows means little while one before it fails.
LAYERS = (hosts, identity, client_port, peer_port, member_list, leader, reads, alarms, canary, data, limits)

# etcd's post-mortem "v3.5 data inconsistency" (etcd-io/etcd#13766): these may lose consistency when killed under load.
_CORRUPTING = ((3, 5, 0), (3, 5, 1), (3, 5, 2))
# What etcd's maintainers recommend for production at least (announced on etcd-dev with 3.4.22 and 3.5.6).
_OLDEST_GOOD: Mapping[tuple[int, ...], tuple[int, ...]] = {(3, 4): (3, 4, 22), (3, 5): (3, 5, 6)}


Kind = Literal["healthy", "awaiting", "unproven", "unhealthy"]


class Verdict(NamedTuple):
    """`sentence` says what is wrong, where, how much may still fail and what to do; `rows` are all checks in order.

    `awaiting`: nothing is wrong, and some members come or go as intended. `unproven`: nothing is known to be wrong, and
    something could not be asked, or cannot be: of etcd 2.x that is the best there is, as it tells nothing of alarms, of
    a hash of its data, of disks. `trips` are milliseconds, of each follower to the leader, of it to its quorum;
    `between` are those that etcd has measured itself, from one member to each other. `old` are members of etcd 2.x,
    `members` those that are listed by who reads through a leader; none, if nobody does.
    """

    kind: Kind
    sentence: str
    margin: str
    rows: tuple[Check, ...]
    findings: Report
    leader: str = ""
    trips: Mapping[str, float] = NOTHING
    between: Mapping[str, Mapping[str, float]] = NOTHING
    underway: tuple[Underway, ...] = ()
    old: frozenset[str] = frozenset()
    members: frozenset[str] = frozenset()

    @property
    def healthy(self) -> bool:
        """True if every check of every member has passed."""
        return self.kind == "healthy"


def judge(intended: Intended, samples: Samples) -> Verdict:
    """Whether `samples` show the cluster that is intended, and it is healthy.

    The first layer with a failed check is the verdict; what could not be asked is not checked, and leaves the cluster
    unproven, which is not healthy either.
    """
    case = Case(intended, identities(intended.founders, intended.token), samples)
    underway = {one.name: one for one in case.underway()}
    layers = [_without(underway, layer(case)) for layer in LAYERS]
    rows = tuple(row for layer in layers for row in layer)
    left = margin(case)
    kind = _kind(case, rows)
    findings = [
        *(_faults(rows) if kind != "awaiting" else ()),
        *_versions(case),
        *(_waiting(case) if kind == "healthy" else ()),
        *near(case),
        *beside(case),
        *_arrangement(case),
    ]
    sentence = {"healthy": _well, "awaiting": _on_its_way}.get(kind, partial(_ill, layers))(case, left)
    return Verdict(
        kind,
        sentence,
        left,
        rows,
        Report.of(findings),
        leader_of(case),
        trips(case),
        between(case),
        case.underway(),
        frozenset(m.name for m, s in case.pairs() if numbers(s.version.value or "")[:1] == (2,)),
        frozenset(one.name for view in case.told() for one in view.members if one.name and case.serving()),
    )


def _kind(case: Case, rows: Sequence[Check]) -> Kind:
    failed = [row for row in rows if row.state == "failed"]
    if case.absent() and not case.founded():
        # Founders that wait for each other neither lead nor read nor serve clients; who they are can be seen already.
        failed = [row for row in failed if row.check == "identity"]
    if failed or not case.expected:
        return "unhealthy"
    # What is on its way excuses itself, and nobody whose host was not reached.
    unreached = [row for row in rows if row.check == "host" and row.state == "not checked" and row.problem]
    if case.underway() and (not unreached or (case.absent() and not case.founded())):
        return "awaiting"
    return "healthy" if all(row.state == "passed" for row in rows) else "unproven"


def _without(underway: Mapping[str, Underway], layer: Layer) -> Layer:
    """The rows, with nothing held against members that come or go as intended."""
    return tuple(_excused(row, underway[row.member]) if row.member in underway else row for row in layer)


def _excused(row: Check, one: Underway) -> Check:
    found = one.why.strip(" ()") or "its machine does not exist yet"
    return row._replace(found=found, state="not checked", problem="", remedy="")


def _on_its_way(case: Case, left: str) -> str:
    if not case.founded():
        exist, voters = case.there()
        missing = joined([member.name for member in case.expected if member.name in case.absent()])
        possible = f"no quorum is possible with {exist} of {voters}, which needs {quorum(voters)}"
        return f"awaiting {missing}; {possible}: deploy them, and wipe or restart nothing meanwhile"
    names, all_ = {one.name for one in case.underway()}, len(case.expected)
    rest = sum(member.name not in names for member in case.expected)
    what = joined([f"{one.name}{one.why}" for one in case.underway()])
    steps = "; ".join(dict.fromkeys(one.next for one in case.underway()))
    return f"awaiting {what}; the other {rest} of {all_} serve; {left}; {steps}"


def _well(case: Case, left: str) -> str:
    return f"healthy: {_told(case)}, their data agree; {left}"


def _told(case: Case) -> str:
    """What is the same about a healthy cluster of any generation."""
    leaders = [s.status.value.leader for _, s in case.pairs() if s.status.value]
    members = f"all {len(case.expected)} members"
    writes = f"{members} read and write" if case.samples.canary else f"{members} read (no write was tried)"
    return f"cluster {shown(case.identity.cluster)} is the rendered one, {case.name_of(leaders[0])} leads, {writes}"


def _ill(layers: Sequence[Layer], case: Case, left: str) -> str:
    if not case.expected:
        return "nothing is rendered, so nothing can be verified; name the members in the parameters"
    failed = [[row for row in layer if row.state == "failed" and row.problem] for layer in layers]
    first = next((rows for rows in failed if rows), [])
    if not first and (lacking := _lacking(case, layers)):
        return _as_far_as(case, lacking, left)
    if not first:
        unproven = [row for layer in layers for row in layer if row.state == "not checked"]
        check = next((row.check for row in unproven if row.problem), "")
        first = [row for row in unproven if row.problem and row.check == check]
        return f"not proven healthy: {_problems(first or unproven)}; {left}; {_remedy(first) or 'verify again'}"
    if _none_answers(case) and first[0] not in layers[0]:
        return _all_silent(case)
    told = left.startswith("quorum lost") and first[0].check in ("client port", "process")
    remedy = "" if told else f"; {_remedy(first)}"
    return f"{_problems(first)}; {left}{remedy}"


def _lacking(case: Case, layers: Sequence[Layer]) -> list[str]:
    """What this etcd cannot tell, if that is all that was not checked."""
    unproven = [row for layer in layers for row in layer if row.state == "not checked"]
    old = {m.name for m, s in case.pairs() if s.alarms.outcome == "lacks"}
    by_nature = [row for row in unproven if row.member in old and not row.problem and " has no " in row.found]
    return list(dict.fromkeys(row.check for row in by_nature)) if len(by_nature) == len(unproven) else []


def _as_far_as(case: Case, lacking: list[str], left: str) -> str:
    version = next((s.version.value for _, s in case.pairs() if s.version.value), "")
    return (
        f"nothing is wrong with what etcd {version} can tell: {_told(case)}; not checked, for it tells nothing of "
        f"them: {joined(lacking)}; {left}; look after the disks and clocks of the hosts by hand"
    )


def _none_answers(case: Case) -> bool:
    return all(s.version.value is None and s.peer.value is None for _, s in case.pairs())


def _all_silent(case: Case) -> str:
    """No member gives any answer: one cause is likelier than as many as there are members."""
    outcomes = Counter(s.version.outcome for _, s in case.pairs())
    common, count = outcomes.most_common(1)[0]
    if count < len(case.expected):
        words = joined([f"{m.name} is {s.version.outcome}" for m, s in case.pairs()])
        return f"no member answers ({words}); read the table from the top, and do not wipe any data"
    likeliest = {
        "refused": "etcd is not running on any host; was it started? (do not wipe any data)",
        "unreachable": "no host can be reached from here: check the overlay and this machine's way to it",
        "mute": "all accept connections and stay silent: no quorum has formed, or all hang; do not wipe any data",
        "speaks TLS": "all speak TLS, and plain http is expected: name their CA and a certificate in etcd.tls",
        "speaks plain": "all speak plain http, and TLS is expected: were they rendered before etcd.tls was set?",
        "bad certificate": "the certificates of all of them are refused: read the table for why, and restart nothing",
        "not asked": "the time was up before anybody was asked: verify again with more time",
    }
    asked = ", ".join(f"{m.name} at {m.address}" for m in case.expected)
    why = likeliest.get(common, f"on all of them, {common}: is this where etcd listens?")
    return f"no member answers: {why} (asked: {asked})"


def _problems(rows: Sequence[Check]) -> str:
    """One clause about all rows; what is the same about several members is said once."""
    texts = [row.problem or f"{row.check} of {row.member} was not checked" for row in rows]
    same = {text.replace(row.member, "", 1) for text, row in zip(texts, rows, strict=True)}
    if len(same) == 1 < len(rows) and all(map(str.startswith, texts, [row.member for row in rows])):
        return f"each of {joined([row.member for row in rows])}{same.pop()}"
    if len(texts) > 3:
        texts = [*texts[:2], f"{len(texts) - 2} more"]
    return joined(texts)


def _remedy(rows: Sequence[Check]) -> str:
    return next((row.remedy for row in rows if row.remedy), "")


def _faults(rows: Iterable[Check]) -> Iterable[Finding]:
    for row in rows:
        if row.state == "failed" and row.problem:
            yield Finding("error", row.member, row.problem, row.remedy)
        elif row.state == "not checked" and row.problem and row.remedy:
            yield Finding("warning", row.member, row.problem, row.remedy)


def _versions(case: Case) -> Iterable[Finding]:
    versions = {m.name: s.version.value for m, s in case.pairs() if s.version.value is not None}
    for name, version in versions.items():
        if flaw := _flaw(numbers(version)[:3]):
            yield Finding("warning", name, f"etcd {version} {flaw}", "upgrade to a later one, one member at a time")
    if len(set(versions.values())) > 1:
        listed = ", ".join(f"{name} {version}" for name, version in versions.items())
        yield Finding("warning", CLUSTER, f"the versions differ: {listed}", "finish the upgrade, one member at a time")


def _flaw(version: tuple[int, ...]) -> str:
    if version[:1] == (2,):
        return "is of a generation that gets no fixes any more, and later ones cannot be reached in one step"
    if version in _CORRUPTING:
        return "can corrupt its data when it is killed under load"
    oldest = _OLDEST_GOOD.get(version[:2], ())
    named = ".".join(map(str, oldest))
    return f"is older than {named}, the first recommended for production" if version < oldest else ""


def _waiting(case: Case) -> Iterable[Finding]:
    if case.samples.waited >= 1:
        message = f"it took {case.samples.waited:.1f} s until all members served under one leader"
        yield Finding("info", CLUSTER, message, "if it happens again: look for elections in etcd's journal")


def _arrangement(case: Case) -> Iterable[Finding]:
    """What the number and the places of the members mean for what they survive."""
    count = len(case.expected)
    if count and count % 2 == 0:
        message = f"{count} voters tolerate no more losses than {count - 1}: an even split has no quorum on either side"
        yield Finding("info", CLUSTER, message, "three or five voters")
    sites = case.intended.sites
    places = Counter(sites[member.name] for member in case.expected if member.name in sites)
    fatal = sorted(place for place, here in places.items() if count - here < quorum(count))
    if len(places) > 1 and fatal:
        message = f"the loss of {joined(fatal, 'or')} alone loses the quorum"
        yield Finding("info", CLUSTER, message, "an odd number of voters over three places")
