"""Load balancers: their frontends and ports, and what interfaces forget when one goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from .cloud import Cloud
from .failure import Failure
from .ids import parse
from .kinds import Change
from .store import Resource, child_of, children

_SSH = 22  # the port on a machine


def check_balancer(change: Change) -> None:
    """Each frontend leads somewhere, and each of its ports is given once; Failure otherwise."""
    change.fields.setdefault("sku", {"name": "Standard"}).setdefault("tier", "Regional")
    for frontend in children(change.properties, "frontendIPConfigurations"):
        if not {"publicIPAddress", "subnet", "publicIPPrefix"} & set(frontend["properties"]):
            text = f"Frontend {frontend['id']} must reference either a Subnet, a PublicIPAddress or a PublicIPPrefix."
            raise Failure(400, "FrontendIPConfigurationMustReferenceSubnetOrPublicIPAddress", text)
    seen: dict[tuple[str, str, int], str] = {}
    for collection in ("loadBalancingRules", "inboundNatRules"):
        for rule in children(change.properties, collection):
            _claim(seen, rule)


def _claim(seen: dict[tuple[str, str, int], str], rule: dict[str, Any]) -> None:
    properties = rule["properties"]
    properties.setdefault("idleTimeoutInMinutes", 4)
    properties.setdefault("enableFloatingIP", False)
    frontend = (properties.get("frontendIPConfiguration") or {}).get("id", "")
    key = (frontend.lower(), str(properties.get("protocol", "")).lower(), properties.get("frontendPort") or 0)
    if key in seen and key[2]:
        text = f"Load balancer rules {seen[key]} and {rule['id']} with the same frontend IP configuration use the same"
        text += f" frontend port {key[2]} and protocol {properties.get('protocol')}."
        raise Failure(400, "RulesUseSameFrontendPortProtocolAndIPConfig", text)
    seen[key] = rule["id"]


def way_in(cloud: Cloud, machine: Resource) -> tuple[str, int] | None:
    """The public address and port that lead to a machine's SSH: its own, or a NAT rule's; None if there are none."""
    for reference in machine.properties["networkProfile"]["networkInterfaces"]:
        for config in children(_found(cloud, reference), "ipConfigurations"):
            own = _found(cloud, config["properties"].get("publicIPAddress")).get("ipAddress")
            if own:
                return str(own), _SSH
            for rule in map(partial(_found, cloud), config["properties"].get("loadBalancerInboundNatRules") or []):
                front = _found(cloud, rule.get("frontendIPConfiguration"))
                address = _found(cloud, front.get("publicIPAddress")).get("ipAddress")
                if address and rule.get("backendPort") == _SSH:
                    return str(address), int(rule["frontendPort"])
    return None


def _found(cloud: Cloud, reference: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The properties of what is referred to, a resource or a child of one; empty if there is no such thing."""
    target = parse(reference["id"]) if reference else None
    top = cloud.store.find(target.top) if target else None
    if target is None or top is None:
        return {}
    found = child_of(top.properties, target.types[1:], target.names[1:]) or {}
    inner: Mapping[str, Any] = found.get("properties", {}) if len(target.types) > 1 else found
    return inner


def forget_balancer(cloud: Cloud, gone: Resource) -> None:
    """Interfaces forget the pools and NAT rules that are gone with their load balancer."""
    for resource in cloud.store.resources(gone.id.subscription):
        configs = [_without_gone(cloud, c) for c in children(resource.properties, "ipConfigurations")]
        if configs and configs != resource.properties["ipConfigurations"]:
            cloud.store.keep(replace(resource, properties={**resource.properties, "ipConfigurations": configs}))


def _without_gone(cloud: Cloud, config: dict[str, Any]) -> dict[str, Any]:
    properties = dict(config["properties"])
    for name in ("loadBalancerBackendAddressPools", "loadBalancerInboundNatRules"):
        if properties.get(name):
            targets = [(reference, parse(reference["id"])) for reference in properties[name]]
            properties[name] = [r for r, target in targets if target and cloud.store.exists(target)]
    return {**config, "properties": properties}
