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
from .faults import Faults
from .inside import disk
from .isolation import Chamber, Disk, NoIsolation, System
from .session import pass_on, refuse

PORT = 2222
FIRST = 321  # the number of the first server
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
    """How long things take, in seconds: power until firmware, rescue's announcement until SSH, the disk until SSH.

    `announce` is from the power until Robot knows the host keys. With a `speed` they go by so many times as fast.
    """

    power: float = 0.2
    rescue: float = 1.0
    boot: float = 0.2
    announce: float = 0.0
    speed: float = 1.0


class Machine:
    """Off until it is first reset or woken. Its disks' letters swap at every boot of the rescue system."""

    def __init__(self, site: Site, address: str, disks: list[Disk], timing: Timing, faults: Faults) -> None:
        self.take_rescue: Callable[[], Activation | None] = lambda: None
        self._site, self._address, self._disks = site, address, disks
        self._timing, self._faults = timing, faults
        self._armed, self._unarmed = list(faults.armed), list(faults.unarmed)
        self._last: Activation | None = None
        self._old = asyncssh.generate_private_key("ssh-ed25519")
        self._sshd: Sshd | None = None
        self._chamber: Chamber | None = None
        self._power: asyncio.Task[None] | None = None

    def reset(self, kind: str = "hw") -> None:
        """Press the button: whatever runs ends at once, and the machine boots anew."""
        if kind in self._faults.deaf:
            return
        before = self._power
        if before is not None:
            before.cancel()
        self._power = asyncio.get_running_loop().create_task(self._run(before))

    def wake(self) -> None:
        """Hear a Wake-on-LAN packet: who is off boots, who is not does not care."""
        if self._power is None:
            self.reset()

    def start(self) -> None:
        """Be what it is before anybody has asked for anything."""
        if self._faults.starts:
            self._unarmed.insert(0, self._faults.starts)
            self.reset()

    async def _run(self, before: asyncio.Task[None] | None) -> None:
        """Boot again and again, for as long as what runs asks for a reboot; what was under way is undone first."""
        if before is not None:
            await asyncio.wait([before])
        while True:
            await self._off()
            await self._pass(self._timing.power)
            await self._boot(self.take_rescue())
            if self._chamber is None:
                return
            await self._chamber.gone.wait()

    async def _boot(self, activation: Activation | None) -> None:
        turns, usual = (self._unarmed, "disk") if activation is None else (self._armed, "rescue")
        where = turns.pop(0) if turns else usual
        if where == "rescue" and (use := activation or self._last) is not None:
            await self._boot_rescue(use)
        elif where == "disk":
            await self._boot_disk()
        elif where == "old":
            await self._up(System("old", {**_RESCUE, "etc/hostname": "old\n"}), Door("root", ()), [self._old])

    async def _pass(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._timing.speed)

    async def _off(self) -> None:
        if self._sshd is not None:
            await self._sshd.close()
        if self._chamber is not None:
            await self._chamber.end()
        self._sshd = self._chamber = None

    async def _boot_rescue(self, activation: Activation) -> None:
        self._last = activation
        self._disks.reverse()
        await self._pass(self._timing.announce)
        keys = [asyncssh.generate_private_key("ssh-ed25519")]
        others = [asyncssh.generate_private_key("ssh-ed25519")]
        booted(activation, others if self._faults.announces_another_key else keys)
        await self._pass(self._timing.rescue)
        door = Door("root", tuple(key["data"] for key in activation.keys), activation.password)
        firmware = {"sys/firmware/efi/fw_platform_size": "64\n"} if self._faults.firmware == "UEFI" else {}
        await self._up(System(self._faults.host_name, {**_RESCUE, **firmware}), door, keys)

    async def _boot_disk(self) -> None:
        """Boot what is installed, from the first disk that has something; without one the machine stays dark."""
        for one in self._disks:
            with contextlib.suppress(disk.DiskError), one.file.open("rb") as file:
                content = disk.read(file, disk.root(file))
                await self._pass(self._timing.boot)
                await self._up(*_installed(content, one.file))
                return

    async def _up(self, system: System, door: Door, host_keys: list[Any]) -> None:
        if self._faults.never_up:
            return
        folder = self._disks[0].file.parent
        names = {f"sd{letter}": one for letter, one in zip("ab", self._disks, strict=False)}
        try:
            self._chamber = await Chamber.start(self._site, folder, system, names)
        except NoIsolation as problem:
            run: Run = partial(refuse, f"{_REFUSAL} ({problem})")
        else:
            run = partial(pass_on, self._chamber, door.user)
        self._sshd = Sshd(door, run)
        await self._sshd.listen(self._address, PORT, host_keys)


def make_disks(folder: Path, number: int, faults: Faults) -> list[Disk]:
    """The machine's two disks: an empty one, and one that holds what nobody may touch."""
    folder.mkdir(parents=True, exist_ok=True)
    one, other = (_disk(folder, number, last, faults) for last in ("c3d4", "c3ff"))
    with other.file.open("r+b") as file:
        file.write(b"somebody's data\n" * 2**16)
        file.seek(0x438)
        file.write(b"\x53\xef")  # where an ext4 file system has its signature
    return [made for made in (one, other) if made.file.name.removeprefix("disk-") not in faults.gone]


def _disk(folder: Path, number: int, last: str, faults: Faults) -> Disk:
    like = faults.disks.get(last, {})
    file, size = folder / f"disk-{last}", like.get("size", 8 * 10**9)
    file.touch(mode=0o600)
    os.truncate(file, size)
    wwn = f"0x5000c500a1b2{last}" if number == FIRST else f"0x5000c50{number:05x}{last}"
    return Disk(file, like.get("wwn", wwn), like.get("serial", f"LAB0{last.upper()}"), "LAB SPARSE FILE", size, like)


def _installed(content: dict[str, bytes], file: Path) -> tuple[System, Door, list[Any]]:
    """What the installed system makes of its disk: host name and keys from its user-data, its host key from ROOT."""
    release = dict(line.split("=", 1) for line in content.get("etc/os-release", b"").decode().splitlines())
    distribution = release.get("ID", "")
    name, keys, update = "localhost", tuple[str, ...](), dict[str, str]()
    with contextlib.suppress(cloudconfig.CloudConfigError):  # refused as a whole: neither a name nor a key
        found = cloudconfig.read(content.get(_USER_DATA.get(distribution, ""), b""), distribution, {})
        name, keys, update = found.host_name or name, found.keys, found.update
    settings = f"etc/{distribution}/update.conf"
    own = content.get("etc/ssh/ssh_host_ed25519_key")
    key = asyncssh.import_private_key(own) if own else asyncssh.generate_private_key("ssh-ed25519")
    users = "root:x:0:0:root:/root:/bin/sh\n"
    files = {"etc/hostname": f"{name}\n", "etc/passwd": users, "etc/group": "root:x:0:\n"}
    if settings in content:
        files[settings] = content[settings].decode() + "".join(f"{k.upper()}={v}\n" for k, v in update.items())
    return System(name, files, file), Door("core", keys), [key]
