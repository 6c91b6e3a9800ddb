"""From the rescue system onto the disk: find it, guard it, run the install script, check what it wrote."""

from __future__ import annotations

import hashlib
import time

from ..ssh import CommandTimedOut, NoSsh, Shell
from . import disks, target
from .facts import Disk
from .job import Job, Login
from .stages import Stage


def write(job: Job, login: Login) -> target.HostKey:
    """Wipe the one disk and install on it; returns the host key that the installed system will have."""
    with Shell(login.address, login.key) as shell:
        disk = _guard(job, shell)
        with job.stages.stage("installed") as stage:
            _start(job, shell, disk, stage)
            code, log = _follow(job, login, stage)
            stage.facts |= {"exit_code": code, "log": log}
            stage.detail = target.judge(job.host, code, log)
    with Shell(login.address, login.key) as shell, job.stages.stage("verified on disk") as stage:
        host_key = target.prepare(shell, job.host, disk, job.distribution, job.user_data_sha256)
        stage.detail = f"user-data as planned; the new system's host key will be {host_key.fingerprint}"
        stage.facts = {"host_key": host_key.public, "user_data_sha256": job.user_data_sha256}
    return host_key


def _guard(job: Job, shell: Shell) -> Disk:
    """The one disk that may be written."""
    with job.stages.stage("inventoried") as stage:
        found = target.inventory(shell)
        stage.detail = "; ".join(disks.describe(disk) for disk in found)
    with job.stages.stage("guarded") as stage:
        disk = disks.choose(found, job.host.disk, job.host.name)
        stage.detail = f"only {disks.describe(disk)} will be written"
        stage.facts = {"path": disk.path, "serial": disk.serial, "signatures": target.signatures(shell, disk)}
    return disk


def _start(job: Job, shell: Shell, disk: Disk, stage: Stage) -> None:
    """Upload script and user-data, and start the one with the other."""
    script = target.upload(shell, f"{job.distribution}-install", job.installer)
    user_data = target.upload(shell, "user_data", job.user_data)
    command = target.start(shell, job.host, disk, job.fleet.release, script, user_data)
    stage.facts = {"command": command, "installer_sha256": hashlib.sha256(job.installer).hexdigest()}


def _follow(job: Job, login: Login, stage: Stage) -> tuple[int, str]:
    """Wait for the script's exit code and show its log; a lost connection is made again, the script never."""
    deadline = time.monotonic() + job.deadlines.write

    def look() -> tuple[int, str] | None:
        try:
            with Shell(login.address, login.key) as shell:
                return _watch(shell, deadline - time.monotonic(), stage)
        except (NoSsh, CommandTimedOut) as problem:  # refused, or fallen silent
            stage.say(f"connection lost, the install goes on without it: {problem.found}")
            return None

    remedy = "it may still run: look at the machine before anything else"
    return stage.until(look, job.deadlines.write, "the install script", remedy)


def _watch(shell: Shell, seconds: float, stage: Stage) -> tuple[int, str]:
    """Look at log and exit code over one connection."""

    def look() -> tuple[int, str] | None:
        code, log = target.progress(shell)
        stage.say(log.splitlines()[-1] if log else "")
        return None if code is None else (code, log)

    return stage.until(
        look, seconds, "the install script", "it may still run: look at the machine before anything else"
    )
