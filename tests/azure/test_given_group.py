"""A resource group that is given: what is put into it is ours, the group and whatever else is in it never is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from corelib import parameters
from corelib.azure import desired, inventory, needs, observe
from corelib.azure import plan as planning
from corelib.azure.by_hand import commands
from corelib.azure.removal import Removal, ours
from corelib.azure.resource import TYPES, Observed, Resource
from corelib.fleet import Fleet
from corelib.parameters import ParametersError
from corelib.plan import Plan
from tests.lab.arm.conftest import Lab

from .conftest import ROOT, Deployment, custom_data, fleet
from .test_executor import Watching

A, B, GIVEN = "azure-lab-a", "azure-lab-b", "Shared-RG"
GROUP = f"{B}/group/{GIVEN}"
OWN = {"runbooks-environment": "lab", "runbooks-deployment": B}


def given(of: Fleet | None = None, *clusters: str) -> Fleet:
    """The lab's fleet, with these clusters (or the second one) in a group that is somebody else's."""
    of, names = of or fleet(), clusters or (B,)
    changed = (one.model_copy(update={"resource_group": GIVEN} if one.name in names else {}) for one in of.clusters)
    return of.model_copy(update={"clusters": tuple(changed)})


FLEET = given()
DESIRED = desired.resources(FLEET, custom_data(FLEET))


def body(one: Resource, **more: Any) -> dict[str, Any]:
    found = json.loads(json.dumps(one.body)) | {"name": one.name, **more}
    found["id"] = f"/subscriptions/s/resourceGroups/{one.group}/providers/{TYPES.get(one.kind, one.kind)}/{one.name}"
    found.setdefault("properties", {})["provisioningState"] = "Succeeded"
    return found


def there(resources: tuple[Resource, ...] = DESIRED) -> dict[str, Any]:
    return {one.target: body(one) for one in resources}


def plan(bodies: Mapping[str, Any], strays: Mapping[str, Any] | None = None) -> Plan:
    return planning.plan(FLEET, DESIRED, Observed(bodies, strays=strays or {}), "c1", "https://arm")


def destroying(*patterns: str, bodies: Mapping[str, Any] | None = None) -> Plan:
    return Removal.of(FLEET, patterns, Observed(there() if bodies is None else bodies), {}, None).plan(
        "c1", "https://a"
    )


def test_all_of_the_cluster_is_put_into_it_and_the_group_itself_only_told() -> None:
    made = plan({GROUP: there()[GROUP]})
    assert not made.blocked
    assert {step.desired["group"] for step in made.pending if step.target.startswith(f"{B}/")} == {GIVEN}
    assert {step.desired["group"] for step in made.pending if step.target.startswith(f"{A}/")} == {A}
    (group,) = [step for step in made.steps if step.target == GROUP]
    assert (group.action, group.told, group.desired) == ("keep", True, {})
    machine = next(one for one in DESIRED if one.target == f"{B}/machine/azure-lab-04")
    assert f"/resourceGroups/{GIVEN}/" in machine.body["properties"]["networkProfile"]["networkInterfaces"][0]["id"]
    assert f"--resource-group {GIVEN}" in commands(made)
    assert f"group create --name {GIVEN}" not in commands(made)


@pytest.mark.parametrize(
    "found", [{"tags": {"team": "books"}}, {"tags": OWN, "location": "eastus"}, {"tags": {**OWN, "x": "y"}}]
)
def test_whatever_it_looks_like_it_is_never_changed_or_destroyed(found: dict[str, Any]) -> None:
    bodies = there() | {GROUP: there()[GROUP] | found}
    assert plan(bodies).empty
    gone = destroying(B, f"{B}/*", "*/*/*", bodies=bodies)
    assert GROUP not in {step.target for step in gone.pending}
    assert "was given, and is not ours" in next(step.why for step in gone.steps if step.target == GROUP)
    assert GROUP not in ours(FLEET, Observed(bodies))


def test_where_it_is_not_there_the_plan_is_blocked_and_says_what_to_do() -> None:
    (step,) = plan({}).blocked
    assert step.target == GROUP
    assert f"az group create --name {GIVEN} --location northeurope" in step.why
    going = there() | {GROUP: there()[GROUP] | {"properties": {"provisioningState": "Deleting"}}}
    assert [step.target for step in plan(going).blocked] == [GROUP]


def test_it_needs_rights_in_that_group_and_no_right_to_make_one() -> None:
    found = needs.needs(DESIRED, Observed({GROUP: there()[GROUP]}))
    assert set(found.rights()) == {"", GIVEN}
    assert needs.GROUP_WRITE not in found.rights()[GIVEN]
    assert "Microsoft.Compute/virtualMachines/write" in found.rights()[GIVEN]
    assert all(one.target != GROUP for one in found.coming)


def test_something_of_our_name_in_it_that_is_not_ours_blocks() -> None:
    target = f"{B}/disk/azure-lab-03-etcd"
    for tags in ({}, {**OWN, "runbooks-deployment": A}, {**OWN, "runbooks-environment": "prd"}):
        bodies = there()
        bodies[target]["tags"] = tags
        assert [step.target for step in plan(bodies).blocked] == [target]
        assert target not in {step.target for step in destroying(B, f"{B}/*", bodies=bodies).pending}


def test_what_stands_in_another_group_is_not_made_a_second_time() -> None:
    before = fleet()
    old = {one.target: body(one) for one in desired.resources(before, custom_data(before)) if one.cluster == B}
    bodies = {target: one for target, one in there().items() if target.startswith(A)} | {GROUP: there()[GROUP]}
    made = plan(bodies, old)
    assert not made.pending
    assert {step.target for step in made.blocked} == {one.target for one in DESIRED if one.cluster == B} - {GROUP}
    assert f"it stands in the resource group {B}" in made.blocked[0].why


def test_two_clusters_may_share_it_and_each_goes_alone() -> None:
    both = given(None, A, B)
    resources = desired.resources(both, custom_data(both))
    bodies = there(resources)
    observed = Observed(bodies)
    assert planning.plan(both, resources, observed, "c1", "https://a").empty
    gone = Removal.of(both, (B, f"{B}/*"), observed, {}, None).plan("c1", "https://a")
    assert {step.target.split("/")[0] for step in gone.pending} == {B}


def test_it_is_no_group_that_another_cluster_makes() -> None:
    text = (
        (ROOT / "parameters" / "lab.yaml")
        .read_text()
        .replace(f"- name: {B}", f"- name: {B}\n      resource_group: {A}")
    )
    with pytest.raises(ParametersError, match=f"{A} is the resource group that {A} makes"):
        parameters.load(text, "lab")
    with pytest.raises(ParametersError, match="does not end with a dot"):
        parameters.load(text.replace(f"resource_group: {A}", "resource_group: books."), "lab")


def deployed_into(lab: Lab, deploy: Callable[[Lab], Deployment]) -> tuple[Deployment, str]:
    """The lab's fleet, its second cluster in a group that holds somebody's address already; the id of that."""
    at = deploy(lab)
    own = given(at.fleet)
    at = replace(at, fleet=own, resources=desired.resources(own, custom_data(own)))
    assert [step.target for step in at.plan().blocked] == [GROUP]
    at.cloud.resources.resource_groups.create_or_update(GIVEN, {"location": "westus", "tags": {"team": "books"}})
    theirs = {
        "location": "westus",
        "sku": {"name": "Standard"},
        "properties": {"publicIPAllocationMethod": "Static"},
        "tags": {"team": "books"},
    }
    made = at.cloud.network.public_ip_addresses.begin_create_or_update(GIVEN, "books", theirs).result()
    at.apply(at.plan(), Watching())
    return at, str(made.id)


def test_deployed_into_it_and_destroyed_the_group_and_what_else_is_in_it_stay(
    lab: Lab, deploy: Callable[[Lab], Deployment]
) -> None:
    at, theirs = deployed_into(lab, deploy)
    group = f"/subscriptions/{theirs.split('/')[2]}/resourceGroups/{GIVEN}"
    before = [lab.call("GET", path).json() for path in (group, theirs)]
    assert at.plan().empty
    assert inventory.inventory(at.fleet, at.observe())["hosts"]["azure-lab-04"]["ssh_port"] == 2204
    held = observe.contents(at.cloud, GIVEN)
    assert sum("/virtualMachines/" in one for one in held) == 2

    moved = replace(at, fleet=fleet(), resources=desired.resources(fleet(), custom_data(fleet())))
    assert {step.target for step in moved.plan().blocked} >= {f"{B}/machine/azure-lab-03"}, "seen where it is"
    assert f"{B}/machine/azure-lab-03" in moved.observe().strays

    everything = Removal.of(at.fleet, (A, B, "*/*"), observed := at.observe(), {}, None)
    assert not any(one["id"] == theirs for one in ours(at.fleet, observed).values())
    at.apply(everything.plan("c1", at.endpoint), Watching())
    assert [lab.call("GET", path).json() for path in (group, theirs)] == before
    assert observe.contents(at.cloud, GIVEN) == [theirs]
    asked = [one for one in lab.lines() if one["path"].lower() == group.lower() and one["method"] != "GET"]
    assert [one["method"] for one in asked] == ["PUT"], "which was its owner's own"
    assert at.cloud.resources.resource_groups.check_existence(A) is False
