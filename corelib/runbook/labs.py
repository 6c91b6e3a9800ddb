"""The `runbooks lab` command: start, stop, status, in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .. import lab
from ..views import Table


def act(what: str, root: Path, network: str, say: Callable[[str], None]) -> int:
    """Do one thing with the lab on `network`; returns the exit code (status: 1 if none runs)."""
    if what == "start":
        endpoints = lab.start(root, network)
        say(f"The lab runs on {network}, pid {endpoints.pid}, until: runbooks lab stop --network {network}")
        return 0
    if what == "stop":
        say(f"The lab on {network} was stopped." if lab.stop(root, network) else f"No lab runs on {network}.")
        return 0
    return _show(lab.status(root, network), network, say)


def _show(status: lab.Status, network: str, say: Callable[[str], None]) -> int:
    if not status.running or status.endpoints is None:
        say(f"No lab runs on {network}.")
        return 1
    at = status.endpoints
    say(f"The lab runs on {network}, pid {at.pid}, since {status.since}; Azure at {at.arm}, Robot at {at.robot}")
    rows = [(host.name, host.state, host.etcd_pid or "", host.ssh, host.reason) for host in status.hosts]
    if rows:
        say(Table(("host", "state", "etcd's pid", "SSH", "why"), rows).text())
    return 0
