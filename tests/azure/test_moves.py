"""Who leaves and joins etcd: in which order, when not, and that an interrupted move goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corelib.azure import desired
from corelib.azure import moves as moving
from corelib.azure import plan as planning
from corelib.azure.resource import REPLACES, Observed
from corelib.etcd.present import Present
from corelib.etcd.samples import Listed
from corelib.fleet import Fleet, Host
from corelib.member import Member, quorum
from corelib.plan import Plan, Step

from .conftest import custom_data, fleet

FLEET = fleet()
NAMES = [member.name for member in FLEET.etcd.members]


def listed(member: Member, number: int) -> Listed:
    return Listed(number, member.name, (member.peer_url,), (member.client_url,))


def present(of: Fleet = FLEET, dead: Iterable[str] = (), **how: Any) -> Present:
    """All members of a fleet in their cluster; those that are dead serve nobody, and are faults."""
    members = [listed(member, 100 + number) for number, member in enumerate(of.etcd.members)]
    gone, names = set(dead), {one.name for one in members}
    faults = {name: f"{name} refuses connections" for name in gone}
    found = Present(tuple(members), frozenset(names), frozenset(names - gone), faults, version="3.5.16")
    if found.spare < 0:  # nobody speaks for a cluster without a quorum
        found = Present(voters=frozenset(), faults=faults, sentence="no quorum")
    return replace(found, **how)


def bodies(of: Fleet = FLEET) -> dict[str, Any]:
    found = {}
    for one in desired.resources(of, custom_data(of)):
        body = json.loads(json.dumps(one.body)) | {"id": f"/x/{one.name}", "name": one.name}
        body.setdefault("properties", {})["provisioningState"] = "Succeeded"
        body["properties"].get("osProfile", {}).pop("customData", None)
        if one.kind == "machine":
            body["properties"]["vmId"] = f"{one.name[-2:]}000000-old"
        found[one.target] = body
    return found


@dataclass
class World:
    """A fleet's resources and its etcd, and what the steps of a plan do to them."""

    fleet: Fleet = FLEET
    bodies: dict[str, Any] = field(default_factory=bodies)
    strays: dict[str, Any] = field(default_factory=dict)
    etcd: Present = field(default_factory=present)
    margins: list[int] = field(default_factory=list)

    def plan(self, anew: Mapping[str, str]) -> Plan:
        observed = Observed(self.bodies, strays=self.strays)
        asked = moving.touches(self.fleet, observed, anew)
        found = moving.moves(self.fleet, observed, anew, self.etcd if asked else None)
        # User-data is not the point here: the same bytes, whoever joins.
        wanted = desired.resources(self.fleet, custom_data(self.fleet), {}, anew)
        return planning.plan(self.fleet, wanted, observed, "c1", "https://arm", moves=found)

    def do(self, step: Step) -> None:
        if step.target.startswith("etcd/"):
            self._etcd(step.desired["kind"], step.desired)
        elif step.action == "destroy":
            target = step.target.partition("@")[0]
            gone = self.bodies if target in self.bodies else self.strays
            assert gone.pop(target)
            if "/machine/" in target:
                gone.pop(f"{target.replace('/machine/', '/interface/')}-nic", None)
        else:
            body = json.loads(json.dumps(step.desired["body"])) | {"id": "/x", "name": step.desired["name"]}
            body.setdefault("properties", {})["provisioningState"] = "Succeeded"
            self.bodies[step.target] = body
            if step.desired["kind"] == "machine":
                body["properties"]["vmId"] = "fffffff-new"
                self._boots(step.desired["name"])

    def _etcd(self, kind: str, what: Mapping[str, Any]) -> None:
        name, now = what["name"], self.etcd
        if kind == "leave":
            rest = tuple(one for one in now.listed if f"{one.id:x}" != what["id"])
            assert len(rest) == len(now.listed) - 1
            self.etcd = replace(now.without(name), listed=rest)
        elif kind == "join":
            entry = Listed(900 + len(self.margins), "", (what["peer_url"],), (), learner=True)
            self.etcd = replace(now, listed=(*now.listed, entry))
        elif kind == "ready":
            entries = tuple(one._replace(learner=False) if one.name == name else one for one in now.listed)
            self.etcd = replace(now.joined_by(name), listed=entries)
            assert name in {one.name for one in entries}, "it has started before it votes"
        self.margins.append(self.etcd.spare)

    def _boots(self, name: str) -> None:
        member = next(one for one in self.fleet.etcd.members if one.name == name)
        entries = tuple(
            one._replace(name=name, client_urls=(member.client_url,)) if member.peer_url in one.peer_urls else one
            for one in self.etcd.listed
        )
        self.etcd = replace(self.etcd, listed=entries)


def run(world: World, anew: Mapping[str, str]) -> list[str]:
    """Apply it whole, in the plan's order."""
    plan = world.plan(anew)
    assert not plan.blocked, [step.why for step in plan.blocked]
    done = []
    for step in plan.pending:
        assert not set(step.after) & ({one.target for one in plan.pending} - set(done)), step.target
        world.do(step)
        done.append(step.target)
    assert world.plan(anew).empty, [step.target for step in world.plan(anew).pending]
    return done


def test_a_host_is_made_anew_member_by_member_and_in_this_order() -> None:
    world = World()
    assert run(world, {"azure-lab-02": "02000000"}) == [
        "etcd/snapshot/azure-lab-02",
        "etcd/member/azure-lab-02@65",
        "azure-lab-a/machine/azure-lab-02@02000000",
        "azure-lab-a/disk/azure-lab-02-etcd@02000000",
        "azure-lab-a/disk/azure-lab-02-etcd",
        "azure-lab-a/interface/azure-lab-02-nic",
        "etcd/member/azure-lab-02",
        "azure-lab-a/machine/azure-lab-02",
        "etcd/ready/azure-lab-02",
    ]
    assert min(world.margins) >= 0
    assert world.bodies["azure-lab-a/machine/azure-lab-02"]["tags"][REPLACES] == "02000000"
    assert World().plan({"azure-lab-02": "02000000"}).consents == ("replace azure-lab-02",)


def test_a_dead_one_goes_first_and_is_not_counted_as_lost_again() -> None:
    world = World(etcd=present(dead=["azure-lab-03"]))
    done = run(world, {"azure-lab-02": "02000000", "azure-lab-03": "03000000"})
    assert done.index("etcd/ready/azure-lab-03") < done.index("etcd/snapshot/azure-lab-02")
    assert min(world.margins) >= 0


@given(st.permutations(NAMES), st.integers(1, 4), st.booleans(), st.sets(st.integers(0, 35), max_size=6))
def test_an_interrupted_move_goes_on_with_steps_that_were_approved(
    order: list[str], count: int, dead: bool, interrupted: set[int]
) -> None:
    anew = {name: f"{name[-2:]}000000" for name in order[:count]}
    world = World(etcd=present(dead=order[:1] if dead else []))
    approved = {step.digest for step in world.plan(anew).pending}
    done = 0
    while (plan := world.plan(anew)).pending:
        assert not plan.blocked
        assert {step.digest for step in plan.pending} <= approved, "what is left was approved"
        for step in plan.pending:
            world.do(step)
            done += 1
            assert world.etcd.spare >= 0, "never without a quorum"
            if done in interrupted:
                break
    assert world.etcd.serving == world.etcd.voters == frozenset(NAMES)


def why(world: World, anew: Mapping[str, str]) -> str:
    (first, *_) = world.plan(anew).blocked
    assert first.target.startswith("etcd/member/")
    return first.why


@pytest.mark.parametrize(
    ("etcd", "words"),
    [
        (present(dead=["azure-lab-03"]), "not well apart from it, and that comes first: azure-lab-03 refuses"),
        (present(dead=["azure-lab-03", "azure-lab-04"]), "etcd has no quorum, so nobody can leave or come: no quorum"),
        (present(version="2.3.8"), "it runs etcd 2"),
        (Present(sentence="no key"), "nobody can leave or come: no key"),
    ],
)
def test_nobody_leaves_where_the_quorum_or_the_data_could_be_lost(etcd: Present, words: str) -> None:
    assert words in why(World(etcd=etcd), {"azure-lab-02": "02000000"})


def test_two_of_three_are_not_let_go_while_one_is_dead() -> None:
    """A cluster of two of whom one is dead has no quorum; of three it has, but not once another leaves."""
    etcd = present(dead=["azure-lab-01"])
    three = replace(etcd, listed=etcd.listed[:3], voters=frozenset(NAMES[:3]), serving=frozenset(NAMES[1:3]))
    assert quorum(3) == len(three.serving)
    assert "not well apart from it" in why(World(etcd=three), {"azure-lab-02": "02000000"})
    both = World(etcd=three).plan({"azure-lab-01": "01000000", "azure-lab-02": "02000000"})
    assert not both.blocked, "the dead one first, then the other"


def grown(by: int = 1) -> Fleet:
    """The lab's fleet with a fifth member, and more."""
    a, b = FLEET.clusters
    added = {f"azure-lab-0{4 + n}": FLEET.hosts[3].address + n for n in range(1, by + 1)}
    hosts = (Host(name=name, address=address) for name, address in added.items())
    more = b.model_copy(update={"hosts": (*b.hosts, *hosts)})
    etcd = FLEET.etcd.model_copy(update={"added": added})
    return FLEET.model_copy(update={"clusters": (a, more), "etcd": etcd})


def test_a_host_that_is_added_joins_as_a_learner_before_its_machine_comes() -> None:
    world = World(fleet=grown())
    done = [target for target in run(world, {}) if "05" in target]
    assert done == [
        "azure-lab-b/disk/azure-lab-05-etcd",
        "azure-lab-b/interface/azure-lab-05-nic",
        "etcd/member/azure-lab-05",
        "azure-lab-b/machine/azure-lab-05",
        "etcd/ready/azure-lab-05",
    ]
    found = moving.moves(world.fleet, Observed(bodies()), {}, present()).finds
    assert [one.name for one in found["azure-lab-05"]] == [*NAMES, "azure-lab-05"]


def test_in_a_fleet_that_founds_its_cluster_who_is_added_comes_last() -> None:
    of = grown()
    assert moving.touches(of, Observed({}), {}) is False, "there is nobody to ask"
    world = World(fleet=of, bodies={}, etcd=Present())
    approved = world.plan({})
    order = [step.target for step in approved.pending]
    machines = [order.index(one) for one in order if "/machine/" in one and "05" not in one]
    joins = [
        "azure-lab-b/disk/azure-lab-05-etcd",
        "azure-lab-b/interface/azure-lab-05-nic",
        "etcd/member/azure-lab-05",
        "azure-lab-b/machine/azure-lab-05",
        "etcd/ready/azure-lab-05",
    ]
    assert [one for one in order if "05" in one] == joins
    assert max(machines) < order.index(joins[2])
    by_target = {step.target: step for step in approved.pending}
    for before, then in pairwise(joins[1:]):
        assert before in by_target[then].after
    assert {order[n] for n in machines} < {*by_target[joins[2]].after}, "all that found it come before"

    for step in approved.pending[: order.index(joins[2])]:
        world.do(step)
    world.etcd = present(FLEET)
    assert {one.digest for one in world.plan({}).pending} <= {one.digest for one in approved.pending}
    run(world, {})
    assert "azure-lab-05" in world.etcd.voters


def test_a_learner_that_has_started_and_ended_leaves_before_it_is_made_anew() -> None:
    """What is on its disk is no use any more: etcd takes nobody back under the same id with a blank one."""
    of, now = grown(), present()
    member = of.etcd.members[-1]
    for name, end in ((member.name, ["etcd/snapshot/azure-lab-05", "etcd/member/azure-lab-05@1ff"]), ("", [])):
        entry = Listed(511, name, (member.peer_url,), (), learner=True)
        world = World(of, bodies(of), etcd=replace(now, listed=(*now.listed, entry)))
        done = run(world, {"azure-lab-05": "05000000"})
        assert done[: len(end)] == end
        assert ("etcd/member/azure-lab-05" in done) == bool(name), "one that has never started is added already"
        assert done[-1] == "etcd/ready/azure-lab-05"


def test_two_that_are_added_come_one_after_the_other_in_a_fleet_that_founds_its_cluster() -> None:
    of = grown(2)
    by_target = {step.target: step for step in World(fleet=of, bodies={}, etcd=Present()).plan({}).pending}
    assert "etcd/ready/azure-lab-05" in by_target["etcd/member/azure-lab-06"].after


def test_who_does_not_start_in_this_plan_does_not_join_in_it() -> None:
    """In the first of two stages a machine waits for the addresses that its user-data names."""
    of = grown()
    for found in (
        moving.moves(of, Observed({}), {}, None),
        moving.moves(of, Observed(bodies()), {}, present()),
    ):
        assert [step.desired["kind"] for step in found.steps] == ["join", "ready"]
        assert found.but_for(["azure-lab-05"]).steps == ()
        assert found.but_for(["azure-lab-04"]) == found


def test_a_member_leaves_before_its_machine_goes() -> None:
    a, b = FLEET.clusters
    fewer = FLEET.model_copy(
        update={
            "clusters": (a, b.model_copy(update={"hosts": b.hosts[:1]})),
            "etcd": FLEET.etcd.model_copy(update={"removed": ("azure-lab-04",)}),
        }
    )
    gone = "azure-lab-b/machine/azure-lab-04"
    there = bodies()
    world = World(fleet=fewer, strays={gone: there.pop(gone)}, bodies=there)
    for name in ("interface/azure-lab-04-nic", "disk/azure-lab-04-etcd"):
        world.strays[f"azure-lab-b/{name}"] = there.pop(f"azure-lab-b/{name}")
    plan = world.plan({})
    assert plan.consents == ("destroy azure-lab-04",)
    done = run(world, {})
    assert done[:3] == ["etcd/snapshot/azure-lab-04", "etcd/member/azure-lab-04@67", gone]
    blind = World(fleet=fewer, strays={gone: bodies()[gone]}, etcd=Present(sentence="no key"))
    assert "nobody can leave or come" in why(blind, {})


def test_what_has_never_started_leaves_too_before_its_machine_goes() -> None:
    """Nobody knows its name: it is known by its address, unless that is another's by now."""
    of, now = grown(), present()
    member = of.etcd.members[-1]
    learner = Listed(511, "", (member.peer_url,), (), learner=True)
    world = World(FLEET, bodies(FLEET), etcd=replace(now, listed=(*now.listed, learner)))
    removed = FLEET.etcd.model_copy(update={"added": of.etcd.added, "removed": (member.name,)})
    world.fleet = FLEET.model_copy(update={"etcd": removed})
    gone = f"azure-lab-b/machine/{member.name}"
    world.strays[gone] = bodies(of)[gone]
    assert run(world, {}) == ["etcd/snapshot/azure-lab-05", "etcd/member/azure-lab-05@1ff", gone]
    assert world.etcd.listed == now.listed

    another = of.etcd.model_copy(
        update={"added": {**of.etcd.added, "azure-lab-06": member.address}, "removed": (member.name,)}
    )
    site = of.clusters[1]
    sixth = site.hosts[-1].model_copy(update={"name": "azure-lab-06"})
    clusters = (of.clusters[0], site.model_copy(update={"hosts": (*site.hosts[:-1], sixth)}))
    after = World(of.model_copy(update={"etcd": another, "clusters": clusters}), etcd=world.etcd)
    after.etcd = replace(now, listed=(*now.listed, learner))
    assert not [step.target for step in after.plan({}).pending if step.action == "destroy"]


def test_the_consent_to_leave_says_what_goes() -> None:
    """A cluster that is in the parameters no more keeps its machines, and they go on costing."""
    a, _ = FLEET.clusters
    etcd = FLEET.etcd.model_copy(update={"removed": ("azure-lab-03", "azure-lab-04")})
    there = bodies()
    left = FLEET.model_copy(update={"clusters": (a,), "etcd": etcd})
    strays = {target: there.pop(target) for target in [*there] if target.startswith("azure-lab-b/")}
    plan = World(left, there, strays).plan({})
    assert plan.consents == ("remove azure-lab-03", "remove azure-lab-04")
    assert not [step.target for step in plan.pending if "/machine/" in step.target]


def test_two_of_four_leave_although_nobody_asks_those_that_leave() -> None:
    """Those that stay read through a leader, so there is a quorum, and some of those that leave are in it."""
    leave = ("azure-lab-02", "azure-lab-04")
    clusters = tuple(c.model_copy(update={"hosts": c.hosts[:1]}) for c in FLEET.clusters)
    etcd = FLEET.etcd.model_copy(update={"removed": leave})
    fewer = FLEET.model_copy(update={"clusters": clusters, "etcd": etcd})
    there = bodies()
    gone = [f"azure-lab-{site}/machine/azure-lab-0{n}" for site, n in (("a", 2), ("b", 4))]
    world = World(
        fleet=fewer,
        strays={target: there.pop(target) for target in gone},
        bodies={target: body for target, body in there.items() if "02" not in target and "04" not in target},
        etcd=replace(present(), serving=frozenset({"azure-lab-01", "azure-lab-03"})),
    )
    done = run(world, {})
    assert [target.partition("@")[0] for target in done if "etcd/member/" in target] == [
        f"etcd/member/{n}" for n in leave
    ]
    assert {one.name for one in world.etcd.listed} == {"azure-lab-01", "azure-lab-03"}
    assert world.margins[0] < 0, "of those that were asked alone it would look like none"
    assert min(world.margins[1:]) >= 0


def test_machines_of_members_get_another_size_one_at_a_time() -> None:
    larger = FLEET.model_copy(
        update={"clusters": tuple(c.model_copy(update={"size": "Standard_D2s_v5"}) for c in FLEET.clusters)}
    )
    plan = World(fleet=larger).plan({})
    assert {step.action for step in plan.pending if "/machine/" in step.target} == {"change"}
    order = [step.target for step in plan.pending if not step.target.startswith("etcd/snapshot")]
    assert order == [
        target
        for cluster, name in zip("aabb", NAMES, strict=True)
        for target in (f"azure-lab-{cluster}/machine/{name}", f"etcd/ready/{name}")
    ]
    for before, step in zip(plan.pending[1::2], plan.pending[2::2], strict=False):
        assert before.target in step.after, "the next one waits"
    assert "switched off, and on again" in plan.pending[0].interrupts
    weak = World(fleet=larger, etcd=present(dead=["azure-lab-03"])).plan({})
    assert {step.target for step in weak.blocked} == {f"etcd/ready/{name}" for name in NAMES if name != "azure-lab-03"}


def test_a_founder_that_has_lost_its_machine_and_its_data_is_not_made_as_one_again() -> None:
    there = bodies()
    for name in ("machine/azure-lab-03", "interface/azure-lab-03-nic", "disk/azure-lab-03-etcd"):
        del there[f"azure-lab-b/{name}"]
    lost = World(bodies=there, etcd=present(dead=["azure-lab-03"]))
    assert moving.touches(FLEET, Observed(there), {})
    assert "its data are gone, and etcd still counts on them: replace: [azure-lab-03]" in why(lost, {})
    assert not World(bodies=there, etcd=Present(founded=False)).plan({}).blocked, "while the cluster is founded"
    done = run(lost, {"azure-lab-03": "gone"})
    assert done.index("etcd/member/azure-lab-03@66") < done.index("azure-lab-b/machine/azure-lab-03")
    with_disk = bodies()
    del with_disk["azure-lab-b/machine/azure-lab-03"]
    assert not World(bodies=with_disk, etcd=present(dead=["azure-lab-03"])).plan({}).blocked, "it has its data"


def test_where_etcd_cannot_be_asked_nothing_of_it_is_touched() -> None:
    blind = Present(sentence="no key")
    sizes = {"clusters": tuple(c.model_copy(update={"size": "Standard_D2s_v5"}) for c in FLEET.clusters)}
    assert {step.target for step in World(fleet=FLEET.model_copy(update=sizes), etcd=blind).plan({}).blocked} == {
        f"etcd/member/{name}" for name in NAMES
    }
    stray = {"azure-lab-b/machine/azure-lab-05": {"id": "/x", "name": "azure-lab-05", "tags": {}}}
    assert moving.touches(FLEET, Observed(bodies(), strays=stray), {})
    assert "nobody can leave or come" in why(World(strays=stray, etcd=blind), {})


def test_where_the_quorum_is_lost_nobody_comes_back_who_had_left() -> None:
    """Two have left, as a site was destroyed, and one of the two that stayed is dead: the last one remembers who left."""
    there = {target: body for target, body in bodies().items() if "/machine/azure-lab-03" not in target}
    lost = Present(sentence="no quorum", last=frozenset(NAMES[:2]))
    for left in (there, {target: body for target, body in there.items() if "azure-lab-03" not in target}):
        blocked = World(bodies=left, etcd=lost).plan({}).blocked
        assert [step.target for step in blocked] == ["etcd/member/azure-lab-03"], "with its old disk, or without"
        assert "nobody can leave or come: no quorum" in blocked[0].why
        member = replace(lost, last=frozenset(NAMES))
        assert not World(bodies=left, etcd=member).plan({}).blocked, "who is a member brings the quorum back"


def test_where_the_quorum_is_lost_the_last_member_is_not_switched_off_nor_let_go() -> None:
    larger = FLEET.clusters[0].model_copy(update={"size": "Standard_D2s_v5"})
    sized = FLEET.model_copy(update={"clusters": (larger, FLEET.clusters[1])})
    lost = Present(sentence="no quorum", last=frozenset(NAMES))
    there = {target: body for target, body in bodies().items() if target.rpartition("/")[2] != "azure-lab-02"}
    (blocked,) = World(fleet=sized, bodies=there, etcd=lost).plan({}).blocked
    assert (blocked.target, blocked.what) == ("etcd/member/azure-lab-01", "it would be switched off")
    fewer = FLEET.model_copy(update={"etcd": FLEET.etcd.model_copy(update={"removed": ("azure-lab-04",)})})
    assert "nobody can leave or come" in why(World(fleet=fewer, etcd=lost), {})


def test_where_no_cluster_serves_a_disk_with_the_last_data_is_kept() -> None:
    for etcd in (Present(founded=False), None):
        found = moving.moves(FLEET, Observed(bodies()), {"azure-lab-03": "03000000"}, etcd)
        assert [step.action for step in found.steps] == ["blocked"]
        assert "its disk may hold them" in found.steps[0].why


def test_a_founder_that_has_left_comes_back_as_one_that_joins() -> None:
    there, now = bodies(), present()
    for name in ("machine/azure-lab-03", "interface/azure-lab-03-nic", "disk/azure-lab-03-etcd"):
        del there[f"azure-lab-b/{name}"]
    left = replace(now.without("azure-lab-03"), listed=tuple(one for one in now.listed if one.name != "azure-lab-03"))
    found = moving.moves(FLEET, Observed(there), {}, left)
    assert "azure-lab-03" in {one.name for one in found.finds["azure-lab-03"]}, "it is told whom it finds"
    done = run(World(bodies=there, etcd=left), {})
    assert done.index("etcd/member/azure-lab-03") < done.index("azure-lab-b/machine/azure-lab-03")
    with_disk = bodies()
    del with_disk["azure-lab-b/machine/azure-lab-03"]
    both = why(World(bodies=with_disk, etcd=left), {})
    assert "takes nobody with the data of before; for good: take its host out of the parameters" in both
    assert "name it in etcd.removed: [azure-lab-03]; or is it wanted back: replace: [azure-lab-03]" in both


def test_the_machine_of_a_member_does_not_go_unless_it_leaves() -> None:
    fewer = FLEET.model_copy(
        update={"etcd": FLEET.etcd.model_copy(update={"bootstrap": dict(list(FLEET.etcd.bootstrap.items())[:3])})}
    )
    a, b = fewer.clusters
    fewer = fewer.model_copy(update={"clusters": (a, b.model_copy(update={"hosts": b.hosts[:1]}))})
    target = "azure-lab-b/machine/azure-lab-04"
    there = bodies()
    world = World(fleet=fewer, strays={target: there.pop(target)}, bodies=there)
    assert "name it in etcd.removed" in why(world, {})


@pytest.mark.parametrize("power", ["deallocated", "stopped", "starting", "running", ""])
def test_an_interrupted_change_of_size_goes_on_with_the_machine_that_does_not_serve_yet(power: str) -> None:
    larger = FLEET.model_copy(
        update={"clusters": tuple(c.model_copy(update={"size": "Standard_D2s_v5"}) for c in FLEET.clusters)}
    )
    there = bodies()
    off = "azure-lab-a/machine/azure-lab-01"
    there[off]["properties"]["hardwareProfile"]["vmSize"] = "Standard_D2s_v5"
    observed = Observed(there, {off: power})
    found = moving.moves(larger, observed, {}, present(dead=["azure-lab-01"]))
    assert [(step.action, step.target) for step in found.steps] == [("create", f"etcd/ready/{name}") for name in NAMES]
    whole = {step.digest for step in World(fleet=larger).plan({}).pending}
    assert {step.digest for step in found.steps} <= whole, "under the same approval"
    assert "etcd/ready/azure-lab-01" in found.after["azure-lab-a/machine/azure-lab-02"], "the next one waits for it"


@pytest.mark.parametrize(
    ("changed", "running", "words"),
    [
        ({"version": "3.6.1"}, "3.4.23", "one minor version at a time: name one of 3.5 in etcd.version"),
        ({"version": "3.4.23"}, "3.5.16", "a member of 3.4.23 would not start in it"),
        ({}, "2.3.8", "etcdctl migrate"),
    ],
)
def test_no_host_is_made_anew_or_added_with_a_version_of_etcd_that_may_not_come(
    changed: dict[str, Any], running: str, words: str
) -> None:
    of = FLEET.model_copy(update={"etcd": FLEET.etcd.model_copy(update=changed)})
    etcd = present(version=running)
    assert words in why(World(of, etcd=etcd), {"azure-lab-02": "02000000"})
    two = replace(etcd, listed=etcd.listed[:3], voters=frozenset(NAMES[:3]), serving=frozenset(NAMES[:3]))
    new = World(of, etcd=two)
    for kind, end in (("machine", ""), ("disk", "-etcd"), ("interface", "-nic")):
        new.bodies.pop(f"azure-lab-b/{kind}/azure-lab-04{end}")
    assert words in why(new, {})


def test_the_next_minor_version_may_come_and_another_release_of_coreos_may_not() -> None:
    of = FLEET.model_copy(update={"etcd": FLEET.etcd.model_copy(update={"version": "3.6.1"})})
    assert run(World(of, etcd=present(version="3.5.16")), {"azure-lab-02": "02000000"})
    release = FLEET.release.model_copy(update={"distribution": "coreos"})
    back = FLEET.model_copy(update={"release": release})
    assert "3.5.16, and 2 cannot read its data" in why(World(back, bodies(back)), {"azure-lab-02": "02000000"})
