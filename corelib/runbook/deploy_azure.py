"""deploy-azure: plan → approve exactly that → apply the Azure hosts."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from .. import userdata
from ..azure import client, desired, executor, inventory, observe, stages
from ..azure import plan as planning
from ..azure.resource import Resource
from ..errors import BadInput
from ..plan import Plan
from ..record.origin import code_version
from ..views import Table, View
from .changing import Changing
from .deployed import Deployed
from .inventory import Inventory
from .targets import ARM
from .watcher import Watcher


class DeployAzure(Changing):
    """Creates and changes in place what the fleet asks for; what would have to be replaced is shown as blocked."""

    name = "deploy-azure"

    _desired: tuple[Resource, ...] = ()
    _drafts: tuple[str, ...] = ()  # the hosts whose user-data waits for a reserved address

    def _make_plan(self) -> Plan:
        fleet = self.loaded.fleet
        refused = self._examples("fleet.hetzner", "fleet.dedicated")
        # With a tenant that is an example nobody is logged in, and nobody is asked.
        observed = planning.Observed({}) if refused else self._observe()
        known = stages.known_addresses(fleet, observed)
        rendered = userdata.render(fleet, addresses=known)
        userdata.require({host.name: rendered[host.name] for host in fleet.hosts}, "planning deploy-azure")
        self._drafts = tuple(host.name for host in fleet.hosts if rendered[host.name].unknown)
        ready = {h.name: rendered[h.name].content for h in fleet.hosts if h.name not in self._drafts}
        self._desired = desired.resources(fleet, ready, known)
        endpoint = self.targets.azure()[0] or ARM
        deployed = self._deployed.known(observed)
        return planning.plan(fleet, self._desired, observed, code_version(), endpoint, refused, deployed=deployed)

    def _observe(self) -> planning.Observed:
        """What is there of all that shall be; for that, nothing has to be known of any user-data."""
        fleet = self.loaded.fleet
        every = desired.resources(fleet, {host.name: b"" for host in fleet.hosts})
        return observe.observe(self._cloud, every, fleet.environment)

    def _carry_out(self, plan: Plan, watch: Watcher) -> Mapping[str, Any]:
        self._deployed.keep(one.body for one in self._desired if one.kind == "machine")
        executor.apply(plan, self._desired, self._cloud, watch)
        found = inventory.inventory(self.loaded.fleet, self._observe())
        self._inventory.write("azure", found)
        return {"inventory": found}

    def _remark(self) -> str:
        if not self._drafts:
            return ""
        hosts = f"{len(self._drafts)} machines" if len(self._drafts) > 3 else " and ".join(self._drafts)
        return f"{hosts}: their user-data names addresses that this plan reserves; they follow in the next plan."

    def _results(self) -> View | None:
        hosts = self._inventory.read("azure").get("hosts", {})
        rows = [
            (name, h["overlay_address"], f"{h['public_address']}:{h['ssh_port']}", h["vm_id"])
            for name, h in hosts.items()
        ]
        return Table(("host", "overlay", "SSH", "VM id"), rows, "Hosts") if rows else None

    @property
    def _deployed(self) -> Deployed:
        return Deployed(self.project.state(self.loaded.fleet.environment) / "deployed")

    @property
    def _inventory(self) -> Inventory:
        return Inventory(self.project.inventory(self.loaded.fleet.environment))

    @cached_property
    def _cloud(self) -> Any:
        azure = self.loaded.fleet.azure
        if azure is None:
            raise BadInput("planning deploy-azure", "the parameters have no fleet.azure", "add tenant and subscription")
        endpoint, ca = self.targets.azure()
        credential = client.credential_of(azure.credential)
        who = client.identity(credential, ARM)
        self._identify("azure", who)
        client.check_tenant(who, azure)
        return client.connect(azure, endpoint=endpoint, verify=ca, credential=credential)
