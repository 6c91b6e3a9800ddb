"""The first checks: is each member one of the rendered cluster, and does it answer on both ports."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..member import CLIENT_PORT, PEER_PORT, Member, quorum
from .case import Case, Check, Layer, State, joined, numbers, spelt
from .credentials import barred
from .hosts import is_told
from .identity import shown
from .samples import ABOUT_TLS, Listed, Reply, Sample, View

_LEARNER = "not supported for learner"  # a learner's refusal of nearly everything, its member list included
OLDEST = (3, 4)  # the JSON gateway's /v3 begins with 3.4; etcd 2.x is asked by its own interface


def identity(case: Case) -> Layer:
    """Each member shows the cluster id that token and initial peer URLs give, and is itself."""
    return tuple(_identity(case, member, sample) for member, sample in case.pairs())


def _identity(case: Case, member: Member, sample: Sample) -> Check:
    computed = case.identity.members.get(member.name)
    expected = f"cluster {shown(case.identity.cluster)}" + (f", member {shown(computed)}" if computed else "")
    views = _views(sample)
    if strange := next((view for view in views if view.cluster != case.identity.cluster), None):
        return _another_cluster(case, member, expected, strange)
    if not views or sample.peer.value is None:
        return Check(member.name, "identity", expected, _outcome(sample.peer), "not checked")
    number = sample.listing.value.member if sample.listing.value else 0  # the peer port does not say it
    found = f"cluster {shown(case.identity.cluster)}" + (f", member {shown(number)}" if number else "")
    entry = next((e for view in views for e in view.members if e.id == number), None)
    if number and (entry is None or (entry.name or member.name) != member.name):
        problem, remedy = _not_itself(member, number, entry)
        return Check(member.name, "identity", expected, found, "failed", problem, remedy)
    return Check(member.name, "identity", expected, found, "passed")


def _not_itself(member: Member, number: int, entry: Listed | None) -> tuple[str, str]:
    if entry is None:
        problem = f"{member.name} runs as member {shown(number)}, which its own list does not have: it was removed"
        return problem, f"stop etcd on {member.name}; add it again with an empty data directory if it is wanted"
    problem = f"what answers on {member.address} is {entry.name}, not {member.name} (id {shown(number)})"
    return problem, f"compare the addresses in {member.name}'s user-data with the rendered ones; wipe nothing"


def _another_cluster(case: Case, member: Member, expected: str, view: View) -> Check:
    ours, theirs = shown(case.identity.cluster), shown(view.cluster)
    why = joined(list(_bootstrap_differences(case, view))) or "its list is the rendered one, so its token differs"
    problem = (
        f"{member.name} belongs to cluster {theirs} instead of {ours}: bootstrapped otherwise than rendered, {why}"
    )
    remedy = _way_back(case, member, view)
    return Check(member.name, "identity", expected, f"cluster {theirs}", "failed", problem, remedy)


def _way_back(case: Case, member: Member, view: View) -> str:
    """One stray member is bootstrapped again; a quorum that agrees on another id is somebody's cluster."""
    agreeing = sum(any(other.cluster == view.cluster for other in _views(sample)) for _, sample in case.pairs())
    if agreeing >= quorum(len(case.expected)):
        return (
            "the hosts run another cluster than the parameters say: check that this is the right environment, and "
            "compare its token and bootstrap list with the user-data that the hosts booted with; wipe nothing"
        )
    return (
        f"stop etcd on {member.name}, correct its token and bootstrap list to the rendered ones, and start it with "
        "an empty data directory if nobody needs what that other cluster holds; wipe no other member"
    )


def _views(sample: Sample) -> list[View]:
    return [view for view in (sample.peer.value, sample.listing.value) if view is not None]


def _bootstrap_differences(case: Case, view: View) -> Iterable[str]:
    """Where a strange cluster's list differs from the rendered one: what was written wrongly at its bootstrap."""
    listed = {entry.name: entry.peer_urls for entry in view.members}
    for founder in case.intended.founders:
        urls = listed.pop(founder.name, ())
        if not urls:
            yield f"its list is without {founder.name}"
        elif founder.peer_url not in urls:
            yield f"its list has {founder.name} at {spelt(urls)} instead of {founder.peer_url}"
    for name, urls in listed.items():
        yield f"its list has {name or 'a nameless member'} at {spelt(urls)}"


def client_port(case: Case) -> Layer:
    """Each member answers clients at its rendered address, and is new enough to be asked."""
    return tuple(_client_port(member, sample) for member, sample in case.pairs())


def _client_port(member: Member, sample: Sample) -> Check:
    expected = f"answers on {member.address}:{CLIENT_PORT}"
    version = sample.version
    reply: Reply[str] | Reply[View] = version if version.value is None else sample.listing
    if version.value is not None and numbers(version.value)[:1] != (2,) and numbers(version.value)[:2] < OLDEST:
        problem = f"{member.name} runs etcd {version.value}, which this check cannot ask"
        remedy = "use etcdctl of that version, or upgrade to etcd 3.5.6 or later, a minor version at a time"
        return Check(member.name, "client port", expected, f"etcd {version.value}", "failed", problem, remedy)
    if reply.outcome == "answered":
        return Check(member.name, "client port", expected, f"etcd {version.value}", "passed")
    if _LEARNER in reply.detail:  # told by the member list
        return Check(member.name, "client port", expected, f"etcd {version.value}, a learner", "passed")
    if no := barred(reply):
        problem = f"{member.name} {no.problem}"
        return Check(member.name, "client port", expected, _outcome(reply), "not checked", problem, no.remedy)
    problem, remedy = _silence(member, CLIENT_PORT, reply, peer_answers=sample.peer.outcome == "answered")
    if (reply.outcome == "mute" and sample.peer.outcome in ABOUT_TLS) or is_told(sample, reply):
        problem = ""  # it cannot join its peers, whose port says why; or its host does
    return Check(member.name, "client port", expected, _outcome(reply), _state(reply), problem, remedy)


def peer_port(case: Case) -> Layer:
    """Each member answers on its peer port, which is how the others reach it."""
    return tuple(_peer_port(member, sample) for member, sample in case.pairs())


def _peer_port(member: Member, sample: Sample) -> Check:
    expected = f"answers on {member.address}:{PEER_PORT}"
    if sample.peer.outcome == "answered":
        return Check(member.name, "peer port", expected, "answers", "passed")
    state = _state(sample.peer)
    problem, remedy = _silence(member, PEER_PORT, sample.peer, peer_answers=False)
    if sample.peer.outcome in ABOUT_TLS:
        problem = "" if sample.version.outcome == sample.peer.outcome else problem
    elif sample.listing.outcome != "answered" and not barred(sample.listing):
        problem = ""  # told by the client port, or by the host
    elif sample.linearizable.value is not None:
        problem += ", while it serves: only the way from here to its peer port is blocked"
    elif sample.peer.outcome in ("unreachable", "mute"):
        silent = f"nothing comes back from {member.address}:{PEER_PORT}"
        problem = f"{member.name} answers clients, and {silent}: its peer path is blocked"
        remedy = (
            f"check network and firewall between {member.name} and the others' port {PEER_PORT}, both ways; it comes "
            "back by itself: restart and wipe nothing"
        )
    else:
        problem += ", while its client port answers: its peer path is blocked"
    return Check(member.name, "peer port", expected, _outcome(sample.peer), state, problem, remedy)


_NO_ADDRESSES = (
    "name a client certificate in etcd.tls that holds no address and no name, for etcd's peer port lets others in only "
    "from those; if it is so already, read etcd's journal there; do not wipe its data"
)


def _state(reply: Reply[Any]) -> State:
    """No answer is a failure, unless it is for nothing but our own want of time or of a certificate."""
    return "not checked" if reply.outcome in ("not asked", "wants certificate") else "failed"


def _silence(member: Member, port: int, reply: Reply[str] | Reply[View], *, peer_answers: bool) -> tuple[str, str]:
    """A clause and a remedy for a port that does not answer as etcd."""
    if reply.outcome in ABOUT_TLS:
        return _about_tls(member, port, reply)
    name, at = member.name, f"{member.address}:{port}"
    detail = f": {reply.detail}" if reply.detail else ""
    keep = "do not wipe its data"
    match reply.outcome:
        case "refused" if peer_answers:
            problem = f"refuses connections on {at} (etcd runs, but does not listen there)"
            remedy = f"correct its listen-client-urls and restart etcd on {name}; {keep}"
        case "refused":
            problem = f"refuses connections on {at} (etcd is not running)"
            remedy = f"read etcd's journal on {name} and start etcd there; {keep}"
        case "unreachable":
            problem = f"cannot be reached at {at} ({reply.detail}): the host or the network to it, not etcd"
            remedy = f"check the host and the overlay from here to {member.address}; leave etcd as it is"
        case "mute" if peer_answers:
            problem = f"accepts connections on {at} and answers nothing (it has not joined its peers, or hangs)"
            remedy = f"check that {name} and the other members reach each other's port {PEER_PORT}; {keep}"
        case "mute":
            problem = f"accepts connections on {at} and answers nothing for {reply.seconds:.1f} s (hung, not down)"
            remedy = f"look at the etcd process and the disk of {name}, then restart etcd there only; {keep}"
        case "broken":
            problem = f"closes connections on {at} without an answer{detail}"
            remedy = f"read etcd's journal on {name}: it may be starting, stopping or crashing; {keep}"
            remedy = _NO_ADDRESSES if member.scheme == "https" and port == PEER_PORT else remedy
        case "failed":
            problem, remedy = f"answers on {at} with an error{detail}", f"read etcd's journal on {name}; {keep}"
        case "not asked":
            problem, remedy = f"was not asked on {at}", "verify again with more time"
        case _:
            problem = f"has something that is not etcd on {at} ({reply.outcome}{detail})"
            remedy = f"find what listens on port {port} of {name} (ss -ltnp) and give the port back to etcd"
    return f"{name} {problem}", remedy


def _about_tls(member: Member, port: int, reply: Reply[Any]) -> tuple[str, str]:
    """The same for a port where something runs that speaks otherwise, or trusts otherwise, than was rendered."""
    name, at, keep = member.name, f"{member.address}:{port}", "do not wipe its data"
    match reply.outcome:
        case "speaks TLS":
            problem = f"a TLS server answers at {at}, where plain http is expected"
            remedy = "if etcd is to speak TLS, name its CA and a certificate in etcd.tls; otherwise take TLS off there"
        case "speaks plain":
            problem = f"a plain http server answers at {at}, where TLS is expected"
            remedy = f"compare the URLs and certificates in its environment with the rendered ones; {keep}"
        case "bad certificate":
            problem = f"it shows a certificate at {at} that {reply.detail}"
            new = f"a certificate of the cluster's CA for {member.address} that is valid now"
            remedy = f"bring {name} {new}, and restart etcd there only; {keep}"
        case _:
            problem = f"it wants a client certificate at {at}, and {reply.detail}"
            remedy = "name a certificate and key that the cluster's CA has signed in etcd.tls, and verify again"
    return f"{name}: {problem}", remedy


def _outcome(reply: Reply[str] | Reply[View]) -> str:
    return f"{reply.outcome}: {reply.detail}" if reply.detail else reply.outcome
