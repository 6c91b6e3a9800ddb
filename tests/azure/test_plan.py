"""Desired and observed → steps: golden cases, and properties over everything that we set."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import IPv4Network
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from corelib import userdata
from corelib.azure import desired
from corelib.azure import plan as planning
from corelib.azure.resource import SPECIFICATION, Observed, Resource
from corelib.plan import Plan, approve, examples, permit

from .conftest import custom_data, fleet

FLEET = fleet()
DESIRED = desired.resources(FLEET, custom_data(FLEET))
NOW = datetime(2026, 11, 23, tzinfo=UTC)


def there(resources: tuple[Resource, ...] = DESIRED) -> dict[str, Any]:
    """What Azure would answer: what was put, without custom data, and with what Azure adds by itself."""
    bodies = {}
    for one in resources:
        body = json.loads(json.dumps(one.body))
        body |= {"id": f"/subscriptions/x/{one.name}", "name": one.name, "etag": 'W/"1"'}
        body.setdefault("properties", {})["provisioningState"] = "Succeeded"
        body["properties"].get("osProfile", {}).pop("customData", None)
        bodies[one.target] = body
    return bodies


def plan(bodies: dict[str, Any], resources: tuple[Resource, ...] = DESIRED, **more: Any) -> Plan:
    return planning.plan(FLEET, resources, Observed(bodies), "c1", "https://arm", **more)


def changed(bodies: dict[str, Any]) -> dict[str, str]:
    return {step.target: step.action for step in plan(bodies).steps if step.action != "keep"}


def test_from_nothing_everything_is_created() -> None:
    made = plan({})
    assert {step.action for step in made.steps} == {"create"}
    assert [step.target for step in made.steps] == [one.target for one in DESIRED]
    assert not made.empty


def test_what_is_as_desired_is_kept() -> None:
    assert plan(there()).empty


def test_something_foreign_of_our_name_is_blocked() -> None:
    for tags in ({}, {"runbooks-environment": "prd"}, None):
        bodies = there()
        bodies["azure-lab-a/network/azure-lab-a-net"]["tags"] = tags
        assert changed(bodies) == {"azure-lab-a/network/azure-lab-a-net": "blocked"}


def test_changed_user_data_is_blocked_and_says_why() -> None:
    other = desired.resources(FLEET, {**custom_data(FLEET), "azure-lab-02": b"#cloud-config\nhostname: other\n"})
    (step,) = [step for step in plan(there(), other).steps if step.action != "keep"]
    assert (step.target, step.action) == ("azure-lab-a/machine/azure-lab-02", "blocked")
    assert "only a new machine can take" in step.why
    assert "etcd's member azure-lab-02" in step.interrupts


def test_a_failed_machine_is_put_again_and_one_under_way_is_begun_again_under_the_same_approval() -> None:
    bodies, target = there(), "azure-lab-b/machine/azure-lab-04"
    bodies[target]["properties"]["provisioningState"] = "Failed"
    assert changed(bodies) == {target: "change"}
    permit(plan(bodies), approve(plan({}), NOW, "op@host"), NOW)
    bodies[target]["properties"]["provisioningState"] = "Creating"
    assert changed(bodies) == {target: "create"}
    permit(plan(bodies), approve(plan({}), NOW, "op@host"), NOW)


def test_what_is_refused_already_is_all_that_the_plan_says() -> None:
    refused = examples((("fleet.azure.tenant", "p.yaml:31"), ("fleet.azure.subscription", "p.yaml:32")))
    made = planning.plan(FLEET, DESIRED, Observed({}), "c1", "https://arm", refused)
    assert [step.target for step in made.steps] == [
        "parameters/fleet.azure.tenant",
        "parameters/fleet.azure.subscription",
    ]
    assert "p.yaml:32" in made.blocked[1].why
    assert not made.pending


def test_too_much_user_data_is_blocked() -> None:
    exact, over = b"x" * 65_535, b"x" * 65_536
    for content, actions in ((exact, {"create"}), (over, {"create", "blocked"})):
        found = desired.resources(FLEET, {**custom_data(FLEET), "azure-lab-01": content})
        assert {step.action for step in plan({}, found).steps} == actions


def test_what_is_left_of_a_plan_is_covered_by_its_approval() -> None:
    bodies = there()
    left = {target: body for number, (target, body) in enumerate(bodies.items()) if number < 9}
    permit(plan(left), approve(plan({}), NOW, "op@host"), NOW)


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _leaves(item, (*path, number))
    else:
        yield path


# Everything that we set, but for what is never compared: custom data, our own digest, and the names of listed things
# (another name is another thing).
LEAVES = [
    (one.target, path)
    for one in DESIRED
    for path in _leaves(one.body)
    if path[-1] not in ("customData", SPECIFICATION, "name") and "tags" not in path
]


@given(st.sampled_from(LEAVES))
def test_any_single_difference_is_seen_and_named(place: tuple[str, tuple[Any, ...]]) -> None:
    target, path = place
    bodies = there()
    inner = bodies[target]
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = "something else"
    steps = [step for step in plan(bodies).steps if step.action != "keep"]
    assert [step.target for step in steps] == [target]
    assert steps[0].action in ("change", "blocked")
    names = [str(part) for part in path if isinstance(part, str)]
    assert any(all(name in change.name for name in names[-1:]) for change in steps[0].changes)


@given(st.sampled_from([one.target for one in DESIRED]), st.text(min_size=1, max_size=8))
def test_what_azure_adds_is_no_difference(target: str, key: str) -> None:
    bodies = there()
    for place in (bodies[target], bodies[target]["properties"]):
        place.setdefault(f"x{key}", {"some": ["thing"]})
    assert plan(bodies).empty


@given(st.permutations(list(there())))
def test_the_digest_does_not_hang_on_an_order(order: list[str]) -> None:
    bodies = there()
    kept = {target: bodies[target] for target in order[:5]}
    again = {target: bodies[target] for target in sorted(order[:5])}
    assert plan(kept).digest == plan(again).digest


def test_a_change_that_was_begun_is_still_covered_by_its_approval() -> None:
    bodies, target = there(), "azure-lab-a/security-group/azure-lab-a-nsg"
    bodies[target]["properties"]["securityRules"].append({"name": "by-hand", "properties": {}})
    approved = approve(plan(bodies), NOW, "op@host")
    assert changed(bodies) == {target: "change"}
    bodies[target]["properties"]["provisioningState"] = "Updating"
    assert changed(bodies) == {target: "create"}
    permit(plan(bodies), approved, NOW)


def test_prefixes_and_zones_have_no_order_and_tags_and_keys_have_their_case() -> None:
    ranges = ("198.51.100.0/24", "203.0.113.0/24")
    cluster = FLEET.clusters[0].model_copy(update={"ssh_from": tuple(map(IPv4Network, ranges))})
    several = FLEET.model_copy(update={"clusters": (cluster, *FLEET.clusters[1:])})
    resources = desired.resources(several, custom_data(several))
    bodies = there(resources)
    rule = bodies["azure-lab-a/security-group/azure-lab-a-nsg"]["properties"]["securityRules"][0]
    rule["properties"]["sourceAddressPrefixes"].reverse()
    assert plan(bodies, resources).empty
    rule["properties"]["sourceAddressPrefixes"][0] = "0.0.0.0/0"
    assert not plan(bodies, resources).empty
    for path, upper in (("tags", "runbooks-owner"), ("keys", "")):
        bodies = there()
        machine = bodies["azure-lab-a/machine/azure-lab-01"]
        if path == "tags":
            machine["tags"][upper] = machine["tags"][upper].upper()
        else:
            key = machine["properties"]["osProfile"]["linuxConfiguration"]["ssh"]["publicKeys"][0]
            key["keyData"] = key["keyData"].swapcase()
        assert not plan(bodies).empty, path


def test_what_somebody_opened_by_hand_is_a_difference() -> None:
    bodies = there()
    interface = bodies["azure-lab-a/interface/azure-lab-01-nic"]["properties"]["ipConfigurations"][0]
    interface["properties"]["publicIPAddress"] = {"id": "/subscriptions/x/by-hand"}
    balancer = bodies["azure-lab-a/load-balancer/azure-lab-a-lb"]["properties"]
    balancer["loadBalancingRules"] = [{"name": "etcd", "properties": {"frontendPort": 2379}}]
    network = bodies["azure-lab-b/network/azure-lab-b-net"]["properties"]
    network["virtualNetworkPeerings"] = [{"name": "p", "properties": {"remoteVirtualNetwork": {"id": "/other"}}}]
    named = {change.name for step in plan(bodies).steps for change in step.changes}
    assert named == {
        "properties.ipConfigurations[primary].properties.publicIPAddress",
        "properties.loadBalancingRules[etcd]",
        "properties.virtualNetworkPeerings[p]",
    }
    assert set(changed(bodies).values()) == {"change"}


def test_a_machine_that_was_switched_off_is_started() -> None:
    target = "azure-lab-a/machine/azure-lab-01"
    for power, action in (("deallocated", "change"), ("stopped", "change"), ("running", "keep"), ("starting", "keep")):
        made = planning.plan(FLEET, DESIRED, Observed(there(), {target: power}), "c1", "https://arm")
        assert {step.action for step in made.steps if step.target == target} == {action}


def test_what_others_have_tagged_keeps_its_tags() -> None:
    bodies, target = there(), "azure-lab-a/security-group/azure-lab-a-nsg"
    bodies[target]["tags"]["cost-center"] = "42"
    assert plan(bodies).empty, "a tag of somebody else's is no difference"
    bodies[target]["properties"]["securityRules"] = []
    (step,) = plan(bodies).pending
    assert step.desired["body"]["tags"]["cost-center"] == "42"
    unseen = there()
    unseen[target]["properties"]["securityRules"] = []
    assert plan(unseen).digest != plan(bodies).digest, "what is sent is what is approved"


def test_what_is_ours_and_no_longer_desired_is_told_and_left_alone() -> None:
    strays = {"azure-lab-a/disk/azure-lab-09-etcd": {}, "azure-lab-c/machine/azure-lab-07": {}}
    made = planning.plan(FLEET, DESIRED, Observed(there(), strays=strays), "c1", "https://arm")
    assert {step.target for step in made.steps if step.told} == {*strays}
    assert all("goes on costing" in step.why for step in made.steps if step.told)
    assert made.empty


def test_the_machine_of_a_host_that_left_the_parameters_goes_with_consent_before_its_port_does() -> None:
    gone = {"id": "/machines/9", "name": "azure-lab-09", "tags": {}}
    strays = {"azure-lab-a/machine/azure-lab-09": gone, "azure-lab-a/interface/azure-lab-09-nic": gone}
    bodies = there()
    bodies["azure-lab-a/load-balancer/azure-lab-a-lb"]["properties"]["inboundNatRules"].append(
        {"name": "ssh-azure-lab-09", "properties": {"frontendPort": 2209}}
    )
    made = planning.plan(FLEET, DESIRED, Observed(bodies, strays=strays), "c1", "https://arm")
    destroyed, changed = made.pending
    assert (destroyed.target, destroyed.action) == ("azure-lab-a/machine/azure-lab-09", "destroy")
    assert destroyed.what == "the machine, with its system disk and its network interface"
    assert made.consents == ("destroy azure-lab-09",)
    assert (changed.target, changed.action) == ("azure-lab-a/load-balancer/azure-lab-a-lb", "change")
    assert destroyed.target in changed.after, "a rule that an interface uses cannot be deleted"
    alone = planning.plan(FLEET, DESIRED, Observed(there(), strays=dict([strays.popitem()])), "c1", "https://arm")
    assert [(s.target, s.consent) for s in alone.pending] == [("azure-lab-a/interface/azure-lab-09-nic", "")]


def test_user_data_that_differs_for_new_members_only_is_stale_and_harmless() -> None:
    old = userdata.render(FLEET)
    joined = FLEET.model_copy(update={"etcd": FLEET.etcd.model_copy(update={"token": "another"})})
    new = {name: one.content for name, one in userdata.render(joined).items()}
    bodies = there(desired.resources(FLEET, {name: one.content for name, one in old.items()}))
    deployed = {one.sha256: one.text for one in old.values()}
    wanted = desired.resources(FLEET, new)
    made = plan(bodies, wanted, deployed=deployed)
    assert made.empty
    told = [step for step in made.steps if step.told]
    assert [step.target.split("/")[1] for step in told] == ["machine"] * 4
    assert told[0].why == "stale, and harmless: ETCD_INITIAL_CLUSTER_TOKEN, only read where etcd starts without data"
    assert {step.action for step in plan(bodies, wanted).steps if "/machine/" in step.target} == {"blocked"}

    slower = FLEET.model_copy(update={"etcd": FLEET.etcd.model_copy(update={"heartbeat_ms": 400})})
    wanted = desired.resources(FLEET, {name: one.content for name, one in userdata.render(slower).items()})
    blocked = plan(bodies, wanted, deployed=deployed).blocked
    assert len(blocked) == 4
    named = [(change.name, change.old, change.new) for change in blocked[0].changes]
    assert named == [("file /etc/etcd-member.env, ETCD_HEARTBEAT_INTERVAL", "500", "400")]


def test_a_plan_says_from_where_ssh_is_open_and_in_which_zone_a_machine_is() -> None:
    prd = fleet("prd")
    cluster = prd.clusters[0].model_copy(update={"ssh_from": (IPv4Network("0.0.0.0/0"), IPv4Network("198.51.100.7"))})
    wide = prd.model_copy(update={"clusters": (cluster, *prd.clusters[1:])})
    found = planning.plan(wide, desired.resources(wide, custom_data(wide)), Observed({}), "c1", "https://arm")
    what = {step.target: step.what for step in found.steps}
    group = what["azure-prd-a/security-group/azure-prd-a-nsg"]
    assert group.startswith("inbound: ssh from 0.0.0.0/0 and 198.51.100.7/32, ")
    assert group.endswith("; nothing else")
    assert "Standard_B2s_v2 in zone 1, " in what["azure-prd-a/machine/azure-prd-01"]
    assert [one for one in found.warnings if "azure-prd-a is open to 0.0.0.0/0: 4,294,967,296 addresses" in one]
    assert len(found.warnings) == 1
    assert fleet().clusters[0].open_to == ()
