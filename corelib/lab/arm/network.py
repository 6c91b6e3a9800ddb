"""Microsoft.Network: the kinds of resources and their rules."""

from __future__ import annotations

import uuid
from collections import Counter
from typing import Any

from .addressing import assign, check_network
from .balancers import check_balancer, forget_balancer
from .cloud import Cloud
from .failure import Failure
from .kinds import COMMON, Back, Change, Kind, refuse_when_used, words
from .quotas import check_address
from .store import Link, Resource, children

_RULES = "loadBalancingRules inboundNatRules outboundRules"
_DEFAULT_RULES = (  # name, priority, direction, access, from, to
    ("AllowVnetInBound", 65000, "Inbound", "Allow", "VirtualNetwork", "VirtualNetwork"),
    ("AllowAzureLoadBalancerInBound", 65001, "Inbound", "Allow", "AzureLoadBalancer", "*"),
    ("DenyAllInBound", 65500, "Inbound", "Deny", "*", "*"),
    ("AllowVnetOutBound", 65000, "Outbound", "Allow", "VirtualNetwork", "VirtualNetwork"),
    ("AllowInternetOutBound", 65001, "Outbound", "Allow", "*", "Internet"),
    ("DenyAllOutBound", 65500, "Outbound", "Deny", "*", "*"),
)


def _guid(change: Change) -> None:
    change.properties["resourceGuid"] = change.kept("resourceGuid") or str(uuid.uuid4())


def _virtual_network(_cloud: Cloud, change: Change) -> None:
    _guid(change)
    check_network(change)


def _security_group(_cloud: Cloud, change: Change) -> None:
    _guid(change)
    seen: Counter[tuple[str, int]] = Counter()
    for rule in children(change.properties, "securityRules"):
        properties = rule["properties"]
        missing = [n for n in ("access", "direction", "priority", "protocol") if not properties.get(n)]
        if missing:
            text = f"Required security rule parameters are missing for security rule with Id: {rule['id']}."
            raise Failure(400, "SecurityRuleParameterNotSpecified", f"{text} Security rule must specify {missing[0]}.")
        if not 100 <= properties["priority"] <= 4096:
            text = f"Security rule has invalid Priority. Value provided: {properties['priority']}"
            raise Failure(400, "SecurityRuleInvalidPriority", f"{text} Allowed range 100-4096.")
        seen[str(properties["direction"]).lower(), properties["priority"]] += 1
    if any(count > 1 for count in seen.values()):
        text = f"Security rules of {change.id} conflict: rules cannot have the same Priority and Direction."
        raise Failure(400, "SecurityRuleConflict", text)
    change.properties["defaultSecurityRules"] = [_default_rule(change, *rule) for rule in _DEFAULT_RULES]


def _default_rule(change: Change, name: str, priority: int, *rest: str) -> dict[str, Any]:
    direction, access, source, target = rest
    return {
        "name": name,
        "id": f"{change.id}/defaultSecurityRules/{name}",
        "type": "Microsoft.Network/networkSecurityGroups/defaultSecurityRules",
        "properties": {
            "priority": priority,
            "direction": direction,
            "access": access,
            "protocol": "*",
            "sourceAddressPrefix": source,
            "destinationAddressPrefix": target,
            "sourcePortRange": "*",
            "destinationPortRange": "*",
        },
    }


def _public_address(cloud: Cloud, change: Change) -> None:
    _guid(change)
    check_address(cloud, change)
    sku = change.fields.setdefault("sku", {"name": "Basic"})
    if sku.get("name") != "Standard":
        text = "Cannot create more than 0 IPv4 Basic SKU public IP addresses for this subscription in this region."
        raise Failure(400, "IPv4BasicSkuPublicIpCountLimitReached", text)
    sku.setdefault("tier", "Regional")
    if str(change.properties.get("publicIPAllocationMethod", "Dynamic")).lower() != "static":
        text = f"Standard sku publicIp {change.id} must have AllocationMethod set to Static."
        raise Failure(400, "StandardSkuPublicIPAddressesMustBeStatic", text)
    for name, value in (("publicIPAddressVersion", "IPv4"), ("idleTimeoutInMinutes", 4), ("ipTags", [])):
        change.properties.setdefault(name, value)
    change.properties["ipAddress"] = change.kept("ipAddress") or cloud.public_address()


def _load_balancer(_cloud: Cloud, change: Change) -> None:
    _guid(change)
    check_balancer(change)


def _nat_gateway(_cloud: Cloud, change: Change) -> None:
    _guid(change)
    change.fields.setdefault("sku", {"name": "Standard"})
    change.properties.setdefault("idleTimeoutInMinutes", 4)


def _interface(cloud: Cloud, change: Change) -> None:
    _guid(change)
    configs = children(change.properties, "ipConfigurations")
    if not configs:
        text = f"Network interface {change.id} must have one or more IP configurations."
        raise Failure(400, "NetworkInterfaceMustHaveOneOrMoreIpConfigurations", text)
    for index, config in enumerate(configs):
        config["properties"].setdefault("primary", index == 0)
    assign(cloud, change)
    change.properties.setdefault("enableAcceleratedNetworking", False)
    change.properties.setdefault("enableIPForwarding", False)
    serial = change.properties["resourceGuid"].upper()
    change.properties["macAddress"] = change.kept("macAddress") or f"00-0D-3A-{serial[:2]}-{serial[2:4]}-{serial[4:6]}"


def _network_in_use(resource: Resource, links: list[Link]) -> Failure | None:
    if not links:
        return None
    subnet = links[0].target.rsplit("/", 1)[-1]
    text = (
        f"Subnet {subnet} is in use by {links[0].source} and cannot be deleted. In order to delete the subnet, delete"
    )
    return Failure(400, "InUseSubnetCannotBeDeleted", f"{text} all the resources within the subnet of {resource.id}.")


_ADDRESS_IN_USE = "Public IP address {id} can not be deleted since it is still allocated to resource {user}."
_GROUP_IN_USE = (
    "Network security group {name} cannot be deleted because it is in use by the following resources: {user}."
)
_GATEWAY_IN_USE = "NAT gateway {name} cannot be deleted because it is in use by the following resources: {user}."
_INTERFACE_IN_USE = (
    "Network Interface {id} is used by existing resource {user}. In order to delete the network interface, it must be "
    "dissociated from the resource. To learn more, see aka.ms/deletenic."
)

KINDS = (
    Kind(
        "Microsoft.Network/virtualNetworks",
        words(
            "addressSpace dhcpOptions flowTimeoutInMinutes subnets virtualNetworkPeerings enableDdosProtection"
            " enableVmProtection ddosProtectionPlan bgpCommunities encryption privateEndpointVNetPolicies"
        ),
        collections=("subnets", "virtualNetworkPeerings"),
        readonly=words("resourceGuid provisioningState"),
        backs=(Back("subnets", "ipConfigurations", "ipConfigurations"),),
        prepare=_virtual_network,
        in_use=_network_in_use,
    ),
    Kind(
        "Microsoft.Network/networkSecurityGroups",
        words("flushConnection securityRules"),
        collections=("securityRules",),
        readonly=words("defaultSecurityRules flowLogs resourceGuid provisioningState"),
        backs=(Back("", "networkInterfaces", "networkInterfaces"), Back("", "subnets", "subnets")),
        prepare=_security_group,
        in_use=refuse_when_used(400, "InUseNetworkSecurityGroupCannotBeDeleted", _GROUP_IN_USE),
    ),
    Kind(
        "Microsoft.Network/publicIPAddresses",
        words(
            "publicIPAllocationMethod publicIPAddressVersion dnsSettings ddosSettings ipTags publicIPPrefix"
            " idleTimeoutInMinutes deleteOption"
        ),
        COMMON | words("sku zones"),
        readonly=words("ipAddress resourceGuid provisioningState"),
        backs=(
            Back("", "ipConfiguration", "ipConfigurations", many=False),
            Back("", "ipConfiguration", "frontendIPConfigurations", many=False),
            Back("", "natGateway", "natGateways", many=False),
        ),
        prepare=_public_address,
        in_use=refuse_when_used(400, "PublicIPAddressCannotBeDeleted", _ADDRESS_IN_USE),
    ),
    Kind(
        "Microsoft.Network/loadBalancers",
        words(f"frontendIPConfigurations backendAddressPools probes inboundNatPools scope mode {_RULES}"),
        COMMON | words("sku"),
        collections=("frontendIPConfigurations", "backendAddressPools", "probes", *_RULES.split()),
        readonly=words("resourceGuid provisioningState"),
        backs=(
            *(Back("frontendIPConfigurations", rules, rules) for rules in _RULES.split()),
            *(Back("backendAddressPools", rules, rules) for rules in _RULES.split()),
            *(Back("probes", rules, rules) for rules in ("loadBalancingRules",)),
            Back("backendAddressPools", "backendIPConfigurations", "ipConfigurations"),
            Back("inboundNatRules", "backendIPConfiguration", "ipConfigurations", many=False),
        ),
        prepare=_load_balancer,
        remove=forget_balancer,
    ),
    Kind(
        "Microsoft.Network/natGateways",
        words("idleTimeoutInMinutes publicIpAddresses publicIpPrefixes"),
        COMMON | words("sku zones"),
        readonly=words("resourceGuid provisioningState"),
        backs=(Back("", "subnets", "subnets"),),
        prepare=_nat_gateway,
        in_use=refuse_when_used(400, "InUseNatGatewayCannotBeDeleted", _GATEWAY_IN_USE),
    ),
    Kind(
        "Microsoft.Network/networkInterfaces",
        words(
            "networkSecurityGroup ipConfigurations dnsSettings enableAcceleratedNetworking disableTcpStateTracking"
            " enableIPForwarding workloadType nicType auxiliaryMode auxiliarySku"
        ),
        collections=("ipConfigurations",),
        readonly=words(
            "macAddress primary vnetEncryptionSupported hostedWorkloads defaultOutboundConnectivityEnabled"
            " tapConfigurations privateEndpoint resourceGuid provisioningState"
        ),
        backs=(Back("", "virtualMachine", "virtualMachines", many=False),),
        prepare=_interface,
        in_use=refuse_when_used(400, "NicInUse", _INTERFACE_IN_USE),
    ),
)
