"""Where a lab keeps its files: `.lab/<network>/` in the project, and a lock beside it."""

from __future__ import annotations

import hashlib
from ipaddress import IPv4Network
from pathlib import Path

ENDPOINTS = "lab.json"  # present when the lab is ready
USERS = "users.lock"  # every user holds it shared
KEEP = "keep"  # present: the lab stays until it is stopped
LOG = "supervisor.log"


def folder(root: Path, network: IPv4Network) -> Path:
    """The lab's folder, which lives as long as the lab."""
    return root / ".lab" / str(network).replace("/", "-")


def lock_file(root: Path, network: IPv4Network) -> Path:
    """What is locked while a lab is started or ends."""
    return folder(root, network).with_name(f"{folder(root, network).name}.lock")


def identity(root: Path, network: IPv4Network) -> str:
    """The lab's id: the same for one project and network, so that what a crash left behind can be found."""
    return hashlib.sha256(f"{root.resolve()} {network}".encode()).hexdigest()[:12]
