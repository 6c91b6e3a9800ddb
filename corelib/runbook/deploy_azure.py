"""deploy-azure: plan → approve exactly that → apply the Azure hosts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from .. import userdata
from ..azure import by_hand, client, desired, executor, images, inventory, needs, observe, removal, stages, surroundings
from ..azure import moves as moving
from ..azure import plan as planning
from ..azure.acts import acts
from ..azure.executor import Pauses, Telling
from ..azure.facts import Facts
from ..azure.inventory import machine
from ..azure.needs import Needs
from ..azure.preflight import preflight
from ..azure.resource import USER_DATA, Observed, Resource
from ..errors import BadInput, RunbookError
from ..etcd.present import Present
from ..fleet import Azure
from ..member import Member
from ..plan import Plan, Step
from ..record.journal import salvage
from ..record.origin import code_version
from ..report import Finding, Report
from ..userdata import UserData
from ..userdata.joined import joined
from ..views import Note, Page, Table, View
from ..views.findings import findings
from . import ssh_config, standing
from .changing import Changing
from .deployed import Deployed
from .inventory import Inventory
from .members import Members
from .reaching import meet
from .restoration import Restoration
from .subject import Subject
from .targets import ARM
from .verification import door, verify
from .watcher import Watcher

_MEETS_S = 30.0  # until new machines let somebody in; Azure calls them made when they have booted


class DeployAzure(Changing):
    """Creates, changes, makes anew and removes what the fleet asks for; members of etcd one at a time."""

    name = "deploy-azure"
    inputs = (*Changing.inputs, "replace", "destroy", "restore")

    _desired: tuple[Resource, ...] = ()
    _observed: Observed  # what the last plan was made from, or what was there after an apply
    _etcd: Present | None = None  # who was in etcd when the last plan was made, where that mattered
    _met: tuple[Finding, ...] = ()  # what is to be said of host keys that are pinned since an apply
    _drafts: tuple[str, ...] = ()  # the hosts whose user-data waits for a reserved address

    def _make_plan(self) -> Plan:
        fleet, refused = self.loaded.fleet, self._examples("fleet.hetzner", "fleet.dedicated")
        endpoint = self.targets.azure()[0] or ARM
        # With a tenant that is an example nobody is logged in, and nobody is asked.
        self._observed = observed = Observed({}) if refused else self._observe()
        if sum(map(bool, (self.given.replace, self.given.destroy, self.given.restore))) > 1:
            several = "more than one of replace, destroy and restore is given"
            raise BadInput("planning deploy-azure", several, "do one after the other")
        if self.given.restore:
            return self._restoration(observed, endpoint, refused)
        if self.given.destroy:
            return self._removal(observed, endpoint)
        found = moving.moves(fleet, observed, anew := self._anew(observed), self._present(observed, anew))
        known = stages.known_addresses(fleet, observed)
        rendered = self._rendered(known, found.finds)
        self._drafts = tuple(host.name for host in fleet.hosts if rendered[host.name].unknown)
        ready = {h.name: rendered[h.name].content for h in fleet.hosts if h.name not in self._drafts}
        needed, facts = self._facts(observed, anew, refused)
        self._desired = images.pinned(desired.resources(fleet, ready, known, anew), observed, facts.images)
        given = self._given_once(observed, known, rendered)
        self._deployed.keep(one.body for one in self._desired if one.kind == "machine")
        found = found.but_for(self._drafts)
        plan = planning.plan(
            fleet, self._desired, observed, code_version(), endpoint, refused, deployed=given, moves=found
        )
        return preflight(self._account, needed, facts).onto(plan)

    def _facts(self, observed: Observed, anew: Mapping[str, str], refused: tuple[Step, ...]) -> tuple[Needs, Facts]:
        """What is to be made would use, and what there is of it; of what is refused already, nothing is asked."""
        needed = needs.needs(() if refused else self._every(anew) if anew else self._all, observed)
        if not needed:
            return needed, Facts()
        with self._look("what it allows"):
            return needed, surroundings.ask(self._cloud, self._account.subscription, needed)

    def _removal(self, observed: Observed, endpoint: str) -> Plan:
        """The plan to destroy what is named, and nothing else. Raises BadInput for a name that nobody knows."""
        fleet, named = self.loaded.fleet, self.given.destroy
        self._desired, self._drafts = (), ()
        there = removal.ours(fleet, observed)
        unknown = removal.strange(named, {*there, *(one.target for one in self._all)})
        if unknown and (unknown := removal.strange(unknown, self._recorded())):
            raise removal.refused(unknown, there)
        going = removal.members_going(fleet, named, observed)
        self._etcd = present = self._ask_etcd(observed, ()) if going else None
        groups = {target.split("/")[0] for target in there if "/group/" in target}.intersection(named)
        with self._look("what else is there"):
            others = observe.others(self._cloud, groups, there)
        return removal.Removal.of(fleet, named, observed, others, present).plan(code_version(), endpoint)

    def _recorded(self) -> set[str]:
        """The resources that a run has ever changed: some are gone by now, and have left the parameters."""
        folders = self.project.records(self.loaded.fleet.environment).glob(f"*-{self.name}-*")
        entries = (entry for folder in folders for entry in salvage(folder)[0])
        targets = {entry["target"] for entry in entries if entry["kind"] == "step"}
        return {target for target in targets if not target.startswith("etcd/")}

    def _restoration(self, observed: Observed, endpoint: str, refused: tuple[Step, ...]) -> Plan:
        """The plan to restore etcd from a snapshot, and nothing else."""
        self._desired, self._drafts = (), ()
        if refused:
            where = planning.where(self.loaded.fleet, endpoint)
            return Plan(self.name, self.loaded.fleet.environment, where, code_version(), refused)
        self._keep_inventory(observed)  # the way to the hosts, should it be lost or old
        todo = self._snapshots.plan(self.given.restore)
        where = planning.where(self.loaded.fleet, endpoint)
        return Plan(self.name, todo.environment, where, code_version(), todo.steps(), warnings=todo.warnings)

    def _observe(self) -> Observed:
        """What is there of all that shall be."""
        with self._look("what is there"):
            return observe.observe(self._cloud, self._all, self.loaded.fleet.environment)

    @contextmanager
    def _look(self, at: str) -> Iterator[None]:
        """Journal the ids of all requests of a look, in one entry, however it ends."""
        with self._cloud.pace.heard() as requests:
            try:
                yield
            finally:
                if requests:
                    self._journal.note("look", provider="azure", at=at, requests=requests)

    def _every(self, anew: Mapping[str, str]) -> tuple[Resource, ...]:
        """All that shall be; for that, nothing has to be known of any user-data."""
        fleet = self.loaded.fleet
        return desired.resources(fleet, {host.name: b"" for host in fleet.hosts}, {}, anew)

    @cached_property
    def _all(self) -> tuple[Resource, ...]:
        return self._every({})

    def _rendered(self, known: Mapping[str, str], joining: Mapping[str, tuple[Member, ...]]) -> dict[str, UserData]:
        fleet = self.loaded.fleet
        rendered = userdata.render(fleet, addresses=known, joining=joining)
        userdata.require({host.name: rendered[host.name] for host in fleet.hosts}, "planning deploy-azure")
        return rendered

    def _given_once(
        self, observed: Observed, known: Mapping[str, str], rendered: Mapping[str, UserData]
    ) -> dict[str, str]:
        """What machines were given that is not what is rendered now, by its SHA-256: kept, or else made again."""
        fleet, kept = self.loaded.fleet, self._deployed.known(observed)
        members = (host.name for host in fleet.hosts if host.etcd == "member" and host.name not in self._drafts)
        digests = {name: machine(fleet, observed, name, USER_DATA) for name in members}
        lost = {n: d for n, d in digests.items() if d and d != rendered[n].sha256 and d not in kept}
        return {**kept, **joined(fleet, lost, known)}

    def _anew(self, observed: Observed) -> dict[str, str]:
        """The hosts that shall be made anew, each with the machine that it is made in place of.

        Under an approval that is the machine (or disk) of the approved plan, whatever stands there meanwhile.
        """
        fleet, names = self.loaded.fleet, {host.name for host in self.loaded.fleet.hosts}
        if strange := [name for name in self.given.replace if name not in names]:
            what = f"replace: {', '.join(strange)}: no host of the Azure clusters"
            raise BadInput("planning deploy-azure", what, f"it may name {', '.join(sorted(names))}")
        approved = self._approvals.targets(self._approved_here or self.given.approved_plan)
        old = (one.rpartition("/")[2].split("@") for one in approved if "@" in one and not one.startswith("etcd/"))
        at = {name.removesuffix("-etcd"): generation for name, generation in old}
        now = {name: "" if approved else machine(fleet, observed, name, "vmId")[:8] for name in self.given.replace}
        return {name: at.get(name) or now[name] or "gone" for name in self.given.replace}

    def _present(self, observed: Observed, anew: Mapping[str, str]) -> Present | None:
        """Who is in etcd now, where that matters for the plan; whoever cannot be asked serves nobody."""
        asked = moving.touches(self.loaded.fleet, observed, anew)
        self._etcd = self._ask_etcd(observed, tuple(anew)) if asked else None
        return self._etcd

    def _ask_etcd(self, observed: Observed, joining: tuple[str, ...]) -> Present:
        try:
            self._keep_inventory(observed)  # the way to the hosts, should it be lost or old
            return verify(self._subject, self.secret, self.project, joining, canary=False).present
        except RunbookError as problem:
            return Present(sentence=problem.found, last=standing.seen(self._subject.intended, self._inventory))

    def _carry_out(self, plan: Plan, watch: Watcher) -> Mapping[str, Any]:
        if self.given.restore:
            self._snapshots.carry_out(self.given.restore, plan, watch)
            return self._remember()
        self._keep_inventory(self._observed)
        at_azure, members = acts(self._cloud, self._desired), self._members(plan)

        def act(step: Step, telling: Telling) -> Pauses | None:
            return (members.act if step.target.startswith("etcd/") else at_azure)(step, telling)

        executor.apply(plan, act, watch, clock=self._cloud.pace.clock)
        self._observed = self._observe()
        facts = self._remember()
        self._met = meet(self._subject, self._inventory, self.secret, _MEETS_S)
        ssh_config.refresh(self.loaded.fleet, self.project)
        return facts

    def _remember(self) -> Mapping[str, Any]:
        return {"inventory": self._keep_inventory(self._observed)}

    def _members(self, plan: Plan) -> Members:
        fleet, at, subject = self.loaded.fleet, self.project, self._subject
        of_etcd = {step.desired.get("name", "") for step in plan.steps if step.target.startswith("etcd/")}
        machines = {step.desired.get("name", "") for step in plan.pending if "/machine/" in step.target}
        going = frozenset(of_etcd | machines)
        at_fault = self._etcd.faults if self._etcd else {}
        return Members(
            look=lambda joining: verify(subject, self.secret, at, joining),
            door=lambda name: door(subject, self.secret, at, name),
            arrived=self._arrived,
            keys=fleet.ssh_keys,
            folder=at.state(fleet.environment) / "snapshots",
            going=going,
            excused=going.intersection(at_fault),
        )

    def _arrived(self) -> None:
        """A machine is another one now: where it is has to be known before anybody asks it."""
        self._keep_inventory(self._observe())

    def _keep_inventory(self, observed: Observed) -> dict[str, Any]:
        """What is there, and whose machine was there and is gone: only a plan of ours makes it forgotten."""
        fleet, planned = self.loaded.fleet, self._planned()
        others = {host.name for host in fleet.hosts}.difference(planned)
        found = standing.with_gone(inventory.inventory(fleet, observed), self._inventory.read("azure"), others)
        self._inventory.write("azure", found)
        if not moving.remains(fleet, observed):
            standing.forget(self._inventory)
        ssh_config.refresh(fleet, self.project)
        return found

    def _planned(self) -> set[str]:
        """The hosts whose machines the approved plan makes or takes away, or would, if they were there."""
        approved = self._approvals.targets(self._approved_here or self.given.approved_plan)
        named = {one.partition("@")[0] for one in approved}
        hosts = {f"{at.name}/machine/{one.name}": one.name for at in self.loaded.fleet.clusters for one in at.hosts}
        destroyed = self.given.destroy if approved else ()
        return {name for target, name in hosts.items() if target in named or removal.named(target, destroyed)}

    def _remark(self) -> str:
        if not self._drafts:
            return ""
        hosts = f"{len(self._drafts)} machines" if len(self._drafts) > 3 else " and ".join(self._drafts)
        return f"{hosts}: their user-data names addresses that this plan reserves; they follow in the next plan."

    def _by_hand(self, plan: Plan) -> str:
        if not plan.pending:
            return ""
        snapshot = str(self._snapshots.file(self.given.restore)) if self.given.restore else ""
        return by_hand.commands(plan, snapshot.removeprefix(f"{self.project.root}/"))

    def _results(self) -> View | None:
        hosts = self._inventory.read("azure").get("hosts", {})
        rows = [
            (name, h["overlay_address"], f"{h['public_address']}:{h['ssh_port']}", h["vm_id"])
            for name, h in hosts.items()
        ]
        table = Table(("host", "overlay", "SSH", "VM id"), rows, "Hosts")
        hint = ssh_config.hint(self.loaded.fleet, self.project)
        next_ = removal.afterwards(self.loaded.fleet, self.given.destroy)
        note = Note(next_, "warn") if next_ else None
        return Page.of(note, table, findings(Report.of(self._met), "Host keys"), hint) if rows else note

    @property
    def _deployed(self) -> Deployed:
        return Deployed(self.project.state(self.loaded.fleet.environment) / "deployed")

    @property
    def _inventory(self) -> Inventory:
        return Inventory(self.project.inventory(self.loaded.fleet.environment))

    @property
    def _snapshots(self) -> Restoration:
        return Restoration(self._subject, self.secret, self.project)

    @cached_property
    def _subject(self) -> Subject:
        return Subject.of(self.loaded.fleet)

    @property
    def _account(self) -> Azure:
        azure = self.loaded.fleet.azure
        if azure is None:
            raise BadInput("planning deploy-azure", "the parameters have no fleet.azure", "add tenant and subscription")
        return azure

    @cached_property
    def _cloud(self) -> Any:
        azure = self._account
        endpoint, ca = self.targets.azure()
        credential = client.credential_of(azure.credential)
        who = client.identity(credential, ARM)
        self._identify("azure", who)
        client.check_tenant(who, azure)
        return client.connect(azure, endpoint=endpoint, verify=ca, credential=credential)
