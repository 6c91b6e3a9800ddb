"""Hosts with a reserved address each, instead of a port each on their cluster's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from corelib.azure import desired, inventory, needs, stages
from corelib.azure import plan as planning
from corelib.azure.by_hand import commands
from corelib.azure.facts import Facts, Usage
from corelib.azure.preflight import preflight
from corelib.azure.removal import Removal
from corelib.azure.resource import Observed
from corelib.fleet import Fleet
from corelib.plan import Plan
from corelib.userdata.overlay.peers import Peers
from corelib.views.deployment import deployment
from tests.lab.arm.conftest import Lab

from .conftest import Deployment, custom_data, fleet
from .test_executor import Watching
from .test_given_group import there

A, B = "azure-lab-a", "azure-lab-b"


def own(of: Fleet | None = None) -> Fleet:
    """The lab's fleet, each host of its second cluster with an address of its own."""
    of = of or fleet()
    changed = (one.model_copy(update={"public_address": "host"} if one.name == B else {}) for one in of.clusters)
    return of.model_copy(update={"clusters": tuple(changed)})


FLEET = own()
DESIRED = desired.resources(FLEET, custom_data(FLEET))


def plan(bodies: dict[str, Any], **how: Any) -> Plan:
    return planning.plan(FLEET, DESIRED, Observed(bodies, **how), "c1", "https://arm")


def test_there_is_an_address_for_each_host_and_no_load_balancer() -> None:
    second = [one for one in DESIRED if one.cluster == B]
    assert [one.name for one in second if one.kind == "address"] == ["azure-lab-03-ip", "azure-lab-04-ip"]
    assert not any(one.kind == "load-balancer" for one in second)
    for one in second:
        if one.kind == "address":
            assert one.body["sku"] == {"name": "Standard"}
            assert one.body["properties"]["publicIPAllocationMethod"] == "Static"
        if one.kind == "interface":
            (configuration,) = one.body["properties"]["ipConfigurations"]
            assert configuration["properties"]["publicIPAddress"]["id"].endswith(f"/{one.host}-ip")
            assert "loadBalancerInboundNatRules" not in configuration["properties"]
            assert f"{B}/address/{one.host}-ip" in one.after
    assert [one for one in DESIRED if one.cluster == A] == [
        one for one in desired.resources(fleet(), custom_data(fleet())) if one.cluster == A
    ]


def test_the_security_group_opens_ssh_to_the_stated_ranges_and_nothing_else() -> None:
    rules = {one.cluster: one.body["properties"] for one in DESIRED if one.kind == "security-group"}
    assert rules[B] == rules[A]


def test_what_is_there_is_as_desired_and_another_address_by_hand_is_not() -> None:
    assert plan(there(DESIRED)).empty
    for host in ("azure-lab-01", "azure-lab-03"):
        bodies = there(DESIRED)
        interface = bodies[f"{A if host == 'azure-lab-01' else B}/interface/{host}-nic"]
        interface["properties"]["ipConfigurations"][0]["properties"]["publicIPAddress"] = {"id": "/x/by-hand"}
        (step,) = plan(bodies).pending
        assert (step.action, step.changes[0].old) == ("change", "/x/by-hand")


def test_from_a_load_balancer_to_addresses_the_old_way_in_is_closed_and_what_costs_is_told() -> None:
    before = desired.resources(fleet(), custom_data(fleet()))
    wanted = {one.target for one in DESIRED}
    strays = {target: body for target, body in there(before).items() if target not in wanted}
    made = plan({target: body for target, body in there(before).items() if target in wanted}, strays=strays)
    assert {(step.action, step.target) for step in made.pending} == {
        *(("create", f"{B}/address/{host}-ip") for host in ("azure-lab-03", "azure-lab-04")),
        *(("change", f"{B}/interface/{host}-nic") for host in ("azure-lab-03", "azure-lab-04")),
    }
    names = {change.name.rpartition(".")[2] for step in made.pending for change in step.changes}
    assert {"loadBalancerBackendAddressPools", "loadBalancerInboundNatRules"} <= names
    told = {step.target for step in made.steps if step.told}
    assert told == {f"{B}/address/{B}-ip", f"{B}/load-balancer/{B}-lb"}


def test_ssh_and_the_overlay_go_to_each_hosts_own_address() -> None:
    bodies = there(DESIRED)
    for number, target in enumerate(t for t in sorted(bodies) if "/address/" in t):
        bodies[target]["properties"]["ipAddress"] = f"192.0.2.{number}"
    observed = Observed(bodies)
    for host, one in inventory.inventory(FLEET, observed)["hosts"].items():
        ways = {"azure-lab-03": ("192.0.2.1", 22), "azure-lab-04": ("192.0.2.2", 22)}
        assert (one["public_address"], one["ssh_port"]) == ways.get(host, ("192.0.2.0", int(host[-2:]) + 2200))
    known = stages.known_addresses(FLEET, observed)
    assert known == {A: "192.0.2.0", f"{B}/azure-lab-03": "192.0.2.1", f"{B}/azure-lab-04": "192.0.2.2"}
    peers = Peers.of(FLEET, known)
    assert peers["azure-lab-04"].seen_from(peers["azure-lab-01"]) == "192.0.2.2"
    assert peers["azure-lab-04"].seen_from(peers["azure-lab-03"]) == "azure-lab-04"
    weave = FLEET.model_copy(update={"overlay": fleet("prd").overlay})
    found = {one.target: one.body for one in desired.resources(weave, {}, known)}
    sources = {
        name: found[f"{name}/security-group/{name}-nsg"]["properties"]["securityRules"][1]["properties"]
        for name in (A, B)
    }
    assert sources[A]["sourceAddressPrefixes"][1:] == ["192.0.2.1/32", "192.0.2.2/32"]
    assert sources[B]["sourceAddressPrefixes"][1:] == ["192.0.2.0/32"], "and none of its own"


def test_a_host_whose_address_is_not_known_yet_makes_drafts_of_the_others() -> None:
    peers = Peers.of(FLEET, {A: "192.0.2.0", f"{B}/azure-lab-03": "192.0.2.1"})
    assert peers["azure-lab-04"].seen_from(peers["azure-lab-01"]) == ""
    assert peers["azure-lab-04"].holder == "azure-lab-04"


@pytest.mark.parametrize(("left", "blocked"), [(3, False), (2, True)])
def test_each_address_counts_against_the_quota(left: int, blocked: bool) -> None:
    wanted = needs.needs(DESIRED, Observed({}))
    at = {cluster.location for cluster in FLEET.clusters}
    assert at == {"westeurope", "northeurope"}
    usages = {place: {"PublicIPAddresses": Usage("addresses", 10, 10 + left - 1)} for place in at}
    assert FLEET.azure is not None
    found = preflight(FLEET.azure, wanted, Facts(usages=usages)).findings
    assert (
        any(one.where == "quota/northeurope/PublicIPAddresses" for one in found if one.severity == "error") is blocked
    )
    assert not any(one.where.endswith("interface") for one in found), "an address is a way out"


def test_addresses_stay_when_a_cluster_goes_and_go_after_all_that_uses_them_if_named() -> None:
    gone = Removal.of(FLEET, (B,), Observed(there(DESIRED)), {}, None).plan("c1", "https://a")
    assert not any("/address/" in step.target for step in gone.pending)
    told = {step.target: step.why for step in gone.steps if step.told}
    assert f"destroy: [{B}/address/azure-lab-03-ip]" in told[f"{B}/address/azure-lab-03-ip"]
    order = [
        step.target
        for step in Removal.of(FLEET, (B, f"{B}/*"), Observed(there(DESIRED)), {}, None).plan("c1", "https://a").pending
    ]
    assert order.index(f"{B}/machine/azure-lab-04") < order.index(f"{B}/address/azure-lab-04-ip")


def test_by_hand_and_in_the_picture_the_address_is_the_hosts() -> None:
    made = plan({})
    assert "--public-ip-address azure-lab-04-ip" in commands(made).replace(" \\\n ", "")
    shown = deployment(made)
    assert shown is not None
    lines = shown.text().splitlines()
    assert "  + azure-lab-04: + machine  + interface  + address" in [line.replace("+ disk  ", "") for line in lines]
    assert not any("address" in line for line in lines if line.startswith(f"{B}:"))
    assert any("+ address" in line for line in lines if line.startswith(f"{A}:"))


def test_deployed_each_host_is_reached_at_its_own_address_and_replaced_it_keeps_it(
    lab: Lab, deploy: Callable[[Lab], Deployment]
) -> None:
    at = deploy(lab)
    mine = own(at.fleet)
    at = replace(at, fleet=mine, resources=desired.resources(mine, custom_data(mine)))
    at.apply(at.plan(), Watching())
    assert at.plan().empty
    hosts = inventory.inventory(at.fleet, at.observe())["hosts"]
    ways = {name: (one["public_address"], one["ssh_port"]) for name, one in hosts.items()}
    assert {machine.name: machine.ssh for machine in lab.hosts.booted[-4:]} == ways
    assert ways["azure-lab-03"][1] == ways["azure-lab-04"][1] == 22
    assert len({address for address, _ in ways.values()}) == 3

    at.apply(Removal.of(at.fleet, (A, B), at.observe(), {}, None).plan("c1", at.endpoint), Watching())
    at.apply(at.plan(), Watching())
    again = inventory.inventory(at.fleet, at.observe())["hosts"]
    assert {name: one["public_address"] for name, one in again.items()} == {name: at for name, (at, _) in ways.items()}
    assert all(again[name]["vm_id"] != hosts[name]["vm_id"] for name in hosts)
