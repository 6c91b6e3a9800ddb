"""The members that nested objects may have, so that a misspelt one is refused and not silently lost.

Names are those of the API versions in `catalogue.PROVIDERS` (azure-rest-api-specs). An object at a path that is not
listed here is taken as it is. Azure reads names without regard to case; here they are to be written as documented.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .failure import Failure
from .kinds import SHOWN, words

_DISK = "name caching writeAcceleratorEnabled createOption diskSizeGB managedDisk deleteOption vhd image"
_MANAGED = words("id storageAccountType diskEncryptionSet securityProfile")
_RULE = "frontendIPConfiguration protocol frontendPort backendPort idleTimeoutInMinutes enableFloatingIP enableTcpReset"

_KNOWN = {
    "Microsoft.Network/virtualNetworks": {
        "addressSpace": words("addressPrefixes ipamPoolPrefixAllocations"),
        "subnets.properties": words(
            "addressPrefix addressPrefixes networkSecurityGroup routeTable natGateway serviceEndpoints"
            " serviceEndpointPolicies delegations privateEndpointNetworkPolicies privateLinkServiceNetworkPolicies"
            " sharingScope defaultOutboundAccess ipamPoolPrefixAllocations"
        ),
    },
    "Microsoft.Network/networkSecurityGroups": {
        "securityRules.properties": words(
            "description protocol access priority direction sourcePortRange sourcePortRanges destinationPortRange"
            " destinationPortRanges sourceAddressPrefix sourceAddressPrefixes destinationAddressPrefix"
            " destinationAddressPrefixes sourceApplicationSecurityGroups destinationApplicationSecurityGroups"
        ),
    },
    "Microsoft.Network/loadBalancers": {
        "frontendIPConfigurations.properties": words(
            "privateIPAddress privateIPAllocationMethod privateIPAddressVersion subnet publicIPAddress publicIPPrefix"
            " gatewayLoadBalancer"
        ),
        "backendAddressPools.properties": words(
            "location tunnelInterfaces loadBalancerBackendAddresses drainPeriodInSeconds virtualNetwork syncMode"
        ),
        "inboundNatRules.properties": words(f"{_RULE} frontendPortRangeStart frontendPortRangeEnd backendAddressPool"),
        "outboundRules.properties": words(
            "allocatedOutboundPorts frontendIPConfigurations backendAddressPool protocol enableTcpReset"
            " idleTimeoutInMinutes"
        ),
        "loadBalancingRules.properties": words(
            f"{_RULE} backendAddressPool backendAddressPools probe loadDistribution disableOutboundSnat"
            " enableConnectionTracking"
        ),
        "probes.properties": words(
            "protocol port intervalInSeconds noHealthyBackendsBehavior numberOfProbes probeThreshold requestPath"
        ),
    },
    "Microsoft.Network/networkInterfaces": {
        "ipConfigurations.properties": words(
            "loadBalancerBackendAddressPools loadBalancerInboundNatRules privateIPAddress privateIPAddressPrefixLength"
            " privateIPAllocationMethod privateIPAddressVersion subnet primary publicIPAddress"
            " applicationSecurityGroups applicationGatewayBackendAddressPools gatewayLoadBalancer"
        ),
    },
    "Microsoft.Compute/disks": {
        "creationData": words(
            "createOption imageReference galleryImageReference sourceUri sourceResourceId performancePlus"
        ),
    },
    "Microsoft.Compute/virtualMachines": {
        "hardwareProfile": words("vmSize vmSizeProperties"),
        "storageProfile": words("imageReference osDisk dataDisks diskControllerType"),
        "storageProfile.imageReference": words(
            "id publisher offer sku version exactVersion sharedGalleryImageId communityGalleryImageId"
        ),
        "storageProfile.osDisk": words(f"{_DISK} osType encryptionSettings diffDiskSettings"),
        "storageProfile.osDisk.managedDisk": _MANAGED,
        "storageProfile.dataDisks": words(f"{_DISK} lun toBeDetached detachOption sourceResource"),
        "storageProfile.dataDisks.managedDisk": _MANAGED,
        "osProfile": words(
            "computerName adminUsername adminPassword customData windowsConfiguration linuxConfiguration secrets"
            " allowExtensionOperations requireGuestProvisionSignal"
        ),
        "osProfile.linuxConfiguration": words(
            "disablePasswordAuthentication ssh provisionVMAgent patchSettings enableVMAgentPlatformUpdates"
        ),
        "osProfile.linuxConfiguration.ssh": words("publicKeys"),
        "osProfile.linuxConfiguration.ssh.publicKeys": words("path keyData"),
        "networkProfile": words("networkInterfaces networkApiVersion networkInterfaceConfigurations"),
        "networkProfile.networkInterfaces": words("id properties primary deleteOption"),
        "networkProfile.networkInterfaces.properties": words("primary deleteOption"),
        "securityProfile": words("uefiSettings encryptionAtHost securityType encryptionIdentity proxyAgentSettings"),
        "diagnosticsProfile": words("bootDiagnostics"),
        "diagnosticsProfile.bootDiagnostics": words("enabled storageUri"),
    },
}
_CHILD = SHOWN | words("properties zones")


def check(kind: str, collections: tuple[str, ...], properties: dict[str, Any]) -> None:
    """Failure when a nested object of `properties` has a member that its kind does not know."""
    known = {**dict.fromkeys(collections, _CHILD), **_KNOWN.get(kind, {})}
    for path, node in _objects(properties, ""):
        for name in node if path in known else ():
            if name not in known[path] and name != "provisioningState":
                text = f"Could not find member '{name}' on object of type '{kind}'. Path 'properties.{path}.{name}'."
                raise Failure(400, "InvalidRequestContent", f"The request content was invalid: '{text}'")


def _objects(node: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object below `node` with its path, in which list positions are left out."""
    if isinstance(node, list):
        for item in node:
            yield from _objects(item, path)
    elif isinstance(node, dict):
        yield path, node
        for name, value in node.items():
            yield from _objects(value, f"{path}.{name}" if path else name)
