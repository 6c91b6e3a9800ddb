"""deploy-azure: plan → approve exactly that → apply the Azure hosts."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from .. import userdata
from ..azure import client, desired, executor, inventory, observe
from ..azure import plan as planning
from ..errors import BadInput
from ..plan import Plan
from ..record.origin import code_version
from ..views import Table, View
from .changing import Changing
from .inventory import Inventory
from .targets import ARM
from .watcher import Watcher


class DeployAzure(Changing):
    """Creates and changes in place what the fleet asks for; what would have to be replaced is shown as blocked."""

    name = "deploy-azure"

    def _make_plan(self) -> Plan:
        refused = self._examples("fleet.hetzner", "fleet.dedicated")
        # With a tenant that is an example nobody is logged in, and nobody is asked.
        observed = planning.Observed({}) if refused else observe.observe(self._cloud, self._desired)
        endpoint = self.targets.azure()[0] or ARM
        return planning.plan(self.loaded.fleet, self._desired, observed, code_version(), endpoint, refused)

    def _carry_out(self, plan: Plan, watch: Watcher) -> Mapping[str, Any]:
        executor.apply(plan, self._desired, self._cloud, watch)
        found = inventory.inventory(self.loaded.fleet, observe.observe(self._cloud, self._desired))
        self._inventory.write("azure", found)
        return {"inventory": found}

    def _results(self) -> View | None:
        hosts = self._inventory.read("azure").get("hosts", {})
        rows = [
            (name, h["overlay_address"], f"{h['public_address']}:{h['ssh_port']}", h["vm_id"])
            for name, h in hosts.items()
        ]
        return Table(("host", "overlay", "SSH", "VM id"), rows, "Hosts") if rows else None

    @property
    def _inventory(self) -> Inventory:
        return Inventory(self.project.inventory(self.loaded.fleet.environment))

    @property
    def _desired(self) -> Any:
        fleet = self.loaded.fleet
        rendered = userdata.render(fleet)
        return desired.resources(fleet, {host.name: rendered[host.name].content for host in fleet.hosts})

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
