"""What a machine that did not come back has left: read from its rescue system, and nothing is written for it."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import RunbookError
from ..fleet import Dedicated
from ..ssh import Shell
from . import disks, target

_LINES = 60
_SILENT = "its ROOT has no journal: the new system never ran, or not as far as writing one"
# With its file systems as they are: a replay of their logs would write. So the last seconds before a reset may lack.
_AS_IT_IS = ("ro", "norecovery")


def collect(shell: Shell, host: Dedicated) -> dict[str, str]:
    """`disks`, `boot_entries`, `journal`: each as it reads, or why it cannot be read."""
    return {
        "disks": _told(lambda: shell.read("lsblk", "-o", "NAME,SIZE,FSTYPE,LABEL,PARTLABEL")),
        "boot_entries": _told(lambda: _boot_entries(shell)),
        "journal": _told(lambda: _journal(shell, host)),
    }


def _boot_entries(shell: Shell) -> str:
    if target.firmware(shell) == "BIOS":
        return "none to read: its rescue system was booted by a BIOS"
    return shell.read("efibootmgr")


def _journal(shell: Shell, host: Dedicated) -> str:
    """The end of the journal on the ROOT that was written."""
    disk = disks.choose(target.inventory(shell), host.disk, host.name)
    partition = disks.labels(shell.read("lsblk", "--json", "-b", "-o", disks.COLUMNS, disk.path)).get("ROOT")
    if partition is None:
        return f"{disk.path} has no partition named ROOT"
    place = shell.read("mktemp", "-d")
    try:
        with target.mounted(shell, partition, place, *_AS_IT_IS):
            return _read(shell, f"{place}/var/log/journal")
    finally:
        shell.run("rmdir", place)


def _read(shell: Shell, folder: str) -> str:
    if shell.run("test", "-d", folder).code != 0:
        return _SILENT
    how = ("--no-pager", "--quiet", "--utc", "--output=short-iso", f"--lines={_LINES}")
    return shell.read("journalctl", f"--directory={folder}", *how, timeout=60) or "the journal on its ROOT is empty"


def _told(read: Callable[[], str]) -> str:
    """What was read. That one thing cannot be read keeps nobody from the others."""
    try:
        return read()
    except RunbookError as problem:
        return f"it cannot be read: {problem.found}"
