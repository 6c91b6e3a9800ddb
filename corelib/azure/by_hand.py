"""What a person would type if the tool were not there: `az` commands for each step of a plan. Pure.

Where the Azure CLI has simple words for a kind, they are used; else `az rest` sends the very body of the plan. No
secret can be among them: a plan holds none, and user-data is named by the file that planning has kept.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ..etcd.restore import by_hand as restored
from ..plan import Plan, Step
from .resource import TYPES, Kind, resource_id
from .steps import POWER, SIZE

_VERSIONS = {"Microsoft.Network": "2026-03-01", "Microsoft.Compute": "2026-04-01"}  # as the SDK sends them
_GROUPS = "2025-04-01"
Words = Sequence[str]


def commands(plan: Plan, snapshot: str = "") -> str:
    """A shell script, step by step in the plan's order; what is no resource of Azure's is a comment.

    `snapshot` is the file that etcd is restored from, if it is.
    """
    subscription = plan.target.get("subscription", "")
    voters = _voters(plan)
    lines = [
        f"# {plan.runbook} in {plan.environment}, {plan.digest}, by hand; its user-data are kept already.",
        _typed(["az", "account", "set", "--subscription", subscription]),
        *(["", "# the snapshot, opened with a key that it is encrypted to", _opened(snapshot)] if snapshot else []),
    ]
    for step in plan.pending:
        typed = [_typed(words) for words in _step(step, subscription, plan.environment)]
        if step.desired.get("kind") == "ready":
            typed = [*([] if step.desired["name"] in voters else [_promoted(step.desired)]), _HEALTHY]
        lines += ["", f"# {step.action} {step.target}", *(typed or [f"# az has nothing for this: {step.what}"])]
    return "\n".join(lines) + "\n"


def _step(step: Step, subscription: str, environment: str) -> Iterator[Words]:
    kind, body = step.desired.get("kind"), step.desired.get("body")
    if kind in _ETCD:
        yield from _ETCD[kind](step.desired)
    yield from _restored(step, environment)
    if kind != "group" and kind not in TYPES:
        return
    group, name = str(step.desired["group"]), str(step.desired["name"])
    if step.action in ("replace", "destroy"):
        yield _delete(kind, group, name, subscription)
    if step.action == "change":
        yield from _change(step, kind, _id(subscription, group, kind, name))
    elif step.action in ("create", "replace") and body is not None:
        make = _MAKE.get(kind)
        if make is None:
            yield _put(_id(subscription, group, kind, name), kind, body)
        else:
            yield from make(_Named(group, name, body, environment))


class _Named:
    """A resource to be made, and the options that every kind has."""

    def __init__(self, group: str, name: str, body: Mapping[str, Any], environment: str) -> None:
        self.group, self.name, self.body, self.environment = group, name, body, environment
        self.properties: Mapping[str, Any] = body.get("properties", {})

    def place(self, *words: str) -> list[str]:
        """`az WORDS --resource-group G --name N`."""
        return ["az", *words, "--resource-group", self.group, "--name", self.name]

    @property
    def common(self) -> list[str]:
        """Location, zone and tags."""
        zones = ["--zone", *self.body["zones"]] if self.body.get("zones") else []
        return ["--location", self.body["location"], *zones, "--tags", *_tags(self.body)]


def _group(one: _Named) -> Iterator[Words]:
    yield ["az", "group", "create", "--name", one.name, *one.common]


def _security_group(one: _Named) -> Iterator[Words]:
    yield [*one.place("network", "nsg", "create"), *one.common]
    for rule in one.properties["securityRules"]:
        p = rule["properties"]
        options = {
            "--priority": [str(p["priority"])],
            "--direction": [p["direction"]],
            "--access": [p["access"]],
            "--protocol": [p["protocol"]],
            "--source-address-prefixes": p.get("sourceAddressPrefixes") or [p["sourceAddressPrefix"]],
            "--source-port-ranges": [p["sourcePortRange"]],
            "--destination-address-prefixes": [p["destinationAddressPrefix"]],
            "--destination-port-ranges": [p["destinationPortRange"]],
        }
        where = ["--resource-group", one.group, "--nsg-name", one.name, "--name", rule["name"]]
        yield ["az", "network", "nsg", "rule", "create", *where, *_options(options)]


def _network(one: _Named) -> Iterator[Words]:
    (subnet,) = one.properties["subnets"]
    inner = subnet["properties"]
    security = _last(inner["networkSecurityGroup"]["id"])
    prefixes = ["--address-prefixes", *one.properties["addressSpace"]["addressPrefixes"]]
    yield [*one.place("network", "vnet", "create"), *prefixes, *one.common]
    where = ["--resource-group", one.group, "--vnet-name", one.name, "--name", subnet["name"]]
    options = ["--address-prefixes", inner["addressPrefix"], "--network-security-group", security]
    yield ["az", "network", "vnet", "subnet", "create", *where, *options, "--default-outbound", "false"]


def _address(one: _Named) -> Iterator[Words]:
    sku = ["--sku", one.body["sku"]["name"], "--allocation-method", one.properties["publicIPAllocationMethod"]]
    yield [*one.place("network", "public-ip", "create"), *sku, *one.common]


def _availability_set(one: _Named) -> Iterator[Words]:
    domains = ["--platform-fault-domain-count", str(one.properties["platformFaultDomainCount"])]
    domains += ["--platform-update-domain-count", str(one.properties["platformUpdateDomainCount"])]
    yield [*one.place("vm", "availability-set", "create"), *domains, *one.common]


def _disk(one: _Named) -> Iterator[Words]:
    size = ["--size-gb", str(one.properties["diskSizeGB"]), "--sku", one.body["sku"]["name"]]
    yield [*one.place("disk", "create"), *size, *one.common]


def _interface(one: _Named) -> Iterator[Words]:
    (configuration,) = one.properties["ipConfigurations"]
    inner = configuration["properties"]
    subnet = inner["subnet"]["id"]
    options = {"--vnet-name": [subnet.split("/")[-3]], "--subnet": [_last(subnet)], **_way(inner)}
    yield [*one.place("network", "nic", "create"), *_options(options), *one.common]


def _way(inner: Mapping[str, Any]) -> dict[str, list[str]]:
    """What leads to an interface: an address of its own, or a load balancer."""
    if "publicIPAddress" in inner:
        return {"--public-ip-address": [_last(inner["publicIPAddress"]["id"])]}
    pools = inner["loadBalancerBackendAddressPools"]
    return {
        "--lb-name": [pools[0]["id"].split("/")[-3]],
        "--lb-address-pools": [_last(pool["id"]) for pool in pools],
        "--lb-inbound-nat-rules": [_last(rule["id"]) for rule in inner["loadBalancerInboundNatRules"]],
    }


def _machine(one: _Named) -> Iterator[Words]:
    p = one.properties
    storage, system, interface = p["storageProfile"], p["osProfile"], p["networkProfile"]["networkInterfaces"][0]
    image, disk = storage["imageReference"], storage["osDisk"]
    together = {"--availability-set": [_last(p["availabilitySet"]["id"])]} if "availabilitySet" in p else {}
    attached = {
        "--attach-data-disks": [_last(each["managedDisk"]["id"]) for each in storage["dataDisks"]],
        "--data-disk-caching": sorted({each["caching"] for each in storage["dataDisks"]}),
        "--data-disk-delete-option": sorted({each["deleteOption"] for each in storage["dataDisks"]}),
    }
    options = {
        "--size": [p["hardwareProfile"]["vmSize"]],
        "--image": [":".join(image[key] for key in ("publisher", "offer", "sku", "version"))],
        "--nics": [_last(interface["id"])],
        "--nic-delete-option": [interface["properties"]["deleteOption"]],
        "--os-disk-name": [disk["name"]],
        "--os-disk-delete-option": [disk["deleteOption"]],
        "--storage-sku": [f"os={disk['managedDisk']['storageAccountType']}"],
        **{name: values for name, values in attached.items() if values},
        **together,
        "--security-type": [p["securityProfile"]["securityType"]],
        "--computer-name": [system["computerName"]],
        "--admin-username": [system["adminUsername"]],
        "--authentication-type": ["ssh"],
        "--ssh-key-values": [key["keyData"] for key in system["linuxConfiguration"]["ssh"]["publicKeys"]],
        "--custom-data": [f"state/{one.environment}/deployed/{system['customData'].removeprefix('sha256:')}.yaml"],
    }
    yield [*one.place("vm", "create"), *_options(options), *one.common]
    yield one.place("vm", "boot-diagnostics", "enable")


_MAKE: dict[Kind, Callable[[_Named], Iterator[Words]]] = {
    "group": _group,
    "security-group": _security_group,
    "network": _network,
    "address": _address,
    "availability-set": _availability_set,
    "disk": _disk,
    "interface": _interface,
    "machine": _machine,
}


# At a member that serves; ETCDCTL_ENDPOINTS says which.
_ETCD: dict[Any, Callable[[Mapping[str, Any]], Iterator[Words]]] = {
    "snapshot": lambda _: iter([["etcdctl", "snapshot", "save", "etcd.db"]]),
    "leave": lambda what: iter([["etcdctl", "member", "remove", what["id"]]]),
    "join": lambda what: iter(
        [["etcdctl", "member", "add", what["name"], "--learner", f"--peer-urls={what['peer_url']}"]]
    ),
}
_HEALTHY = "etcdctl endpoint health --cluster"


def _voters(plan: Plan) -> set[str]:
    """The members whose machines are there and only rest: they vote already."""
    changed = (step.desired for step in plan.pending if step.action == "change")
    return {str(what["name"]) for what in changed if what.get("kind") == "machine"}


def _promoted(what: Mapping[str, Any]) -> str:
    """Of what is listed (ID, status, name, peer URLs, client URLs, is learner) the one that is meant, if it learns."""
    learner = f'$4 == "{what["peer_url"]}" && $6 == "true" {{print $1}}'
    return f"etcdctl member list | awk -F', ' {shlex.quote(learner)} | xargs -r etcdctl member promote"


def _opened(snapshot: str) -> str:
    return _typed(["age", "--decrypt", "--identity", "YOUR-PRIVATE-KEY", "--output", "etcd.db", snapshot])


def _restored(step: Step, environment: str) -> Iterator[Words]:
    """A restore's step on its host, over SSH at the pinned host key."""
    kind, known = step.desired.get("kind"), ["-F", f"state/{environment}/ssh_config"]
    if kind == "restore":
        yield ["scp", *known, "etcd.db", f"{step.desired['name']}:"]
    for words in restored(step):
        yield words if kind == "whole" else ["ssh", *known, str(step.desired["name"]), shlex.join(words)]


def _change(step: Step, kind: Kind, resource: str) -> Iterator[Words]:
    """Tags and power have words of their own; anything else is the whole body, put again."""
    names, body = [change.name for change in step.changes], step.desired["body"]
    if names and all(name.startswith("tags.") for name in names):
        yield ["az", "tag", "update", "--resource-id", resource, "--operation", "Merge", "--tags", *_tags(body)]
        return
    if SIZE in names:
        yield ["az", "vm", "deallocate", "--ids", resource]
    if names != [POWER]:
        yield _put(resource, kind, body)
    if POWER in names or SIZE in names:
        yield ["az", "vm", "start", "--ids", resource]


def _put(resource: str, kind: Kind, body: Mapping[str, Any]) -> Words:
    version = _GROUPS if kind == "group" else _VERSIONS[TYPES[kind].split("/")[0]]
    content = json.loads(json.dumps(body))
    content.get("properties", {}).get("osProfile", {}).pop("customData", None)  # a plan has its digest only
    text = json.dumps(content, separators=(",", ":"))
    return ["az", "rest", "--method", "put", "--url", f"{resource}?api-version={version}", "--body", text]


def _delete(kind: Kind, group: str, name: str, subscription: str) -> Words:
    if kind == "group":
        return ["az", "group", "delete", "--name", name]
    return ["az", "resource", "delete", "--ids", _id(subscription, group, kind, name)]


def _id(subscription: str, group: str, kind: Kind, name: str) -> str:
    if kind == "group":
        return f"/subscriptions/{subscription}/resourceGroups/{name}"
    return resource_id(subscription, group, kind, name)


def _tags(body: Mapping[str, Any]) -> list[str]:
    return [f"{key}={value}" for key, value in body["tags"].items()]


def _last(resource: str) -> str:
    return resource.rsplit("/", 1)[1]


def _options(options: Mapping[str, Sequence[str]]) -> list[str]:
    return [word for name, values in options.items() for word in (name, *values)]


def _typed(words: Words) -> str:
    """A command as one types it: its own words, then each option on a line of its own where they are many."""
    options = [at for at, word in enumerate(words) if word.startswith("--")]
    if not options:
        return shlex.join(words)
    ends = [*options[1:], len(words)]
    parts = [shlex.join(words[begin:end]) for begin, end in zip(options, ends, strict=True)]
    head = shlex.join(words[: options[0]])
    whole = " ".join([head, *parts])
    return whole if len(whole) <= 110 else " \\\n  ".join([head, *parts])
