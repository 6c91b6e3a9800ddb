"""A whole deployment with the real SDK: group, network, balancer, disk, interface, machine, and back again."""

from __future__ import annotations

from typing import Any

from .conftest import Azure


def resource(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"location": "westeurope", "properties": properties, **more}


RULE = {
    "access": "Allow",
    "direction": "Inbound",
    "priority": 100,
    "protocol": "Tcp",
    "sourcePortRange": "*",
    "destinationPortRange": "22",
    "sourceAddressPrefix": "127.0.0.0/8",
    "destinationAddressPrefix": "*",
}
ADDRESS = resource({"publicIPAllocationMethod": "Static"}, sku={"name": "Standard"})
DISK = resource({"diskSizeGB": 32, "creationData": {"createOption": "Empty"}}, sku={"name": "Premium_LRS"}, zones=["1"])


def put(client: Any, name: str, body: dict[str, Any]) -> Any:
    return client.begin_create_or_update("g", name, body).result(10)


def lay_network(azure: Azure, network: Any) -> Any:
    guard = put(
        network.network_security_groups, "guard", resource({"securityRules": [{"name": "ssh", "properties": RULE}]})
    )
    out = put(network.public_ip_addresses, "out", ADDRESS)
    outward = resource({"publicIpAddresses": [{"id": out.id}]}, sku={"name": "Standard"})
    gateway = put(network.nat_gateways, "nat", outward)
    subnet = {
        "addressPrefix": "10.20.1.0/24",
        "networkSecurityGroup": {"id": guard.id},
        "natGateway": {"id": gateway.id},
        "defaultOutboundAccess": False,
    }
    space = {"addressPrefixes": ["10.20.0.0/16"]}
    net = resource({"addressSpace": space, "subnets": [{"name": "hosts", "properties": subnet}]})
    return put(network.virtual_networks, "net", net).subnets[0]


def lay_balancer(azure: Azure, network: Any, name: str) -> Any:
    front = put(network.public_ip_addresses, "front", ADDRESS)
    frontend = {"id": azure.id("Network/loadBalancers/lb/frontendIPConfigurations/public")}
    rule = {"frontendIPConfiguration": frontend, "protocol": "Tcp", "frontendPort": 2201, "backendPort": 22}
    properties = {
        "frontendIPConfigurations": [{"name": "public", "properties": {"publicIPAddress": {"id": front.id}}}],
        "backendAddressPools": [{"name": "hosts"}],
        "inboundNatRules": [{"name": name, "properties": rule}],
    }
    return put(network.load_balancers, "lb", resource(properties, sku={"name": "Standard"}))


def deploy(azure: Azure, name: str = "azure-01") -> Any:
    azure.group()
    subnet = lay_network(azure, azure.network)
    balancer = lay_balancer(azure, azure.network, name)
    disk = put(azure.compute.disks, f"{name}-etcd", DISK)
    config = {
        "subnet": {"id": subnet.id},
        "loadBalancerBackendAddressPools": [{"id": balancer.backend_address_pools[0].id}],
        "loadBalancerInboundNatRules": [{"id": balancer.inbound_nat_rules[0].id}],
    }
    body = resource({"ipConfigurations": [{"name": "primary", "properties": config}]})
    interface = put(azure.network.network_interfaces, f"{name}-nic", body)
    machine = azure.machine(name, interface.id, b"#cloud-config\nhostname: x\n")
    data = {"lun": 0, "createOption": "Attach", "caching": "None", "managedDisk": {"id": disk.id}}
    machine["properties"]["storageProfile"]["dataDisks"] = [data]
    return put(azure.compute.virtual_machines, name, {**machine, "zones": ["1"], "tags": {"owner": "tests"}})


def test_a_machine_is_deployed_and_its_host_boots_with_what_a_cloud_hands_over(azure: Azure) -> None:
    machine = deploy(azure)
    assert machine.provisioning_state == "Succeeded"
    assert machine.vm_id
    host = azure.lab.hosts.booted[-1]
    assert (host.name, host.host_name, host.distribution) == ("azure-01", "azure-01", "flatcar")
    assert host.custom_data == b"#cloud-config\nhostname: x\n"
    assert host.data_disks == ("azure-01-etcd",)
    address = azure.network.public_ip_addresses.get("g", "front").ip_address
    assert host.ssh == (address, 2201), "what its NAT rule leads to"


def test_custom_data_is_never_shown(azure: Azure) -> None:
    machine = deploy(azure)
    assert machine.os_profile.custom_data is None
    assert azure.compute.virtual_machines.get("g", "azure-01", expand="userData").os_profile.custom_data is None
    assert "customData" not in azure.lab.call("GET", azure.id("Compute/virtualMachines/azure-01")).text


def test_the_instance_view_says_that_it_runs(azure: Azure) -> None:
    deploy(azure)
    machine = azure.compute.virtual_machines.get("g", "azure-01", expand="instanceView")
    assert [s.code for s in machine.instance_view.statuses] == ["ProvisioningState/succeeded", "PowerState/running"]
    assert azure.compute.virtual_machines.get("g", "azure-01").instance_view is None
    assert azure.compute.virtual_machines.instance_view("g", "azure-01").computer_name == "azure-01"


def test_what_refers_to_what_is_shown_from_both_ends(azure: Azure) -> None:
    machine = deploy(azure)
    nic = azure.network.network_interfaces.get("g", "azure-01-nic")
    assert nic.virtual_machine.id == machine.id
    assert nic.ip_configurations[0].private_ip_address == "10.20.1.4"
    config = nic.ip_configurations[0].id
    balancer = azure.network.load_balancers.get("g", "lb")
    assert balancer.backend_address_pools[0].backend_ip_configurations[0].id == config
    assert balancer.inbound_nat_rules[0].backend_ip_configuration.id == config
    assert balancer.frontend_ip_configurations[0].inbound_nat_rules[0].id == balancer.inbound_nat_rules[0].id
    assert azure.network.subnets.get("g", "net", "hosts").ip_configurations[0].id == config
    address = azure.network.public_ip_addresses.get("g", "front")
    assert address.ip_configuration.id == balancer.frontend_ip_configurations[0].id
    assert address.ip_address.startswith("127.0.12.")
    disk = azure.compute.disks.get("g", "azure-01-etcd")
    assert (disk.managed_by, disk.disk_state) == (machine.id, "Attached")


def test_a_resource_read_and_put_back_is_unchanged(azure: Azure) -> None:
    deploy(azure)
    network = azure.network
    for client, name in (
        (network.virtual_networks, "net"),
        (network.network_security_groups, "guard"),
        (network.public_ip_addresses, "front"),
        (network.load_balancers, "lb"),
        (network.nat_gateways, "nat"),
        (network.network_interfaces, "azure-01-nic"),
    ):
        before = client.get("g", name).as_dict()
        client.begin_create_or_update("g", name, client.get("g", name)).result(10)
        assert _settled(client.get("g", name).as_dict()) == _settled(before), name
    machines = azure.compute.virtual_machines
    before = machines.get("g", "azure-01").as_dict()
    machines.begin_create_or_update("g", "azure-01", machines.get("g", "azure-01")).result(10)
    assert _settled(machines.get("g", "azure-01").as_dict()) == _settled(before)


def _settled(node: Any) -> Any:
    """Without etags, which change with every PUT."""
    if isinstance(node, dict):
        return {k: _settled(v) for k, v in node.items() if k != "etag"}
    return [_settled(v) for v in node] if isinstance(node, list) else node


def test_deleting_a_machine_takes_along_what_was_to_go_with_it_and_leaves_the_data_disk(azure: Azure) -> None:
    deploy(azure)
    azure.compute.virtual_machines.begin_delete("g", "azure-01").result(10)
    assert "azure-01" in azure.lab.hosts.destroyed
    left = {resource.name for resource in azure.resources.resources.list_by_resource_group("g")}
    assert left == {"guard", "front", "out", "nat", "net", "lb", "azure-01-etcd"}
    disk = azure.compute.disks.get("g", "azure-01-etcd")
    assert (disk.managed_by, disk.disk_state) == (None, "Unattached")


def test_deleting_the_group_deletes_everything_hosts_included(azure: Azure) -> None:
    deploy(azure, "azure-02")
    azure.resources.resource_groups.begin_delete("g").result(10)
    assert "azure-02" in azure.lab.hosts.destroyed
    assert azure.resources.resource_groups.check_existence("g") is False
    assert list(azure.network.virtual_networks.list_all()) == []


def test_it_can_be_taken_down_in_order_one_by_one(azure: Azure) -> None:
    deploy(azure)
    azure.compute.virtual_machines.begin_delete("g", "azure-01").result(10)
    azure.compute.disks.begin_delete("g", "azure-01-etcd").result(10)
    azure.network.load_balancers.begin_delete("g", "lb").result(10)
    azure.network.virtual_networks.begin_delete("g", "net").result(10)
    azure.network.nat_gateways.begin_delete("g", "nat").result(10)
    for name in ("front", "out"):
        azure.network.public_ip_addresses.begin_delete("g", name).result(10)
    azure.network.network_security_groups.begin_delete("g", "guard").result(10)
    assert list(azure.resources.resources.list_by_resource_group("g")) == []
