"""Real etcd clusters for the tests, a process a member, on loopback addresses of their own."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from corelib.etcd.judge import Intended, Verdict, judge
from corelib.etcd.probe import probe
from corelib.etcd.samples import Samples
from corelib.fleet import Member

TOKEN = "etcd-cluster"
HEARTBEAT_MS, ELECTION_MS = 100, 500
LIBC = ctypes.CDLL(None)


def four(first: int, count: int = 4) -> tuple[Member, ...]:
    return tuple(Member(f"azure-lab-0{n + 1}", IPv4Address(f"127.0.14.{first + n}")) for n in range(count))


def binary() -> str:
    beside = Path(sys.executable).parent / "etcd"
    return shutil.which("etcd") or str(beside)


def verify(expected: tuple[Member, ...], **how: Any) -> Verdict:
    return judge(intended(expected), look(expected, **how))


def intended(expected: tuple[Member, ...], token: str = TOKEN) -> Intended:
    return Intended(expected, expected, token, HEARTBEAT_MS, ELECTION_MS)


def look(expected: tuple[Member, ...], **how: Any) -> Samples:
    return probe(expected, election_ms=ELECTION_MS, **how)


def die_with_parent() -> None:
    LIBC.prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG


class Running:
    """A cluster; `flags` of one member's name replace what it is started with, also when it is started again.

    `every` are flags of all members, `how` is what `look` needs to be let in (trust, credentials).
    """

    def __init__(
        self,
        folder: Path,
        first: int = 0,
        flags: dict[str, dict[str, str]] | None = None,
        *,
        members: tuple[Member, ...] = (),
        every: dict[str, str] | None = None,
        **how: Any,
    ) -> None:
        self.folder = folder
        self.members = members or four(first)
        self.flags = flags or {}
        self.every, self.how = every or {}, how
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.stopped: set[str] = set()
        for member in self.members:
            self.start(member)

    def start(self, member: Member, **flags: str) -> None:
        options = {
            "name": member.name,
            "data-dir": str(self.folder / member.name),
            "initial-advertise-peer-urls": member.peer_url,
            "listen-peer-urls": member.peer_url,
            "listen-client-urls": member.client_url,
            "advertise-client-urls": member.client_url,
            "initial-cluster": ",".join(f"{m.name}={m.peer_url}" for m in self.members),
            "initial-cluster-token": TOKEN,
            "initial-cluster-state": "new",
            "heartbeat-interval": str(HEARTBEAT_MS),
            "election-timeout": str(ELECTION_MS),
            "strict-reconfig-check": "false",  # it refuses changes in the first 5 s of a connection
            **self.every,
            **self.flags.get(member.name, {}),
            **{name.replace("_", "-"): value for name, value in flags.items()},
        }
        command = [binary(), *(f"--{name}={value}" for name, value in options.items())]
        with (self.folder / f"{member.name}.log").open("ab") as log:
            self.processes[member.name] = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                env={"PATH": os.environ["PATH"]},
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one prctl, and no thread of ours holds a lock for it
            )

    def kill(self, member: Member) -> None:
        process = self.processes.pop(member.name)
        process.kill()
        process.wait(5)

    def stop(self, member: Member) -> None:
        self.processes[member.name].send_signal(signal.SIGSTOP)
        self.stopped.add(member.name)

    def heal(self) -> Samples:
        """Start what is killed, continue what is stopped, and wait until all is well."""
        for name in self.stopped:
            self.processes[name].send_signal(signal.SIGCONT)
        self.stopped.clear()
        for member in self.members:
            if member.name not in self.processes:
                self.start(member)
        return self.wait()

    def wait(self) -> Samples:
        verdict = None
        for _ in range(60):
            samples = look(self.members, patience_s=2.0, **self.how)
            verdict = judge(intended(self.members), samples)
            if verdict.healthy:
                return samples
            time.sleep(0.1)
        raise AssertionError(f"the cluster is not well: {verdict}")

    def leader(self) -> Member:
        status = self.heal().members[0].status.value
        assert status is not None
        index = [m.name for m in self.members].index(self.name_of(status.leader))
        return self.members[index]

    def followers(self) -> list[Member]:
        leader = self.leader()
        return [member for member in self.members if member != leader]

    def name_of(self, number: int) -> str:
        view = look(self.members, **self.how).members[0].listing.value
        assert view is not None
        return next(entry.name for entry in view.members if entry.id == number)

    def call(self, path: str, content: dict[str, Any]) -> dict[str, Any]:
        """Ask the first member's gateway, without the code that is tested."""
        url = f"{self.members[0].client_url}{path}"
        with urllib.request.urlopen(urllib.request.Request(url, json.dumps(content).encode()), timeout=5) as answer:  # noqa: S310 - loopback
            result: dict[str, Any] = json.load(answer)
            return result

    def end(self) -> None:
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait(5)
