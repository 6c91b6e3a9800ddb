"""What Azure refuses, the stand-in refuses, in the same words."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import requests
from azure.core.exceptions import ResourceNotFoundError

from corelib.lab.arm.cloud import Request
from corelib.lab.arm.failure import Failure
from corelib.lab.arm.identity import LIFETIME, Identity

from .conftest import Azure, Lab

SPACE = {"addressSpace": {"addressPrefixes": ["10.20.0.0/16"]}}
STATIC = {"sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}}
EMPTY_DISK = {"properties": {"diskSizeGB": 32, "creationData": {"createOption": "Empty"}}}


def refused(azure: Azure, path: str, **body: Any) -> tuple[int, str]:
    """What a PUT of that body in group `g` is answered with."""
    return azure.lab.error("PUT", azure.id(path), {"location": "westeurope", **body})


def test_a_call_needs_a_token_of_this_lab(lab: Lab) -> None:
    url = lab.where["arm"] + "/subscriptions/00000000-0000-0000-0000-000000000001?api-version=2022-12-01"
    for header in ({}, {"Authorization": "Bearer stolen"}, {"Authorization": "Basic dTpw"}):
        answer = requests.get(url, headers=header, verify=str(lab.ca), timeout=5)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
        assert answer.json()["error"]["code"].startswith(("AuthenticationFailed", "InvalidAuthenticationToken"))


@pytest.mark.parametrize(
    ("query", "secret", "status"),
    [
        ("resource=https://management.azure.com&api-version=2019-08-01", "wrong", 401),
        ("resource=https://vault.azure.net&api-version=2019-08-01", "", 400),
        ("resource=https://management.azure.com", "", 400),
    ],
)
def test_a_token_needs_the_secret_and_a_known_resource(lab: Lab, query: str, secret: str, status: int) -> None:
    headers = {"X-IDENTITY-HEADER": secret or lab.where["identity_header"]}
    answer = requests.get(f"{lab.where['identity']}?{query}", headers=headers, timeout=5)
    assert (answer.status_code, "access_token" in answer.json()) == (status, False)


def test_an_expired_token_is_refused() -> None:
    now = [1000.0]
    identity = Identity(lambda: now[0])
    query = {"resource": "https://management.azure.com/", "api-version": "2019-08-01"}
    reply = identity.issue(Request("GET", "/msi/token", query, {"x-identity-header": identity.secret}))
    headers = {"authorization": f"Bearer {reply.body['access_token']}"}
    identity.check(headers)
    now[0] += LIFETIME
    with pytest.raises(Failure) as caught:
        identity.check(headers)
    assert caught.value.code == "ExpiredAuthenticationToken"


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/subscriptions/{s}?x=1", (400, "MissingApiVersionParameter")),
        ("GET", "/subscriptions/{s}?api-version=latest", (400, "InvalidApiVersionParameter")),
        ("GET", "/subscriptions/nonsense", (400, "InvalidSubscriptionId")),
        ("GET", "/subscriptions/{s}/somewhere", (404, "NotFound")),
        ("POST", "/subscriptions/{s}/resourceGroups/g", (405, "MethodNotAllowed")),
        ("GET", "/subscriptions/{s}/resourceGroups/none", (404, "ResourceGroupNotFound")),
        ("GET", "/subscriptions/{s}/providers/Microsoft.Nonsense", (404, "InvalidResourceNamespace")),
        ("GET", "/subscriptions/{s}/providers/Microsoft.Network/nonsense", (404, "InvalidResourceType")),
        ("PUT", "/subscriptions/{s}/resourceGroups/g", (400, "LocationRequired")),
    ],
)
def test_bad_paths(azure: Azure, method: str, path: str, expected: tuple[int, str]) -> None:
    assert azure.lab.error(method, path.format(s=azure.subscription)) == expected


def test_a_resource_needs_its_group_a_location_and_known_properties(azure: Azure) -> None:
    path = "Network/virtualNetworks/net"
    assert refused(azure, path, properties=SPACE) == (404, "ResourceGroupNotFound")
    azure.group()
    assert refused(azure, path, properties=SPACE, location=None) == (400, "LocationRequired")
    assert refused(azure, path, properties=SPACE, location="moon") == (400, "LocationNotAvailableForResourceType")
    assert refused(azure, path, properties={**SPACE, "subnetz": []}) == (400, "InvalidRequestContent")
    assert refused(azure, path, properties=SPACE, colour="red") == (400, "InvalidRequestContent")
    assert refused(azure, path, properties={**SPACE, "subnets": [{"properties": {}}]}) == (400, "InvalidRequestFormat")
    with pytest.raises(ResourceNotFoundError):
        azure.network.virtual_networks.get("g", "net")


def test_a_misspelt_member_is_refused_however_deep_it_is(azure: Azure) -> None:
    nic = azure.interface("nic", azure.subnet())
    misspelt = _with(azure.machine("vm", nic), "osProfile.linuxConfiguration.publicKeys", [])
    assert refused(azure, "Compute/virtualMachines/vm", **misspelt) == (400, "InvalidRequestContent")
    subnet = {"name": "s", "properties": {"adressPrefix": "10.20.1.0/24"}}
    answer = refused(azure, "Network/virtualNetworks/other", properties={**SPACE, "subnets": [subnet]})
    assert answer == (400, "InvalidRequestContent")


def test_a_body_that_is_not_json_is_refused(azure: Azure) -> None:
    headers = {"Authorization": f"Bearer {azure.lab.token}"}
    url = f"{azure.lab.where['arm']}{azure.root}?api-version=2025-04-01"
    answer = requests.put(url, data=b"{location", headers=headers, verify=str(azure.lab.ca), timeout=5)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "InvalidRequestContent")


def test_a_resource_does_not_move(azure: Azure) -> None:
    azure.group()
    azure.put("Network/virtualNetworks/net", properties=SPACE)
    moved = refused(azure, "Network/virtualNetworks/net", properties=SPACE, location="northeurope")
    assert moved == (409, "InvalidResourceLocation")
    assert azure.lab.error("PUT", azure.root, {"location": "northeurope"}) == (409, "InvalidResourceGroupLocation")


def _net(*prefixes: str) -> dict[str, Any]:
    subnets = [{"name": f"s{n}", "properties": {"addressPrefix": p}} for n, p in enumerate(prefixes)]
    return {**SPACE, "subnets": subnets}


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("virtualNetworks/n", {"properties": {}}, "VnetAddressSpaceNotSpecified"),
        ("virtualNetworks/n", {"properties": _net("10.30.0.0/24")}, "NetcfgInvalidSubnet"),
        ("virtualNetworks/n", {"properties": _net("10.20.0.1/24")}, "InvalidAddressPrefixFormat"),
        ("virtualNetworks/n", {"properties": _net("10.20.0.0/24", "10.20.0.0/25")}, "NetcfgSubnetRangesOverlap"),
        ("publicIPAddresses/p", {"properties": {}}, "IPv4BasicSkuPublicIpCountLimitReached"),
        ("publicIPAddresses/p", {**STATIC, "properties": {}}, "StandardSkuPublicIPAddressesMustBeStatic"),
        ("networkInterfaces/n", {"properties": {}}, "NetworkInterfaceMustHaveOneOrMoreIpConfigurations"),
        ("networkInterfaces/n", {"properties": {"ipConfigurations": [{"name": "a"}]}}, "SubnetReferenceRequired"),
    ],
)
def test_network_rules(azure: Azure, path: str, body: dict[str, Any], code: str) -> None:
    azure.group()
    assert refused(azure, f"Network/{path}", **body) == (400, code)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"priority": 99}, "SecurityRuleInvalidPriority"),
        ({"access": None}, "SecurityRuleParameterNotSpecified"),
        ({}, "SecurityRuleConflict"),
    ],
)
def test_security_rules(azure: Azure, change: dict[str, Any], code: str) -> None:
    azure.group()
    rule = {"access": "Allow", "direction": "Inbound", "priority": 100, "protocol": "Tcp"}
    rules = [{"name": "a", "properties": rule}, {"name": "b", "properties": {**rule, **change}}]
    assert refused(azure, "Network/networkSecurityGroups/n", properties={"securityRules": rules}) == (400, code)


def test_references_must_exist_fit_and_be_in_the_same_region(azure: Azure) -> None:
    subnet = azure.subnet()
    nic = "Network/networkInterfaces/nic"

    def with_subnet(target: str, **more: Any) -> tuple[int, str]:
        config = {"name": "a", "properties": {"subnet": {"id": target}}}
        return refused(azure, nic, properties={"ipConfigurations": [config]}, **more)

    assert with_subnet(subnet + "x") == (400, "InvalidResourceReference")
    assert with_subnet("hosts") == (400, "LinkedInvalidPropertyId")
    assert with_subnet(azure.id("Network/virtualNetworks/net")) == (400, "InvalidResourceReference")
    assert with_subnet(subnet, location="northeurope") == (400, "InvalidResourceReference")
    pool = {"id": azure.id("Network/loadBalancers/lb/backendAddressPools/none")}
    config = {"name": "a", "properties": {"subnet": {"id": subnet}, "loadBalancerBackendAddressPools": [pool]}}
    assert refused(azure, nic, properties={"ipConfigurations": [config]}) == (400, "InvalidResourceReference")
    guard = {"networkSecurityGroup": {"id": azure.id("Network/networkSecurityGroups/none")}}
    config = {"name": "a", "properties": {"subnet": {"id": subnet}}}
    assert refused(azure, nic, properties={"ipConfigurations": [config], **guard}) == (400, "InvalidResourceReference")


def test_a_balancer_refers_to_its_own_children_and_gives_each_port_once(azure: Azure) -> None:
    azure.group()
    azure.put("Network/publicIPAddresses/p", **STATIC)
    address = {"publicIPAddress": {"id": azure.id("Network/publicIPAddresses/p")}}
    front = {"id": azure.id("Network/loadBalancers/lb/frontendIPConfigurations/f")}
    rule = {"frontendIPConfiguration": front, "protocol": "Tcp", "frontendPort": 2201, "backendPort": 22}

    def balancer(frontend: dict[str, Any], *names: str) -> dict[str, Any]:
        rules = [{"name": name, "properties": rule} for name in names]
        return {"frontendIPConfigurations": [frontend], "inboundNatRules": rules}

    path, good = "Network/loadBalancers/lb", {"name": "f", "properties": address}
    same = (400, "RulesUseSameFrontendPortProtocolAndIPConfig")
    assert refused(azure, path, properties=balancer(good, "a", "b")) == same
    other = {"name": "other", "properties": address}
    assert refused(azure, path, properties=balancer(other, "a")) == (400, "InvalidResourceReference")
    bare = {"name": "f", "properties": {}}
    code = "FrontendIPConfigurationMustReferenceSubnetOrPublicIPAddress"
    assert refused(azure, path, properties=balancer(bare)) == (400, code)


def test_private_addresses_start_at_four_stay_and_run_out(azure: Azure) -> None:
    azure.group()
    azure.put("Network/virtualNetworks/net", properties=_net("10.20.0.0/29"))
    subnet = azure.id("Network/virtualNetworks/net/subnets/s0")
    for name in ("a", "b", "c"):
        azure.interface(name, subnet)
    azure.interface("a", subnet)

    def address(name: str) -> str:
        return str(azure.network.network_interfaces.get("g", name).ip_configurations[0].private_ip_address)

    assert [address(n) for n in ("a", "b", "c")] == ["10.20.0.4", "10.20.0.5", "10.20.0.6"]

    def config(**more: str) -> dict[str, Any]:
        return {"ipConfigurations": [{"name": "x", "properties": {"subnet": {"id": subnet}, **more}}]}

    path, static = "Network/networkInterfaces/d", {"privateIPAllocationMethod": "Static"}
    assert refused(azure, path, properties=config()) == (400, "SubnetIsFull")
    outside = config(**static, privateIPAddress="10.20.0.1")
    assert refused(azure, path, properties=outside) == (400, "PrivateIPAddressNotInSubnet")
    taken = config(**static, privateIPAddress="10.20.0.4")
    assert refused(azure, path, properties=taken) == (400, "PrivateIPAddressIsAllocated")


def test_what_is_in_use_cannot_be_deleted(azure: Azure) -> None:
    nic = azure.interface("nic", azure.subnet())
    azure.put("Compute/disks/data", **EMPTY_DISK)
    azure.put("Network/publicIPAddresses/p", **STATIC)
    azure.put(
        "Network/natGateways/nat", properties={"publicIpAddresses": [{"id": azure.id("Network/publicIPAddresses/p")}]}
    )
    azure.put("Network/networkSecurityGroups/guard", properties={})
    azure.put("Compute/availabilitySets/set", sku={"name": "Aligned"}, properties={})
    guarded = {"networkSecurityGroup": {"id": azure.id("Network/networkSecurityGroups/guard")}}
    outward = {"natGateway": {"id": azure.id("Network/natGateways/nat")}}
    subnet = {"name": "hosts", "properties": {"addressPrefix": "10.20.1.0/24", **guarded, **outward}}
    azure.put("Network/virtualNetworks/net", properties={**SPACE, "subnets": [subnet]})
    body = azure.machine("vm", nic, availabilitySet={"id": azure.id("Compute/availabilitySets/set")})
    data = {"lun": 0, "createOption": "Attach", "managedDisk": {"id": azure.id("Compute/disks/data")}}
    body["properties"]["storageProfile"]["dataDisks"] = [data]
    azure.put("Compute/virtualMachines/vm", **body)

    def delete(path: str) -> tuple[int, str]:
        return azure.lab.error("DELETE", azure.id(path))

    assert delete("Network/networkInterfaces/nic") == (400, "NicInUse")
    assert delete("Network/virtualNetworks/net") == (400, "InUseSubnetCannotBeDeleted")
    assert delete("Network/networkSecurityGroups/guard") == (400, "InUseNetworkSecurityGroupCannotBeDeleted")
    assert delete("Network/natGateways/nat") == (400, "InUseNatGatewayCannotBeDeleted")
    assert delete("Network/publicIPAddresses/p") == (400, "PublicIPAddressCannotBeDeleted")
    assert delete("Compute/disks/data") == (409, "OperationNotAllowed")
    assert delete("Compute/disks/vm-os") == (409, "OperationNotAllowed")
    assert delete("Compute/availabilitySets/set") == (409, "OperationNotAllowed")
    without = refused(azure, "Network/virtualNetworks/net", properties={**SPACE, "subnets": []})
    assert without == (400, "InUseSubnetCannotBeDeleted")


def test_a_group_that_others_need_is_not_deleted(azure: Azure) -> None:
    subnet = azure.subnet()
    azure.resources.resource_groups.create_or_update("other", {"location": "westeurope"})
    path = f"/subscriptions/{azure.subscription}/resourceGroups/other/providers/Microsoft.Network/networkInterfaces/nic"
    config = {"name": "a", "properties": {"subnet": {"id": subnet}}}
    body = {"location": "westeurope", "properties": {"ipConfigurations": [config]}}
    assert azure.lab.call("PUT", path, body).status_code == 201
    with pytest.raises(Exception, match="ResourceGroupDeletionBlocked"):
        azure.resources.resource_groups.begin_delete("g").result(10)
    assert azure.resources.resource_groups.get("g").properties.provisioning_state == "Succeeded"


def _with(body: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    node = body["properties"]
    *parents, last = path.split(".")
    for name in parents:
        node = node[name]
    node[last] = value
    return body


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("osProfile.customData", "not base64!", (400, "InvalidParameter")),
        ("osProfile.customData", base64.b64encode(bytes(65_536)).decode(), (400, "InvalidParameter")),
        ("osProfile.linuxConfiguration.ssh", {}, (400, "InvalidParameter")),
        ("osProfile.linuxConfiguration.disablePasswordAuthentication", False, (400, "InvalidParameter")),
        ("osProfile.linuxConfiguration.ssh.publicKeys", [{"keyData": "ssh-dss A"}], (400, "InvalidParameter")),
        ("osProfile.adminUsername", None, (400, "InvalidParameter")),
        ("hardwareProfile.vmSize", "Small", (400, "InvalidParameter")),
        ("storageProfile.imageReference.publisher", "Canonical", (404, "PlatformImageNotFound")),
        ("storageProfile.imageReference.version", "newest", (404, "PlatformImageNotFound")),
        ("storageProfile.osDisk", None, (400, "InvalidParameter")),
        ("storageProfile.dataDisks", [{"lun": 0, "createOption": "Attach"}], (400, "InvalidParameter")),
        ("securityProfile", {"securityType": "TrustedLaunch"}, (400, "BadRequest")),
        ("networkProfile", {}, (400, "InvalidParameter")),
    ],
)
def test_machines_that_cannot_be(azure: Azure, path: str, value: Any, expected: tuple[int, str]) -> None:
    nic = azure.interface("nic", azure.subnet())
    body = _with(azure.machine("vm", nic), path, value)
    assert refused(azure, "Compute/virtualMachines/vm", **body) == expected
    assert azure.lab.error("GET", azure.id("Compute/virtualMachines/vm")) == (404, "ResourceNotFound")
    assert azure.lab.error("GET", azure.id("Compute/disks/vm-os")) == (404, "ResourceNotFound")


def test_the_largest_custom_data_is_accepted(azure: Azure) -> None:
    nic = azure.interface("nic", azure.subnet())
    azure.put("Compute/virtualMachines/vm", **azure.machine("vm", nic, bytes(65_535)))
    assert len(azure.lab.hosts.booted[-1].custom_data) == 65_535


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("osProfile.customData", base64.b64encode(b"other").decode()),
        ("osProfile.computerName", "other"),
        ("storageProfile.imageReference.version", "4628.0.0"),
        ("osProfile.adminUsername", "other"),
    ],
)
def test_what_is_fixed_at_creation_cannot_change(azure: Azure, path: str, value: Any) -> None:
    nic = azure.interface("nic", azure.subnet())
    azure.put("Compute/virtualMachines/vm", **azure.machine("vm", nic))
    body = _with(azure.machine("vm", nic), path, value)
    answer = azure.lab.call("PUT", azure.id("Compute/virtualMachines/vm"), body)
    assert answer.status_code == 409
    assert answer.json()["error"] == {
        "code": "PropertyChangeNotAllowed",
        "message": f"Changing property '{path}' is not allowed.",
        "target": path,
    }


def test_a_disk_and_an_interface_belong_to_one_machine(azure: Azure) -> None:
    subnet = azure.subnet()
    azure.put("Compute/disks/data", **EMPTY_DISK)
    first, second = (azure.interface(name, subnet) for name in ("nic1", "nic2"))
    data = {"lun": 0, "createOption": "Attach", "managedDisk": {"id": azure.id("Compute/disks/data")}}
    azure.put("Compute/virtualMachines/one", **_with(azure.machine("one", first), "storageProfile.dataDisks", [data]))
    other = _with(azure.machine("two", second), "storageProfile.dataDisks", [data])
    assert refused(azure, "Compute/virtualMachines/two", **other) == (409, "ConflictingUserInput")
    assert refused(azure, "Compute/virtualMachines/two", **azure.machine("two", first)) == (400, "NicInUse")
    missing = {"lun": 0, "createOption": "Attach", "managedDisk": {"id": azure.id("Compute/disks/none")}}
    body = _with(azure.machine("two", second), "storageProfile.dataDisks", [missing])
    assert refused(azure, "Compute/virtualMachines/two", **body) == (404, "NotFound")


def test_zones_only_where_there_are_some_and_disks_in_the_same_one(azure: Azure) -> None:
    nic = azure.interface("nic", azure.subnet())
    azure.put("Compute/disks/data", **EMPTY_DISK, zones=["2"])
    data = {"lun": 0, "createOption": "Attach", "managedDisk": {"id": azure.id("Compute/disks/data")}}
    body = _with(azure.machine("vm", nic), "storageProfile.dataDisks", [data])
    assert refused(azure, "Compute/virtualMachines/vm", **body, zones=["1"]) == (400, "BadRequest")
    assert refused(azure, "Compute/virtualMachines/vm", **body, zones=["4"]) == (400, "InvalidAvailabilityZone")
    azure.put("Compute/virtualMachines/vm", **body, zones=["2"])
