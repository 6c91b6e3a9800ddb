"""From the rescue system onto the disk: find it, guard it, wipe it, run the install script, check what it wrote."""

from __future__ import annotations

import hashlib

from ..errors import Refused
from ..ssh import CommandTimedOut, NoSsh, Shell
from . import disks, guards, target, uploads
from .facts import Disk
from .job import Job, Login
from .plan import wanted
from .stages import Stage

_AGAIN = "The machine stays in its rescue system: remove the cause, plan again, and approve another attempt"
_ANOTHER = "nothing more is done: find out whose disk it is (lsblk in the rescue system), then plan again"


def inventory(job: Job, login: Login) -> tuple[Disk, ...]:
    """The disks that the machine has, as they are now."""
    with job.stages.stage("inventoried") as stage, Shell(login.address, login.key) as shell:
        found = target.inventory(shell)
        stage.detail = "; ".join(disks.describe(disk) for disk in found)
        stage.facts = {"firmware": target.firmware(shell)}
    return found


def write(job: Job, login: Login, *, follow: bool) -> target.HostKey:
    """Wipe the one disk and install on it; returns the host key that the installed system will have.

    With `follow` the script of this attempt runs already, or has ended: it is not begun again.
    """
    if not follow:
        _begin(job, login)
    with job.stages.stage("installed") as stage:
        if not follow:
            _start(job, login, stage)
        code, log = _follow(job, login, stage)
        stage.facts |= {"exit_code": code, "log": log}
        stage.detail = target.judge(job.host, code, log)
    return _check(job, login)


def _begin(job: Job, login: Login) -> None:
    """Find the one disk that may be written, and wipe it."""
    note, approved = job.memory.note, job.approved
    begun = note.open and approved is not None and note.attempt == approved.attempt
    found = inventory(job, login)
    with Shell(login.address, login.key) as shell:
        with job.stages.stage("guarded") as stage:
            disk = guards.check(found, approved, job.host.name, begun=begun)
            down = guards.teardown(disk)
            if wrong := guards.firmware(job.host.firmware, target.firmware(shell)):
                raise Refused(f"guarding {disk.path} on {job.host.name}", wrong, "nothing was written: plan again")
            if job.image:
                uploads.room(shell, job.image)
            stage.detail = f"only {disks.describe(disk)} will be written"
            stage.facts = {"path": disk.path, "serial": disk.serial, "signatures": target.signatures(shell, disk)}
        with job.stages.stage("wiped") as stage:
            attempt, plain = job.desired["attempt"], dict(job.desired["target"])
            fresh = {"failed": "", "host_key": "", "host_key_fingerprint": ""}
            job.memory.keep(open=True, attempt=attempt, wanted=wanted(job.desired), target=plain, **fresh)
            target.wipe(shell, job.host.disk, disk, down)
            taken = f"; taken down before: {', '.join(one.path for one in disk.holders)}" if disk.holders else ""
            stage.detail = f"every signature on {disk.path} was erased{taken}"


def _start(job: Job, login: Login, stage: Stage) -> None:
    """Upload what the script needs, and start it, on the disk that has the approved name now."""
    attempt = job.memory.note.attempt
    with Shell(login.address, login.key) as shell:
        disk = _target(job, shell)
        script = uploads.upload(shell, attempt, f"{job.distribution}-install", job.installer, "700")
        user_data = uploads.upload(shell, attempt, "user_data", job.user_data)
        image = uploads.send(shell, attempt, job.image, stage.say, job.deadlines.write) if job.image else ""
        uefi = target.uefi(shell, job.host)
        command = target.command(job.fleet, job.host, script, user_data, image, uefi=uefi)
        stage.facts = {"command": command, "installer_sha256": hashlib.sha256(job.installer).hexdigest()}
        target.start(shell, job.host.disk, disk, attempt, command)


def _follow(job: Job, login: Login, stage: Stage) -> tuple[int, str]:
    """Wait for the script's exit code and show its log; a lost connection is made again, the script never."""
    deadline = job.clock.now() + job.deadlines.write
    remedy = "it may still run: look at the machine. To give it up, reset the machine in Robot, and plan again"

    def look() -> tuple[int, str] | None:
        try:
            with Shell(login.address, login.key) as shell:
                left = deadline - job.clock.now()
                return stage.until(lambda: _tail(job, shell, stage), left, "the install script", remedy)
        except (NoSsh, CommandTimedOut) as problem:  # refused, or fallen silent
            stage.say(f"connection lost, the install goes on without it: {problem.found}")
            return None

    return stage.until(look, job.deadlines.write, "the install script", remedy)


def _tail(job: Job, shell: Shell, stage: Stage) -> tuple[int, str] | None:
    code, log = target.progress(shell, job.memory.note.attempt)
    stage.say(log.splitlines()[-1] if log else "")
    return None if code is None else (code, log)


def _check(job: Job, login: Login) -> target.HostKey:
    """What is on the disk now, before the machine boots from it."""
    with Shell(login.address, login.key) as shell, job.stages.stage("verified on disk") as stage:
        disk = _target(job, shell)
        with job.memory.judging(_AGAIN):
            labels = target.layout(shell, job.host, disk)
        entry = f"; {target.boot_entry(shell, job.host, disk)}" if target.uefi(shell, job.host) else ""
        with job.memory.judging(_AGAIN):
            host_key = target.prepare(shell, job.host, labels["ROOT"], job.distribution, job.user_data_sha256)
        job.memory.keep(host_key=host_key.public, host_key_fingerprint=host_key.fingerprint)
        made = f"the new system's host key will be {host_key.fingerprint}"
        stage.detail = f"partitions {', '.join(sorted(labels))}{entry}; user-data as planned; {made}"
        stage.facts = {"host_key": host_key.public, "user_data_sha256": job.user_data_sha256}
    return host_key


def _target(job: Job, shell: Shell) -> Disk:
    """The approved disk, where it is now. Raises Refused if it is another one."""
    disk, approved = disks.choose(target.inventory(shell), job.host.disk, job.host.name), job.approved
    differs = "nothing was approved" if approved is None else approved.differs(disk)
    if differs:
        raise Refused(f"looking at {disk.path} of {job.host.name}", differs, _ANOTHER)
    return disk
