"""Out of the rescue system: reboot from the disk, and meet the new system under the host key that was made for it."""

from __future__ import annotations

import time
from typing import TypeVar

from ..errors import RunbookError, ServiceFailed, TimedOut
from ..ssh import Address, CommandFailed, CommandTimedOut, HostKeyMismatch, NoSsh, NotLetIn, Shell
from . import observe, remains, rescue
from .errors import ResetUnknown
from .facts import Installed, Settled
from .job import Job
from .rescue import UNSEEN
from .stages import Stage

P = TypeVar("P", TimedOut, ServiceFailed)

_AGAIN = "plan again, and approve another attempt"
_ANOTHER = (
    "another system than the new one has booted: in its firmware (vKVM in Robot) another disk comes first, or an entry "
    "of before; correct the order"
)
_OFF = 120.0  # seconds that a clock may be off right after the first boot, before its own synchronisation is done


def reboot(job: Job) -> None:
    """Disarm the rescue system, and reboot from the disk; that the connection ends with it is no fault."""
    with job.stages.stage("rebooting"):
        if job.robot.rescue(job.host.server).active:
            job.robot.disarm_rescue(job.host.server)
        try:
            with Shell(job.rescue.address, job.rescue.key) as shell:
                shell.run("reboot")
        except (NoSsh, CommandTimedOut):
            return


def arrive(job: Job) -> Installed:
    """Wait for the new system, and check it; returns what it says of itself."""
    address = job.at(observe.USER, frozenset((job.memory.note.host_key_fingerprint,)))
    try:
        with job.stages.stage("up") as stage:
            _await(job, address, stage)
            stage.detail = f"{address} answers with its pinned host key, and lets the operator in"
    except TimedOut as problem:
        raise _collect(job, problem) from None
    except HostKeyMismatch as problem:
        job.memory.keep(failed=problem.found)
        raise _collect(job, ServiceFailed(problem.doing, problem.found, _ANOTHER)) from None
    with job.stages.stage("verified") as stage, job.memory.judging(f"To install it anew, {_AGAIN}"):
        found, settled = _verify(job, address, stage)
        stage.detail = (
            f"{found.distribution} {found.version}, host name and user-data as planned, root on {settled.root_serial}, "
            f"updates {settled.group or 'by default'}, reboots {settled.reboot_strategy or 'by default'}, no etcd"
        )
    return found


def _await(job: Job, address: Address, stage: Stage) -> None:
    """Wait until the new system lets the operator in. What it was that answered instead goes with a failure."""
    begun, met, helped = job.clock.now(), ["nothing answered"], [False]

    def look() -> bool | None:
        try:
            with Shell(address, job.login_key) as shell:
                return shell.run("true").code == 0 or None
        except (NoSsh, NotLetIn, CommandTimedOut) as problem:
            met[0] = problem.found
        except HostKeyMismatch as problem:
            met[0] = _who(job, problem)
            back = problem.fingerprint not in job.memory.note.host_keys  # another boot of the rescue system
            if back or job.clock.now() - begun > job.deadlines.stuck:
                _once_more(job, stage, helped, met[0])
        stage.say(f"{address}: {met[0]}")
        return None

    try:
        stage.until(look, job.deadlines.boot, f"{address} under its pinned host key")
    except TimedOut as problem:
        raise TimedOut(problem.doing, f"{problem.found}; at last: {met[0]}", UNSEEN) from None


def _who(job: Job, problem: HostKeyMismatch) -> str:
    """Which rescue system answers. Raises the mismatch itself if it is none."""
    if problem.fingerprint in job.memory.note.host_keys:
        return "the rescue system of the install still answers"
    last = job.robot.last_rescue(job.host.server)
    if last is not None and problem.fingerprint in last.host_keys:
        return "it came back as a rescue system"
    raise problem


def _once_more(job: Job, stage: Stage, helped: list[bool], met: str) -> None:
    """Disarm, and reset, once."""
    if helped[0]:
        return
    helped[0] = True
    stage.say(f"{met}: disarming it and resetting once")
    if job.robot.rescue(job.host.server).active:
        job.robot.disarm_rescue(job.host.server)
    try:
        job.robot.reset(job.host.server)
    except ResetUnknown as problem:
        stage.say(f"{problem.found}; it is not sent again: waiting whether it happened")


def _collect(job: Job, problem: P) -> P:
    """What the machine says from its rescue system, where it is left; nothing is ever written again by itself."""
    try:
        rescue.claim(job)
        login = rescue.boot(job)
        with job.stages.stage("collected") as stage, Shell(login.address, login.key) as shell:
            stage.facts = dict(remains.collect(shell, job.host))
            stage.detail = "the machine is in its rescue system again: its disks, boot entries and journal were read"
    except RunbookError as other:
        found = f"{problem.found}. Its rescue system could not be asked either: {other.found}"
        remedy = f"{problem.remedy}. Then {_AGAIN}" if job.memory.note.failed else problem.remedy
        return type(problem)(problem.doing, found, remedy)
    last = stage.facts["journal"].splitlines()[-1][-300:]
    found = f"{problem.found}. It is in its rescue system again, and nothing was written. Its journal: {last}"
    return type(problem)(problem.doing, found, f"{problem.remedy}. To install it anew, {_AGAIN}")


def _verify(job: Job, address: Address, stage: Stage) -> tuple[Installed, Settled]:
    """The new system is what was planned; it may take a moment to take its name."""
    doing, seen = f"verifying {job.host.name}", [""]

    def look() -> tuple[Installed, Settled] | None:
        try:
            with Shell(address, job.login_key) as shell:
                now = observe.installed(shell, job.distribution)
                settled = observe.settled(shell, job.distribution, time.time())
        except (NoSsh, CommandTimedOut, CommandFailed) as problem:  # its sshd starts again in the first minute
            stage.say(problem.found)
            return None
        seen[0] = f"its host name still is {now.host_name!r}"
        return (now, settled) if now.host_name == job.host.name else None

    try:
        found, settled = stage.until(look, job.deadlines.settle, f"the host name {job.host.name}")
    except TimedOut:
        if not seen[0]:
            raise TimedOut(doing, "it has let the operator in, and does not answer any more", UNSEEN) from None
        remedy = "its user-data was not applied: see `journalctl -t coreos-cloudinit` on it"
        raise ServiceFailed(doing, seen[0], remedy) from None
    if wrong := [*_wrong(job, found), *_unsettled(job, settled)]:
        raise ServiceFailed(doing, "; ".join(wrong), "look at it")
    return found, settled


def _wrong(job: Job, found: Installed) -> list[str]:
    """What it says of itself otherwise than planned; an image of one's own is of the version that it is of."""
    release = job.fleet.release
    version = found.version if release.version == "current" or job.image else release.version
    pairs = [
        ("distribution", found.distribution, job.distribution),
        ("version", found.version, version),
        ("user-data's SHA-256", found.user_data_sha256, job.user_data_sha256),
    ]
    return [f"its {what} is {now or 'not there'}, expected {then}" for what, now, then in pairs if now != then]


def _unsettled(job: Job, settled: Settled) -> list[str]:
    """What is otherwise than planned in a system that has just booted for the first time."""
    approved, release, updates = job.approved, job.fleet.release, job.fleet.updates
    planned = approved.serial if approved else ""
    wrong = []
    if settled.root_serial != planned:
        wrong.append(f"its root is on the disk {settled.root_serial or 'of no serial'}, and {planned} was written")
    if settled.group and settled.group != release.channel:
        wrong.append(f"it follows the channel {settled.group}, expected {release.channel}")
    if settled.reboot_strategy != updates.reboot_strategy:
        wrong.append(f"it reboots {settled.reboot_strategy or 'by default'}, expected {updates.reboot_strategy}")
    if abs(settled.seconds_off) > _OFF:
        wrong.append(f"its clock is off by {settled.seconds_off:.0f} s")
    if settled.etcd:
        wrong.append(f"etcd runs on it: {settled.etcd}")
    return wrong
