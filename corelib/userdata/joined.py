"""What hosts were given that joined a cluster, made again: it named those who were in the cluster then. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice, product

from ..fleet import Etcd, Fleet
from ..member import Member
from .render import render

_MOST = 512  # memberships that are tried for a host: all there are, unless more than a handful were removed


def joined(fleet: Fleet, digests: Mapping[str, str], addresses: Mapping[str, str]) -> dict[str, str]:
    """The documents with these SHA-256, by it, as far as these hosts joined with all else as it is now."""
    found: dict[str, str] = {}
    for name, digest in digests.items():
        for members in islice(memberships(fleet.etcd, name), _MOST):
            one = render(fleet, addresses=addresses, joining={name: members}, only=(name,))[name]
            if one.sha256 == digest:
                found[digest] = one.text
                break
    return found


def memberships(etcd: Etcd, name: str) -> Iterator[tuple[Member, ...]]:
    """Whom a member may have found when it joined, itself among them: those that were added by then, and those that
    were removed since, or had been already. One that was made anew joined late, a founder too."""
    added = list(etcd.added)
    first = added.index(name) + 1 if name in added else 0
    for count in range(first, len(added) + 1):
        ever = [one for one in etcd.ever if one.name in etcd.bootstrap or one.name in added[:count]]
        gone = [one.name for one in ever if one.name in etcd.removed and one.name != name]
        for there in product((False, True), repeat=len(gone)):
            left = {name for name, still in zip(gone, there, strict=True) if not still}
            yield tuple(one for one in ever if one.name not in left)
