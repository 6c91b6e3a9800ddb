"""Installing one dedicated machine, state by state, each with its own deadline, each reported and remembered.

planned → rescue armed → resetting → rescue pinned → inventoried, under the first approval, which changes nothing but
what the machine runs; then, under that of the very disk: confirmed → inventoried → guarded → wiped → installed →
verified on disk → rebooting → up → verified. And always at the end → tidied: our temporary key is deleted from Robot,
and a rescue system that is still armed is disarmed. A run that was cut off is gone on with where the facts say the
machine is (`standing`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from ..errors import Refused, RunbookError
from ..plan import Progress
from . import arrival, rescue, standing, writing
from . import position as positions
from .errors import LeftBehind
from .facts import Disk, Installed
from .job import Job
from .plan import wanted

T = TypeVar("T")

Remember = Callable[[Mapping[str, Any]], None]
"""Told what the inventory keeps of a machine: with `pending` as soon as its disk is written, without at the end."""


def inspect(job: Job) -> tuple[Disk, ...]:
    """Boot the machine into its rescue system, and return its disks; nothing is written on any of them.

    To be called under an approved plan, of which `job.desired` is the step's content. The machine is left in its rescue
    system. Raises RunbookError.
    """
    return _tidied(_heard(job), _inspect)[0]


def install(job: Job, remember: Remember = lambda _: None) -> dict[str, Any]:
    """Wipe the host's disk and install its release; returns what the inventory keeps of it (see `Pin.of`).

    To be called under an approved plan with its consent, of which `job.desired` is the step's content; the login key
    must be one that the user-data lets in. Raises RunbookError where a fact differs from the plan; the machine is then
    left in the state that the last report names. `left_behind` and `left_key` are among the facts only if something of
    ours may still be at Robot.
    """
    entry, left = _tidied(_heard(job), lambda one: _install(one, remember))
    whole = {**entry, **({"left_behind": left, "left_key": job.key.md5} if left else {})}
    remember(whole)
    job.memory.end()
    return whole


def tidy(job: Job) -> None:
    """Take away what an install that has ended has left at Robot, under `job.left`. Raises RobotError."""
    rescue.tidy(_heard(job), job.left)


def _inspect(job: Job) -> tuple[Disk, ...]:
    _check(job, "planned")
    found = standing.look(job.host, job.memory.note, job.login_key)
    if found.script == "running":
        raise Refused(f"resetting {job.host.name}", "an install script runs on it", "wait for its end, then plan again")
    job.memory.keep(look=dict(job.desired))
    disks = writing.inventory(job, job.rescue if found.system == "rescue" else rescue.boot(job))
    job.memory.keep(look={})
    return disks


def _install(job: Job, remember: Remember) -> dict[str, Any]:
    _check(job, "confirmed")
    _unaltered(job)
    job.memory.keep(look={})  # it has ended, and its approval with it
    position = _position(job)
    if position in ("arm", "guard", "follow"):
        login = rescue.boot(job) if position == "arm" else job.rescue
        host_key = writing.write(job, login, follow=position == "follow")
        remember({**_facts(job, host_key.public, host_key.fingerprint, None), "pending": True})
    if position != "arrive":
        arrival.reboot(job)
    found = arrival.arrive(job)
    note = job.memory.note
    return _facts(job, note.host_key, note.host_key_fingerprint, found)


def _position(job: Job) -> positions.Position:
    """Where the facts say the machine is. Raises Refused where going on was not approved."""
    note, name = job.memory.note, wanted(job.desired)
    now = standing.look(job.host, note, job.login_key)
    position = positions.position(note, now, name)
    doing, again = f"going on with {job.host.name}", "plan again: nothing is written a second time by itself"
    if position == "busy":
        raise Refused(doing, "the install script of another plan runs on it", "wait for its end, then plan again")
    if position == "lost":
        raise Refused(doing, f"a write was begun, and what became of it is not known: {now.silence}", again)
    expected = positions.attempt(note, now, name)
    if job.approved is None or job.approved.attempt != expected:
        raise Refused(doing, f"the plan is of another attempt at writing than the {expected}. one", again)
    return position


def _unaltered(job: Job) -> None:
    """What is about to be written is what was approved."""
    digests = {"user_data_sha256": job.user_data_sha256, "installer_sha256": hashlib.sha256(job.installer).hexdigest()}
    if job.image:
        digests["image_sha256"] = job.image.check().sha256
    for name, found in digests.items():
        if found != (planned := job.desired.get(name)):
            raise Refused(f"installing {job.host.name}", f"{name} is {found}, the plan says {planned}", "plan again")


def _check(job: Job, state: str) -> None:
    """Robot still says what the plan was made from, and nobody else is at this server."""
    host = job.host
    with job.stages.stage(state) as stage:
        servers = job.robot.servers() if job.servers is None else job.servers
        server = next((one for one in servers if one.number == host.server), None)
        found = f"{server.name} at {server.address}" if server else "no such server"
        if found != f"{host.name} at {host.address}":
            doing = f"checking server {host.server} at Robot"
            raise Refused(doing, f"expected {host.name} at {host.address}, found {found}", "plan again")
        rescue.claim(job)
        stage.detail = f"server {host.server} is {found}; our key {job.key.md5} is at Robot while this runs"


def _tidied(job: Job, work: Callable[[Job], T]) -> tuple[T, str]:
    """Do the work, and tidy up after it, whatever becomes of it; what was left behind is said."""
    try:
        done = work(job)
    except BaseException as error:
        _tidy_after(error, job)
        raise
    try:
        rescue.tidy(job)
    except LeftBehind as problem:
        return done, problem.found
    return done, ""


def _tidy_after(error: BaseException, job: Job) -> None:
    """Tidy up after a failure, which remains what is raised; what was left behind is noted on it."""
    try:
        rescue.tidy(job)
    except RunbookError as problem:
        error.add_note(f"Left behind at Robot: {problem.found}")


def _heard(job: Job) -> Job:
    """The same, with a client of Robot that says what it waits for."""
    return replace(
        job, robot=job.robot.telling(lambda text: job.watch(Progress(f"{job.host.name}/robot", "wait", text)))
    )


def _facts(job: Job, public: str, fingerprint: str, found: Installed | None) -> dict[str, Any]:
    return {
        "server": job.host.server,
        "address": str(job.host.address),
        "ssh_port": job.host.ssh_port,
        "host_key": public,
        "host_key_fingerprint": fingerprint,
        "disk": job.host.disk,
        "user_data_sha256": job.user_data_sha256,
        "version": found.version if found else "",
    }
