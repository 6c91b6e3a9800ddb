"""May this disk be overwritten? Each guard is a sentence of refusal, or nothing. Pure.

Those that need no value of a disk are where the thing itself is: that Robot agrees and nobody else installs (`rescue`),
the host key and the host name of the rescue system (`rescue`), the disk looked up again under a lock in the shell that
writes (`target`), the approval of exactly this plan (`corelib.plan`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..errors import Refused
from . import disks
from .facts import Approved, Disk

SMALLEST = 8 * 10**9  # bytes: the distribution's image and room to run (Flatcar's image alone is about 4.5 GB)
_LOCAL = re.compile(r"/dev/(?!loop|ram|zram)")


def check(found: tuple[Disk, ...], approved: Approved | None, host: str, *, begun: bool = False) -> Disk:
    """The one disk that may be overwritten. Raises Refused, naming every guard that does not hold.

    `begun` says that this very write was begun before, so that what the disk holds is not what was planned any more.
    """
    if approved is None:
        raise Refused(f"writing on a disk of {host}", "no plan that names it was approved", "plan, and approve that")
    disk = disks.choose(found, approved.name, host)
    problems = [*filter(None, [approved.differs(disk)]), *_use(disk), *_spans(disk), *_rivals(disk)]
    if not begun and disk.holds != approved.holds:
        now, then = "; ".join(disk.holds) or "nothing", "; ".join(approved.holds) or "nothing"
        problems.append(f"it holds {now}, and in the plan it held {then}")
    if problems:
        found_text = f"{disks.describe(disk)}: {'; '.join(problems)}"
        raise Refused(f"guarding {approved.name} on {host}", found_text, f"nothing was written. {_remedy(disk)}")
    return disk


def blocks(disk: Disk) -> str:
    """What forbids a disk already when the plan is made; empty if nothing does."""
    problems = [*_use(disk), *_spans(disk), *_rivals(disk)]
    return f"{'; '.join(problems)}. {_remedy(disk)}" if problems else ""


def firmware(planned: str | None, booted: str) -> str:
    """Why no boot entry can be made in a rescue system that was `booted` by this firmware; empty if none is needed."""
    if planned == "uefi" and booted == "BIOS":
        return (
            "the parameters say firmware: uefi, and its rescue system was booted by a BIOS, from which no boot entry "
            "can be made: have it boot by UEFI (its firmware's settings, vKVM), or correct the parameters"
        )
    return ""


def root(mounts: str) -> str:
    """Why a system whose /proc/self/mounts this is must not be written from; empty if its root is in memory."""
    sources = [line.split(" ")[0] for line in mounts.splitlines() if line.split(" ")[1:2] == ["/"]]
    if sources and _LOCAL.match(sources[-1]):
        return f"its root file system is on {sources[-1]}: that is an installed system, not the rescue system"
    return ""


def teardown(disk: Disk) -> tuple[tuple[str, ...], ...]:
    """The commands that take down what is built on this disk alone, outermost first. Raises Refused if it is shared."""
    if problem := "; ".join(_spans(disk)):
        raise Refused(f"taking down what is built on {disk.path}", problem, _remedy(disk))
    return tuple(_down(holder.kind, holder.path) for holder in disk.holders)


def _down(kind: str, path: str) -> tuple[str, ...]:
    if kind == "lvm":
        return ("lvchange", "--activate", "n", "--yes", path)
    if kind.startswith(("raid", "linear", "md")):
        return ("mdadm", "--stop", path)
    raise Refused(f"taking down {path}", f"it is a {kind}, which is none of ours to take down", "take it down by hand")


def _use(disk: Disk) -> Iterator[str]:
    if not disk.writable:
        yield "it is read-only"
    if disk.removable:
        yield "it is removable"
    if disk.size < SMALLEST:
        yield f"it has {disk.size / 10**9:.1f} GB, and {SMALLEST / 10**9:.0f} GB are needed"
    if disk.uses:
        yield f"it is in use: {', '.join(disk.uses)}"
    if others := [
        one for one in disk.holders if one.kind != "lvm" and not one.kind.startswith(("raid", "linear", "md"))
    ]:
        yield f"it is in use: {', '.join(f'{one.path} ({one.kind})' for one in others)}"


def _spans(disk: Disk) -> Iterator[str]:
    shared = [f"{one.path} ({one.kind})" for one in disk.holders if one.shared]
    if shared or disk.shares:
        yield f"it is one of several disks of {', '.join([*shared, *disk.shares])}"


def _rivals(disk: Disk) -> Iterator[str]:
    if disk.rivals:
        theirs = "; ".join(disk.rivals)
        yield (
            f"the script and the installed system find partitions by label, and another disk has such: {theirs} "
            "(rename them there: e2label, sfdisk --part-label)"
        )


def _remedy(disk: Disk) -> str:
    if any(one.shared for one in disk.holders) or disk.shares:
        return "Take it out of that by hand first (mdadm --fail, --remove and --zero-superblock; vgreduce and pvremove)"
    if disk.uses:
        return "Unmount it (umount, swapoff), then run again"
    return "Look at it, and plan again"
