"""The dedicated machine: power, its disks, and the two systems that it can boot, each with an SSH server."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import asyncssh

from .. import cloudconfig
from ..site import Site
from ..sshd import Door, Run, Sshd
from .account import Activation, booted
from .inside import disk
from .isolation import Chamber, Disk, NoIsolation, System
from .session import pass_on, refuse

PORT = 2222
_RESCUE = {
    "etc/os-release": 'NAME="Debian GNU/Linux"\nVERSION_ID="12"\nID=debian\n',
    "etc/hostname": "rescue\n",
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
    "etc/group": "root:x:0:\n",
}
_REFUSAL = (
    "this computer lets no user namespace be made, without which its own disks would be in reach; see "
    "user.max_user_namespaces and kernel.apparmor_restrict_unprivileged_userns in sysctl"
)
_USER_DATA = {name: f"var/lib/{name}-install/user_data" for name in ("flatcar", "coreos")}


@dataclass(frozen=True, slots=True)
class Timing:
    """How long things take, in seconds: power until firmware, rescue's announcement until SSH, the disk until SSH."""

    power: float = 0.2
    rescue: float = 1.0
    boot: float = 0.2


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong on purpose: the announced host key is another one; a boot never reaches SSH."""

    announces_another_key: bool = False
    never_up: bool = False


class Machine:
    """Off until its first reset. Its disks' letters swap at every boot of the rescue system."""

    def __init__(self, site: Site, address: str, disks: list[Disk], timing: Timing, faults: Faults) -> None:
        self.take_rescue: Callable[[], Activation | None] = lambda: None
        self._site, self._address, self._disks = site, address, disks
        self._timing, self._faults = timing, faults
        self._sshd: Sshd | None = None
        self._chamber: Chamber | None = None
        self._power: asyncio.Task[None] | None = None

    def reset(self) -> None:
        """Press the button: whatever runs ends at once, and the machine boots anew."""
        if self._power is not None:
            self._power.cancel()
        self._power = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        """Boot again and again, for as long as what runs asks for a reboot."""
        while True:
            await self._off()
            await asyncio.sleep(self._timing.power)
            activation = self.take_rescue()
            await (self._boot_rescue(activation) if activation is not None else self._boot_disk())
            if self._chamber is None:
                return
            await self._chamber.gone.wait()

    async def _off(self) -> None:
        if self._sshd is not None:
            await self._sshd.close()
        if self._chamber is not None:
            await self._chamber.end()
        self._sshd = self._chamber = None

    async def _boot_rescue(self, activation: Activation) -> None:
        self._disks.reverse()
        keys = [asyncssh.generate_private_key("ssh-ed25519")]
        others = [asyncssh.generate_private_key("ssh-ed25519")]
        booted(activation, others if self._faults.announces_another_key else keys)
        await asyncio.sleep(self._timing.rescue)
        door = Door("root", tuple(key["data"] for key in activation.keys), activation.password)
        await self._up(System("rescue", _RESCUE), door, keys)

    async def _boot_disk(self) -> None:
        """Boot what is installed, from the first disk that has something; without one the machine stays dark."""
        for one in self._disks:
            with contextlib.suppress(disk.DiskError), one.file.open("rb") as file:
                content = disk.read(file, disk.root(file))
                await asyncio.sleep(self._timing.boot)
                await self._up(*_installed(content, one.file))
                return

    async def _up(self, system: System, door: Door, host_keys: list[Any]) -> None:
        if self._faults.never_up:
            return
        folder = self._disks[0].file.parent
        names = {f"sd{letter}": one for letter, one in zip("ab", self._disks, strict=True)}
        try:
            self._chamber = await Chamber.start(self._site, folder, system, names)
        except NoIsolation as problem:
            run: Run = partial(refuse, f"{_REFUSAL} ({problem})")
        else:
            run = partial(pass_on, self._chamber, door.user)
        self._sshd = Sshd(door, run)
        await self._sshd.listen(self._address, PORT, host_keys)


def make_disks(folder: Path) -> list[Disk]:
    """The machine's two disks: an empty one, and one that holds what nobody may touch."""
    model, size = "LAB SPARSE FILE", 8 * 10**9
    disks = [
        Disk(folder / "disk-c3d4", "0x5000c500a1b2c3d4", "LAB0C3D4", model, size),
        Disk(folder / "disk-c3ff", "0x5000c500a1b2c3ff", "LAB0C3FF", model, size),
    ]
    folder.mkdir(parents=True, exist_ok=True)
    for one in disks:
        one.file.touch(mode=0o600)
        os.truncate(one.file, one.size)
    with disks[1].file.open("r+b") as file:
        file.write(b"somebody's data\n" * 2**16)
        file.seek(0x438)
        file.write(b"\x53\xef")  # where an ext4 file system has its signature
    return disks


def _installed(content: dict[str, bytes], file: Path) -> tuple[System, Door, list[Any]]:
    """What the installed system makes of its disk: host name and keys from its user-data, its host key from ROOT."""
    release = dict(line.split("=", 1) for line in content.get("etc/os-release", b"").decode().splitlines())
    distribution = release.get("ID", "")
    name, keys = "localhost", tuple[str, ...]()
    with contextlib.suppress(cloudconfig.CloudConfigError):  # refused as a whole: neither a name nor a key
        found = cloudconfig.read(content.get(_USER_DATA.get(distribution, ""), b""), distribution, {})
        name, keys = found.host_name or name, found.keys
    own = content.get("etc/ssh/ssh_host_ed25519_key")
    key = asyncssh.import_private_key(own) if own else asyncssh.generate_private_key("ssh-ed25519")
    users = "root:x:0:0:root:/root:/bin/sh\n"
    system = System(name, {"etc/hostname": f"{name}\n", "etc/passwd": users, "etc/group": "root:x:0:\n"}, file)
    return system, Door("core", keys), [key]
