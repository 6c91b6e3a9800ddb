"""Writes docs/verify-etcd/*.html: verify-etcd's saved output for real faults, as an operator sees it at night.

Run by `make docs`: deploys a lab of its own, breaks it in six ways, one after the other, and heals it in between.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pages

from corelib import lab
from corelib.project import Project
from corelib.runbook import demo

NETWORK = "127.0.92"


class Cluster:
    """The deployed lab, and what can be done to its members."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def pid(self, name: str) -> int:
        """The process of a member's etcd."""
        hosts = {host.name: host for host in lab.status(self.root, f"{NETWORK}.0/24").hosts}
        pid = hosts[name].etcd_pid
        if pid is None:
            raise LookupError(f"{name} runs no etcd")
        return pid

    def call(self, path: str, content: dict[str, object]) -> dict[str, object]:
        """Ask the first member's gateway."""
        url = f"http://{NETWORK}.1:2379{path}"
        with urllib.request.urlopen(urllib.request.Request(url, json.dumps(content).encode()), timeout=5) as answer:
            found: dict[str, object] = json.load(answer)
            return found


@contextmanager
def stopped(at: Cluster, name: str) -> Iterator[None]:
    """A process that hangs."""
    pid = at.pid(name)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
        time.sleep(2)


@contextmanager
def unplanned(at: Cluster) -> Iterator[None]:
    """A voter that nobody has rendered."""
    added = at.call("/v3/cluster/member/add", {"peerURLs": [f"http://{NETWORK}.9:2380"]})
    try:
        yield
    finally:
        at.call("/v3/cluster/member/remove", {"ID": added["member"]["ID"]})  # type: ignore[index]


@contextmanager
def full(at: Cluster) -> Iterator[None]:
    """An alarm that stops all writes."""
    header = at.call("/v3/maintenance/status", {})["header"]
    alarm = {"memberID": header["member_id"], "alarm": "NOSPACE"}  # type: ignore[index]
    at.call("/v3/maintenance/alarm", {"action": "ACTIVATE", **alarm})
    try:
        yield
    finally:
        at.call("/v3/maintenance/alarm", {"action": "DEACTIVATE", **alarm})


@contextmanager
def killed(at: Cluster, *names: str) -> Iterator[None]:
    """Members that are gone for good."""
    for name in names:
        os.kill(at.pid(name), signal.SIGKILL)
    time.sleep(1)
    yield


FAULTS: tuple[tuple[str, Callable[[Cluster], object]], ...] = (
    ("a-member-hangs", lambda at: stopped(at, "azure-lab-03")),
    ("an-unplanned-voter", unplanned),
    ("no-space", full),
    ("a-member-is-down", lambda at: killed(at, "azure-lab-02")),
    ("quorum-lost", lambda at: killed(at, "azure-lab-04")),
)


def main() -> None:
    """Deploy, break, verify, keep."""
    with tempfile.TemporaryDirectory() as name:
        root = pages.checkout(Path(name) / "project", NETWORK)
        at = Project(root)
        lab.start(root, f"{NETWORK}.0/24")
        try:
            done: list[object] = []
            for act in demo.ACTS[1:3]:
                done.append(demo.play(act, at, done, print))  # type: ignore[arg-type]
            cluster = Cluster(root)
            keep(cluster, "healthy")
            for fault, breaking in FAULTS:
                with breaking(cluster):  # type: ignore[attr-defined]
                    keep(cluster, fault)
        finally:
            lab.stop(root, f"{NETWORK}.0/24")


def keep(cluster: Cluster, name: str) -> None:
    """Verify, and keep the page."""
    pages.keep(cluster.root, pages.run(cluster.root, "verify-etcd"), f"verify-etcd/{name}")


if __name__ == "__main__":
    main()
