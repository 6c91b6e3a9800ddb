"""What Robot and the machines themselves say. Changes nothing."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import RunbookError
from ..fleet import Dedicated, Fleet
from ..ssh import Address, HostKeyMismatch, Shell
from .facts import Installed, Observation, Pin
from .loopback import is_loopback
from .robot import Robot

USER = "core"
USER_DATA = {
    "flatcar": "/var/lib/flatcar-install/user_data",
    "coreos": "/var/lib/coreos-install/user_data",
}


def observe(fleet: Fleet, robot: Robot, pins: Mapping[str, Pin], login_key: str) -> dict[str, Observation]:
    """An observation per dedicated host, by name; `login_key` is the operator's private key, as text.

    Nothing at all is asked where a plan would refuse the endpoint anyway. Raises RobotError; a machine that does not
    answer is an observation, not an error.
    """
    if not is_loopback(robot.base_url):
        return {}
    servers = {server.number: server for server in robot.servers()}
    return {
        host.name: _ask(fleet, host, Observation(servers.get(host.server), pins.get(host.name)), login_key)
        for host in fleet.dedicated
    }


def _ask(fleet: Fleet, host: Dedicated, known: Observation, login_key: str) -> Observation:
    """Ask the installed system, if one was ever installed by us and still is where it was."""
    pin = known.pin
    if pin is None or (pin.address, pin.ssh_port) != (str(host.address), host.ssh_port):
        return Observation(known.server, pin, silence="no host key is known of it")
    try:
        at = Address(pin.address, pin.ssh_port, USER, frozenset((pin.host_key_fingerprint,)))
        with Shell(at, login_key) as shell:
            return Observation(known.server, pin, installed(shell, fleet.release.distribution))
    except HostKeyMismatch as problem:
        return Observation(known.server, pin, silence=problem.found, impostor=problem.fingerprint)
    except RunbookError as problem:
        return Observation(known.server, pin, silence=problem.found)


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


def _settings(text: str) -> dict[str, str]:
    """The assignments of os-release(5)."""
    pairs = (line.partition("=") for line in text.splitlines() if not line.startswith("#"))
    return {name.strip(): value.strip().strip("\"'") for name, _, value in pairs if name.strip()}
