"""install-hetzner: plan → approve exactly that, and consent to the disk by name → install the dedicated machines."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from .. import userdata
from ..errors import BadInput, Refused
from ..fleet import Dedicated, Hetzner
from ..hetzner import install, observe
from ..hetzner import plan as planning
from ..hetzner.facts import Observation, Pin
from ..hetzner.loopback import is_loopback
from ..hetzner.robot import Robot
from ..plan import Plan
from ..record.origin import code_version
from ..references import path_of
from ..views import Table, View
from .changing import Changing
from .inventory import Inventory
from .watcher import Watcher


class InstallHetzner(Changing):
    """Installs each dedicated machine that is not yet what the fleet says."""

    name = "install-hetzner"

    def _make_plan(self) -> Plan:
        refused = self._examples("fleet.azure", "fleet.clusters")
        endpoint = self.targets.robot()[0]
        # Where the plan refuses the endpoint anyway, no login is needed to say so, and nobody is asked.
        found, digest = self._look() if is_loopback(endpoint) else ({}, "")
        return planning.plan(self.loaded.fleet, found, self._user_data, digest, code_version(), endpoint, refused)

    def _look(self) -> tuple[dict[str, Observation], str]:
        """What Robot and the machines say, and the install script's digest."""
        found = observe.observe(self.loaded.fleet, self._robot, self._pins(), self._login_key)
        return found, hashlib.sha256(self._installer).hexdigest()

    def _carry_out(self, plan: Plan, watch: Watcher) -> Mapping[str, Any]:
        pending = {step.target for step in plan.pending}
        hosts = [host for host in self.loaded.fleet.dedicated if planning.target(host) in pending]
        return {"inventory": {host.name: self._install(host, watch) for host in hosts}}

    def _install(self, host: Dedicated, watch: Watcher) -> Mapping[str, Any]:
        """Install one machine, and remember its host key at once: it is what the machine is known by from now on."""
        fleet, user_data = self.loaded.fleet, self._user_data[host.name]
        facts = install.install(fleet, host, user_data, self._installer, self._robot, self._login_key, watch)
        self._inventory.write("dedicated", {**self._inventory.read("dedicated"), host.name: facts})
        return facts

    def _results(self) -> View | None:
        known = self._inventory.read("dedicated")
        rows = [
            (name, f"{h['address']}:{h['ssh_port']}", h["host_key_fingerprint"], h["disk"]) for name, h in known.items()
        ]
        return Table(("host", "SSH", "host key", "disk"), rows, "Dedicated machines") if rows else None

    def _pins(self) -> dict[str, Pin]:
        return {name: Pin.of(entry) for name, entry in self._inventory.read("dedicated").items()}

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
        path = path_of(self._hetzner.installer, self.project.root)
        try:
            return path.read_bytes()
        except OSError as problem:
            remedy = "get flatcar-install from the distribution's repository, and name it in fleet.hetzner.installer"
            raise BadInput(f"reading the install script {path}", problem.strerror or str(problem), remedy) from None
