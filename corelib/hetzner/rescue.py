"""Into the rescue system: arm it with a temporary key, reset, pin the host key that Robot announces, log in."""

from __future__ import annotations

from contextlib import suppress
from typing import Literal

from ..errors import Refused, TimedOut
from ..ssh import CommandTimedOut, HostKeyMismatch, NoSsh, Shell, host_key
from . import berlin, guards
from .errors import LeftBehind, LoginRefused, ResetUnknown, RobotError
from .facts import Rescue
from .job import Job, Login
from .stages import Stage

UNSEEN = (
    "look at the machine's screen (vKVM in Robot): it may be off (Robot can wake it over the LAN), not boot from the "
    "network (the order in its firmware), or not from that disk"
)
_ASKED_EVERY = 60.0  # seconds between two questions to Robot while SSH says nothing new: it answers 500 in an hour

_NOT_RESCUE = "find out which system answers there (vKVM in Robot), then plan again; nothing was written"

Kind = Literal["sw", "hw"]


def boot(job: Job) -> Login:
    """Boot the machine into its rescue system, which lets the temporary key in; returns how to log in.

    A boot that an earlier run has asked for is used, if it still stands. Where none comes of the gentle reset, the hard
    one follows, once.
    """
    cut_off = _cut_off(job)
    if (booted := _happened(job)) and (login := _standing(job, booted)):
        return login
    _arm(job)
    if booted := _announced(job):  # that run's reset was carried out just now
        if login := _standing(job, booted):
            return login
        _arm(job)
    try:
        return _pressed(job)
    except HostKeyMismatch:
        if not cut_off:
            raise
    # That run's boot came in between, took the armed rescue system with it, and was ended by our reset: once more.
    _arm(job)
    return _pressed(job)


def _pressed(job: Job) -> Login:
    kinds = [kind for kind in ("sw", "hw") if kind in job.robot.resets(job.host.server)] or ["hw"]
    for kind in kinds[:-1]:
        try:
            return _reset(job, kind)
        except TimedOut as problem:
            _rearm(job, problem.found)
    return _reset(job, kinds[-1])


def claim(job: Job) -> None:
    """Leave our key at Robot, under this server's name: who finds another's there does not begin. Raises Refused."""
    name, key = f"coreos-runbooks {job.host.name} (temporary)", job.key
    known = job.robot.key_names()
    if job.left in known:
        job.robot.delete_key(job.left)
    if key.md5 not in known:
        job.robot.add_key(name, key.public)
        known = job.robot.key_names()
    others = [md5 for md5, named in known.items() if named == name and md5 not in (key.md5, job.left)]
    if others:
        job.robot.delete_key(key.md5)
        found = (
            f"Robot has the key {others[0]} of another install of it: somebody else installs it, or has been cut off"
        )
        remedy = f"find out who; if nobody does, delete the key {name!r} in Robot, then run again"
        raise Refused(f"beginning with {job.host.name}", found, remedy)


def tidy(job: Job, key: str = "") -> None:
    """Disarm a rescue system that is still armed, and delete our key, and only ours, from Robot.

    `key` is the MD5 fingerprint of another key of ours than this job's. Each of the two is tried, whatever becomes of
    the other. Raises LeftBehind, which says what is still there.
    """
    with job.stages.stage("tidied", tidying=True) as stage:
        ours, told, left = key or job.key.md5, [], []
        problem: RobotError | None = None
        for part, otherwise in (
            (_disarmed, "the rescue system may still be armed: the next boot then goes there, and not to the disk"),
            (_deleted, f"our temporary key {ours} may still be there"),
        ):
            try:
                if isinstance(problem, LoginRefused):
                    raise problem  # Robot is not asked again
                told.append(part(job, ours))
            except RobotError as caught:
                problem = caught
                left.append(f"{otherwise} ({problem.found})")
        stage.detail = "; ".join(told)
        if left:
            remedy = "run again: what is left is taken away then"
            raise LeftBehind(f"tidying up at Robot after {job.host.name}", "; ".join([*left, *told]), remedy)


def _disarmed(job: Job, key: str) -> str:
    armed = job.robot.rescue(job.host.server)
    if not armed.active or key not in armed.keys:  # another's is left alone
        return "no rescue system of ours is armed"
    job.robot.disarm_rescue(job.host.server)
    return "the rescue system was still armed: disarmed"


def _deleted(job: Job, key: str) -> str:
    if key in job.robot.key_names():
        job.robot.delete_key(key)
    return f"our temporary key {key} is not at Robot any more"


def _cut_off(job: Job) -> bool:
    """Whether an earlier run has armed the rescue system, and was cut off before it pinned a boot of it."""
    note = job.memory.note
    return note.before is not None and not note.host_keys


def _happened(job: Job) -> Rescue | None:
    """The boot that an earlier run has asked for, if that run was cut off before it was pinned."""
    return _announced(job) if _cut_off(job) else None


def _standing(job: Job, booted: Rescue) -> Login | None:
    """Into a boot of before; None: the machine runs something else now, which is told as that state's end."""
    with suppress(HostKeyMismatch, TimedOut):
        return _enter(job, booted)
    return None


def _arm(job: Job) -> None:
    """Arm the rescue system with our key; notes its last boot before this one."""
    with job.stages.stage("rescue armed") as stage:
        _arm_at_robot(job, stage)
        stage.facts = {"key": job.key.md5}


def _arm_at_robot(job: Job, stage: Stage) -> None:
    number = job.host.server
    if job.robot.rescue(number).active:
        stage.say("a rescue system was armed already, perhaps with other keys: disarming it")
        job.robot.disarm_rescue(number)
    last = job.robot.last_rescue(number)
    before = {"boot_time": last.boot_time, "host_keys": sorted(last.host_keys)} if last else {}
    job.memory.keep(before=before, host_keys=(), boot_time="", open=False, host_key="", host_key_fingerprint="")
    job.robot.arm_rescue(number, job.key.md5)


def _rearm(job: Job, found: str) -> None:
    with job.stages.stage("rescue armed") as stage:
        stage.say(f"the gentle reset led to no rescue system ({found}): armed again for a hard one")
        if not job.robot.rescue(job.host.server).active:
            job.robot.arm_rescue(job.host.server, job.key.md5)


def _reset(job: Job, kind: Kind) -> Login:
    with job.stages.stage("resetting") as stage:
        met = _shown(job)
        _press(job, kind, met, stage)
        booted = _await(job, met, stage)
        stage.detail = f"{kind} reset; it booted at {berlin.told(booted.boot_time)}"
    return _enter(job, booted)


def _press(job: Job, kind: Kind, met: str, stage: Stage) -> None:
    """Press the button, once: where the answer is lost, the machine's boot will tell.

    Where Robot says that it does not reset, it is asked again while the machine goes on as it was `met`.
    """
    try:
        job.robot.reset(job.host.server, kind, lambda: _shown(job) != met)
    except ResetUnknown as problem:
        stage.say(f"{problem.found}; it is not sent again: waiting whether it happened")


def _await(job: Job, met: str, stage: Stage) -> Rescue:
    """Wait for the boot. Robot is asked when SSH shows another host key than before, and every minute."""
    asked = job.clock.now()

    def look() -> Rescue | None:
        nonlocal asked, met
        shown = _shown(job)
        if shown in ("", met) and job.clock.now() - asked < _ASKED_EVERY:
            return None
        asked, met = job.clock.now(), shown or met
        return _announced(job)

    try:
        return stage.until(look, job.deadlines.rescue, "the rescue system's boot", UNSEEN)
    except TimedOut:
        if (booted := _announced(job)) is None:
            raise
        return booted


def _shown(job: Job) -> str:
    """The host key that the machine shows now, empty if none."""
    try:
        return host_key(str(job.host.address), job.host.ssh_port, 5.0)
    except NoSsh:
        return ""


def _announced(job: Job) -> Rescue | None:
    """The boot that came after the one before, once Robot shows its host keys."""
    before, last = job.memory.note.before, job.robot.last_rescue(job.host.server)
    if last is None or not last.host_keys:
        return None
    seen = {"boot_time": last.boot_time, "host_keys": sorted(last.host_keys)}
    return None if seen == before else last


def _enter(job: Job, booted: Rescue) -> Login:
    with job.stages.stage("rescue pinned") as stage:
        keys = sorted(booted.host_keys)
        login = Login(job.at("root", booted.host_keys), job.key.private)
        stage.until(lambda: let_in(login), job.deadlines.ssh, "the rescue system's SSH", UNSEEN)
        job.memory.keep(host_keys=tuple(keys), boot_time=booted.boot_time)
        stage.detail = f"host key {', '.join(keys)}, host name rescue, its root in memory"
        stage.facts = {"host_keys": keys}
    return login


def let_in(login: Login) -> bool | None:
    """True if SSH answers and it is the rescue system; from another one nothing may be written. Raises Refused."""
    try:
        with Shell(login.address, login.key) as shell:
            name, mounts = shell.read("hostname"), shell.read("cat", "/proc/self/mounts")
    except (NoSsh, CommandTimedOut):
        return None
    if problem := f"its host name is {name!r}, not 'rescue'" if name != "rescue" else guards.root(mounts):
        raise Refused(f"logging in to {login.address}", problem, _NOT_RESCUE)
    return True
