"""Where a lab keeps its files (`.lab/<network>/` in the project, and a lock beside it), and what it is known by."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

from ..digests import blake2b

ENDPOINTS = "lab.json"  # present when the lab is ready
USERS = "users.lock"  # every user holds it shared
KEEP = "keep"  # present: the lab stays until it is stopped
LOG = "supervisor.log"

MARK = "RUNBOOKS_LAB"  # the environment variable that marks every process of a lab with its id

CONTROL = 250  # the last octet of the address that all stand-ins of providers listen on
ARM_PORT, IDENTITY_PORT, ROBOT_PORT, CONTROL_PORT = 8443, 8444, 8445, 8446
PUBLIC = range(100, 200)  # last octets handed out as public addresses of the cloud


def folder(root: Path, network: IPv4Network) -> Path:
    """The lab's folder, which lives as long as the lab."""
    return root / ".lab" / str(network).replace("/", "-")


def lock_file(root: Path, network: IPv4Network) -> Path:
    """What is locked while a lab is started or ends."""
    return folder(root, network).with_name(f"{folder(root, network).name}.lock")


def identity(root: Path, network: IPv4Network) -> str:
    """The lab's id: the same for one project and network, so that what a crash left behind can be found."""
    return blake2b(f"{root.resolve()} {network}".encode(), digest_size=6).hexdigest()
