"""What holds for every call: case, paging, tags, lists, ids of requests, the log, and what a subscription offers."""

from __future__ import annotations

import json
import re
from typing import Any

from .conftest import Azure, Lab

SPACE = {"addressSpace": {"addressPrefixes": ["10.20.0.0/16"]}}


def test_ids_are_compared_without_case_and_shown_as_first_written(azure: Azure) -> None:
    azure.resources.resource_groups.create_or_update("My-Group", {"location": "West Europe"})
    assert azure.resources.resource_groups.check_existence("MY-GROUP")
    assert azure.resources.resource_groups.get("my-group").location == "westeurope"
    network = azure.network.virtual_networks
    body = {"location": "westeurope", "properties": SPACE}
    made = network.begin_create_or_update("my-group", "My-Net", body).result(10)
    again = network.begin_create_or_update("MY-GROUP", "MY-NET", body).result(10)
    assert again.id == made.id == network.get("my-GROUP", "my-net").id
    assert made.id.endswith("/resourceGroups/My-Group/providers/Microsoft.Network/virtualNetworks/My-Net")
    shouted = f"/SUBSCRIPTIONS/{azure.subscription.upper()}/RESOURCEGROUPS/MY-GROUP"
    answer = azure.lab.call("GET", f"{shouted}/PROVIDERS/MICROSOFT.NETWORK/VIRTUALNETWORKS/MY-NET")
    assert answer.json()["id"] == made.id
    config = {
        "name": "a",
        "properties": {"subnet": {"id": (made.id + "/subnets/s").upper().replace("/SUB", "/sub", 1)}},
    }
    subnets = [{"name": "s", "properties": {"addressPrefix": "10.20.1.0/24"}}]
    network.begin_create_or_update("my-group", "my-net", {**body, "properties": {**SPACE, "subnets": subnets}}).result(
        10
    )
    nic = {"location": "westeurope", "properties": {"ipConfigurations": [config]}}
    azure.network.network_interfaces.begin_create_or_update("my-group", "nic", nic).result(10)
    assert azure.lab.error("DELETE", made.id.lower()) == (400, "InUseSubnetCannotBeDeleted")


def test_long_lists_come_in_pages(azure: Azure) -> None:
    azure.group()
    for number in range(60):
        path = azure.id(f"Network/networkSecurityGroups/guard-{number:02}")
        assert azure.lab.call("PUT", path, {"location": "westeurope", "properties": {}}).status_code == 201
    first = azure.lab.call("GET", azure.id("Network/networkSecurityGroups")).json()
    assert (len(first["value"]), first["nextLink"].startswith(azure.lab.where["arm"])) == (50, True)
    names = [group.name for group in azure.network.network_security_groups.list("g")]
    assert names == [f"guard-{number:02}" for number in range(60)]
    assert len(list(azure.network.network_security_groups.list_all())) == 60
    assert len(list(azure.resources.resources.list_by_resource_group("g"))) == 60
    path = azure.id("Network/networkSecurityGroups") + "?api-version=2026-03-01&$skiptoken=!"
    assert azure.lab.error("GET", path) == (400, "InvalidSkipToken")


def test_subscriptions_do_not_see_each_other(azure: Azure) -> None:
    azure.group()
    other = "/subscriptions/99999999-9999-9999-9999-999999999999/resourcegroups"
    assert azure.lab.call("GET", other).json()["value"] == []
    assert [group.name for group in azure.resources.resource_groups.list()] == ["g"]


def test_tags_are_patched_and_everything_else_stays(azure: Azure) -> None:
    nic = azure.interface("nic", azure.subnet())
    azure.put("Compute/virtualMachines/vm", **azure.machine("vm", nic), tags={"old": "1"})
    azure.compute.virtual_machines.begin_update("g", "vm", {"tags": {"new": "2"}}).result(10)
    azure.network.virtual_networks.update_tags("g", "net", {"tags": {"new": "2"}})
    azure.resources.resource_groups.update("g", {"tags": {"new": "2"}})
    assert azure.compute.virtual_machines.get("g", "vm").tags == {"new": "2"}
    assert azure.compute.virtual_machines.get("g", "vm").hardware_profile.vm_size == "Standard_B2s_v2"
    net = azure.network.virtual_networks.get("g", "net")
    assert (net.tags, net.subnets[0].name) == ({"new": "2"}, "hosts")
    assert azure.resources.resource_groups.get("g").tags == {"new": "2"}


def test_a_disk_grows_and_does_not_shrink(azure: Azure) -> None:
    azure.group()
    azure.put("Compute/disks/d", properties={"diskSizeGB": 32, "creationData": {"createOption": "Empty"}})
    azure.compute.disks.begin_update("g", "d", {"properties": {"diskSizeGB": 64}}).result(10)
    assert azure.compute.disks.get("g", "d").disk_size_gb == 64
    answer = azure.lab.error("PATCH", azure.id("Compute/disks/d"), {"properties": {"diskSizeGB": 32}})
    assert answer == (409, "OperationNotAllowed")


def test_a_machine_makes_the_disks_that_it_asks_for_and_detaches_them(azure: Azure) -> None:
    body = azure.machine("vm", azure.interface("nic", azure.subnet()))
    storage = body["properties"]["storageProfile"]
    storage["dataDisks"] = [
        {"lun": 1, "createOption": "Empty", "diskSizeGB": 8, "name": "second"},
        {"lun": 0, "createOption": "Empty", "diskSizeGB": 4, "name": "first"},
    ]
    azure.put("Compute/virtualMachines/vm", **body)
    assert azure.lab.hosts.booted[-1].data_disks == ("first", "second")
    assert azure.compute.disks.get("g", "vm-os").disk_state == "Attached"
    storage["dataDisks"] = []
    azure.put("Compute/virtualMachines/vm", **body)
    assert azure.compute.disks.get("g", "second").disk_state == "Unattached"


def test_children_are_read_one_by_one(azure: Azure) -> None:
    subnet = azure.subnet()
    assert azure.network.subnets.get("g", "net", "HOSTS").id == subnet
    assert [s.name for s in azure.network.subnets.list("g", "net")] == ["hosts"]
    missing = azure.lab.error("GET", azure.id("Network/virtualNetworks/net/subnets/none"))
    assert missing == (404, "ResourceNotFound")
    azure.put("Network/networkSecurityGroups/guard", properties={})
    assert len(azure.network.network_security_groups.get("g", "guard").default_security_rules) == 6


def test_any_resource_is_read_and_asked_for_by_its_id(azure: Azure) -> None:
    azure.subnet()
    net, version = azure.id("Network/virtualNetworks/net"), {"api_version": "2026-03-01"}
    assert azure.resources.resources.get_by_id(net, **version).location == "westeurope"
    assert azure.resources.resources.check_existence_by_id(net, **version) is True
    assert azure.resources.resources.check_existence_by_id(net + "x", **version) is False


def test_deleting_what_is_not_there_is_no_error(azure: Azure) -> None:
    azure.group()
    assert azure.lab.call("DELETE", azure.id("Network/virtualNetworks/none")).status_code == 204
    azure.network.virtual_networks.begin_delete("g", "none").result(10)


def test_public_addresses_are_the_labs_own_and_come_back(azure: Azure) -> None:
    azure.group()
    body = {"sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}}

    def address(name: str) -> str:
        return str(azure.put(f"Network/publicIPAddresses/{name}", **body)["properties"]["ipAddress"])

    one, two = address("one"), address("two")
    assert one != two
    assert address("one") == one
    azure.gone("Network/publicIPAddresses/one")
    assert address("three") == one


def test_a_subscription_offers_sizes_quotas_images_and_providers(azure: Azure) -> None:
    skus = {s.name: s for s in azure.compute.resource_skus.list(filter="location eq 'westeurope'")}
    size = skus["Standard_B2s_v2"]
    assert (size.resource_type, size.location_info[0].zones, list(size.restrictions)) == (
        "virtualMachines",
        ["1", "2", "3"],
        [],
    )
    nowhere = next(iter(azure.compute.resource_skus.list(filter="location eq 'westus'")))
    assert nowhere.location_info[0].zones == []
    azure.put("Compute/virtualMachines/vm", **azure.machine("vm", azure.interface("nic", azure.subnet())))
    used = {u.name.value: (u.current_value, u.limit) for u in azure.compute.usage.list("westeurope")}
    assert (used["cores"], used["standardBsv2Family"], used["virtualMachines"][0]) == ((2, 100), (2, 100), 1)
    for name in ("Microsoft.Compute", "Microsoft.Network"):
        assert azure.resources.providers.get(name).registration_state == "Registered"
    image = ("westeurope", "kinvolk", "flatcar-container-linux-corevm-amd64", "beta-gen2")
    assert "4757.1.0" in [i.name for i in azure.compute.virtual_machine_images.list(*image)]
    assert azure.compute.virtual_machine_images.get(*image, "4757.1.0").name == "4757.1.0"


def test_a_subscription_says_which_tenant_it_belongs_to(azure: Azure) -> None:
    body = azure.lab.call("GET", f"/subscriptions/{azure.subscription}").json()
    assert body["subscriptionId"] == azure.subscription
    assert re.fullmatch(r"[0-9a-f-]{36}", body["tenantId"])


def test_every_answer_has_ids_and_one_line_in_the_log_without_secrets(azure: Azure) -> None:
    nic = azure.interface("nic", azure.subnet())
    body: dict[str, Any] = azure.machine("vm", nic, b"a secret of the user-data")
    answer = azure.lab.call("PUT", azure.id("Compute/virtualMachines/vm"), body, x_ms_correlation_request_id="mine")
    assert answer.headers["x-ms-correlation-request-id"] == "mine"
    line = next(k for k in azure.lab.lines() if k["request_id"] == answer.headers["x-ms-request-id"])
    assert (line["method"], line["path"], line["status"]) == ("PUT", azure.id("Compute/virtualMachines/vm"), 201)
    log = azure.lab.log.read_text()
    encoded = body["properties"]["osProfile"]["customData"]
    for secret in (azure.lab.token, azure.lab.where["identity_header"], encoded, "a secret of the user-data"):
        assert secret not in log
    refused = azure.lab.call("GET", azure.id("Network/virtualNetworks/none"))
    assert refused.headers["x-ms-request-id"] in azure.lab.log.read_text()
    assert json.loads(refused.text)["error"]["code"] == "ResourceNotFound"


def test_the_answer_to_a_refused_token_is_logged_too(lab: Lab) -> None:
    count = len(lab.lines())
    lab.call("GET", "/subscriptions/none", Authorization="Bearer stolen")
    assert [(k["status"], "stolen" in json.dumps(k)) for k in lab.lines()[count:]] == [(401, False)]
