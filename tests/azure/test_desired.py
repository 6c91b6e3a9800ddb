"""What is desired, held against golden files; `UPDATE_GOLDEN=1 pytest tests/azure` writes them anew."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from corelib.azure import desired
from corelib.azure.resource import Resource

from .conftest import custom_data, fleet

GOLDEN = Path(__file__).parent / "golden"


def resources(name: str) -> tuple[Resource, ...]:
    of = fleet(name)
    return desired.resources(of, custom_data(of))


def bodies(name: str, kind: str) -> list[dict[str, Any]]:
    return [dict(one.body) for one in resources(name) if one.kind == kind]


@pytest.mark.parametrize("name", ["lab", "prd"])
def test_the_desired_resources_are_the_golden_ones(name: str) -> None:
    shown = [{"target": one.target, "after": list(one.after), "body": one.public} for one in resources(name)]
    text = json.dumps(shown, indent=1, sort_keys=True) + "\n"
    file = GOLDEN / f"{name}.json"
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(text)
    assert text == file.read_text()


@pytest.mark.parametrize("name", ["lab", "prd"])
def test_every_resource_comes_after_what_it_needs(name: str) -> None:
    seen: set[str] = set()
    for one in resources(name):
        assert set(one.after) <= seen
        seen.add(one.target)


@pytest.mark.parametrize("name", ["lab", "prd"])
def test_etcd_is_open_to_nobody_and_ssh_to_the_stated_ranges_only(name: str) -> None:
    for body, cluster in zip(bodies(name, "security-group"), fleet(name).clusters, strict=True):
        for rule in body["properties"]["securityRules"]:
            properties = rule["properties"]
            assert properties["destinationPortRange"] in ("22", "6783", "6783-6784")
            if properties["destinationPortRange"] == "22":
                assert properties["sourceAddressPrefix"] == str(cluster.ssh_from[0])
            else:
                assert properties["sourceAddressPrefix"] == str(cluster.network)
    assert len(bodies("prd", "security-group")[0]["properties"]["securityRules"]) == 3, "Weave's ports are there"


def test_the_address_is_reserved_and_the_way_out_explicit() -> None:
    for body in bodies("prd", "address"):
        assert (body["sku"]["name"], body["properties"]["publicIPAllocationMethod"]) == ("Standard", "Static")
    for body in bodies("prd", "network"):
        assert body["properties"]["subnets"][0]["properties"]["defaultOutboundAccess"] is False
    for body, ssh in zip(bodies("prd", "load-balancer"), ((2201, 2202), (2203, 2204)), strict=True):
        assert [rule["name"] for rule in body["properties"]["outboundRules"]] == ["out"]
        rules = [rule["properties"] for rule in body["properties"]["inboundNatRules"]]
        assert [rule["frontendPort"] for rule in rules if rule["backendPort"] == 22] == [*ssh]
        assert {rule["frontendPort"] for rule in rules} == {*ssh, 6783, 6784}, "SSH and the overlay, never etcd"


def test_machines_have_keys_and_no_password_and_a_data_disk_that_outlives_them() -> None:
    for body in bodies("prd", "machine"):
        properties = body["properties"]
        assert properties["osProfile"]["linuxConfiguration"]["disablePasswordAuthentication"] is True
        assert "adminPassword" not in properties["osProfile"]
        assert properties["osProfile"]["linuxConfiguration"]["ssh"]["publicKeys"]
        (disk,) = properties["storageProfile"]["dataDisks"]
        assert (disk["caching"], disk["deleteOption"]) == ("None", "Detach")
        assert properties["securityProfile"] == {"securityType": "Standard"}
        assert properties["storageProfile"]["imageReference"]["version"] == "4757.1.0"


def test_machine_and_disk_share_a_zone_and_without_zones_there_is_a_set() -> None:
    assert [body["zones"] for body in bodies("prd", "machine")] == [["1"], ["2"], ["1"], ["2"]]
    assert [body["zones"] for body in bodies("prd", "disk")] == [["1"], ["2"], ["1"], ["2"]]
    base = fleet("lab")
    bare = base.model_copy(update={"clusters": tuple(c.model_copy(update={"zones": ()}) for c in base.clusters)})
    found = desired.resources(bare, custom_data(bare))
    assert [one.name for one in found if one.kind == "availability-set"] == ["azure-lab-a-set", "azure-lab-b-set"]
    machine = next(one for one in found if one.kind == "machine")
    assert machine.body["properties"]["availabilitySet"]["id"].endswith("/azure-lab-a-set")
    assert "zones" not in machine.body


def test_custom_data_never_stands_in_what_is_shown() -> None:
    for one in resources("prd"):
        if one.kind == "machine":
            assert one.public["properties"]["osProfile"]["customData"].startswith("sha256:")
            assert not one.body["properties"]["osProfile"]["customData"].startswith("sha256:")


def test_ports_and_zones_stay_with_a_host_when_others_go() -> None:
    before = fleet("prd").clusters[0]
    after = before.model_copy(update={"hosts": before.hosts[1:]})
    assert desired.ssh_port(before, "azure-prd-02") == desired.ssh_port(after, "azure-prd-02") == 2202
    odd = before.model_copy(
        update={"hosts": tuple(before.hosts[0].model_copy(update={"name": n}) for n in ("web-1", "db-1", "db", "a-2"))}
    )
    assert odd.numbers == {"web-1": 1, "db-1": 3, "db": 4, "a-2": 2}
