"""What Azure would refuse is known before the first request: pure cases, and each row against the stand-in."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corelib.azure import client, desired, images, surroundings
from corelib.azure import needs as wanted
from corelib.azure import plan as planning
from corelib.azure.facts import Facts, Image, Right, Size, Subscription, Usage
from corelib.azure.needs import Needs, Urn, needs
from corelib.azure.preflight import Preflight, preflight
from corelib.azure.resource import SPECIFICATION, Observed, Resource
from corelib.errors import ServiceFailed
from corelib.fleet import Azure, Fleet
from corelib.plan import Plan
from tests.lab.arm.conftest import Lab

from .conftest import Deployment, custom_data, fleet

FLEET = fleet()
DESIRED = desired.resources(FLEET, custom_data(FLEET))
NOTHING = Observed({})
Deploy = Callable[[Lab], Deployment]
CHECKS = (
    *("login and subscription", "rights", "providers", "quotas", "sizes and zones"),
    *("disks", "images", "terms", "way out", "names"),
)


def account(of: Fleet = FLEET) -> Azure:
    assert of.azure is not None
    return of.azure


def plenty(of: Needs) -> Facts:
    """Facts under which all is well."""
    size = Size("standardBsv2Family", 2, frozenset("123"))
    usages = {
        name: Usage(name, 0, 1000) for name in ("cores", "standardBsv2Family", "PublicIPAddresses", "virtualMachines")
    }
    image = Image(("4628.0.0", "4757.1.0"), "4757.1.0", "V2", "x64", "Active")
    return Facts(
        Subscription("Enabled", account().tenant),
        {scope: (Right(("*",), ()),) for scope in of.rights()},
        dict.fromkeys(of.namespaces(), "Registered"),
        dict.fromkeys(of.locations(), usages),
        {at: {"standard_b2s_v2": size} for at in of.locations()},
        dict.fromkeys(of.images(), image),
    )


NEEDS = needs(DESIRED, NOTHING)
WELL = plenty(NEEDS)
URN = Urn("westeurope", "kinvolk", "flatcar-container-linux-corevm-amd64", "beta-gen2")


def judged(facts: Facts, of: Needs = NEEDS) -> dict[str, str]:
    """What was found, by where: how bad, what, and what to do."""
    return {
        f"{one.severity} {one.where}": f"{one.message}: {one.remedy}"
        for one in preflight(account(), of, facts).findings
    }


def sized(**more: Any) -> Facts:
    size = replace_size(WELL.sizes["westeurope"]["standard_b2s_v2"], **more)
    return replace(WELL, sizes={**WELL.sizes, "westeurope": {"standard_b2s_v2": size}})


def replace_size(size: Size, **more: Any) -> Size:
    return size._replace(**more)


def test_when_all_is_well_that_is_one_line() -> None:
    found = preflight(account(), NEEDS, WELL)
    assert found == Preflight((), CHECKS)
    plan = planning.plan(FLEET, DESIRED, NOTHING, "c1", "https://arm")
    made = found.onto(plan)
    assert made.checked == f"Preflight: 10 checks passed: {', '.join(CHECKS)}"
    assert (made.steps, made.digest, made.warnings) == (plan.steps, plan.digest, ())


def test_a_golden_set_of_needs() -> None:
    assert NEEDS.locations() == ("northeurope", "westeurope")
    assert NEEDS.namespaces() == ("Microsoft.Compute", "Microsoft.Network")
    assert set(NEEDS.images()) == {URN, URN._replace(location="northeurope")}
    assert NEEDS.counted()["westeurope", "PremiumDiskCount"] == 4, "two hosts, each with etcd's disk and its own"
    assert NEEDS.counted()["westeurope", "PublicIPAddresses"] == 1
    (scope,) = NEEDS.rights()
    assert scope == "", "the groups are to be made"
    assert "Microsoft.Network/virtualNetworks/subnets/join/action" in NEEDS.rights()[""]
    there = Observed({one.target: dict(one.body) for one in DESIRED if one.kind == "group"})
    assert set(needs(DESIRED, there).rights()) == {"azure-lab-a", "azure-lab-b"}


def test_where_nothing_is_to_be_made_nothing_is_asked() -> None:
    there = Observed({one.target: dict(one.body) for one in DESIRED})
    nothing = needs(DESIRED, there)
    assert not nothing
    assert surroundings.ask(None, "s", nothing) == Facts()  # type: ignore[arg-type]  # nobody is asked
    assert preflight(account(), nothing, Facts()).onto(_plan()).checked == ""


def _plan() -> Plan:
    return planning.plan(FLEET, DESIRED, NOTHING, "c1", "https://arm")


@pytest.mark.parametrize(
    ("facts", "where", "words"),
    [
        (replace(WELL, subscription=Subscription("Disabled", "")), "error subscription/", "it is Disabled, and takes no"),
        (replace(WELL, subscription=Subscription("Warned", "")), "warning subscription/", "is Warned"),
        (replace(WELL, subscription=Subscription("Enabled", "t")), "error subscription/", "belongs to the tenant t"),
        (replace(WELL, rights={"": (Right(("*/read",), ()),)}), "error rights/", "no right to Microsoft.Compute/disks/write"),
        (
            replace(WELL, rights={"": (Right(("*",), ("Microsoft.Network/*/join/action",)),)}),
            "error rights/",
            "loadBalancers/backendAddressPools/join/action and 5 more: have somebody give it the role Contributor in the subscription (az role assignment create)",
        ),
        (
            replace(WELL, providers={"Microsoft.Network": "NotRegistered"}),
            "error provider/Microsoft.Network",
            "az provider register --wait --namespace Microsoft.Network",
        ),
        (
            replace(WELL, usages={"westeurope": {"cores": Usage("Total Regional vCPUs", 97, 100)}}),
            "error quota/westeurope/cores",
            "4 more of Total Regional vCPUs are needed in westeurope, and 3 of 100 are left: ask for 101",
        ),
        (
            replace(WELL, usages={"westeurope": {"cores": Usage("Total Regional vCPUs", 77, 100)}}),
            "warning quota/westeurope/cores",
            "will stand at 81 of 100",
        ),
        (
            replace(WELL, usages={"northeurope": {"PublicIPAddresses": Usage("Public IP Addresses", 20, 20)}}),
            "error quota/northeurope/PublicIPAddresses",
            "1 more of Public IP Addresses are needed in northeurope, and 0 of 20 are left",
        ),
        (replace(WELL, sizes={"westeurope": {}}), "error size/westeurope/", "there is no size Standard_B2s_v2 in westeurope"),
        (sized(closed=True), "error size/westeurope/", "is not open to this subscription in westeurope"),
        (sized(closed_zones=frozenset("2")), "error size/westeurope/", "in zone 2 of westeurope (zones: 1, 3)"),
        (sized(zones=frozenset()), "error size/westeurope/", "in zone 1 and 2 of westeurope (zones: none)"),
        (sized(premium=False), "error size/westeurope/", "takes no premium disks"),
        (sized(controllers=frozenset({"NVMe"})), "error size/westeurope/", "on NVMe only"),
        (sized(architecture="Arm64"), "error size/westeurope/", "Arm64 processors, and the image is for x64"),
        (sized(generations=frozenset({"V1"})), "error size/westeurope/", "boots V1, and the image is V2"),
        (replace(WELL, images={URN: Image(("4628.0.0",))}), f"error image/westeurope/{URN}", "no version 4757.1.0 in westeurope (its newest: 4628.0.0)"),
        (replace(WELL, images={URN: Image(())}), f"error image/westeurope/{URN}", "there is no such image"),
        (replace(WELL, images={URN: Image(("1",), "1", state="Deprecated")}), f"error image/westeurope/{URN}", "no longer sold"),
        (replace(WELL, images={URN: Image(("1",), "1", state="ScheduledForDeprecation")}), "warning image/", "will soon be"),
        (replace(WELL, images={URN: Image(("1",), "1", plan=("p", "o", "n"), accepted=True)}), "error image/", "sold under the plan n"),
        (replace(WELL, silent={"compute westeurope": "AuthorizationFailed: no"}), "warning preflight/compute westeurope", "did not say"),
    ],
)  # fmt: skip
def test_each_row(facts: Facts, where: str, words: str) -> None:
    found = [(place, text) for place, text in judged(facts).items() if place.startswith(where)]
    assert any(words in text for _, text in found), judged(facts)
    assert len(preflight(account(), NEEDS, facts).passed) < len(CHECKS)


def test_all_is_told_at_once_and_blocks_before_the_steps() -> None:
    usages = {"westeurope": {"cores": Usage("Cores", 100, 100)}}
    facts = replace(
        WELL, subscription=Subscription("Disabled", ""), usages=usages, providers={"Microsoft.Compute": "NotRegistered"}
    )
    made = preflight(account(), NEEDS, facts).onto(_plan())
    assert [step.target for step in made.blocked] == [
        f"subscription/{account().subscription}", "provider/Microsoft.Compute", "quota/westeurope/cores",
    ]  # fmt: skip
    assert len(made.pending) == len(DESIRED), "what it would do is shown all the same"
    assert "sizes and zones" not in made.checked, "what is not registered tells of no size"
    assert "way out" in made.checked


def test_terms_that_were_not_accepted() -> None:
    sold = Image(("1",), "1", plan=("kinvolk", "o", "n"))
    machines = tuple(_with_plan(one) if one.kind == "machine" else one for one in DESIRED)
    facts = replace(WELL, images={URN: sold})
    (text,) = judged(facts, needs(machines, NOTHING)).values()
    assert (
        f"the terms of {URN} were not accepted in this subscription: read and accept them: az vm image terms accept"
        in text
    )
    assert judged(replace(WELL, images={URN: sold._replace(accepted=True)}), needs(machines, NOTHING)) == {}


def _with_plan(one: Resource) -> Resource:
    return replace(one, body={**one.body, "plan": {"name": "n", "product": "o", "publisher": "kinvolk"}})


def test_a_name_too_long_and_a_host_without_a_way_out() -> None:
    long = replace(DESIRED[0], name="g" * 91)
    bodies = json.loads(json.dumps([dict(one.body) for one in DESIRED]))
    resources = [replace(one, body=body) for one, body in zip(DESIRED, bodies, strict=True)]
    for one in resources:
        if one.kind == "load-balancer" and one.group == "azure-lab-a":
            del one.body["properties"]["outboundRules"]  # type: ignore[attr-defined]
    found = judged(WELL, needs((long, *resources[1:]), NOTHING))
    assert "91 characters, and Azure takes 90 of a group" in found["error azure-lab-a/group/azure-lab-a"]
    assert {place for place, text in found.items() if "no way out" in text} == {
        "error azure-lab-a/interface/azure-lab-01-nic",
        "error azure-lab-a/interface/azure-lab-02-nic",
    }


def test_another_size_needs_what_it_has_more() -> None:
    bodies = {one.target: json.loads(json.dumps(one.body)) for one in DESIRED}
    bodies["azure-lab-a/machine/azure-lab-01"]["properties"]["hardwareProfile"]["vmSize"] = "Standard_B1s"
    resized = needs(DESIRED, Observed(bodies))
    assert resized
    assert (resized.coming, dict(resized.sizes)) == ((), {"azure-lab-a/machine/azure-lab-01": "Standard_B1s"})
    small, big = Size("standardBsv2Family", 1), Size("standardBsv2Family", 2, frozenset("123"))
    facts = replace(WELL, sizes={"westeurope": {"standard_b1s": small, "standard_b2s_v2": big}})
    tight = {"westeurope": {"cores": Usage("Cores", 100, 100)}}
    assert "1 more of Cores are needed" in judged(replace(facts, usages=tight), resized)["error quota/westeurope/cores"]


def test_a_machine_that_is_made_anew_is_looked_at_as_a_new_one_and_takes_no_more_cores() -> None:
    bodies = {one.target: json.loads(json.dumps(one.body)) for one in DESIRED}
    anew = desired.resources(FLEET, custom_data(FLEET), {}, {"azure-lab-01": "12345678"})
    again = needs(anew, Observed(bodies))
    assert dict(again.sizes) == {"azure-lab-a/machine/azure-lab-01": "Standard_B2s_v2"}
    full = {"westeurope": {"cores": Usage("Cores", 100, 100)}}
    assert judged(replace(WELL, usages=full), again) == {}
    assert "is not open to this" in str(judged(sized(closed=True), again))


@given(st.integers(0, 200), st.integers(0, 200))
def test_a_quota_blocks_exactly_when_it_would_be_exceeded(used: int, limit: int) -> None:
    facts = replace(WELL, usages={"westeurope": {"cores": Usage("Cores", used, limit)}})
    found = judged(facts)
    assert ("error quota/westeurope/cores" in found) == (used + 4 > limit)
    assert ("warning quota/westeurope/cores" in found) == (0.8 * limit < used + 4 <= limit)


@given(st.sets(st.sampled_from(DESIRED_TARGETS := [one.target for one in DESIRED])))
def test_what_is_there_needs_nothing_any_more(there: set[str]) -> None:
    bodies = {one.target: dict(one.body) for one in DESIRED if one.target in there}
    of = needs(DESIRED, Observed(bodies))
    assert {one.target for one in of.coming} == set(DESIRED_TARGETS) - there
    assert of.counted()["westeurope", "virtualMachines"] == sum(
        "azure-lab-a/machine/" in target for target in set(DESIRED_TARGETS) - there
    )
    assert judged(WELL, of) == {}
    assert bool(of) == (there != set(DESIRED_TARGETS))


def current() -> tuple[Fleet, tuple[Resource, ...]]:
    of = FLEET.model_copy(update={"release": FLEET.release.model_copy(update={"version": "current"})})
    return of, desired.resources(of, custom_data(of))


def test_current_is_pinned_in_the_plan_and_what_is_there_keeps_its_version() -> None:
    _, resources = current()
    newest = dict.fromkeys(needs(resources, NOTHING).images(), Image(("4757.1.0",), "4757.1.0"))
    assert set(needs(resources, NOTHING).images().values()) == {"latest"}
    fresh = images.pinned(resources, NOTHING, newest)
    assert {wanted.reference(one)["version"] for one in fresh if one.kind == "machine"} == {"4757.1.0"}
    same = {one.target: one.body["tags"][SPECIFICATION] for one in DESIRED}
    assert {one.target: one.body["tags"][SPECIFICATION] for one in fresh} == same, "as if it had been written"
    older = json.loads(json.dumps({one.target: one.body for one in fresh}))
    older["azure-lab-a/machine/azure-lab-01"]["properties"]["storageProfile"]["imageReference"]["version"] = "4628.0.0"
    again = images.pinned(resources, Observed(older), newest)
    assert planning.plan(FLEET, again, Observed(older), "c1", "https://arm").empty
    unknown = judged(replace(WELL, images={}), needs(resources, NOTHING))
    assert "could not be found out: name one: fleet.release.version" in unknown[f"error image/westeurope/{URN}"]


# ---- the same rows, asked of the stand-in with the real SDK


def looked(at: Deployment, resources: tuple[Resource, ...] | None = None) -> Preflight:
    of = needs(resources or at.resources, at.observe())
    return preflight(account(at.fleet), of, surroundings.ask(at.cloud, account(at.fleet).subscription, of))


@pytest.fixture
def at(lab: Lab, deploy: Deploy) -> Deployment:
    return deploy(lab)


def test_on_a_subscription_with_room_all_checks_pass_in_a_call_for_each_question(lab: Lab, at: Deployment) -> None:
    before = len(lab.lines())
    assert looked(at) == Preflight((), CHECKS)
    asked = [line["path"] for line in lab.lines()[before:] if account(at.fleet).subscription in line["path"]]
    assert len(asked) < 25, "two locations, and no call for each machine"
    assert {line["method"] for line in lab.lines()[before:]} == {"GET"}


ROWS: list[tuple[dict[str, Any], str, str]] = [
    ({"state": "Disabled"}, "subscription/", "it is Disabled"),
    ({"tenant": "99999999-9999-9999-9999-999999999999"}, "subscription/", "belongs to the tenant 9999"),
    ({"actions": ["*/read"]}, "rights/", "no right to Microsoft.Compute/disks/write and"),
    ({"not_actions": ["Microsoft.Network/*/join/action"]}, "rights/", "backendAddressPools/join/action and 5 more"),
    ({"providers": {"Microsoft.Network": "NotRegistered"}}, "provider/Microsoft.Network", "is NotRegistered"),
    ({"providers": {"Microsoft.Compute": "Registering"}}, "provider/Microsoft.Compute", "is Registering"),
    ({"quotas": {"westeurope/standardBsv2Family": 3}}, "quota/westeurope/standardBsv2Family", "4 more of"),
    ({"quotas": {"northeurope/cores": 3}}, "quota/northeurope/cores", "and 3 of 3 are left"),
    ({"quotas": {"westeurope/PublicIPAddresses": 0}}, "quota/westeurope/PublicIPAddresses", "1 more of Public IP"),
    ({"restricted": {"westeurope/Standard_B2s_v2": []}}, "size/westeurope/Standard_B2s_v2", "is not open to this"),
    ({"restricted": {"westeurope/Standard_B2s_v2": ["2"]}}, "size/westeurope/Standard_B2s_v2", "zone 2 of westeurope"),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "where", "words"), ROWS)
def test_each_row_of_the_stand_in(lab: Lab, at: Deployment, facts: dict[str, Any], where: str, words: str) -> None:
    lab.account(account(at.fleet).subscription, **facts)
    errors = {one.where: one.message for one in looked(at).findings if one.severity == "error"}
    assert [text for place, text in errors.items() if place.startswith(where) and words in text], errors
    lab.account(account(at.fleet).subscription)
    assert looked(at).findings == ()


def with_cluster(at: Deployment, **changes: Any) -> tuple[Resource, ...]:
    cluster = at.fleet.clusters[0].model_copy(update=changes)
    of = at.fleet.model_copy(update={"clusters": (cluster, *at.fleet.clusters[1:])})
    return desired.resources(of, custom_data(of))


@pytest.mark.parametrize(
    ("changes", "where", "words"),
    [
        ({"size": "Standard_A1"}, "size/westeurope/Standard_A1", "there is no size Standard_A1 in westeurope"),
        ({"size": "Standard_D2_v5"}, "size/westeurope/Standard_D2_v5", "takes no premium disks"),
        ({"size": "Standard_D2s_v6"}, "size/westeurope/Standard_D2s_v6", "on NVMe only"),
        ({"size": "Standard_D2ps_v5"}, "size/westeurope/Standard_D2ps_v5", "Arm64 processors"),
        ({"location": "westus"}, "size/westus/Standard_B2s_v2", "in zone 1 and 2 of westus (zones: none)"),
    ],
)
def test_a_size_or_place_that_cannot_carry_it(at: Deployment, changes: dict[str, Any], where: str, words: str) -> None:
    errors = {one.where: one.message for one in looked(at, with_cluster(at, **changes)).findings}
    assert words in errors[where]


@pytest.mark.parametrize(
    ("release", "words"),
    [
        ({"version": "1.2.3"}, "has no version 1.2.3 in westeurope (its newest: 4593.1.0, 4628.0.0, 4757.1.0)"),
        ({"channel": "edge"}, "there is no such image"),
    ],
)
def test_an_image_that_is_not_there(at: Deployment, release: dict[str, str], words: str) -> None:
    of = at.fleet.model_copy(update={"release": at.fleet.release.model_copy(update=release)})
    found = looked(at, desired.resources(of, custom_data(of))).findings
    assert any(words in one.message for one in found if one.where.startswith("image/westeurope")), found


def test_an_image_that_is_sold_wants_its_plan_and_its_terms(at: Deployment) -> None:
    found = looked(at, tuple(_sold(one) if one.kind == "machine" else one for one in at.resources)).findings
    texts = " ".join(one.message for one in found)
    assert "is sold under the plan beta-gen2, which the machines do not name" in texts
    assert "were not accepted in this subscription" in texts


def _sold(one: Resource) -> Resource:
    body = json.loads(json.dumps(one.body))
    body["properties"]["storageProfile"]["imageReference"]["offer"] = "flatcar-container-linux-free"
    return replace(one, body=body)


def test_current_is_what_the_market_has(at: Deployment) -> None:
    _, resources = current()
    found = surroundings.ask(at.cloud, account(at.fleet).subscription, needs(resources, NOTHING))
    assert {image.version for image in found.images.values()} == {"4757.1.0"}


def test_what_may_not_be_asked_is_told_and_does_not_block(lab: Lab, at: Deployment) -> None:
    denied = ["Microsoft.Authorization/permissions/read", "Microsoft.Compute/locations/usages/read"]
    lab.account(account(at.fleet).subscription, not_actions=denied)
    found = looked(at)
    assert {one.severity for one in found.findings} == {"warning"}
    assert {one.where for one in found.findings} == {
        "preflight/rights", "preflight/compute westeurope", "preflight/compute northeurope",
    }  # fmt: skip
    assert not {"rights", "quotas"} & set(found.passed)
    assert "sizes and zones" in found.passed


def test_a_plan_registers_nothing(lab: Lab, at: Deployment) -> None:
    """The SDK would, at the first question to a provider that is not registered, and wait ten seconds for it."""
    at.cloud.resources.resource_groups.create_or_update("azure-lab-a", {"location": "westeurope"})
    lab.account(
        account(at.fleet).subscription,
        providers={"Microsoft.Compute": "NotRegistered", "Microsoft.Network": "Unregistered"},
    )
    before = len(lab.lines())
    found = looked(at)
    assert {"provider/Microsoft.Compute", "provider/Microsoft.Network"} <= {one.where for one in found.findings}
    assert {line["method"] for line in lab.lines()[before:]} == {"GET"}
    with pytest.raises(client.NotRegistered, match="az provider register --wait --namespace"):
        at.cloud.compute.availability_sets.list("azure-lab-a").next()


def test_a_subscription_that_is_not_there_is_one_sentence(lab: Lab, at: Deployment) -> None:
    lab.account(account(at.fleet).subscription, exists=False)
    with pytest.raises(ServiceFailed, match=r"correct fleet\.azure\.subscription"):
        at.observe()


def test_at_four_hundred_hosts_the_questions_are_the_same(lab: Lab, deploy: Deploy) -> None:
    at = deploy(lab)
    many = tuple(at.fleet.clusters[0].hosts[0].model_copy(update={"name": f"node-{n:03}"}) for n in range(400))
    cluster = {"hosts": many, "subnet": IPv4Network("10.20.0.0/16")}
    resources = with_cluster(at, **cluster)
    before = len(lab.lines())
    found = looked(at, resources)
    assert {one.where for one in found.findings if one.severity == "error"} == {
        "quota/westeurope/cores", "quota/westeurope/standardBsv2Family",
    }  # fmt: skip
    assert len([x for x in lab.lines()[before:] if account(at.fleet).subscription in x["path"]]) < 25
