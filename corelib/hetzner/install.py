"""Installing one dedicated machine, state by state, each with its own deadline, each reported.

planned → rescue armed → resetting → rescue pinned → inventoried → guarded → installed → verified on disk →
rebooting → up → verified, and always at the end → tidied: our temporary key is deleted from Robot, and a rescue
system that is still armed is disarmed.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from typing import Any

from ..errors import Refused, ServiceFailed, TimedOut
from ..fleet import Dedicated, Fleet
from ..plan import Watch
from . import disks, observe, target
from .errors import HostKeyMismatch, NoSsh, NotLetIn, ResetUnknown, RobotError
from .facts import Disk, Installed, Pin, Rescue
from .loopback import is_loopback
from .plan import NOT_YET
from .robot import Robot
from .ssh import Address, Shell, new_key
from .stages import Deadlines, Stage, Stages

_UNSEEN = "look at the machine's screen (vKVM in Robot); it may not boot from the network or from that disk"


def install(
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
    the user-data must let in. Raises RunbookError where a fact differs from the plan; the machine is then left as it
    is, in the state that the last report names.
    """
    for place in (robot.base_url, str(host.address)):
        if not is_loopback(place):
            raise Refused(f"installing {host.name}", f"{NOT_YET}; {place} is not one", "rehearse on a lab")
    job = _Install(fleet, host, user_data, installer, robot, login_key, deadlines, Stages(host.name, watch))
    return job.run()


@dataclass
class _Install:
    fleet: Fleet
    host: Dedicated
    user_data: bytes
    installer: bytes
    robot: Robot
    login_key: str
    deadlines: Deadlines
    stages: Stages
    key: str = ""  # the temporary key's fingerprint at Robot, while it is there

    def run(self) -> dict[str, Any]:
        """All states in their order; tidies up whatever happens."""
        try:
            self.check()
            rescue = self.boot_rescue()
            host_key = self.write(rescue)
            found = self.boot_disk(rescue, host_key)
        except BaseException as error:
            self.tidy_after(error)
            raise
        self.tidy()
        return self.facts(host_key, found)

    def check(self) -> None:
        """Robot still says what the plan was made from."""
        with self.stages.stage("planned") as stage:
            server = next((one for one in self.robot.servers() if one.number == self.host.server), None)
            found = (server.name, server.address) if server else "no such server"
            if found != (self.host.name, str(self.host.address)):
                doing = f"checking server {self.host.server} at Robot"
                raise Refused(doing, f"expected {self.host.name} at {self.host.address}, found {found}", "plan again")
            stage.detail = f"server {self.host.server} is {self.host.name} at {self.host.address}"

    def boot_rescue(self) -> tuple[Address, str]:
        """Arm the rescue system, reset, and pin the host key that Robot announces; returns how to log in."""
        number = self.host.server
        private, public = new_key(f"{self.host.name} install, temporary")
        with self.stages.stage("rescue armed") as stage:
            if self.robot.rescue(number).active:
                stage.say("a rescue system was armed already: disarming it")
                self.robot.disarm_rescue(number)
            before = self.robot.last_rescue(number)
            self.key = self.robot.add_key(f"coreos-runbooks {self.host.name} (temporary)", public)
            self.robot.arm_rescue(number, self.key)
            stage.facts = {"key": self.key}
        with self.stages.stage("resetting") as stage:
            self.reset(stage)
            booted = stage.until(
                lambda: self.announced(before), self.deadlines.rescue, "the rescue system's boot", _UNSEEN
            )
            stage.detail = f"it booted at {booted.boot_time} (Berlin)"
        with self.stages.stage("rescue pinned") as stage:
            address = Address(str(self.host.address), self.host.ssh_port, "root", booted.host_keys)
            stage.until(
                lambda: self.in_rescue(address, private), self.deadlines.ssh, "the rescue system's SSH", _UNSEEN
            )
            stage.detail = f"host key {', '.join(sorted(booted.host_keys))}, host name rescue"
            stage.facts = {"host_keys": sorted(booted.host_keys)}
        return address, private

    def reset(self, stage: Stage) -> None:
        """Press the button, once: where the answer is lost, the machine's boot will tell."""
        try:
            self.robot.reset(self.host.server)
        except ResetUnknown as problem:
            stage.say(f"{problem.found}; not sent again: waiting whether it happened")

    def announced(self, before: Rescue | None) -> Rescue | None:
        """The boot that came after `before`, once Robot shows its host keys."""
        last = self.robot.last_rescue(self.host.server)
        seen = before and (before.boot_time, before.host_keys)
        return last if last and last.host_keys and (last.boot_time, last.host_keys) != seen else None

    def in_rescue(self, address: Address, key: str) -> bool | None:
        """True if SSH answers and it is the rescue system; another host name is refused: nothing may be written."""
        try:
            with Shell(address, key) as shell:
                name = shell.read("hostname")
        except NoSsh:
            return None
        if name != "rescue":
            raise Refused(f"logging in to {address}", f"its host name is {name!r}, not 'rescue'", "nothing was written")
        return True

    def write(self, rescue: tuple[Address, str]) -> target.HostKey:
        """Find the disk, guard it, run the install script, and check what it wrote."""
        with Shell(*rescue) as shell:
            with self.stages.stage("inventoried") as stage:
                found = target.inventory(shell)
                stage.detail = "; ".join(disks.describe(disk) for disk in found)
            with self.stages.stage("guarded") as stage:
                disk = disks.choose(found, self.host.disk, self.host.name)
                stage.detail = f"only {disks.describe(disk)} will be written"
                stage.facts = {"path": disk.path, "serial": disk.serial, "signatures": target.signatures(shell, disk)}
            with self.stages.stage("installed") as stage:
                self.start(shell, disk, stage)
                code, log = self.follow(rescue, stage)
                stage.facts |= {"exit_code": code, "log": log}
                stage.detail = target.judge(self.host, code, log)
        with Shell(*rescue) as shell, self.stages.stage("verified on disk") as stage:
            host_key = target.prepare(shell, self.host, disk, self.fleet.release.distribution, self.digest)
            stage.detail = f"user-data as planned; the new system's host key will be {host_key.fingerprint}"
            stage.facts = {"host_key": host_key.public, "user_data_sha256": self.digest}
        return host_key

    def start(self, shell: Shell, disk: Disk, stage: Stage) -> None:
        """Upload script and user-data, and start the one with the other."""
        script = target.upload(shell, f"{self.fleet.release.distribution}-install", self.installer)
        user_data = target.upload(shell, "user_data", self.user_data)
        command = target.start(shell, self.host, disk, self.fleet.release, script, user_data)
        stage.facts = {"command": command, "installer_sha256": hashlib.sha256(self.installer).hexdigest()}

    def follow(self, rescue: tuple[Address, str], stage: Stage) -> tuple[int, str]:
        """Wait for the script's exit code and show its log; a lost connection is made again, the script never."""

        def look() -> tuple[int, str] | None:
            try:
                with Shell(*rescue) as shell:
                    return self.watch_script(shell, deadline, stage)
            except NoSsh as problem:
                stage.say(f"connection lost, the install goes on without it: {problem.found}")
                return None

        deadline = time.monotonic() + self.deadlines.write
        return stage.until(
            look, self.deadlines.write, "the install script", "it may still run: look before anything else"
        )

    def watch_script(self, shell: Shell, deadline: float, stage: Stage) -> tuple[int, str] | None:
        """Look at log and exit code over one connection."""

        def look() -> tuple[int, str] | None:
            code, log = target.progress(shell)
            stage.say(log.splitlines()[-1] if log else "")
            return None if code is None else (code, log)

        return stage.until(look, deadline - time.monotonic(), "the install script")

    def boot_disk(self, rescue: tuple[Address, str], host_key: target.HostKey) -> Installed:
        """Reboot from the disk, wait for the new system under its pinned host key, and check it."""
        with self.stages.stage("rebooting"):
            if self.robot.rescue(self.host.server).active:
                self.robot.disarm_rescue(self.host.server)
            self.reboot(rescue)
        pinned = Pin(str(self.host.address), self.host.ssh_port, host_key.fingerprint, self.host.disk)
        address = observe.address(pinned)
        with self.stages.stage("up") as stage:
            look = _Newcomer(self, address, rescue[0].pinned)
            found = stage.until(look, self.deadlines.boot, f"{address} under its pinned host key", _UNSEEN)
            stage.detail = f"{found.host_name} answers with its pinned host key"
        with self.stages.stage("verified") as stage:
            found = self.verify(found, address, stage)
            stage.detail = f"{found.distribution} {found.version}, host name and user-data as planned"
        return found

    def reboot(self, rescue: tuple[Address, str]) -> None:
        """Ask the rescue system to reboot; that the connection ends with it is no fault."""
        try:
            with Shell(*rescue) as shell:
                shell.run("reboot")
        except NoSsh:
            return

    def verify(self, found: Installed, address: Address, stage: Stage) -> Installed:
        """The new system has the planned name, distribution and user-data; it may take a moment to take its name."""

        def named() -> Installed | None:
            with Shell(address, self.login_key) as shell:
                now = observe.installed(shell, self.fleet.release.distribution)
            return now if now.host_name == self.host.name else None

        try:
            found = stage.until(named, self.deadlines.settle, f"its host name, {self.host.name}")
        except TimedOut:
            remedy = "its user-data was not applied: see `journalctl -u coreos-cloudinit-*` on it"
            raise ServiceFailed(
                f"verifying {self.host.name}", f"its host name is {found.host_name!r}", remedy
            ) from None
        expected = replace(found, distribution=self.fleet.release.distribution, user_data_sha256=self.digest)
        if found != expected:
            raise ServiceFailed(
                f"verifying {self.host.name}", f"expected {expected}, found {found}", "install it again"
            )
        return found

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.user_data).hexdigest()

    def facts(self, host_key: target.HostKey, found: Installed) -> dict[str, Any]:
        """What the inventory keeps."""
        return {
            "server": self.host.server,
            "address": str(self.host.address),
            "ssh_port": self.host.ssh_port,
            "host_key": host_key.public,
            "host_key_fingerprint": host_key.fingerprint,
            "disk": self.host.disk,
            "user_data_sha256": self.digest,
            "version": found.version,
        }

    def tidy(self) -> None:
        """Disarm a rescue system that is still armed, and delete our key, and only ours, from Robot."""
        if not self.key:
            return
        with self.stages.stage("tidied") as stage:
            if self.robot.rescue(self.host.server).active:
                self.robot.disarm_rescue(self.host.server)
                stage.say("the rescue system was still armed: disarmed")
            self.robot.delete_key(self.key)
            stage.detail = f"the temporary key {self.key} is deleted from Robot"
            self.key = ""

    def tidy_after(self, error: BaseException) -> None:
        """Tidy up after a failure, which remains what is raised; what was left behind is noted on it."""
        try:
            self.tidy()
        except RobotError as problem:
            error.add_note(f"left behind at Robot: the key {self.key} ({problem.found})")


@dataclass(frozen=True, slots=True)
class _Newcomer:
    """Looks for the new system after a reboot."""

    job: _Install
    address: Address
    rescue: frozenset[str]

    def __call__(self) -> Installed | None:
        """What it says of itself; None while it is not there, or does not know its user-data yet."""
        try:
            with Shell(self.address, self.job.login_key) as shell:
                return observe.installed(shell, self.job.fleet.release.distribution)
        except (NoSsh, NotLetIn):
            return None
        except HostKeyMismatch as problem:
            if problem.fingerprint in self.rescue:
                return None  # the rescue system, on its way down
            raise
