"""This machine in place of a member's host: the real commands, run by itself, and what they say of real disks."""

from __future__ import annotations

import subprocess
from functools import partial
from pathlib import Path

from corelib.etcd import host
from corelib.etcd.asking import AskHost
from corelib.etcd.intended import OnHost
from corelib.ssh import CommandTimedOut, Done


class Here:
    """A shell on this machine."""

    def run(self, *command: str, timeout: float = 30.0) -> Done:
        """As over SSH: a command that is not there ends with 127, one that does not end is an error."""
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
        except FileNotFoundError:
            return Done(127, "", f"{command[0]}: command not found")
        except subprocess.TimeoutExpired:
            raise CommandTimedOut(f"running {command[0]}", f"it did not end within {timeout:.0f} s") from None
        return Done(done.returncode, done.stdout, done.stderr)


def on_host(data: Path, *, data_disk: bool = False) -> OnHost:
    """A host whose etcd has its data there; whether that is a disk of its own."""
    return OnHost("etcd-member.service", str(data), data_disk=data_disk)


def asks(on: OnHost) -> AskHost:
    """Who tells of that host: the reader of all hosts, on this machine."""
    return partial(host.ask, Here(), on)
