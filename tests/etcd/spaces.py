"""A cluster on the deployment's own addresses: a network namespace a member, on one bridge, for root on Linux.

Faults are the network's own: a cable that is out, and the kernel's routing instead of a firewall, which needs no
program beside `ip`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from corelib.etcd.samples import Samples
from corelib.member import PEER_PORT, Member

from .clusters import LIBC, Running, four
from .relayed import TIMING

HUB = f"rbm-{os.getpid()}-hub"
_CLONE_NEWNET = 0x40000000
_NETNS = Path("/run/netns")


def unable() -> str:
    """Why there can be none here; empty if there can."""
    if os.geteuid() != 0:
        return "network namespaces need root on Linux"
    if shutil.which("ip") is None:
        return "network namespaces need `ip` (Debian: iproute2)"
    tried = subprocess.run(["ip", "netns", "add", HUB], capture_output=True, text=True, check=False)
    if tried.returncode:
        return f"no network namespaces here: {tried.stderr.strip()}"
    _ip("netns", "del", HUB)
    return ""


class Spaces(Running):
    """Four members on 10.1.0.1 to .4; the one who verifies is 10.1.0.100, on the bridge."""

    def __init__(self, folder: Path, *, etcd: str = "") -> None:
        self._spaces = [HUB]
        try:
            _ip("netns", "add", HUB)
            for command in ("link add hub type bridge", "link set hub up", "address add 10.1.0.100/24 dev hub"):
                _ip("-n", HUB, *command.split())
            super().__init__(folder, members=four(1, network="10.1.0"), etcd=etcd, timing=TIMING)
        except BaseException:
            self._leave()
            raise

    def before(self, member: Member) -> list[str]:
        space = self.space(member)
        if space not in self._spaces:
            self._plug(space, member)
        return ["ip", "netns", "exec", space]

    def space(self, member: Member) -> str:
        return f"rbm-{os.getpid()}-{member.name}"

    def look(self, **how: Any) -> Samples:
        """As from a machine on the bridge: a thread of its own enters the namespace, and its threads with it."""
        found: list[Samples | BaseException] = []

        def inside() -> None:
            try:
                with (_NETNS / HUB).open() as space:
                    entered = LIBC.setns(space.fileno(), _CLONE_NEWNET)
                assert entered == 0, "the namespace could not be entered"
                found.append(super(Spaces, self).look(**how))
            except BaseException as error:  # noqa: BLE001 - raised below, where somebody hears it
                found.append(error)

        thread = threading.Thread(target=inside)
        thread.start()
        thread.join(120)
        if not found or isinstance(found[0], BaseException):
            raise AssertionError("no look came back from the namespace") from (found[0] if found else None)
        return found[0]

    def unplug(self, member: Member) -> None:
        """Its cable is out."""
        _ip("-n", self.space(member), "link", "set", "cable", "down")

    def block_port(self, member: Member) -> None:
        """As a firewall on its host that drops all of the peer port, both ways."""
        for end in ("sport", "dport"):
            _ip("-n", self.space(member), "rule", "add", "ipproto", "tcp", end, str(PEER_PORT), "blackhole")

    def block_ways(self, side: Sequence[Member]) -> None:
        """Nothing passes between these members and the others; who verifies still reaches all."""
        others = [member for member in self.members if member not in side]
        for near, far in ((one, other) for one in side for other in others):
            for at, to in ((near, far), (far, near)):
                _ip("-n", self.space(at), "route", "add", "blackhole", f"{to.address}/32")

    def mend(self) -> None:
        """Every cable in, every way free."""
        for member in self.members:
            space = self.space(member)
            _ip("-n", space, "link", "set", "cable", "up")
            _ip("-n", space, "route", "flush", "type", "blackhole")
            for end in ("sport", "dport"):
                rule = ("rule", "del", "ipproto", "tcp", end, str(PEER_PORT))
                subprocess.run(["ip", "-n", space, *rule], capture_output=True, check=False)  # most have none

    def end(self) -> None:
        try:
            super().end()
        finally:
            self._leave()

    def _plug(self, space: str, member: Member) -> None:
        _ip("netns", "add", space)
        self._spaces.append(space)
        port = f"port{int(member.address) & 255}"
        _ip("link", "add", "cable", "netns", space, "type", "veth", "peer", "name", port, "netns", HUB)
        for command in (f"link set {port} master hub", f"link set {port} up"):
            _ip("-n", HUB, *command.split())
        for command in ("link set lo up", f"address add {member.address}/24 dev cable", "link set cable up"):
            _ip("-n", space, *command.split())

    def _leave(self) -> None:
        for space in reversed(self._spaces):
            subprocess.run(["ip", "netns", "del", space], capture_output=True, check=False)  # one may be half made


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=20)
