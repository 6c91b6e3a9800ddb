"""The wall around a machine's processes: a control group in which the listed devices can be opened, and no others.

It holds for whatever way leads to a device: a node that is there, one in a `devtmpfs` that was mounted, a `mount`. The
kernel asks a program of the group at each (cgroup-v2.rst, "Device controller"; linux/bpf.h). The machine lives one
group below, and that is the root of its control group namespace: it sees no group in which it could undo this.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

Device = tuple[Literal["b", "c"], int, int]  # block or character, major and minor number

HARMLESS: dict[str, Device] = {
    "null": ("c", 1, 3),
    "zero": ("c", 1, 5),
    "full": ("c", 1, 7),
    "random": ("c", 1, 8),
    "urandom": ("c", 1, 9),
    "tty": ("c", 5, 0),
}
_CALL = {"x86_64": 321, "aarch64": 280}  # the system call's number
_LOAD, _ATTACH, _PROGRAM, _HOOK = 5, 8, 15, 6  # BPF_PROG_LOAD, _ATTACH, BPF_PROG_TYPE_CGROUP_DEVICE, BPF_CGROUP_DEVICE
_TYPES, _MKNOD = {"b": 1, "c": 2}, 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def unable() -> str:
    """Why there can be none here; empty if there can."""
    if platform.machine() not in _CALL:
        return f"the wall around devices is not written for {platform.machine()}"
    if _hierarchy() is None:
        return "no control groups of version 2 are mounted"
    return ""


def group(name: str) -> Path:
    """A control group that is not made yet."""
    found = _hierarchy()
    assert found is not None, "asked for before `unable`"
    return found / name


def build(group: Path, devices: Iterable[Device]) -> None:
    """From now on these devices can be opened there, and no node can be made. Takes the place of an earlier wall."""
    code = b"".join(_instructions(devices))
    program = ctypes.create_string_buffer(code, len(code))
    terms = ctypes.create_string_buffer(b"Apache-2.0")
    load = struct.pack("=IIQQ", _PROGRAM, len(code) // 8, ctypes.addressof(program), ctypes.addressof(terms))
    loaded = _bpf(_LOAD, load.ljust(72, b"\0"))
    target = os.open(group, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _bpf(_ATTACH, struct.pack("=IIII", target, loaded, _HOOK, 0))
    finally:
        os.close(target)
        os.close(loaded)


def _instructions(devices: Iterable[Device]) -> Iterable[bytes]:
    """Its argument is struct bpf_cgroup_dev_ctx (access << 16 | type, major, minor); its answer 1 is yes."""
    listed = list(devices)
    for register in (2, 3, 4):  # access and type, major, minor
        yield _instruction(0x61, register, offset=4 * (register - 2), source=1)
    yield _instruction(0x45, 2, offset=5 * len(listed) + 1, value=_MKNOD << 16)  # a node is to be made: go to the no
    yield _instruction(0x57, 2, value=0xFFFF)  # the type alone
    for kind, major, minor in listed:
        for register, value in ((2, _TYPES[kind]), (3, major), (4, minor)):
            yield _instruction(0x55, register, offset=6 - register, value=value)  # another one: go to the next
        yield from (_instruction(0xB7, 0, value=1), _instruction(0x95, 0))
    yield from (_instruction(0xB7, 0, value=0), _instruction(0x95, 0))


def _instruction(code: int, register: int, *, offset: int = 0, value: int = 0, source: int = 0) -> bytes:
    """BPF's instructions (RFC 9669): load, jump if set, and, jump if not equal, move, exit."""
    return struct.pack("=BBhi", code, source << 4 | register, offset, value)


def _bpf(command: int, attributes: bytes) -> int:
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    done: int = _LIBC.syscall(_CALL[platform.machine()], command, buffer, len(attributes))
    if done < 0:
        raise OSError(ctypes.get_errno(), f"bpf({command}): {os.strerror(ctypes.get_errno())}")
    return done


def _hierarchy() -> Path | None:
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    return None
