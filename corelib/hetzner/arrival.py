"""Out of the rescue system: reboot from the disk, and meet the new system under the host key that was made for it."""

from __future__ import annotations

from dataclasses import replace

from ..errors import ServiceFailed, TimedOut
from ..ssh import Address, CommandFailed, CommandTimedOut, HostKeyMismatch, NoSsh, NotLetIn, Shell
from . import observe
from .facts import Installed
from .job import Job, Login
from .rescue import UNSEEN
from .stages import Stage
from .target import HostKey


def boot(job: Job, login: Login, host_key: HostKey) -> Installed:
    """Reboot from the disk, wait for the new system, check it; returns what it says of itself."""
    with job.stages.stage("rebooting"):
        if job.robot.rescue(job.host.server).active:
            job.robot.disarm_rescue(job.host.server)
        _reboot(login)
    address = job.at(observe.USER, frozenset((host_key.fingerprint,)))
    with job.stages.stage("up") as stage:
        _await(job, address, login, stage)
        stage.detail = f"{address} answers with its pinned host key"
    with job.stages.stage("verified") as stage:
        found = _verify(job, address, stage)
        stage.detail = f"{found.distribution} {found.version}, host name and user-data as planned"
    return found


def _reboot(login: Login) -> None:
    """Ask the rescue system to reboot; that the connection ends with it, or just falls silent, is no fault."""
    try:
        with Shell(login.address, login.key) as shell:
            shell.run("reboot")
    except (NoSsh, CommandTimedOut):
        return


def _await(job: Job, address: Address, login: Login, stage: Stage) -> None:
    """Wait until the new system lets the operator in. What it was that answered instead goes with a failure."""
    met = ["nothing answered"]

    def look() -> bool | None:
        try:
            with Shell(address, job.login_key):
                return True
        except (NoSsh, NotLetIn, CommandTimedOut) as problem:
            met[0] = problem.found
        except HostKeyMismatch as problem:
            if problem.fingerprint not in login.address.pinned:
                raise
            met[0] = "the rescue system of the install answers: it did not reboot"
        stage.say(f"{address}: {met[0]}")
        return None

    try:
        stage.until(look, job.deadlines.boot, f"{address} under its pinned host key")
    except TimedOut as problem:
        raise TimedOut(problem.doing, f"{problem.found}; at last: {met[0]}", UNSEEN) from None


def _verify(job: Job, address: Address, stage: Stage) -> Installed:
    """The new system has the planned name, distribution and user-data; it may take a moment to take its name."""
    doing, seen = f"verifying {job.host.name}", ["it did not answer"]

    def look() -> Installed | None:
        try:
            with Shell(address, job.login_key) as shell:
                now = observe.installed(shell, job.distribution)
        except (NoSsh, CommandTimedOut, CommandFailed) as problem:  # its sshd starts again in the first minute
            stage.say(problem.found)
            return None
        seen[0] = f"its host name still is {now.host_name!r}"
        return now if now.host_name == job.host.name else None

    try:
        found = stage.until(look, job.deadlines.settle, f"the host name {job.host.name}")
    except TimedOut:
        remedy = "its user-data was not applied: see `journalctl -t coreos-cloudinit` on it"
        raise ServiceFailed(doing, seen[0], remedy) from None
    expected = replace(found, distribution=job.distribution, user_data_sha256=job.user_data_sha256)
    if found != expected:
        raise ServiceFailed(doing, f"expected {expected}, found {found}", "look at it, then install it again")
    return found
