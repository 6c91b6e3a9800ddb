"""What is to be done to the dedicated machines: keep, install, or why not. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from ..fleet import Dedicated, Fleet
from ..plan import Change, Plan, Step
from .facts import Installed, Observation, Server
from .loopback import is_loopback

RUNBOOK = "install-hetzner"
NOT_YET = "until its guards are complete, this version installs on a lab's endpoint only (127.0.0.0/8)"


def plan(
    fleet: Fleet,
    observations: Mapping[str, Observation],
    user_data: Mapping[str, bytes],
    installer_sha256: str,
    code: str,
    endpoint: str,
    refused: tuple[Step, ...] = (),
) -> Plan:
    """A step per dedicated host, behind those that are refused already. `user_data` by host name."""
    steps = list(refused)
    for host in fleet.dedicated:
        desired = _desired(fleet, host, user_data[host.name], installer_sha256)
        observed = observations.get(host.name, Observation(None))
        problem = _forbids(host, observed, endpoint)
        steps.append(_blocked(host, problem, desired) if problem else _step(fleet, host, observed, desired))
    return Plan(RUNBOOK, fleet.environment, {"robot": endpoint}, code, tuple(steps))


def target(host: Dedicated) -> str:
    """What names a host's step for good."""
    return f"{host.name}/server/{host.server}"


def consent(host: Dedicated) -> str:
    """The text that an operator must consent to."""
    return f"wipe {host.disk}"


def _desired(fleet: Fleet, host: Dedicated, user_data: bytes, installer_sha256: str) -> dict[str, Any]:
    return {
        "server": host.server,
        "address": str(host.address),
        "ssh_port": host.ssh_port,
        "disk": host.disk,
        "release": fleet.release.model_dump(mode="json"),
        "user_data_sha256": hashlib.sha256(user_data).hexdigest(),
        "installer_sha256": installer_sha256,
    }


def _forbids(host: Dedicated, observed: Observation, endpoint: str) -> str:
    """Why nothing may be done to a host; empty if something may."""
    for place in (endpoint, str(host.address)):
        if not is_loopback(place):
            return f"{NOT_YET}; {place} is not one"
    return _disagreement(host, observed.server) or _imposture(observed)


def _disagreement(host: Dedicated, server: Server | None) -> str:
    """What Robot says otherwise than the parameters."""
    if server is None:
        return f"Robot knows no server {host.server} under this login"
    pairs = [
        ("address", server.address, str(host.address)),
        ("name", server.name, host.name),
        ("state", "cancelled" if server.cancelled else server.status, "ready"),
    ]
    wrong = [f"the {what} {found!r}, expected {expected!r}" for what, found, expected in pairs if found != expected]
    return f"Robot says of server {host.server}: {'; '.join(wrong)}" if wrong else ""


def _imposture(observed: Observation) -> str:
    """That something answers with another host key than the installed system's."""
    if not observed.impostor or observed.pin is None:
        return ""
    return (
        f"it answers with the host key {observed.impostor}, pinned is {observed.pin.host_key_fingerprint}: find out "
        "which system answers; to install it anew, remove its entry from the inventory"
    )


def _step(fleet: Fleet, host: Dedicated, observed: Observation, desired: Mapping[str, Any]) -> Step:
    now = observed.installed
    changes = _changes(fleet, host, observed, desired)
    if now is not None and not changes:
        why = f"installed: {now.distribution} {now.version} answers with its pinned host key, its user-data is the same"
        return Step(target(host), "keep", f"{host.name} at {host.address}", why, desired=desired)
    return Step(
        target=target(host),
        action="create" if observed.pin is None else "replace",
        what=f"{fleet.release.distribution} {fleet.release.channel} {fleet.release.version} on {host.disk}",
        why=_why(observed, changes),
        interrupts=f"{host.name} is reset at once, and all data on {host.disk} is lost",
        consent=consent(host),
        changes=changes,
        desired=desired,
    )


def _changes(fleet: Fleet, host: Dedicated, observed: Observation, desired: Mapping[str, Any]) -> tuple[Change, ...]:
    """What differs between an installed system and the desired one; its version is its own updater's affair."""
    pin = observed.pin
    now = observed.installed or Installed("", "", "", "")
    pairs = [
        ("host name", now.host_name, host.name),
        ("distribution", now.distribution, fleet.release.distribution),
        ("user-data (SHA-256)", now.user_data_sha256, desired["user_data_sha256"]),
        ("disk", pin.disk if pin else "", host.disk),
    ]
    return tuple(Change(name, old or None, new) for name, old, new in pairs if old != new)


def _why(observed: Observation, changes: tuple[Change, ...]) -> str:
    if observed.pin is None:
        return "never installed by this project"
    if observed.installed is None:
        return f"it does not answer as the system that was installed: {observed.silence}"
    return f"{', '.join(change.name for change in changes)} differs"


def _blocked(host: Dedicated, why: str, desired: Mapping[str, Any]) -> Step:
    return Step(target(host), "blocked", f"{host.name} at {host.address}", why, desired=desired)
