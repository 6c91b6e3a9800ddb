"""The member list against the rendered one: names, both kinds of URLs, all voters, nobody else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

from ..member import Member
from .case import Case, Check, Layer, State, spelt
from .identity import shown
from .samples import Listed, View


def member_list(case: Case) -> Layer:
    """A row for every rendered member, and one for everybody else who is in a list."""
    views = case.views()
    if not views:
        return tuple(
            Check(member.name, "member list", _rendered(member), "no list to compare with", "not checked")
            for member in case.expected
        )
    rows = tuple(_member(member, tuple(views.values())) for member in case.expected)
    return rows + _unplanned(case, views.values())


def _member(member: Member, views: tuple[View, ...]) -> Check:
    """The worst that any view says about one member."""
    rows = [_entry(member, _find(member, view)) for view in views]
    return next((row for row in rows if row.state == "failed"), rows[0])


def _find(member: Member, view: View) -> Listed | None:
    by_url = (entry for entry in view.members if member.peer_url in entry.peer_urls)
    return next((e for e in view.members if e.name == member.name), None) or next(by_url, None)


def _entry(member: Member, entry: Listed | None) -> Check:
    problem, remedy = next(_differences(member, entry), ("", ""))
    found = "absent" if entry is None else _described(entry)
    state: State = "failed" if problem else "passed"
    return Check(member.name, "member list", _rendered(member), found, state, problem, remedy)


def _differences(member: Member, entry: Listed | None) -> Iterator[tuple[str, str]]:
    """What is wrong with one line of the list, and what to do: the gravest first."""
    name = member.name
    if entry is None:
        remedy = f"add it (etcdctl member add {name} --peer-urls={member.peer_url}) and start it with state existing"
        yield f"{name} is not in the member list", f"{remedy}; its old data must be wiped first"
        return
    if not entry.name:
        yield f"{name} is listed and has never started", f"start etcd on {name}, or remove member {shown(entry.id)}"
    if entry.name != name:
        yield f"{name} is listed under the name {entry.name}", f"correct ETCD_NAME on {name} and restart it"
    if set(entry.peer_urls) != {member.peer_url}:
        problem = f"{name} is listed with the peer URL {spelt(entry.peer_urls)} instead of {member.peer_url}"
        yield problem, f"etcdctl member update {shown(entry.id)} --peer-urls={member.peer_url}, one member at a time"
    if entry.learner:
        yield (
            f"{name} is a learner and does not vote",
            f"once it has caught up: etcdctl member promote {shown(entry.id)}",
        )
    if not entry.client_urls:
        yield f"{name} has published no client URL: it never joined", f"read etcd's journal on {name}"
    if set(entry.client_urls) != {member.client_url}:
        own = ", a loopback address that leads every client to itself" if _loops(member, entry) else ""
        problem = f"{name} advertises {spelt(entry.client_urls)} to clients instead of {member.client_url}{own}"
        yield problem, f"correct ETCD_ADVERTISE_CLIENT_URLS on {name} and restart it; do not wipe its data"


def _unplanned(case: Case, views: Iterable[View]) -> Layer:
    """A row for every line of any list that is no rendered member's: each voter more raises the quorum."""
    strangers: dict[int, Listed] = {}
    for view in views:
        ours = [_find(member, view) for member in case.expected]
        strangers |= {entry.id: entry for entry in view.members if entry not in ours}
    return tuple(_stranger(entry) for entry in strangers.values())


def _stranger(entry: Listed) -> Check:
    name = entry.name or shown(entry.id)
    kind = "learner" if entry.learner else "voter"
    started = "" if entry.name else " that was added and not started"
    problem = f"an unplanned {kind}{started} is in the member list: {name} at {spelt(entry.peer_urls)}"
    remedy = f"unless someone is just adding it: etcdctl member remove {shown(entry.id)}; start nothing in its place"
    return Check(name, "member list", "not in the list", _described(entry), "failed", problem, remedy)


def _loops(member: Member, entry: Listed) -> bool:
    """Whether a loopback address is advertised that is not the member's own (a lab lives on loopback)."""
    return any(_is_loopback(url) and urlsplit(url).hostname != str(member.address) for url in entry.client_urls)


def _is_loopback(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _rendered(member: Member) -> str:
    return f"{member.peer_url}, {member.client_url}, voter"


def _described(entry: Listed) -> str:
    kind = "learner" if entry.learner else "voter"
    return f"{spelt(entry.peer_urls)}, {spelt(entry.client_urls)}, {kind}{'' if entry.name else ', never started'}"
