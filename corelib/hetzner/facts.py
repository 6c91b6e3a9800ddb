"""What is known of a dedicated machine: frozen values, as Robot, its `lsblk` and the machine itself tell them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

USER_DATA = {  # where a distribution's install script puts it, and its first boot reads it
    "flatcar": "/var/lib/flatcar-install/user_data",
    "coreos": "/var/lib/coreos-install/user_data",
}


@dataclass(frozen=True, slots=True)
class Server:
    """A server as Robot's list shows it."""

    number: int
    name: str
    address: str
    product: str
    location: str
    status: str
    cancelled: bool


@dataclass(frozen=True, slots=True)
class Rescue:
    """A rescue activation. `host_keys`: SHA-256 fingerprints (`SHA256:…`); `boot_time`: Berlin's, or empty.

    `keys` are the MD5 fingerprints of those that it lets in.
    """

    active: bool
    host_keys: frozenset[str]
    boot_time: str
    keys: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Installed:
    """An installed system that answered with its pinned host key. The digest is empty if there is no user-data."""

    host_name: str
    distribution: str
    version: str
    user_data_sha256: str


@dataclass(frozen=True, slots=True)
class Settled:
    """What else a freshly installed system says: its root disk's serial, settings for updates, clock, etcd."""

    root_serial: str
    group: str
    reboot_strategy: str
    seconds_off: float  # its clock against this computer's
    etcd: str  # the processes of etcd, which a dedicated machine does not run


@dataclass(frozen=True, slots=True)
class Pin:
    """What an install made known of a machine, as the inventory keeps it.

    `pending` until the new system was verified; `replaces` says that there was one before it. `left` is the MD5
    fingerprint of the install's temporary key, if that could not be taken away from Robot.
    """

    address: str
    ssh_port: int
    host_key_fingerprint: str
    disk: str
    pending: bool = False
    replaces: bool = False
    left: str = ""

    @property
    def known(self) -> bool:
        """Whether an installed system of ours was ever verified there."""
        return not self.pending or self.replaces

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Pin:
        """The pin in an inventory's entry, which is what `install` returned. Raises KeyError if it is no such entry."""
        place = (entry["address"], entry["ssh_port"], entry["host_key_fingerprint"], entry["disk"])
        return cls(*place, bool(entry.get("pending")), bool(entry.get("replaces")), str(entry.get("left_key") or ""))


@dataclass(frozen=True, slots=True)
class Holder:
    """What is built on a disk or its partitions: an md array, a logical volume, …; `shared` with another disk."""

    path: str
    kind: str
    shared: bool


@dataclass(frozen=True, slots=True)
class Disk:
    """A whole disk as the machine's own `lsblk` shows it; `names` as in /dev/disk/by-id, size in bytes."""

    path: str
    wwn: str  # the first of its names, empty if it has none
    serial: str
    model: str
    size: int
    writable: bool
    removable: bool
    names: frozenset[str] = frozenset()
    uses: tuple[str, ...] = ()  # mount points and swap on it and on all that is built on it
    holders: tuple[Holder, ...] = ()  # what has to be taken down first comes first
    holds: tuple[str, ...] = ()  # what is on it now, in words
    shares: tuple[str, ...] = ()  # signatures that another disk bears too: parts of one array, group or file system
    nodes: tuple[str, ...] = ()  # its partitions
    labels: frozenset[str] = frozenset()  # of its partitions and their file systems
    rivals: tuple[str, ...] = ()  # other disks that have a label by which the script and the new system look for theirs


@dataclass(frozen=True, slots=True)
class Approved:
    """The disk as it stood in the approved plan, and which attempt at writing on it was approved (from 1)."""

    name: str
    serial: str
    model: str
    size: int
    holds: tuple[str, ...]
    attempt: int

    @classmethod
    def of(cls, desired: Mapping[str, Any]) -> Approved:
        """From a step's desired content."""
        one = desired["target"]
        return cls(desired["disk"], one["serial"], one["model"], one["size"], tuple(one["holds"]), desired["attempt"])

    def differs(self, disk: Disk) -> str:
        """What a disk has otherwise than the plan, in words; empty if it is that disk."""
        pairs = [
            ("serial", disk.serial, self.serial),
            ("model", disk.model, self.model),
            ("size", disk.size, self.size),
        ]
        wrong = [
            f"its {what} is {found!r}, the plan says {planned!r}" for what, found, planned in pairs if found != planned
        ]
        return "; ".join(wrong)


@dataclass(frozen=True, slots=True)
class Standing:
    """What answers at a machine's address under a key that is known, and how far an install script in there is.

    `firmware` is how a rescue system was booted.
    """

    system: Literal["rescue", "installed", "silent"] = "silent"
    disks: tuple[Disk, ...] = ()
    script: Literal["none", "running", "good", "bad"] = "none"
    log: str = ""
    silence: str = "nothing of it is known"
    firmware: Literal["", "UEFI", "BIOS"] = ""


@dataclass(frozen=True, slots=True)
class Note:
    """How far an install is, as its last run saw it.

    `installs` counts those that came to their end, and is all that is kept of them. `look` is the content of a look at
    the disks that was begun and has not ended. `before` is the last boot of the rescue system before ours was armed;
    `host_keys` are those of ours. `attempt` counts how often a write was begun, and `open` says that the last one is
    neither given up nor lost; `wanted` names what it writes, `target` the disk as it was approved, and `failed` why
    what it has written is no good. `host_key` is the new system's, once it was made.
    """

    installs: int = 0
    look: Mapping[str, Any] = field(default_factory=dict)
    state: str = ""
    salt: str = ""
    before: Mapping[str, Any] | None = None
    host_keys: tuple[str, ...] = ()
    boot_time: str = ""
    attempt: int = 0
    open: bool = False
    wanted: str = ""
    target: Mapping[str, Any] = field(default_factory=dict)
    failed: str = ""
    host_key: str = ""
    host_key_fingerprint: str = ""
    states: Mapping[str, str] = field(default_factory=dict)  # when each state was reached last, UTC

    @property
    def idle(self) -> bool:
        """Whether no install is under way."""
        return self == Note(installs=self.installs)


NOTHING = Note()


@dataclass(frozen=True, slots=True)
class Observation:
    """One machine as observed: `server` None if Robot knows no such number, `pin` None if we never installed it.

    `installed` is None where nothing answered as that installed system; then `silence` says why, and `impostor`
    holds the fingerprint of whatever answered with another host key. `note` is what an install that has not ended yet
    remembered, and `standing` what answers of it. `anew` says that it is to be installed again, however well it is.
    """

    server: Server | None
    pin: Pin | None = None
    installed: Installed | None = None
    silence: str = ""
    impostor: str = ""
    note: Note = NOTHING
    standing: Standing = Standing()
    anew: bool = False
