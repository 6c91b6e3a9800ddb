"""install-hetzner: plan → approve exactly that, and consent to the disk by name → install the dedicated machines.

In two plans: the first boots a machine into its rescue system, where its disks are looked at; the second names the one
that is wiped.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

from .. import userdata
from ..errors import BadInput, Refused
from ..fleet import Dedicated, Hetzner
from ..hetzner import install, observe
from ..hetzner import plan as planning
from ..hetzner.facts import Observation, Pin, Server
from ..hetzner.job import Job
from ..hetzner.memory import Memory
from ..hetzner.pinned import Pinned
from ..hetzner.robot import Robot
from ..hetzner.together import together
from ..plan import Plan, Step
from ..record.origin import code_version
from ..references import path_of
from ..views import Page, Table, View
from . import installing, ssh_config
from .changing import Changing
from .inventory import Inventory
from .watcher import Watcher


class InstallHetzner(Changing):
    """Installs each dedicated machine that is not yet what the fleet says."""

    name = "install-hetzner"
    inputs = (*Changing.inputs, "replace")

    _observed: Mapping[str, Observation] = {}
    _planned: Plan | None = None
    _log: installing.Log | None = None
    _writing = threading.Lock()  # of the inventory, by several installs at once

    def _make_plan(self) -> Plan:
        refused = self._examples("fleet.azure", "fleet.clusters")
        endpoint = self.targets.robot()[0]
        # With values that are examples no login is needed to say so, and nobody is asked.
        self._observed, digest = ({}, "") if refused else (self._look(), self._hetzner.installer_sha256)
        observed, user_data = self._wished(self._observed), self._user_data
        made = planning.plan(self.loaded.fleet, observed, user_data, digest, code_version(), endpoint, refused)
        self._planned = made
        return made

    def _wished(self, observed: Mapping[str, Observation]) -> dict[str, Observation]:
        """The same, with those marked that shall be installed anew and were not yet.

        They were if they have been installed since the plan that was approved, or else since this run asked first.
        """
        hosts = {host.name: host for host in self.loaded.fleet.dedicated}
        if strange := [name for name in self.given.replace if name not in hosts]:
            what = f"replace: {', '.join(strange)}: no dedicated machine"
            raise BadInput("planning install-hetzner", what, f"it may name {', '.join(sorted(hosts)) or 'none'}")
        approved = self._approvals.targets(self._approved_here or self.given.approved_plan)
        at, place = planning.anew_in(approved), self.loaded.fleet.environment
        for name in self.given.replace:
            self._first.setdefault((place, name), self._memory(hosts[name]).note.installs)
        before = {name: at.get(name, self._first[place, name]) for name in self.given.replace}
        return {name: replace(one, anew=before.get(name) == one.note.installs) for name, one in observed.items()}

    def _look(self) -> dict[str, Observation]:
        """What Robot and the machines say; the install script and the image are those of the parameters."""
        self._installer, self._image  # noqa: B018 - a wrong digest is said before anything is asked
        notes = {host.name: self._memory(host).note for host in self.loaded.fleet.dedicated}
        return observe.observe(self.loaded.fleet, self._robot, self._pins(), self._login_key, notes)

    def _carry_out(self, plan: Plan, watch: Watcher) -> Mapping[str, Any]:
        steps = {planning.host_of(step): step for step in plan.pending}
        hosts = [host for host in self.loaded.fleet.dedicated if host.name in steps]
        self._log = log = installing.Log(watch)
        robot = self._robot.queueing(planning.queue(plan))
        servers = robot.servers()  # once for all: Robot answers 200 in an hour
        jobs = {host.name: self._job(host, robot, log, servers) for host in hosts}
        work = {name: partial(self._one, job, steps[name]) for name, job in jobs.items()}
        try:
            done = together(work, f"applying {plan.digest}")
        except BaseException:
            self._live(Page(tuple(installing.report(host, self.loaded.fleet, log) for host in hosts)))
            raise
        return {"inventory": {name: entry for name, entry in done.items() if entry}}

    def _job(self, host: Dedicated, robot: Robot, log: installing.Log, servers: tuple[Server, ...]) -> Job:
        pin, fleet = self._pins().get(host.name), self.loaded.fleet
        left, memory = pin.left if pin else "", self._memory(host)
        return Job(fleet, host, robot, self._login_key, log, memory, servers=servers, left=left)

    def _one(self, job: Job, step: Step) -> Mapping[str, Any]:
        """Take one machine to where its step leads; its host key is remembered as soon as it is made."""
        host, job = job.host, replace(job, desired=step.desired)
        remember = self._remembering(host, replaces=step.action == "replace")
        if planning.looks(step):
            install.inspect(job)
            return {}
        if planning.tidies(step):
            install.tidy(job)
            known = self._inventory.read("dedicated")[host.name]
            entry = {name: value for name, value in known.items() if name not in ("left_behind", "left_key")}
            remember(entry)
            return entry
        user_data = self._user_data[host.name]
        job = replace(job, user_data=user_data, installer=self._installer, image=self._image)
        return install.install(job, remember)

    def _remembering(self, host: Dedicated, *, replaces: bool) -> Callable[[Mapping[str, Any]], None]:
        def remember(entry: Mapping[str, Any]) -> None:
            kept = {**entry, "replaces": replaces} if entry.get("pending") else dict(entry)
            with InstallHetzner._writing:
                self._inventory.write("dedicated", {**self._inventory.read("dedicated"), host.name: kept})
                ssh_config.refresh(self.loaded.fleet, self.project)

        return remember

    def _abandoned(self) -> View | None:
        return Page.of(*self._reports(abandoned=True))

    def _details(self) -> View | None:
        return installing.disks(self._observed, self.loaded.fleet.dedicated)

    def _details_as_data(self) -> Mapping[str, Any]:
        return {"disks": installing.disks_as_data(self._observed, self.loaded.fleet.dedicated)}

    def _remark(self) -> str:
        return planning.lasts(self._planned) if self._planned else ""

    def _results(self) -> View | None:
        known = self._inventory.read("dedicated")
        rows = [
            (name, f"{h['address']}:{h['ssh_port']}", h["host_key_fingerprint"], h["disk"]) for name, h in known.items()
        ]
        machines = Table(("host", "SSH", "host key", "disk"), rows, "Dedicated machines") if rows else None
        return Page.of(*self._reports(), self._details(), machines)

    def _reports(self, *, abandoned: bool = False) -> list[View]:
        log, fleet = self._log, self.loaded.fleet
        if log is None:
            return []
        hosts = [host for host in fleet.dedicated if log.of(host.name)]
        return [installing.report(host, fleet, log, abandoned=abandoned) for host in hosts]

    def _pins(self) -> dict[str, Pin]:
        return {name: Pin.of(entry) for name, entry in self._inventory.read("dedicated").items()}

    def _memory(self, host: Dedicated) -> Memory:
        return Memory(self.project.state(self.loaded.fleet.environment) / "installs" / f"{host.name}.json")

    @cached_property
    def _first(self) -> dict[tuple[str, str], int]:
        """How often a machine had been installed when this run was first asked to install it anew, by environment."""
        return {}

    @property
    def _inventory(self) -> Inventory:
        return Inventory(self.project.inventory(self.loaded.fleet.environment))

    @property
    def _user_data(self) -> dict[str, bytes]:
        fleet = self.loaded.fleet
        rendered = userdata.render(fleet, addresses=self._inventory.addresses())
        userdata.require({host.name: rendered[host.name] for host in fleet.dedicated}, "planning install-hetzner")
        for host in fleet.dedicated:
            if rendered[host.name].unknown:
                clusters = " and ".join(rendered[host.name].unknown)
                found = f"the user-data of {host.name} needs the reserved address of {clusters}, which nobody knows yet"
                raise Refused("planning install-hetzner", found, "apply deploy-azure first")
        return {host.name: rendered[host.name].content for host in fleet.dedicated}

    @property
    def _hetzner(self) -> Hetzner:
        hetzner = self.loaded.fleet.hetzner
        if hetzner is None:
            raise BadInput("planning install-hetzner", "the parameters have no fleet.hetzner", "add it")
        return hetzner

    @cached_property
    def _robot(self) -> Robot:
        user, password = self.targets.robot_login()
        endpoint, ca = self.targets.robot()
        self._identify("robot", {"user": user})
        return Robot(endpoint, user, password, True if ca is None else ca)

    @cached_property
    def _login_key(self) -> str:
        self.targets.hold_lab()  # the lab writes its operator's key when it starts
        return self.secret(self._hetzner.login_key)

    @cached_property
    def _installer(self) -> bytes:
        self.targets.hold_lab()  # and a stand-in of the install script
        remedy = (
            "get flatcar-install from the distribution's repository (github.com/flatcar/init, bin/flatcar-install), "
            "read it, and give its path and SHA-256 in fleet.hetzner.installer and installer_sha256"
        )
        path = path_of(self._hetzner.installer, self.project.root)
        return Pinned("the install script", path, self._hetzner.installer_sha256, remedy).read()

    @cached_property
    def _image(self) -> Pinned | None:
        image = self._hetzner.image
        if image is None:
            return None
        path = path_of(image.file, self.project.root)
        return Pinned("the local image", path, image.sha256, "give the right file, or its own digest").check()
