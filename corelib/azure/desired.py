"""Fleet → the Azure resources that shall exist, as the bodies of their PUTs. Pure.

Per cluster: a resource group (or a given one); a security group, a network with a subnet; a reserved address; a
Standard load balancer that gives each host an SSH port on that address (the heir of the 2015 cloud service's endpoints)
and the hosts their explicit way out; per host a data disk, an interface and a machine. Where each host has a reserved
address of its own, that is its way in and out, and there is no load balancer. Names are derived from cluster and host.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ..fleet import Cluster, Fleet, Host
from ..userdata import overlay
from .resource import (
    DEPLOYMENT,
    ENVIRONMENT,
    OWNER,
    REPLACES,
    SPECIFICATION,
    USER_DATA,
    Kind,
    Resource,
    resource_id,
    specification,
)

SSH_PORT = 22  # on a host
FIRST_SSH_PORT = 2201  # as the 2015 deployment's endpoints
_PUBLISHERS = {"flatcar": ("kinvolk", "flatcar-container-linux-corevm-amd64"), "coreos": ("CoreOS", "CoreOS")}


def resources(
    fleet: Fleet,
    custom_data: Mapping[str, bytes],
    addresses: Mapping[str, str] = MappingProxyType({}),
    anew: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Resource, ...]:
    """Every resource in an order that respects `after`; `custom_data` holds each host's user-data by name.

    `addresses` are the reserved ones (`Cluster.reserved`), as far as they are known: the overlay's ports are open to
    them. A host without user-data gets all but its machine. `anew` says by host which machine it is made in place of.
    """
    found: list[Resource] = []
    for cluster in fleet.clusters:
        found += _Site(fleet, cluster, addresses, anew).resources(custom_data)
    return tuple(found)


def ssh_port(cluster: Cluster, host: str) -> int:
    """The port on its reserved address that leads to a host's SSH."""
    return SSH_PORT if cluster.public_address == "host" else FIRST_SSH_PORT - 1 + cluster.numbers[host]


@dataclass(frozen=True, slots=True)
class _Site:
    """One cluster's resources; their names begin with the cluster's."""

    fleet: Fleet
    cluster: Cluster
    addresses: Mapping[str, str]
    anew: Mapping[str, str]

    def resources(self, custom_data: Mapping[str, bytes]) -> Iterator[Resource]:
        """The shared ones, then each host's."""
        group, name = self._target("group", self.cluster.group), self.cluster.name
        yield self._given_group(group) if self.cluster.resource_group else self._resource("group", name, {}, ())
        yield self._resource("security-group", f"{name}-nsg", self._security_group(), (group,))
        yield self._resource(
            "network", f"{name}-net", self._network(), (self._target("security-group", f"{name}-nsg"),)
        )
        if self.cluster.public_address == "cluster":
            address = self._target("address", f"{name}-ip")
            yield self._resource("address", f"{name}-ip", self._address(), (group,))
            yield self._resource("load-balancer", f"{name}-lb", self._balancer(), (address,))
        if not self.cluster.zones:
            yield self._resource("availability-set", f"{name}-set", self._availability_set(), (group,))
        for host in self.cluster.hosts:
            yield from self._host(host, custom_data.get(host.name))

    def _given_group(self, target: str) -> Resource:
        """A group that is somebody else's: nothing is ever sent for it."""
        name, body = self.cluster.group, {"location": self.cluster.location, "tags": {}}
        return Resource(target, "group", name, name, body, given=True)

    def _host(self, host: Host, custom_data: bytes | None) -> Iterator[Resource]:
        name, cluster = host.name, self.cluster.name
        group = (self._target("group", self.cluster.group),)
        disk, interface = self._target("disk", f"{name}-etcd"), self._target("interface", f"{name}-nic")
        anew = {REPLACES: self.anew[name]} if name in self.anew else {}
        if host.etcd == "member":
            yield self._resource("disk", f"{name}-etcd", self._disk(host), group, anew, name)
        if self.cluster.public_address == "host":
            way = self._target("address", f"{name}-ip")
            yield self._resource("address", f"{name}-ip", self._address(), group, {}, name)
        else:
            way = self._target("load-balancer", f"{cluster}-lb")
        needs = (self._target("network", f"{cluster}-net"), way)
        yield self._resource("interface", f"{name}-nic", self._interface(host), needs, {}, name)
        if custom_data is None:
            return
        after = (*((disk,) if host.etcd == "member" else ()), interface, *self._set_target())
        tags = {USER_DATA: hashlib.sha256(custom_data).hexdigest(), **anew}
        yield self._resource("machine", name, self._machine(host, custom_data), after, tags, name)

    def _target(self, kind: Kind, name: str) -> str:
        return f"{self.cluster.name}/{kind}/{name}"

    def _set_target(self) -> tuple[str, ...]:
        return () if self.cluster.zones else (self._target("availability-set", f"{self.cluster.name}-set"),)

    def _id(self, kind: Kind, name: str) -> str:
        assert self.fleet.azure is not None  # noqa: S101 - clusters without it are refused with the parameters
        return resource_id(self.fleet.azure.subscription, self.cluster.group, kind, name)

    def _resource(
        self,
        kind: Kind,
        name: str,
        body: dict[str, Any],
        after: tuple[str, ...],
        tags: Mapping[str, str] = MappingProxyType({}),
        host: str = "",
    ) -> Resource:
        body = {"location": self.cluster.location, **body}
        own = {
            OWNER: self.fleet.owner,
            ENVIRONMENT: self.fleet.environment,
            DEPLOYMENT: self.cluster.name,
            SPECIFICATION: specification(_without_custom_data(body)),
        }
        body["tags"] = {**own, **tags}
        return Resource(self._target(kind, name), kind, self.cluster.group, name, body, after, host)

    def _security_group(self) -> dict[str, Any]:
        """SSH from the stated ranges only; the overlay between its hosts. etcd's ports are open to nobody."""
        sources = [str(network) for network in self.cluster.ssh_from]
        rules = [_rule("ssh", 100, "Tcp", sources, "22")]
        for number, (protocol, ports) in enumerate(self._overlay_ports().items()):
            several = f"{min(ports)}-{max(ports)}" if len(ports) > 1 else str(ports[0])
            name = f"{self.fleet.overlay.kind}-{protocol.lower()}"
            rules.append(_rule(name, 200 + number, protocol, self._overlay_sources(), several))
        return {"properties": {"securityRules": rules}}

    def _overlay_ports(self) -> dict[str, list[int]]:
        """The ports that the overlay needs on any host, by protocol."""
        found: dict[str, list[int]] = {}
        for host in self.cluster.hosts:
            for one in self._ports(host):
                found.setdefault(one.protocol, []).append(one.port)
        return found

    def _ports(self, host: Host) -> tuple[overlay.Port, ...]:
        """What of the overlay leads to this host."""
        first = host == self.cluster.hosts[0]
        return overlay.ports(self.fleet.overlay, self.cluster.numbers[host.name], first=first)

    def _overlay_sources(self) -> list[str]:
        """Who may speak to the overlay: this network, the other clusters as they are seen, dedicated hosts on it."""
        others = [a for name, a in self.addresses.items() if name.split("/", maxsplit=1)[0] != self.cluster.name]
        dedicated = [str(one.address) for one in self.fleet.dedicated if one.overlay_address is not None]
        return [str(self.cluster.network), *(f"{address}/32" for address in (*others, *dedicated))]

    def _network(self) -> dict[str, Any]:
        subnet = {
            "addressPrefix": str(self.cluster.subnet),
            "networkSecurityGroup": {"id": self._id("security-group", f"{self.cluster.name}-nsg")},
            "defaultOutboundAccess": False,  # the way out is a reserved address, and only that
        }
        space = {"addressPrefixes": [str(self.cluster.network)]}
        return {"properties": {"addressSpace": space, "subnets": [{"name": "hosts", "properties": subnet}]}}

    def _address(self) -> dict[str, Any]:
        properties = {"publicIPAllocationMethod": "Static", "publicIPAddressVersion": "IPv4"}
        return {"sku": {"name": "Standard"}, "properties": properties}

    def _balancer(self) -> dict[str, Any]:
        name = f"{self.cluster.name}-lb"
        front = {"id": f"{self._id('load-balancer', name)}/frontendIPConfigurations/public"}
        pool = {"id": f"{self._id('load-balancer', name)}/backendAddressPools/hosts"}
        address = {"publicIPAddress": {"id": self._id("address", f"{self.cluster.name}-ip")}}
        outbound = {"frontendIPConfigurations": [front], "backendAddressPool": pool, "protocol": "All"}
        return {
            "sku": {"name": "Standard"},
            "properties": {
                "frontendIPConfigurations": [{"name": "public", "properties": address}],
                "backendAddressPools": [{"name": "hosts"}],
                "inboundNatRules": [rule for host in self.cluster.hosts for rule in self._nat_rules(host, front)],
                "outboundRules": [{"name": "out", "properties": outbound}],
            },
        }

    def _nat_rules(self, host: Host, front: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """What of the reserved address leads to a host: its SSH, and the overlay's ports."""
        yield _nat_rule(f"ssh-{host.name}", "Tcp", (ssh_port(self.cluster, host.name), SSH_PORT), front)
        for one in self._ports(host):
            yield _nat_rule(f"{one.name}-{host.name}", one.protocol, (one.port, one.port), front)

    def _availability_set(self) -> dict[str, Any]:
        # Two fault domains exist in every region; "Aligned" is what managed disks need.
        return {
            "sku": {"name": "Aligned"},
            "properties": {"platformFaultDomainCount": 2, "platformUpdateDomainCount": 5},
        }

    def _disk(self, host: Host) -> dict[str, Any]:
        properties = {"creationData": {"createOption": "Empty"}, "diskSizeGB": self.cluster.data_disk_gb}
        return {"sku": {"name": "Premium_LRS"}, **self._zone(host), "properties": properties}

    def _interface(self, host: Host) -> dict[str, Any]:
        configuration = {
            "subnet": {"id": f"{self._id('network', f'{self.cluster.name}-net')}/subnets/hosts"},
            "privateIPAllocationMethod": "Dynamic",
            **self._way(host),
        }
        return {"properties": {"ipConfigurations": [{"name": "primary", "properties": configuration}]}}

    def _way(self, host: Host) -> dict[str, Any]:
        """In and out of a host: an address of its own, or the load balancer's."""
        if self.cluster.public_address == "host":
            return {"publicIPAddress": {"id": self._id("address", f"{host.name}-ip")}}
        balancer = self._id("load-balancer", f"{self.cluster.name}-lb")
        return {
            "loadBalancerBackendAddressPools": [{"id": f"{balancer}/backendAddressPools/hosts"}],
            "loadBalancerInboundNatRules": [
                {"id": f"{balancer}/inboundNatRules/{rule['name']}"} for rule in self._nat_rules(host, {})
            ],
        }

    def _machine(self, host: Host, custom_data: bytes) -> dict[str, Any]:
        properties = {
            "hardwareProfile": {"vmSize": self.cluster.size},
            "storageProfile": self._storage(host),
            "osProfile": self._os(host, custom_data),
            "networkProfile": {"networkInterfaces": [self._interface_reference(host)]},
            # Trusted launch is not supported by these images, and is today's default where nothing is said.
            "securityProfile": {"securityType": "Standard"},
            "diagnosticsProfile": {"bootDiagnostics": {"enabled": True}},
        }
        if not self.cluster.zones:
            properties["availabilitySet"] = {"id": self._id("availability-set", f"{self.cluster.name}-set")}
        return {**self._zone(host), "properties": properties}

    def _storage(self, host: Host) -> dict[str, Any]:
        release = self.fleet.release
        publisher, offer = _PUBLISHERS[release.distribution]
        sku = f"{release.channel}-gen2" if release.distribution == "flatcar" else release.channel
        version = "latest" if release.version == "current" else release.version
        data_disk = {
            "lun": 0,
            "createOption": "Attach",
            "caching": "None",  # etcd wants its writes on the disk (p99 of fsync under 10 ms)
            "deleteOption": "Detach",
            "managedDisk": {"id": self._id("disk", f"{host.name}-etcd")},
        }
        return {
            "imageReference": {"publisher": publisher, "offer": offer, "sku": sku, "version": version},
            "osDisk": {
                "name": f"{host.name}-os",
                "createOption": "FromImage",
                "deleteOption": "Delete",
                "managedDisk": {"storageAccountType": "Premium_LRS"},
            },
            "dataDisks": [data_disk] if host.etcd == "member" else [],
        }

    def _os(self, host: Host, custom_data: bytes) -> dict[str, Any]:
        keys = [{"path": "/home/core/.ssh/authorized_keys", "keyData": key} for key in self.fleet.ssh_keys]
        return {
            "computerName": host.name,
            "adminUsername": "core",
            "customData": base64.b64encode(custom_data).decode(),
            "linuxConfiguration": {"disablePasswordAuthentication": True, "ssh": {"publicKeys": keys}},
        }

    def _interface_reference(self, host: Host) -> dict[str, Any]:
        return {
            "id": self._id("interface", f"{host.name}-nic"),
            "properties": {"primary": True, "deleteOption": "Delete"},
        }

    def _zone(self, host: Host) -> dict[str, Any]:
        if not self.cluster.zones:
            return {}
        number = self.cluster.numbers[host.name]
        return {"zones": [self.cluster.zones[(number - 1) % len(self.cluster.zones)]]}


def _rule(name: str, priority: int, protocol: str, sources: list[str], ports: str) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "priority": priority,
        "direction": "Inbound",
        "access": "Allow",
        "protocol": protocol,
        "sourcePortRange": "*",
        "destinationAddressPrefix": "*",
        "destinationPortRange": ports,
    }
    several = {"sourceAddressPrefixes": sources} if len(sources) > 1 else {"sourceAddressPrefix": sources[0]}
    return {"name": name, "properties": properties | several}


def _nat_rule(name: str, protocol: str, ports: tuple[int, int], front: Mapping[str, str]) -> dict[str, Any]:
    """A port of the reserved address, and the host's own that it leads to."""
    outer, inner = ports
    properties = {"frontendIPConfiguration": front, "protocol": protocol, "frontendPort": outer, "backendPort": inner}
    return {"name": name, "properties": properties}


def _without_custom_data(body: Mapping[str, Any]) -> dict[str, Any]:
    properties = dict(body.get("properties", {}))
    if "osProfile" in properties:
        properties["osProfile"] = {k: v for k, v in properties["osProfile"].items() if k != "customData"}
    return {**body, "properties": properties}
