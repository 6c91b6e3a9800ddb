"""One machine of the harder level as an operator has it: Robot, a fleet with its parameters, and an install by them."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from corelib import userdata
from corelib.errors import Refused, RunbookError
from corelib.fleet import Dedicated, Fleet, Image
from corelib.hetzner import install
from corelib.hetzner.job import Job
from corelib.hetzner.memory import Memory
from corelib.hetzner.observe import observe
from corelib.hetzner.pinned import Pinned
from corelib.hetzner.plan import looks, plan
from corelib.hetzner.robot import Robot
from corelib.hetzner.stages import Deadlines
from corelib.lab.robot.account import Account, Server
from corelib.lab.robot.limits import Limits, Refusals
from corelib.lab.robot.web import Login, application
from corelib.plan import Progress, Step
from corelib.ssh import HostKeyMismatch, KeyPair, NoSsh, Shell
from tests.hetzner.rig import fleet, with_host

from .machine import Machine
from .table import HardTable

ROBOT = "127.0.37.250"
LOGIN = ("user", "a password")
QUICK = Deadlines(rescue=20, ssh=20, write=60, boot=1, settle=1)


class Inspected(Exception):
    """The disk was written and inspected, and the machine is not to be rebooted: nothing here boots it."""


@dataclass
class Rig:
    """A machine, its Robot, and every event of the installs; `reboots` where one goes on after the inspection."""

    machine: Machine
    url: str
    fleet: Fleet
    table: HardTable
    folder: Path
    operator: str = field(default_factory=lambda: KeyPair.new("operator").private)
    events: list[Progress] = field(default_factory=list)
    deadlines: Deadlines = QUICK
    image: Pinned | None = None
    reboots: bool = False

    @property
    def host(self) -> Dedicated:
        return self.fleet.dedicated[0]

    @property
    def user_data(self) -> bytes:
        return userdata.render(self.fleet)[self.host.name].content

    def robot(self) -> Robot:
        return Robot(self.url, *LOGIN)

    def install(self, watch: Callable[[Progress], None] = lambda _: None) -> None:
        """Both of the product's plans, approved as they come, to the end of the inspection. Raises RunbookError."""
        step = self.step()
        if looks(step):
            install.inspect(self.job(watch))
            step = self.step()
        try:
            install.install(self.job(watch, desired=step.desired))
        except Inspected:
            return
        raise AssertionError("it went on without a reboot")

    def job(self, watch: Callable[[Progress], None], **more: Any) -> Job:
        """One plan's work, which stops before a reboot unless that is wanted."""

        def heard(event: Progress) -> None:
            self.events.append(event)
            watch(event)
            if event.target.endswith("/rebooting") and event.phase == "begin" and not self.reboots:
                raise Inspected

        content = {
            "user_data": self.user_data,
            "installer": self.machine.mirror.installer,
            "deadlines": self.deadlines,
            "image": self.image,
        }
        return Job(self.fleet, self.host, self.robot(), self.operator, heard, self.memory, **content, **more)

    def given(self, file: Path) -> None:
        """A local image in its parameters."""
        self.image = Pinned("the local image", file, hashlib.sha256(file.read_bytes()).hexdigest(), "give another")
        assert self.fleet.hetzner is not None
        hetzner = self.fleet.hetzner.model_copy(update={"image": Image(file=str(file), sha256=self.image.sha256)})
        self.fleet = self.fleet.model_copy(update={"hetzner": hetzner})

    def step(self) -> Step:
        """The one step of a plan that is made now. Raises Refused if it is blocked."""
        notes, digest = {self.host.name: self.memory.note}, hashlib.sha256(self.machine.mirror.installer).hexdigest()
        observed = observe(self.fleet, self.robot(), {}, self.operator, notes)
        (step,) = plan(self.fleet, observed, {self.host.name: self.user_data}, digest, "code", self.url).steps
        if step.action == "blocked":
            raise Refused("planning", step.why)
        return step

    @property
    def memory(self) -> Memory:
        """What an install has noted: each run reads it anew."""
        return Memory(self.folder / "note.json")

    def rescue(self) -> Shell:
        """Boot into the rescue system, for whoever only wants to look; a session, to be used in a `with`."""
        robot, number = self.robot(), self.host.server
        robot.arm_rescue(number, robot.add_key("who tests", self.machine.key.public))
        robot.reset(number)
        deadline = time.monotonic() + 10
        while True:
            try:
                with self.machine.shell():
                    return self.machine.shell()
            except (NoSsh, HostKeyMismatch):  # not up yet; its pin is not known yet
                assert time.monotonic() < deadline, "the rescue system does not come up"
                time.sleep(0.05)

    def command(self, *command: str) -> str:
        """Do something in the rescue system behind the client's back."""
        with self.machine.shell() as shell:
            return shell.read(*command)

    def log(self) -> str:
        """All that the install script said."""
        assert self.machine.running is not None
        (log,) = (self.machine.running.root / "run/coreos-runbooks").rglob("log")
        return log.read_text()

    def tried(self, name: str, watch: Callable[[Progress], None] = lambda _: None) -> RunbookError | None:
        """Install with that fault; what it was stopped by. Held to: no other disk is changed by a byte."""
        target, *others = self.machine.disks
        before, begun = [disk.digest() for disk in self.machine.disks], time.monotonic()
        problem: RunbookError | None = None
        try:
            self.install(watch)
        except RunbookError as error:
            problem = error
        took = time.monotonic() - begun
        after = [disk.digest() for disk in self.machine.disks]
        changed = [disk.serial for disk, was, now in zip(others, before[1:], after[1:], strict=True) if was != now]
        self.table.kept += len(others)
        self.table.changed += len(changed)
        state = (
            "as it was" if before[0] == after[0] else "written, has a table" if target.table() else "written, no table"
        )
        ends = f"{type(problem).__name__}: {problem.found.splitlines()[0]}" if problem else "installed, inspected"
        self.table.rows.append((name, ends[:100], state, f"{1000 * took:.0f}"))
        assert changed == []
        return problem

    @property
    def target_as_it_was(self) -> bool:
        """Whether the last row says so."""
        return self.table.rows[-1][2] == "as it was"

    def phases(self, phase: str) -> list[str]:
        """The stages that reached a phase, in their order."""
        return [event.target.partition("/")[2] for event in self.events if event.phase == phase]

    def facts(self, stage: str) -> dict[str, Any]:
        """What the last end of a stage said."""
        ends = [e for e in self.events if e.target == f"{self.host.name}/{stage}" and e.phase in ("done", "failed")]
        return dict(ends[-1].facts)

    def said(self) -> list[str]:
        """What was said while something was waited for."""
        return [event.detail for event in self.events if event.phase == "wait"]


@contextmanager
def rig(machine: Machine, log: Path, table: HardTable) -> Iterator[Rig]:
    """Put a machine that is off behind Robot, in the lab's fleet."""
    with machine:
        address, port = machine.at
        whole = with_host(fleet(), address=IPv4Address(address), ssh_port=port)
        host, account = whole.dedicated[0], Account()
        server = Server(host.server, host.name, address, lambda _: machine.reset(), account.keys)
        account.servers[host.server] = server
        machine.take_rescue = server.take_rescue
        with _robot(account, log) as url:
            yield Rig(machine, url, whole, table, log.parent)


@contextmanager
def _robot(account: Account, log: Path) -> Iterator[str]:
    """The lab's stand-in of Robot, on a loop of its own; its URL."""
    loop = asyncio.new_event_loop()

    async def listen() -> HTTPServer:
        server = HTTPServer(application(account, Login(*LOGIN), log, Limits(1.0), Refusals(())))
        server.add_sockets(sockets := bind_sockets(0, ROBOT))
        server.port = sockets[0].getsockname()[1]
        return server

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(listen(), loop).result(10)
    try:
        yield f"http://{ROBOT}:{server.port}"
    finally:
        loop.call_soon_threadsafe(server.stop)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
