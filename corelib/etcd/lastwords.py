"""What etcd's last words mean when it ended, and what to do. Pure; the words are those of etcd 3.4 and 3.5."""

from __future__ import annotations

import re
from typing import NamedTuple


class Cause(NamedTuple):
    """Why etcd ended, as a clause, and what to do about it and what to avoid."""

    why: str
    remedy: str


_AGAIN = (
    "once the others have a quorum: etcdctl member remove it, etcdctl member add it again, and start it with an empty "
    "data directory and ETCD_INITIAL_CLUSTER_STATE=existing; wipe no other member"
)
_ENVIRONMENT = "compare its environment files with the rendered ones, correct them, restart etcd there; wipe nothing"
_ROOM = "make room on that disk, outside of the data directory, then start etcd there; delete nothing in it"

_CAUSES: tuple[tuple[str, Cause], ...] = (
    (
        r"has already been bootstrapped",
        Cause("its data are gone, and it tries to found a cluster that it is in already", _AGAIN),
    ),
    (
        r"tocommit\(\d+\) is out of range|permanently removed|removed from the cluster|failed to find remote snapshot",
        Cause("the cluster remembers a member with data that this one has no more", _AGAIN),
    ),
    (r"couldn't find local name", Cause("its own name is not in its bootstrap list", _ENVIRONMENT)),
    (
        r"initial-cluster.* must include|missing from --initial-|but missing from|failed to resolve.*initial",
        Cause("its own peer URL and the one in its bootstrap list differ", _ENVIRONMENT),
    ),
    (
        r"cannot assign requested address",
        Cause(
            "it is to listen on an address that this host does not have",
            "bring the overlay's interface up there, or correct the address in its environment; wipe nothing",
        ),
    ),
    (
        r"address already in use",
        Cause(
            "something else listens on its port",
            "find it (ss -ltnp), end it if it is a second etcd, and start etcd's unit; wipe nothing",
        ),
    ),
    (r"no space left on device", Cause("its disk is full", _ROOM)),
    (
        r"permission denied|operation not permitted",
        Cause(
            "it may not use its data directory",
            "give the directory to the user etcd (install -d -m 0700 -o etcd -g etcd), and start etcd; wipe nothing",
        ),
    ),
    (
        r"crc mismatch|walpb|unexpected EOF|freepages|page .* already freed|failed to (read|open) .*(wal|snap)",
        Cause(
            "its data are damaged",
            f"keep a copy of its data directory; {_AGAIN}",
        ),
    ),
    (
        r"cluster ID mismatch",
        Cause("its peers are of another cluster", "compare its token and bootstrap list with the rendered ones"),
    ),
    (
        r"(election-timeout|heartbeat-interval).*|failed to verify flags|is required when|unknown flag|invalid value",
        Cause("etcd does not take its settings", _ENVIRONMENT),
    ),
)


def explain(words: str) -> Cause | None:
    """The cause behind etcd's last words; None if they are of no known fault."""
    return next((cause for pattern, cause in _CAUSES if re.search(pattern, words)), None)
