"""What is done on a machine in its rescue system: look, write, check, prepare. Each command runs over pinned SSH."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from ..errors import ServiceFailed
from ..fleet import Dedicated, Release
from ..ssh import Shell, fingerprint
from . import disks
from .facts import Disk
from .observe import USER_DATA

WORK = "/run/coreos-runbooks"  # in the rescue system's memory: it is new at every boot

# One shell resolves the WWN again and writes, under a lock. The lock is a file of its own: udev would not look at
# the new partitions of a device that is itself locked (systemd.io/BLOCK_DEVICE_LOCKING), and the script needs them.
_WRITE = """
work=$1 wwn=$2 expected=$3
shift 3
(
    exec 9>"/run/lock/$wwn.lock"
    flock -n 9 || { echo "another install holds $wwn" >&2; exit 75; }
    device=$(readlink -f "/dev/disk/by-id/$wwn")
    [ "$device" = "$expected" ] || { echo "$wwn is $device now, and was $expected" >&2; exit 76; }
    "$@"
)
echo $? >"$work/exit.new"
mv "$work/exit.new" "$work/exit"
"""
# Detached, output to a file, exit code to a file: an orphan of the script was seen to keep a session's output open.
_DETACH = 'script=$1; shift; setsid nohup sh -c "$script" sh "$@" >"$1/log" 2>&1 </dev/null &'
_FOLLOW = 'cat "$1/exit" 2>/dev/null; echo; tail -n 5 "$1/log"'


@dataclass(frozen=True, slots=True)
class HostKey:
    """The host key that the installed system will have."""

    public: str
    fingerprint: str


def inventory(shell: Shell) -> tuple[Disk, ...]:
    """Every disk that the machine's own `lsblk` lists."""
    return disks.read(shell.read("lsblk", "--json", "-b", "-o", disks.COLUMNS))


def signatures(shell: Shell, disk: Disk) -> str:
    """What `wipefs` finds on a disk, for the record; it erases nothing."""
    return shell.read("wipefs", disk.path)


def upload(shell: Shell, name: str, content: bytes) -> str:
    """Put a file into the working folder, readable by root only; its SHA-256 is checked there. Returns its path."""
    path = f"{WORK}/{name}"
    shell.read("sh", "-c", 'umask 077; mkdir -p "$1"; cat >"$1/$2"; chmod 700 "$1/$2"', "sh", WORK, name, stdin=content)
    _expect(shell, path, hashlib.sha256(content).hexdigest(), "the upload was damaged: run again")
    return path


def start(shell: Shell, host: Dedicated, disk: Disk, release: Release, script: str, user_data: str) -> list[str]:
    """Start the install script, detached. Returns its command."""
    device = f"/dev/disk/by-id/{host.disk}"
    command = [script, "-d", device, "-C", release.channel, "-V", release.version, "-c", user_data]
    shell.read("sh", "-c", _DETACH, "sh", _WRITE, WORK, host.disk, disk.path, *command)
    return command


def progress(shell: Shell) -> tuple[int | None, str]:
    """The exit code of the install, None while it runs, and the last lines of its log."""
    code, _, log = shell.read("sh", "-c", f"{_FOLLOW}; :", "sh", WORK).partition("\n")
    if code.strip().isdigit():
        return int(code), log.strip()
    return None, f"{code}\n{log}".strip()


def judge(host: Dedicated, code: int, log: str) -> str:
    """The script's line of success. Raises ServiceFailed unless it has one and the exit code is 0."""
    last = log.splitlines()[-1] if log else ""
    good = code == 0 and last.startswith("Success!") and last.endswith(f"is installed on /dev/disk/by-id/{host.disk}")
    if not good:
        found = f"the install script ended with exit code {code}: {log[-500:] or 'it said nothing'}"
        remedy = "the disk is overwritten and not bootable; the machine stays in its rescue system"
        raise ServiceFailed(f"installing {host.name}", found, remedy)
    return last


def prepare(shell: Shell, host: Dedicated, disk: Disk, distribution: str, user_data_sha256: str) -> HostKey:
    """Mount the new ROOT, check the user-data on it, and make the host key that the installed system will have."""
    root = f"{WORK}/root"
    shell.read("udevadm", "settle", "--timeout=30")
    found = disks.partition(shell.read("lsblk", "--json", "-b", "-o", disks.COLUMNS, disk.path), "ROOT")
    if found is None:
        raise ServiceFailed(f"checking {disk.path} on {host.name}", "it has no partition labelled ROOT", "look at it")
    shell.read("mkdir", "-p", root)
    options = ["-o", "subvol=root"] if found[1] == "btrfs" else []
    shell.read("mount", *options, found[0], root)
    try:
        _expect(shell, f"{root}{USER_DATA[distribution]}", user_data_sha256, "it would boot with other user-data")
        return _make_host_key(shell, host, root)
    finally:
        shell.read("umount", root, timeout=120)


def _make_host_key(shell: Shell, host: Dedicated, root: str) -> HostKey:
    path = f"{root}/etc/ssh/ssh_host_ed25519_key"
    shell.read("mkdir", "-p", f"{root}/etc/ssh")
    shell.read("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", host.name, "-f", path)
    public = shell.read("cat", f"{path}.pub")
    return HostKey(public, fingerprint(public))


def _expect(shell: Shell, path: str, digest: str, remedy: str) -> None:
    found = shell.read("sha256sum", path).split()[0]
    if found != digest:
        raise ServiceFailed(f"checking {path} on {shell.address}", f"its SHA-256 is {found}, expected {digest}", remedy)
