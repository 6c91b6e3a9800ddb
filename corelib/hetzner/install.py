"""Installing one dedicated machine, state by state, each with its own deadline, each reported.

planned → rescue armed → resetting → rescue pinned → inventoried → guarded → installed → verified on disk →
rebooting → up → verified, and always at the end → tidied: our temporary key is deleted from Robot, and a rescue
system that is still armed is disarmed.
"""

from __future__ import annotations

from typing import Any

from ..errors import Refused, RunbookError
from ..fleet import Dedicated, Fleet
from ..plan import Watch
from ..ssh import KeyPair
from . import arrival, rescue, writing
from .errors import RobotError
from .facts import Installed
from .job import Job
from .loopback import is_loopback
from .plan import NOT_YET
from .robot import Robot
from .stages import Deadlines, Stages
from .target import HostKey


def install(  # noqa: PLR0913 - each is a thing of its own that an install needs
    fleet: Fleet,
    host: Dedicated,
    user_data: bytes,
    installer: bytes,
    robot: Robot,
    login_key: str,
    watch: Watch,
    *,
    deadlines: Deadlines = Deadlines(),  # noqa: B008 - frozen
) -> dict[str, Any]:
    """Wipe the host's disk and install its release; returns what the inventory keeps of it (see `Pin.of`).

    To be called under an approved plan with its consent. `login_key` is the operator's private key, as text, which
    the user-data must let in. Raises RunbookError where a fact differs from the plan; the machine is then left in the
    state that the last report names. `left_behind` is among the facts only if the temporary key could not be deleted.
    """
    for place in (robot.base_url, str(host.address)):
        if not is_loopback(place):
            raise Refused(f"installing {host.name}", f"{NOT_YET}; {place} is not one", "rehearse on a lab")
    job = Job(fleet, host, user_data, installer, robot, login_key, Stages(host.name, watch), deadlines)
    _check(job)
    key = KeyPair.new(f"{host.name} install, temporary")
    try:
        login = rescue.boot(job, key)
        host_key = writing.write(job, login)
        found = arrival.boot(job, login, host_key)
    except BaseException as error:
        _tidy_after(error, job, key)
        raise
    return _facts(job, host_key, found) | _tidy(job, key)


def _check(job: Job) -> None:
    """Robot still says what the plan was made from."""
    host = job.host
    with job.stages.stage("planned") as stage:
        server = next((one for one in job.robot.servers() if one.number == host.server), None)
        found = f"{server.name} at {server.address}" if server else "no such server"
        if found != f"{host.name} at {host.address}":
            doing = f"checking server {host.server} at Robot"
            raise Refused(doing, f"expected {host.name} at {host.address}, found {found}", "plan again")
        stage.detail = f"server {host.server} is {found}"


def _tidy(job: Job, key: KeyPair) -> dict[str, str]:
    """Tidy up after a success: what is left behind is reported as a failed stage, and the machine is installed."""
    try:
        rescue.tidy(job, key)
    except RobotError as problem:
        return {"left_behind": f"the key {key.md5} at Robot: {problem.found}"}
    return {}


def _tidy_after(error: BaseException, job: Job, key: KeyPair) -> None:
    """Tidy up after a failure, which remains what is raised; what was left behind is noted on it."""
    try:
        rescue.tidy(job, key)
    except RunbookError as problem:
        error.add_note(f"Left behind at Robot: the key {key.md5} ({problem.found})")


def _facts(job: Job, host_key: HostKey, found: Installed) -> dict[str, Any]:
    return {
        "server": job.host.server,
        "address": str(job.host.address),
        "ssh_port": job.host.ssh_port,
        "host_key": host_key.public,
        "host_key_fingerprint": host_key.fingerprint,
        "disk": job.host.disk,
        "user_data_sha256": job.user_data_sha256,
        "version": found.version,
    }
