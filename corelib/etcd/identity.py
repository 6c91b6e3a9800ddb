"""Who the members must be, computed from the rendered configuration alone.

etcd derives the ids of a new cluster from nothing but its initial peer URLs and its token (etcd
server/etcdserver/api/membership, computeMemberId and genID), so one comparison with what a member shows proves both,
which no API returns. A member that was added later has another id: there, etcd mixes in the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ..digests import sha1
from ..member import Member


class Identity(NamedTuple):
    """The cluster's id and the ids of its founders by name."""

    cluster: int
    members: Mapping[str, int]


def member_id(peer_urls: Iterable[str], token: str) -> int:
    """The id of a founding member that advertises these peer URLs."""
    return _first_64_bits("".join(sorted(peer_urls)).encode() + token.encode())


def cluster_id(member_ids: Iterable[int]) -> int:
    """The id of the cluster that these members found."""
    return _first_64_bits(b"".join(number.to_bytes(8, "big") for number in sorted(member_ids)))


def identities(members: Sequence[Member], token: str) -> Identity:
    """The ids of a cluster that these members found with that token."""
    ids = {member.name: member_id([member.peer_url], token) for member in members}
    return Identity(cluster_id(ids.values()), ids)


def shown(number: int) -> str:
    """An id as etcdctl and etcd's log write it: hex, not padded (the JSON gateway writes decimal)."""
    return f"{number:x}"


def _first_64_bits(content: bytes) -> int:
    return int.from_bytes(sha1(content, usedforsecurity=False).digest()[:8], "big")
