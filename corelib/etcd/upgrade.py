"""From one version of etcd to another: what machines made anew may bring, and what has to be done by hand. Pure.

Source: etcd's documentation, upgrades: one minor version at a time, members one after the other; a member of an older
minor version than the cluster's does not start.
"""

from __future__ import annotations

from .case import numbers

ETCD_2 = (
    "it runs etcd 2, whose members cannot be told from here what to do, and 3 cannot join it: back up its data "
    "(etcdctl backup), move them to etcd 3.4 by hand (etcdctl migrate), and deploy then"
)


def forbidden(running: str, wanted: str) -> str:
    """Why a member of version `wanted` cannot come into a cluster whose oldest runs `running`; empty if it can.

    A version may be cut off (`3.5`, `2`), or empty: not known.
    """
    now, then = numbers(running)[:2], numbers(wanted)[:2]
    why = ""
    if running.startswith("2.") and not wanted.startswith("2"):
        why = ETCD_2
    elif not running or not wanted:
        why = ""
    elif now[0] != then[0]:
        why = f"etcd runs {running}, and {wanted} cannot read its data: keep the release that it runs on"
    elif len(then) == 1 or now[0] == 2:
        why = ""
    elif then < now:
        why = (
            f"etcd runs {running}, and a member of {wanted} would not start in it: name {running} in etcd.version; to "
            f"go back, restore a snapshot of {then[0]}.{then[1]}"
        )
    elif then[1] > now[1] + 1:
        why = (
            f"etcd runs {running}, and goes to {wanted} one minor version at a time: name one of {now[0]}.{now[1] + 1} "
            "in etcd.version, make each host anew, verify, and go on to the next"
        )
    return why
