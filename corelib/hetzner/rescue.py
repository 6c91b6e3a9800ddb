"""Into the rescue system: arm it with a temporary key, reset, pin the host key that Robot announces, log in."""

from __future__ import annotations

from ..errors import Refused
from ..ssh import CommandTimedOut, KeyPair, NoSsh, Shell
from .errors import ResetUnknown
from .facts import Rescue
from .job import Job, Login
from .stages import Stage

UNSEEN = "look at the machine's screen (vKVM in Robot): it may not boot from the network, or not from that disk"


def boot(job: Job, key: KeyPair) -> Login:
    """Boot the machine into its rescue system, which lets `key` in; returns how to log in."""
    with job.stages.stage("rescue armed") as stage:
        before = _arm(job, key, stage)
        stage.facts = {"key": key.md5}
    with job.stages.stage("resetting") as stage:
        _reset(job, stage)
        booted = stage.until(lambda: _announced(job, before), job.deadlines.rescue, "the rescue system's boot", UNSEEN)
        stage.detail = f"it booted at {booted.boot_time} (Berlin)"
    with job.stages.stage("rescue pinned") as stage:
        login = Login(job.at("root", booted.host_keys), key.private)
        stage.until(lambda: _let_in(login), job.deadlines.ssh, "the rescue system's SSH", UNSEEN)
        stage.detail = f"host key {', '.join(sorted(booted.host_keys))}, host name rescue"
        stage.facts = {"host_keys": sorted(booted.host_keys)}
    return login


def tidy(job: Job, key: KeyPair) -> None:
    """Disarm a rescue system that is still armed, and delete our key, and only ours, from Robot."""
    with job.stages.stage("tidied", tidying=True) as stage:
        if job.robot.rescue(job.host.server).active:
            job.robot.disarm_rescue(job.host.server)
            stage.say("the rescue system was still armed: disarmed")
        if key.md5 in job.robot.key_names():
            job.robot.delete_key(key.md5)
        stage.detail = f"the temporary key {key.md5} is not at Robot any more"


def _arm(job: Job, key: KeyPair, stage: Stage) -> Rescue | None:
    """Arm the rescue system with our key; returns its last boot before this one."""
    number = job.host.server
    if job.robot.rescue(number).active:
        stage.say("a rescue system was armed already, with other keys: disarming it")
        job.robot.disarm_rescue(number)
    before = job.robot.last_rescue(number)
    job.robot.add_key(f"coreos-runbooks {job.host.name} (temporary)", key.public)
    job.robot.arm_rescue(number, key.md5)
    return before


def _reset(job: Job, stage: Stage) -> None:
    """Press the button, once: where the answer is lost, the machine's boot will tell."""
    try:
        job.robot.reset(job.host.server)
    except ResetUnknown as problem:
        stage.say(f"{problem.found}; it is not sent again: waiting whether it happened")


def _announced(job: Job, before: Rescue | None) -> Rescue | None:
    """The boot that came after `before`, once Robot shows its host keys."""
    last = job.robot.last_rescue(job.host.server)
    seen = before and (before.boot_time, before.host_keys)
    return last if last and last.host_keys and (last.boot_time, last.host_keys) != seen else None


def _let_in(login: Login) -> bool | None:
    """True if SSH answers and it is the rescue system; under another host name nothing may be written."""
    try:
        with Shell(login.address, login.key) as shell:
            name = shell.read("hostname")
    except (NoSsh, CommandTimedOut):
        return None
    if name != "rescue":
        raise Refused(
            f"logging in to {login.address}", f"its host name is {name!r}, not 'rescue'", "nothing was written"
        )
    return True
