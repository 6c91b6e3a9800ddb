"""The first process of a lab machine: makes the machine's root, and steps into it.

It is started in new user, mount, process, host-name and network namespaces. The root that it makes holds programs
and libraries of this computer, read-only and without devices; a `/dev` of harmless character devices and the
machine's own disks; a `/proc` of the machine's own processes; no `/sys`. Device nodes cannot be made in a user
namespace. Then it steps into a second user namespace, in which all of these mounts are locked: commands may mount
file systems of their own, and can neither unmount, nor make writable, what is there (mount_namespaces(7),
user_namespaces(7)). So nothing inside leads to a device of this computer, also where its root started the lab.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from . import disk, nodes
from .agent import PATH, Agent

HARMLESS = ("null", "zero", "full", "random", "urandom", "tty")
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix", "/gnu", "/etc/ld.so.cache")
SIMPLE = {  # stand-ins of few words: a machine has one user, who is root already, and nothing to wait for
    "reboot": "#!/bin/sh\nkill -INT 1\n",  # asks the first process, as Ctrl-Alt-Del does
    "sudo": '#!/bin/sh\nwhile [ "$1" = -n ] || [ "$1" = -- ]; do shift; done\nexec "$@"\n',
    "udevadm": "#!/bin/sh\ncase $1 in settle | trigger) exit 0 ;; esac\nexit 1\n",
}
_NEWNS, _NEWUSER = 0x20000, 0x10000000  # linux/sched.h


def main(spec: dict[str, Any]) -> int:
    """Boot: standard input is the line to the machine's SSH server; ends when the machine is rebooted from inside."""
    try:
        line = _boot(spec)
    except (OSError, subprocess.CalledProcessError, disk.DiskError) as problem:
        print(problem, file=sys.stderr)  # what the machine's user is told, after what `mount` said
        return 1
    Agent(line, spec["mark"]).run()
    return 0


def _boot(spec: dict[str, Any]) -> socket.socket:
    line = socket.socket(fileno=os.dup(0))
    for kind in ("user", "pid"):  # one more user namespace, below; no other process namespace, so no other /proc
        Path(f"/proc/sys/user/max_{kind}_namespaces").write_text("1")
    new = Path(spec["root"])
    _mount("-t", "tmpfs", "-o", "mode=755,nosuid,nodev", "tmpfs", str(new))
    _fill(new, spec)
    _devices(new, spec)
    _enter(new)
    socket.sethostname(spec["host_name"])
    _lock()
    nodes.refresh(spec["disks"])
    return line


def _fill(new: Path, spec: dict[str, Any]) -> None:
    """The files of the machine's own root, and what it borrows, read-only."""
    if spec["boots_from"]:
        with Path(spec["boots_from"]).open("rb") as file:
            disk.unpack(file, disk.root(file), new)
    for folder in ("dev", "etc", "mnt", "opt/lab/bin", "proc", "root", "run/lab", "run/lock", "tmp", "var/tmp"):
        (new / folder).mkdir(parents=True, exist_ok=True)
    for path, content in spec["files"].items():
        (new / path).parent.mkdir(parents=True, exist_ok=True)
        (new / path).write_text(content)
    for tool in (*spec["tools"], *SIMPLE):
        (new / "opt/lab/bin" / tool).write_text(SIMPLE.get(tool, spec["launcher"]))
        (new / "opt/lab/bin" / tool).chmod(0o755)
    (new / "run/lab/disks.json").write_text(json.dumps(spec["disks"]))
    if spec["root_on"]:
        root = {"/": {"node": f"/dev/{spec['root_on']}9", "mode": "ro"}}
        (new / "run/lab/mounts.json").write_text(json.dumps(root))
    for source in (*SYSTEM, *spec["borrowed"]):
        _borrow(source, new / source.lstrip("/"))
    _borrow(str(Path(__file__).parent), new / "opt/lab/inside")
    _forbid_writing(new)


def _borrow(source: str, target: Path) -> None:
    path = Path(source)
    if target.exists() or not path.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        target.symlink_to(path.readlink())
        return
    if path.is_dir():
        target.mkdir()
    else:
        target.touch()
    _mount("--rbind", source, str(target))


def _forbid_writing(new: Path) -> None:
    """Every mount below the root becomes read-only and loses its devices (mounts below a bind are mounts too)."""
    for text in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = text.split(" ")
        target = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
        if target.startswith(f"{new}/"):
            kept = ",noexec" if "noexec" in fields[5].split(",") else ""
            _mount("-o", f"remount,bind,ro,nosuid,nodev{kept}", target)


def _devices(new: Path, spec: dict[str, Any]) -> None:
    sources = {name: f"/dev/{name}" for name in HARMLESS} | {one["name"]: one["file"] for one in spec["disks"]}
    for name, source in sources.items():
        (new / "dev" / name).touch()
        _mount("--bind", source, str(new / "dev" / name))
    (new / "dev/fd").symlink_to("/proc/self/fd")
    (new / "dev/shm").mkdir()
    _mount("-t", "proc", "-o", "subset=pid,nosuid,nodev,noexec", "proc", str(new / "proc"))


def _enter(new: Path) -> None:
    """Make it the root of every process in here, and let go of the old one."""
    (new / "old").mkdir()
    os.chdir(new)
    subprocess.run(["pivot_root", ".", "old"], check=True)
    os.chdir("/")
    os.environ["PATH"] = PATH
    subprocess.run(["/bin/umount", "-l", "/old"], check=True)
    Path("/old").rmdir()


def _lock() -> None:
    """Step into a user and a mount namespace of its own: what was mounted outside of them is locked in there."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEWUSER | _NEWNS) != 0:  # os.unshare came with Python 3.12
        raise OSError(ctypes.get_errno(), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    for kind in ("uid", "gid"):
        Path(f"/proc/self/{kind}_map").write_text("0 0 1")


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)
