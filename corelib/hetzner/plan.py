"""What is to be done to the dedicated machines: keep, look at their disks, install, or why not. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ..fleet import Dedicated, Fleet
from ..plan import Action, Change, Plan, Step
from . import guards
from . import position as positions
from .disks import BUILT, describe
from .facts import Disk, Installed, Note, Observation, Server, Standing

RUNBOOK = "install-hetzner"
_LIMITS = (  # what Robot answers in an hour, and how often a look and an install ask it; the most limited first
    ("POST /reset", 50, 1, 0),
    ("GET /boot/…/rescue/last", 500, 10, 0),
    ("POST /key", 200, 1, 1),
    ("DELETE /key", 200, 1, 1),
    ("GET /key", 500, 3, 3),
)
_HOUR = 3600
_LOOK, _LEFTOVER = "/rescue", "/leftover"
_ASKED = Change("install", "the one that is there", "another, as asked for (replace)")


def plan(
    fleet: Fleet,
    observations: Mapping[str, Observation],
    user_data: Mapping[str, bytes],
    installer_sha256: str,
    code: str,
    endpoint: str,
    refused: tuple[Step, ...] = (),
) -> Plan:
    """A step per dedicated host, behind those that are refused already. `user_data` by host name.

    A machine whose disks nobody has looked at yet is booted into its rescue system first; which disk is wiped is the
    next plan's affair, and needs its own approval.
    """
    steps = list(refused)
    for host in fleet.dedicated:
        observed = observations.get(host.name, Observation(None))
        desired = _desired(fleet, host, observed.note, user_data[host.name], installer_sha256)
        step = _step(fleet, host, observed, desired)
        steps.append(_once(step, host, observed.note.installs) if observed.anew else step)
        if step.action == "keep" and observed.pin and observed.pin.left:
            steps.append(_leftover(host, observed.pin.left))
    return Plan(RUNBOOK, fleet.environment, {"robot": endpoint}, code, tuple(steps))


def target(host: Dedicated) -> str:
    """What names a host's step for good."""
    return f"{host.name}/server/{host.server}"


def looks(step: Step) -> bool:
    """Whether a step is no more than a look at the disks."""
    return step.target.endswith(_LOOK)


def tidies(step: Step) -> bool:
    """Whether a step takes away what an install has left at Robot, and is no more than that."""
    return step.target.endswith(_LEFTOVER)


def host_of(step: Step) -> str:
    """The name of a step's host."""
    return step.target.partition("/")[0]


def anew_in(targets: Iterable[str]) -> dict[str, int]:
    """The machines that a plan with these targets installs anew as asked, each with how often it was done before."""
    named = (one.removesuffix(_LOOK).rpartition("@") for one in targets)
    return {place.partition("/")[0]: int(number) for place, at, number in named if at}


def consent(host: Dedicated) -> str:
    """The text that an operator must consent to."""
    return f"wipe {host.disk} of {host.name}"


def wanted(desired: Mapping[str, Any]) -> str:
    """What names the thing that is written, whichever attempt at it this is."""
    thing = {name: value for name, value in desired.items() if name not in ("target", "attempt")}
    return hashlib.sha256(json.dumps(thing, sort_keys=True).encode()).hexdigest()


def lasts(plan: Plan) -> str:
    """How long Robot's limits make a plan last, in words; empty where none is ever reached."""
    hours, call, limit = _longest(plan)
    if hours < 1:
        return ""
    return f"Robot allows {limit} {call} in an hour: {len(plan.pending)} machines take at least {hours} h"


def queue(plan: Plan) -> float:
    """How many seconds one request of a plan may wait for Robot's limits.

    Twice as long as all of them need: each machine may need a second reset, and the account has other users.
    """
    return 2.0 * _HOUR * (_longest(plan)[0] + 1)


def _longest(plan: Plan) -> tuple[int, str, int]:
    """The most hours that a limit is waited for, and which: the call, and how often Robot answers it in an hour."""
    count = len(plan.pending)
    looking = sum(looks(step) for step in plan.pending)
    asked = [(call, limit, looking * look + (count - looking) * install) for call, limit, look, install in _LIMITS]
    return max(((max(often - 1, 0) // limit, call, limit) for call, limit, often in asked), key=lambda one: one[0])


def _desired(fleet: Fleet, host: Dedicated, note: Note, user_data: bytes, installer_sha256: str) -> dict[str, Any]:
    hetzner = fleet.hetzner
    source: dict[str, Any] = {}
    if hetzner and hetzner.image:
        source = {"image_sha256": hetzner.image.sha256}
    elif hetzner and hetzner.mirror:
        source = {"mirror": hetzner.mirror}
    return {
        **_place(fleet, host, note),
        "disk": host.disk,
        "release": fleet.release.model_dump(mode="json"),
        "user_data_sha256": hashlib.sha256(user_data).hexdigest(),
        "installer_sha256": installer_sha256,
        **({"firmware": host.firmware} if host.firmware else {}),
        **source,
    }


def _place(fleet: Fleet, host: Dedicated, note: Note) -> dict[str, Any]:
    """Which machine, for which environment, and how often it was installed before: no approval outlives an install."""
    return {
        "environment": fleet.environment,
        "server": host.server,
        "address": str(host.address),
        "ssh_port": host.ssh_port,
        "installs": note.installs,
    }


def _once(step: Step, host: Dedicated, installs: int) -> Step:
    """A step that was asked for: its target says after how many installs, so that it is not done again by itself."""
    return replace(step, target=step.target.replace(target(host), f"{target(host)}@{installs}", 1))


def _step(fleet: Fleet, host: Dedicated, observed: Observation, desired: dict[str, Any]) -> Step:
    if problem := _disagreement(host, observed.server) or _imposture(observed):
        return _blocked(host, problem, desired)
    note, now = observed.note, observed.installed
    changes = (*_changes(fleet, host, observed, desired), *((_ASKED,) if observed.anew else ()))
    if note.idle and now is not None and not changes:
        why = f"installed: {now.distribution} {now.version} answers with its pinned host key, its user-data is the same"
        return Step(target(host), "keep", f"{host.name} at {host.address}", why, desired=desired)
    return _next(fleet, host, observed, desired, changes)


def _next(
    fleet: Fleet, host: Dedicated, observed: Observation, desired: dict[str, Any], changes: tuple[Change, ...]
) -> Step:
    note, now = observed.note, observed.standing
    position = positions.position(note, now, wanted(desired))
    if position == "busy":
        return _blocked(host, "the install script of another plan runs on it: wait for its end", desired)
    if position in ("arm", "lost"):
        return _look(fleet, host, observed, changes, lost=position == "lost")
    attempt = positions.attempt(note, now, wanted(desired))
    goes_on = attempt == note.attempt
    if goes_on:
        planned = dict(note.target)
    else:
        found = [disk for disk in now.disks if host.disk in disk.names]
        if problem := _unfit(host, now.disks, found) or guards.firmware(host.firmware, now.firmware):
            return _blocked(host, problem, desired)
        planned = _as_planned(found[0])
    about = f"{planned['model']} {planned['serial']}, {planned['size'] / 10**9:.1f} GB"
    down = ", and what is built on it is taken down" if any(one.startswith(BUILT) for one in planned["holds"]) else ""
    action: Action = "replace" if observed.pin is not None and observed.pin.known else "create"
    return Step(
        target=target(host),
        action=action,
        what=f"{_source(fleet)} on {host.disk} ({about}) of {_words(host, observed.server)}{_boots(host, now)}",
        why=_goes_on(position) if goes_on else _why(observed, changes),
        interrupts=f"all data on {host.disk} is lost{down}: {'; '.join(planned['holds']) or 'it holds nothing known'}",
        consent=consent(host),
        changes=changes,
        desired={**desired, "target": planned, "attempt": attempt},
    )


def _look(fleet: Fleet, host: Dedicated, observed: Observation, changes: tuple[Change, ...], *, lost: bool) -> Step:
    why = f"{_why(observed, changes)}; which disk is wiped is planned when its disks have been looked at"
    if lost:
        why = f"a write was begun, and what became of it is not known: {observed.standing.silence}"
    under_way = observed.note.look if observed.installed is None else {}  # it has reset the machine already
    return Step(
        target=f"{target(host)}{_LOOK}",
        action="change",
        what=f"boot the rescue system, and look at the disks, of {_words(host, observed.server)}; nothing is written",
        why=why,
        interrupts=f"{host.name} is reset at once, and stays in its rescue system",
        desired=under_way or _looked_at(fleet, host, observed, changes, lost=lost),
    )


def _leftover(host: Dedicated, key: str) -> Step:
    return Step(
        target=f"{target(host)}{_LEFTOVER}",
        action="change",
        what=f"delete the temporary key {key} from Robot, and disarm a rescue system that is armed with it",
        why="the install that made it could not, at its end",
        desired={"server": host.server, "key": key},
    )


def _looked_at(
    fleet: Fleet, host: Dedicated, observed: Observation, changes: tuple[Change, ...], *, lost: bool
) -> dict[str, Any]:
    """What a look is approved for: the system that it interrupts, and why; by no word that changes of itself."""
    note, pin = observed.note, observed.pin
    cause: Any = "a write was lost" if lost else note.failed or "silence"
    if not lost and not note.failed and observed.installed is not None:
        cause = {change.name: [change.old, change.new] for change in changes}
    interrupted = pin.host_key_fingerprint if pin is not None else "never installed"
    return {**_place(fleet, host, note), "attempt": note.attempt + 1, "interrupts": interrupted, "cause": cause}


def _unfit(host: Dedicated, disks: tuple[Disk, ...], found: list[Disk]) -> str:
    """Why none of these disks may be overwritten."""
    seen = "; ".join(sorted(describe(disk) for disk in disks)) or "none"
    if len(found) > 1:
        return f"several disks have the name {host.disk}; disks seen: {seen}"
    if not found:
        todo = f"nothing was written: name one of these as the disk of {host.name}, or have the missing one looked for"
        return f"no disk has the name {host.disk}; disks seen: {seen}; {todo}"
    problem = guards.blocks(found[0])
    return f"{host.disk}: {problem}" if problem else ""


def _as_planned(disk: Disk) -> dict[str, Any]:
    return {"serial": disk.serial, "model": disk.model, "size": disk.size, "holds": list(disk.holds)}


def _source(fleet: Fleet) -> str:
    release, hetzner = fleet.release, fleet.hetzner
    if hetzner and hetzner.image:
        checked = "no signature is checked, its SHA-256 is"
        return f"{release.distribution} from the local image {hetzner.image.file} ({checked})"
    mirror = f" from {hetzner.mirror}" if hetzner and hetzner.mirror else ""
    return f"{release.distribution} {release.channel} {release.version}{mirror}"


def _words(host: Dedicated, server: Server | None) -> str:
    about = f"{server.product}, {server.location}" if server else "unknown"
    return f"server {host.server} {host.name} at {host.address} ({about})"


def _boots(host: Dedicated, now: Standing) -> str:
    """By which firmware, and how that is known."""
    if host.firmware:
        return f"; booted by {'UEFI' if host.firmware == 'uefi' else 'a BIOS'}, as the parameters say"
    return {
        "UEFI": "; booted by UEFI, as its rescue system was",
        "BIOS": (
            "; booted by a BIOS, as its rescue system was, which proves nothing: where it is UEFI, the parameters need "
            "`firmware: uefi` for it"
        ),
    }.get(now.firmware, "")


def _goes_on(position: str) -> str:
    return {
        "guard": "the interrupted install goes on: its script was not begun",
        "follow": "the interrupted install goes on: its script was begun, and is not begun again",
        "reboot": "the interrupted install goes on: it is on the disk, and checked; the machine is to be rebooted",
    }.get(position, "the interrupted install goes on: it is on the disk, and the new system is waited for")


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
    note, pin = observed.note, observed.pin
    if not observed.impostor or pin is None or note.failed or (pin.pending and note.host_key):
        return ""  # nothing was ever installed, or what was written last does not answer: that is the install's affair
    return (
        f"it answers with the host key {observed.impostor}, pinned is {pin.host_key_fingerprint}: find out "
        "which system answers; to install it anew, remove its entry from the inventory"
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
    if observed.note.failed:
        return f"the last attempt at writing has failed: {observed.note.failed}"
    if observed.standing.script == "bad":
        return "the last attempt at writing has failed, and its disk is not bootable"
    if observed.pin is None or not observed.pin.known:
        return "never installed by this project"
    if observed.standing.system == "rescue":
        return "it was installed by this project, and is in its rescue system to be installed anew"
    if observed.installed is None:
        return f"it does not answer as the system that was installed: {observed.silence}"
    if observed.anew:
        found = "it is to be installed anew, as was asked for (replace)"
    elif changes:
        found = f"{', '.join(change.name for change in changes)} differs"
    else:
        found = "a look at its disks was begun before, and it answers as installed"
    return found


def _blocked(host: Dedicated, why: str, desired: Mapping[str, Any]) -> Step:
    return Step(target(host), "blocked", f"{host.name} at {host.address}", why, desired=desired)
