"""What every stand-in of one lab shares: its range, folder, certificates, and the way to start a process."""

from __future__ import annotations

import ctypes
import os
import signal
import ssl
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Protocol

from .places import MARK

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Site:
    """One lab. `tls` is a server context with a certificate of the lab's own CA, whose PEM file is `ca`."""

    id: str
    network: IPv4Network
    folder: Path
    tls: ssl.SSLContext
    ca: Path

    def address(self, last: int) -> str:
        """The address of this lab with that last octet."""
        return str(self.network.network_address + last)

    def spawn(
        self, command: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path, stdin: int = subprocess.DEVNULL
    ) -> subprocess.Popen[bytes]:
        """Start a marked child that dies with the supervisor; its output is appended to `log`.

        To be called from the supervisor's main thread only: Linux sends the parent-death signal when the THREAD
        that spawned a child ends (prctl(2), PR_SET_PDEATHSIG). Raises OSError when it cannot be started.
        """
        with log.open("ab") as out:
            return subprocess.Popen(
                list(command),
                env={**env, MARK: self.id},
                cwd=cwd,
                stdin=stdin,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with(os.getpid()),  # noqa: PLW1509 - the supervisor has one thread
            )


class die_with:  # noqa: N801 - reads as a verb where it is used
    """A `preexec_fn`: kill this child when its parent dies, also if that happened before we got here."""

    def __init__(self, parent: int) -> None:
        self.parent = parent

    def __call__(self) -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != self.parent:
            os._exit(127)


@dataclass(frozen=True, slots=True)
class Machine:
    """What a cloud hands to a host when it boots: nothing else reaches it."""

    name: str  # the resource's name
    host_name: str  # osProfile.computerName
    custom_data: bytes  # decoded
    distribution: str  # "flatcar" or "coreos", from the image's publisher
    data_disks: tuple[str, ...]  # names of attached data disks, by LUN
    ssh: tuple[str, int] | None = None  # the public address and port that lead to its port 22


class Hosts(Protocol):
    """The lab's hosts, as the cloud's stand-in sees them."""

    def boot(self, machine: Machine) -> None:
        """Boot a new host. What goes wrong on the host is the host's own affair, seen in its status and log."""

    def destroy(self, name: str) -> None:
        """End a host and forget its root disk; unknown names are ignored."""

    def erase(self, disk: str) -> None:
        """Forget a data disk; unknown names are ignored."""
