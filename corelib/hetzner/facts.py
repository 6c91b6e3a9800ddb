"""What is known of a dedicated machine: frozen values, as Robot, its `lsblk` and the machine itself tell them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


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
    """A rescue activation. `host_keys`: SHA-256 fingerprints (`SHA256:…`); `boot_time`: Berlin's, or empty."""

    active: bool
    host_keys: frozenset[str]
    boot_time: str


@dataclass(frozen=True, slots=True)
class Installed:
    """An installed system that answered with its pinned host key. The digest is empty if there is no user-data."""

    host_name: str
    distribution: str
    version: str
    user_data_sha256: str


@dataclass(frozen=True, slots=True)
class Pin:
    """What an earlier install made known of a machine, as the inventory keeps it."""

    address: str
    ssh_port: int
    host_key_fingerprint: str
    disk: str

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Pin:
        """The pin in an inventory's entry, which is what `install` returned. Raises KeyError if it is no such entry."""
        return cls(entry["address"], entry["ssh_port"], entry["host_key_fingerprint"], entry["disk"])


@dataclass(frozen=True, slots=True)
class Observation:
    """One machine as observed: `server` None if Robot knows no such number, `pin` None if we never installed it.

    `installed` is None where nothing answered as that installed system; then `silence` says why, and `impostor`
    holds the fingerprint of whatever answered with another host key.
    """

    server: Server | None
    pin: Pin | None = None
    installed: Installed | None = None
    silence: str = ""
    impostor: str = ""


@dataclass(frozen=True, slots=True)
class Disk:
    """A whole disk as the machine's own `lsblk` shows it; `wwn` as in /dev/disk/by-id, size in bytes."""

    path: str
    wwn: str
    serial: str
    model: str
    size: int
    writable: bool
    removable: bool
    uses: tuple[str, ...]  # mount points and holders of it and of its partitions
