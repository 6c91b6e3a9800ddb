"""What Robot and the machines themselves say. Changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from ..errors import RunbookError
from ..fleet import Dedicated, Fleet
from ..ssh import Address, HostKeyMismatch, Shell
from . import disks, standing
from .facts import NOTHING, USER_DATA, Installed, Note, Observation, Pin, Settled
from .robot import Robot

USER = "core"
_AT_ONCE = 50


def observe(
    fleet: Fleet, robot: Robot, pins: Mapping[str, Pin], login_key: str, notes: Mapping[str, Note] | None = None
) -> dict[str, Observation]:
    """An observation per dedicated host, by name; `login_key` is the operator's private key, as text.

    `notes` are of installs that have not ended. Raises RobotError; a machine that does not answer is an observation,
    not an error.
    """
    servers = {server.number: server for server in robot.servers()}
    noted = notes or {}

    def one(host: Dedicated) -> Observation:
        known = Observation(servers.get(host.server), pins.get(host.name), note=noted.get(host.name, NOTHING))
        return _ask(fleet, host, known, login_key, robot)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(zip((host.name for host in fleet.dedicated), pool.map(one, fleet.dedicated), strict=True))


def _ask(fleet: Fleet, host: Dedicated, known: Observation, login_key: str, robot: Robot) -> Observation:
    """Ask what an install has left under way, else the installed system, if one was ever installed by us."""
    if not known.note.idle:
        found = standing.look(host, known.note, login_key)
        known = replace(known, standing=found)
        if found.system != "silent":
            return known
    pin = known.pin
    if pin is None or (pin.address, pin.ssh_port) != (str(host.address), host.ssh_port):
        return replace(known, silence="no host key is known of it")
    try:
        at = Address(pin.address, pin.ssh_port, USER, frozenset((pin.host_key_fingerprint,)))
        with Shell(at, login_key) as shell:
            return replace(known, installed=installed(shell, fleet.release.distribution))
    except HostKeyMismatch as problem:
        last = robot.last_rescue(host.server)
        if last is not None and problem.fingerprint in last.host_keys:
            return replace(known, silence="its rescue system answers")
        return replace(known, silence=problem.found, impostor=problem.fingerprint)
    except RunbookError as problem:
        return replace(known, silence=problem.found)


def installed(shell: Shell, distribution: str) -> Installed:
    """What an installed system says of itself. Raises SshError."""
    release = _settings(shell.read("cat", "/etc/os-release"))
    digest = shell.run("sudo", "-n", "sha256sum", USER_DATA[distribution])
    return Installed(
        host_name=shell.read("hostname"),
        distribution=release.get("ID", ""),
        version=release.get("VERSION_ID", ""),
        user_data_sha256=digest.out.split()[0] if digest.code == 0 else "",
    )


def settled(shell: Shell, distribution: str, now: float) -> Settled:
    """What an installed system says of its disk, updates, clock (`now`: POSIX, here) and etcd. Raises SshError."""
    updates = _settings(shell.run("cat", f"/etc/{distribution}/update.conf").out)
    names = shell.run("sh", "-c", "cat /proc/[0-9]*/comm 2>/dev/null").out.split()
    return Settled(
        root_serial=disks.root_of(shell.read("lsblk", "--json", "-b", "-o", disks.COLUMNS)),
        group=updates.get("GROUP", ""),
        reboot_strategy=updates.get("REBOOT_STRATEGY", ""),
        seconds_off=float(shell.read("date", "+%s")) - now,
        etcd=", ".join(sorted({name for name in names if name.startswith("etcd")})),
    )


def _settings(text: str) -> dict[str, str]:
    """The assignments of os-release(5)."""
    pairs = (line.partition("=") for line in text.splitlines() if not line.startswith("#"))
    return {name.strip(): value.strip().strip("\"'") for name, _, value in pairs if name.strip()}
