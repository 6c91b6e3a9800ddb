"""An ssh_config of an environment: `ssh -F state/prd/ssh_config azure-prd-01`, to exactly the pinned host keys.

Beside it lies `known_hosts`, with the keys that verify-etcd and install-hetzner have pinned. A host whose key nobody
has pinned yet is refused by ssh, and its block says so.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..fleet import Fleet
from ..project import Project
from ..references import path_of
from ..views import Note
from . import pins
from .inventory import Inventory

NAME, KNOWN_HOSTS = "ssh_config", "known_hosts"


@dataclass(frozen=True, slots=True)
class Entry:
    """One host: where its SSH is, who logs in, the file of the private key (if it is one), its pinned host key."""

    name: str
    address: str
    port: int
    identity: Path | None
    host_key: str = ""


def refresh(fleet: Fleet, at: Project) -> Path | None:
    """Write both files from the inventory, if they are not so already; None if it knows no host."""
    inventory = Inventory(at.inventory(fleet.environment))
    entries = [*_azure(fleet, inventory, at.root), *_dedicated(fleet, inventory, at.root)]
    if not entries:
        return None
    folder = at.state(fleet.environment)
    _write(folder / KNOWN_HOSTS, known_hosts(entries))
    _write(folder / NAME, config(entries, folder / KNOWN_HOSTS))
    return folder / NAME


def hint(fleet: Fleet, at: Project) -> Note | None:
    """How a person logs in now; nothing where no file was written."""
    inventory = Inventory(at.inventory(fleet.environment))
    entries, file = list(_azure(fleet, inventory, at.root)), at.state(fleet.environment) / NAME
    if not entries or not file.is_file():
        return None
    where = file.relative_to(at.root) if file.is_relative_to(at.root) else file
    unknown = sum(not one.host_key for one in entries)
    then = f"; {unknown} host keys are not pinned yet: verify-etcd pins them, until then ssh refuses" if unknown else ""
    return Note(f"To log in: ssh -F {where} {entries[0].name}{then}")


def config(entries: Iterable[Entry], known: Path) -> str:
    """The text for ssh (ssh_config(5)); `known` is the file of the host keys."""
    return "\n".join(
        ["# Written by the runbooks; what you change here is lost.", *(_block(one, known) for one in entries)]
    )


def known_hosts(entries: Iterable[Entry]) -> str:
    """The host keys that are pinned, as ssh looks for them (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT)."""
    places = ((f"[{one.address}]:{one.port}" if one.port != 22 else one.address, one.host_key) for one in entries)
    return "".join(f"{place} {key}\n" for place, key in places if key)


def _block(one: Entry, known: Path) -> str:
    lines = [
        f"HostName {one.address}",
        f"Port {one.port}",
        "User core",
        *([f"IdentityFile {_quoted(one.identity)}", "IdentitiesOnly yes"] if one.identity else []),
        f"UserKnownHostsFile {_quoted(known)}",
        "StrictHostKeyChecking yes",
        "UpdateHostKeys no",
    ]
    if not one.host_key:
        lines.append("# nobody has pinned its host key yet: runbooks verify does, and until then ssh refuses")
    return f"Host {one.name}\n" + "".join(f"  {line}\n" for line in lines)


def _quoted(path: Path) -> str:
    """A path as ssh_config(5) takes it: in quotes, and with its percent signs doubled."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%") + '"'


def _azure(fleet: Fleet, inventory: Inventory, root: Path) -> Iterator[Entry]:
    hosts, kept = inventory.read("azure").get("hosts", {}), inventory.read(pins.PART)
    pinned = pins.pinned(hosts, kept)
    identity = _identity(fleet.azure.login_key if fleet.azure else None, root)
    for name, one in hosts.items():
        if one["public_address"]:
            key = str(kept[name].get("key", "")) if name in pinned else ""
            yield Entry(name, one["public_address"], one["ssh_port"], identity, key)


def _dedicated(fleet: Fleet, inventory: Inventory, root: Path) -> Iterator[Entry]:
    identity = _identity(fleet.hetzner.login_key if fleet.hetzner else None, root)
    for name, one in inventory.read("dedicated").items():
        key = " ".join(str(one["host_key"]).split()[:2])
        yield Entry(name, one["address"], one["ssh_port"], identity, key)


def _identity(reference: str | None, root: Path) -> Path | None:
    """The file of a login key; None where it is kept elsewhere."""
    return path_of(reference, root).resolve() if reference and reference.startswith("file:") else None


def _write(file: Path, content: str) -> None:
    """Replace a file as a whole, unless it is so already."""
    if file.is_file() and file.read_text() == content:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    draft.write_text(content)
    draft.replace(file)
