"""What is done on a machine in its rescue system: look, wipe, write, check. Each command runs over pinned SSH."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from ..errors import Refused, ServiceFailed
from ..fleet import Dedicated, Fleet
from ..ssh import Shell, fingerprint
from . import disks
from .facts import USER_DATA, Disk
from .uploads import WORK, expect

Script = Literal["none", "running", "good", "bad"]

# The one shell that writes looks the disk up again, under a lock. The lock is a file of its own: udev would not look at
# the new partitions of a device that is itself locked (systemd.io/BLOCK_DEVICE_LOCKING), and the script needs them.
_LOCKED, _MOVED = 75, 76
_GUARDED = f"""
work=$1 name=$2 expected=$3
shift 3
exec 9>"/run/lock/$name.lock"
flock -w 5 9 || {{ echo "guard: another install holds $name" >&2; exit {_LOCKED}; }}
device=$(readlink -f "/dev/disk/by-id/$name")
[ "$device" = "$expected" ] || {{ echo "guard: $name is $device now, and was $expected" >&2; exit {_MOVED}; }}
"""
_WIPE = f"""{_GUARDED}
for command; do sh -c "$command" || exit 77; done
wipefs --all "$device" && blockdev --rereadpt "$device" && udevadm settle --timeout=30
"""
# Begun at most once, whoever asks again. An orphan of the script was seen to keep a session's output open: so it is
# detached, with its output in a file and its exit code in another.
_WRITE = f"""
(set -C; echo $$ >"$1/started") 2>/dev/null || exit 0
({_GUARDED}
"$@")
echo $? >"$1/exit.new"
mv "$1/exit.new" "$1/exit"
"""
_DETACH = 'script=$1; shift; setsid nohup sh -c "$script" sh "$@" >>"$1/log" 2>&1 </dev/null &'
# What was killed leaves no exit code. Between the two looks at it, it may have come.
_FOLLOW = """
[ -e "$1/started" ] || { echo none; exit; }
read -r pid <"$1/started" || pid=$$
kill -0 "$pid" 2>/dev/null && alive=running || alive=255
if [ -e "$1/exit" ]; then cat "$1/exit"; else echo $alive; fi
tail -n 40 "$1/log"
:
"""


@dataclass(frozen=True, slots=True)
class HostKey:
    """The host key that the installed system will have."""

    public: str
    fingerprint: str


def inventory(shell: Shell) -> tuple[Disk, ...]:
    """Every disk that the machine's own `lsblk` lists, and what `pvs` says of volume groups, where there are any."""
    listed = shell.read("lsblk", "--json", "-b", "-o", disks.COLUMNS)
    if "LVM2_member" not in listed:
        return disks.read(listed)
    lines = shell.read("pvs", "--noheadings", "-o", "pv_name,vg_name").splitlines()
    return disks.read(listed, dict(line.split()[:2] for line in lines if len(line.split()) > 1))


def signatures(shell: Shell, disk: Disk) -> str:
    """What `wipefs` finds on a disk and its partitions, for the record; it erases nothing."""
    return "\n".join(filter(None, (shell.read("wipefs", node) for node in (disk.path, *disk.nodes))))


def firmware(shell: Shell) -> Literal["UEFI", "BIOS"]:
    """How the rescue system was booted."""
    return "UEFI" if shell.run("test", "-d", "/sys/firmware/efi").code == 0 else "BIOS"


def wipe(shell: Shell, name: str, disk: Disk, down: Sequence[Sequence[str]]) -> None:
    """Take down what is built on a disk, and erase every signature of it and of its partitions.

    Raises ServiceFailed, also where the kernel goes on using the old partitions.
    """
    commands = [shlex.join(one) for one in (*down, *(("wipefs", "--all", node) for node in reversed(disk.nodes)))]
    done = shell.run("sh", "-c", _WIPE, "sh", WORK, name, disk.path, *commands, timeout=120)
    left = shell.run("wipefs", disk.path).out.strip()
    if done.code or left:
        said = (done.err or done.out).strip()
        if stopped := _guarded(done.code, said):
            after = "when that install has ended, " if done.code == _LOCKED else ""
            raise Refused(f"wiping {disk.path}", stopped, f"nothing was wiped: {after}plan again")
        found = f"exit code {done.code}: {said[-300:] or f'left on it: {left}'}"
        remedy = (
            "find out what holds it (lsblk, fuser -vm), then plan again; it may be overwritten and not bootable, and "
            "the machine stays in its rescue system"
        )
        raise ServiceFailed(f"wiping {disk.path}", found, remedy)


def command(fleet: Fleet, host: Dedicated, script: str, user_data: str, image: str, *, uefi: bool) -> list[str]:
    """The install script's command line. Nothing in it lets an image through whose signature is bad."""
    release, hetzner = fleet.release, fleet.hetzner
    options = ["-d", f"/dev/disk/by-id/{host.disk}", "-c", user_data]
    options += ["-f", image] if image else ["-C", release.channel, "-V", release.version]
    options += ["-b", hetzner.mirror] if hetzner and hetzner.mirror and not image else []
    return [script, *options, *(["-u"] if uefi else [])]


def start(shell: Shell, name: str, disk: Disk, attempt: int, command: Sequence[str]) -> None:
    """Start the install script, detached; if this attempt's was started before, nothing happens."""
    shell.read("sh", "-c", _DETACH, "sh", _WRITE, f"{WORK}/{attempt}", name, disk.path, *command)


def progress(shell: Shell, attempt: int) -> tuple[int | None, str]:
    """The exit code of an attempt's script, None while it runs or if it was never started; its log's last lines."""
    code, _, log = shell.read("sh", "-c", _FOLLOW, "sh", f"{WORK}/{attempt}").partition("\n")
    return (int(code) if code.isdigit() else None), ("" if code == "none" else log.strip())


def script(shell: Shell, host: Dedicated, attempt: int) -> tuple[Script, str]:
    """How far an attempt's script is, and its log's last lines."""
    code, log = progress(shell, attempt)
    if code is None:
        begun = shell.run("test", "-e", f"{WORK}/{attempt}/started").code == 0
        return ("running" if begun else "none"), log
    return ("good" if success(host, code, log) else "bad"), log


def success(host: Dedicated, code: int, log: str) -> str:
    """The script's line of success, empty unless it has one and the exit code is 0."""
    words = f"is installed on /dev/disk/by-id/{host.disk}"
    lines = [line for line in log.splitlines() if line.startswith("Success!") and line.endswith(words)]
    return lines[-1] if lines and code == 0 else ""


def judge(host: Dedicated, code: int, log: str) -> str:
    """The script's line of success. Raises ServiceFailed unless it has one and the exit code is 0."""
    if line := success(host, code, log):
        return line
    if stopped := _guarded(code, log):
        remedy = "the disk is wiped, and nothing was written on it: plan again, and approve another attempt"
        raise Refused(f"installing {host.name}", f"the install script was not begun: {stopped}", remedy)
    found = f"the install script ended with exit code {code}: {log[-500:] or 'it said nothing'}"
    remedy = (
        "the disk is overwritten and not bootable; the machine stays in its rescue system. Remove the cause, plan "
        "again, and approve another attempt"
    )
    raise ServiceFailed(f"installing {host.name}", found, remedy)


def _guarded(code: int, said: str) -> str:
    """What the guard in the shell that writes has said, if it was that which ended it; else empty."""
    last = said.splitlines()[-1] if said else ""
    return last.removeprefix("guard: ") if code in (_LOCKED, _MOVED) and last.startswith("guard: ") else ""


def layout(shell: Shell, host: Dedicated, disk: Disk) -> dict[str, tuple[str, str]]:
    """Check the partition table that was written; node and file system by label. Raises ServiceFailed."""
    shell.read("udevadm", "settle", "--timeout=30")
    found = disks.labels(shell.read("lsblk", "--json", "-b", "-o", disks.COLUMNS, disk.path))
    if missing := [label for label in ("EFI-SYSTEM", "USR-A", "OEM", "ROOT") if label not in found]:
        has = ", ".join(sorted(found)) or "none"
        wrong = f"no partition is labelled {' or '.join(missing)}; there are: {has}"
        raise ServiceFailed(f"checking {disk.path} on {host.name}", wrong, "do not reboot it, it would not come up")
    return found


def uefi(shell: Shell, host: Dedicated) -> bool:
    """Whether the new system needs a boot entry: the parameters say it, else how the rescue system was booted."""
    return host.firmware == "uefi" if host.firmware else firmware(shell) == "UEFI"


def boot_entry(shell: Shell, host: Dedicated, disk: Disk) -> str:
    """The firmware's entry for the new system, which names its EFI partition. Raises ServiceFailed if it has none."""
    listed = shell.read("lsblk", "--json", "-o", "NAME,PARTLABEL,PARTUUID", disk.path)
    identity, said = disks.identity(listed, "EFI-SYSTEM"), shell.read("efibootmgr", "-v")
    if line := entry(said, identity):
        return line
    make = f"efibootmgr -c -d /dev/disk/by-id/{host.disk} -p 1 -L {host.name} -l '\\efi\\boot\\bootx64.efi'"
    wrong = f"its firmware has no entry that boots the EFI partition {identity or 'of an unknown GUID'}: {said[-500:]}"
    raise ServiceFailed(
        f"checking the boot entries of {host.name}", wrong, f"make one in its rescue system, then run again: {make}"
    )


def entry(said: str, identity: str) -> str:
    """The active entry that boots from the partition of this GUID, in the output of `efibootmgr -v`; or empty."""
    active = [line for line in said.splitlines() if re.match(r"Boot[0-9A-Fa-f]{4}\*", line)]
    ours = [line for line in active if identity and f",gpt,{identity},".lower() in line.lower()]
    return " ".join(ours[0].split()) if ours else ""


def prepare(
    shell: Shell, host: Dedicated, partition: tuple[str, str], distribution: str, user_data_sha256: str
) -> HostKey:
    """Mount the new ROOT, check the user-data on it, and make the host key that the installed system will have."""
    root = f"{WORK}/root"
    shell.read("mkdir", "-p", root)
    if shell.run("mountpoint", "-q", root).code == 0:  # a run that was killed has left it
        shell.read("umount", root, timeout=120)
    with mounted(shell, partition, root):
        remedy = "do not reboot it, it would boot with other user-data; its script's log may say what has altered it"
        expect(shell, f"{root}{USER_DATA[distribution]}", user_data_sha256, remedy)
        return _make_host_key(shell, host, root)


@contextmanager
def mounted(shell: Shell, partition: tuple[str, str], place: str, *options: str) -> Iterator[None]:
    """A partition (node, file system) mounted at a place, with these of mount's options, for as long as it takes."""
    node, kind = partition
    chosen = [*options, *(["subvol=root"] if kind == "btrfs" else [])]
    shell.read("mount", *(["-o", ",".join(chosen)] if chosen else []), node, place)
    try:
        yield
    finally:
        shell.read("umount", place, timeout=120)


def _make_host_key(shell: Shell, host: Dedicated, root: str) -> HostKey:
    """Made once: a run that was killed may have made it."""
    path = f"{root}/etc/ssh/ssh_host_ed25519_key"
    shell.read("mkdir", "-p", f"{root}/etc/ssh")
    if shell.run("test", "-s", f"{path}.pub").code != 0:
        shell.read("rm", "-f", path, f"{path}.pub")
        shell.read("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", host.name, "-f", path)
    public = shell.read("cat", f"{path}.pub")
    return HostKey(public, fingerprint(public))
