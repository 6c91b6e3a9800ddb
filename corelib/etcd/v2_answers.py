"""What etcd 2.x answers on its v2 interface, into values. What has not its shape raises ValueError. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

from .answers import Headers, v2_listed
from .samples import Range, View


class Own(NamedTuple):
    """What a member says of itself; `leader` 0: it knows none."""

    id: int
    leader: int
    leads: bool


def members(body: Any, headers: Headers) -> View:
    """`/v2/members`; the cluster's id is in a header, in hex as all ids here."""
    cluster = headers.get("x-etcd-cluster-id", "")
    if not cluster:
        raise ValueError("no X-Etcd-Cluster-ID in it")
    entries = body.get("members") if isinstance(body, dict) else None
    if not isinstance(entries, list):
        raise ValueError("no list of members in it")  # noqa: TRY004 - all that is wrong with an answer is one kind
    return View(int(cluster, 16), 0, tuple(v2_listed(entry) for entry in entries))


def own(body: Any, _: Headers) -> Own:
    """`/v2/stats/self`."""
    if not isinstance(body, dict) or not isinstance(body.get("leaderInfo"), dict):
        raise ValueError("no statistics of a member of etcd's")  # noqa: TRY004 - the same
    leader = str(body["leaderInfo"].get("leader") or "0")
    return Own(int(str(body.get("id", "")), 16), int(leader, 16), body.get("state") == "StateLeader")


def leader(body: Any, _: Headers) -> int:
    """`/v2/stats/leader`, which only a leader answers: its own id."""
    if not isinstance(body, dict) or "followers" not in body:
        raise ValueError("no statistics of a leader")
    return int(str(body.get("leader", "")), 16)


def health(body: Any, _: Headers) -> bool:
    """`/health`: it has a leader, and its log moves on."""
    if not isinstance(body, dict) or str(body.get("health")).lower() != "true":
        raise ValueError("it does not say that it is healthy")
    return True


def _node(body: Any) -> dict[str, Any]:
    node = body.get("node") if isinstance(body, dict) else None
    if not isinstance(node, dict):
        raise ValueError("no node of etcd's store in it")  # noqa: TRY004 - the same
    return node


def nodes(body: Any) -> list[dict[str, Any]]:
    """What is directly below what was asked for."""
    nodes = _node(body).get("nodes") or []
    if not isinstance(nodes, list) or not all(isinstance(node, dict) for node in nodes):
        raise ValueError("no nodes of etcd's store in it")
    return nodes


def range_(body: Any, _: Headers) -> Range:
    """A read of a directory."""
    return Range(0, len(nodes(body)))


def count(body: Any, _: Headers) -> int:
    """How many keys are left of a directory that is still there."""
    return 1 + len(nodes(body))  # the directory itself, too


def index(body: Any, _: Headers) -> int:
    """The index of a write."""
    index = _node(body).get("modifiedIndex")
    if not isinstance(index, int):
        raise ValueError("no index in it")  # noqa: TRY004 - the same
    return index


def done(body: Any, _: Headers) -> bool:
    """Any answer that has nothing to say but that it was done."""
    return bool(_node(body))
