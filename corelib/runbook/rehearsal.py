"""Production's parameters, mapped onto a lab: addresses, endpoints, example values and credentials. Pure.

What a lab has none of is taken out or put in its own form besides: certificates and users of etcd, approvals by
others, an address for each host, all dedicated machines but one. The rest stays: names, sizes, counts, regions, zones,
networks, given resource groups, the overlay and with it the two stages of a deployment, etcd's timing and ports, the
release. What was changed is found by comparing both fleets, so that it is all said; what a lab cannot prove is said as
well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

import yaml

from ..errors import BadInput
from ..fleet import Fleet
from ..parameters import Parameters
from ..plan import Change

ROOM = 99  # hosts: a lab's addresses from .100 on are its public ones, its dedicated machine's and its stand-ins'
_ACCOUNT = "00000000-0000-0000-0000-0000000001ab"  # tenant and subscription of every lab
# The lab's operator: its private half is public knowledge (parameters/lab.yaml), and made by the lab itself.
_OPERATOR = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN6WSvWgS9Imn34sSUs4ERvLfKV4cVHT+aHYyGYuO1JX lab-operator"
_NUMBERED = IPv4Network("127.0.0.0/17")  # as many addresses as there are /24s in half of loopback
_LONGEST = 31  # characters of an environment's name


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """The mapped parameters as YAML text, what was changed, and what a run with them does not prove."""

    environment: str
    text: str
    changes: tuple[Change, ...]
    unproven: tuple[str, ...]


def rehearsal(loaded: Parameters, network: IPv4Network, installer_sha256: str) -> Rehearsal:
    """Map parameters onto the lab on `network`, a /24 on loopback. Raises BadInput where it has no room for them.

    `installer_sha256` is the digest of the lab's own install script.
    """
    fleet = loaded.fleet
    name = f"{fleet.environment[: _LONGEST - len('-rehearsal')]}-rehearsal"
    before = fleet.model_dump(mode="json", exclude_none=True)
    after = _mapped(before, _places(fleet, network), network, {example.path for example in loaded.examples})
    if fleet.hetzner is not None:
        after["hetzner"]["installer_sha256"] = installer_sha256
    after["environment"] = name
    changes = tuple(_differences(before, after))
    body = {key: value for key, value in after.items() if key != "environment"}
    head = (
        f"# {loaded.source} as it is rehearsed on a lab; written by `runbooks rehearse`, and written anew each time.\n"
    )
    text = head + yaml.safe_dump({"environment": name, "fleet": body}, sort_keys=False, allow_unicode=True)
    return Rehearsal(name, text, changes, tuple(_unproven(fleet)))


def _places(fleet: Fleet, network: IPv4Network) -> dict[str, str]:
    """The loopback address of every address on the overlay, in their order."""
    etcd = (*fleet.etcd.bootstrap.values(), *fleet.etcd.added.values())
    dedicated = (one.overlay_address for one in fleet.dedicated if one.overlay_address is not None)
    every = sorted({*(host.address for host in fleet.hosts), *etcd, *dedicated})
    if len(every) > ROOM:
        found = f"it has {len(every)} addresses on its overlay, and a lab has room for {ROOM}"
        raise BadInput(f"rehearsing {fleet.environment}", found, "rehearse a smaller copy of these parameters")
    return {str(address): str(network.network_address + number) for number, address in enumerate(every, 1)}


def _mapped(
    before: Mapping[str, Any], places: Mapping[str, str], network: IPv4Network, marked: set[str]
) -> dict[str, Any]:
    folder = f".lab/{str(network).replace('/', '-')}"  # where the lab writes what its operator is given
    key = f"file:{folder}/operator_ed25519"
    after = {name: value for name, value in before.items() if name != "approvers"}
    after |= {"target": "lab", "lab": {"network": str(network)}}
    after["ssh_keys"] = [
        *(key for n, key in enumerate(before["ssh_keys"]) if f"fleet.ssh_keys[{n}]" not in marked),
        _OPERATOR,
    ]
    after["etcd"] = _etcd(before["etcd"], places, alone=len(places) == 1)
    after["clusters"] = [_cluster(one, n, places, marked) for n, one in enumerate(before["clusters"])]
    if "azure" in before:
        azure = {"tenant": _ACCOUNT, "subscription": _ACCOUNT, "credential": "managed-identity", "login_key": key}
        after["azure"] = before["azure"] | azure
    if "hetzner" in before:
        login = {"user": f"file:{folder}/robot-user", "password": f"file:{folder}/robot-password"}
        after["hetzner"] = login | {"login_key": key, "installer": f"{folder}/flatcar-install"}
    after["dedicated"] = [_dedicated(one, places, network) for one in before["dedicated"][:1]]
    left = {one["name"] for one in before["dedicated"][1:]}
    after["overlay"] = _overlay(before["overlay"], network, left)
    return after


def _overlay(before: Mapping[str, Any], network: IPv4Network, left: set[str]) -> dict[str, Any]:
    """The same units with the lab's addresses in them. Its hosts start none of them: loopback has all addresses.

    `left` are the hosts that are not rehearsed. Where docker takes its addresses from the overlay, hosts are numbered
    within all of loopback, whose upper half has a /24 for each of its first addresses.
    """
    keys = {name: key for name, key in before.get("keys", {}).items() if name not in left}
    after = {**before, "network": str(network), "keys": keys}
    if "containers" not in before:
        return after
    if network.subnet_of(_NUMBERED):
        return {**after, "network": "127.0.0.0/8", "containers": "127.128.0.0/9"}
    return {name: value for name, value in after.items() if name != "containers"}


def _etcd(before: Mapping[str, Any], places: Mapping[str, str], *, alone: bool) -> dict[str, Any]:
    """Who is in the cluster now founds it here, or joins; who has left it comes to no cluster that is new."""
    after = {name: value for name, value in before.items() if name not in ("tls", "login", "removed")}
    for name in ("bootstrap", "added"):
        left = {host: address for host, address in before[name].items() if host not in before["removed"]}
        after[name] = {host: places[address] for host, address in left.items()}
    if not after["bootstrap"]:
        after |= {"bootstrap": after["added"], "added": {}}
    after["loopback_listener"] = before["loopback_listener"] and alone  # 127.0.0.1:2379 can be had once a machine
    return after


def _cluster(before: Mapping[str, Any], number: int, places: Mapping[str, str], marked: set[str]) -> dict[str, Any]:
    place = f"fleet.clusters[{number}].ssh_from"
    sources = ["127.0.0.0/8" if f"{place}[{n}]" in marked else one for n, one in enumerate(before["ssh_from"])]
    hosts = [one | {"address": places[one["address"]]} for one in before["hosts"]]
    return {**before, "public_address": "cluster", "ssh_from": sources, "hosts": hosts}


def _dedicated(before: Mapping[str, Any], places: Mapping[str, str], network: IPv4Network) -> dict[str, Any]:
    """The lab's one machine, under the host's own name."""
    own = {"server": 321, "address": str(network.network_address + 200), "ssh_port": 2222}
    overlay = {"overlay_address": places[before["overlay_address"]]} if "overlay_address" in before else {}
    return {**before, **own, "disk": "wwn-0x5000c500a1b2c3d4", **overlay}


def _differences(before: Any, after: Any, path: str = "") -> Iterator[Change]:
    """Every place where two trees of plain data differ; what only one of them has, as a whole."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in [*before, *(name for name in after if name not in before)]:
            yield from _differences(before.get(name), after.get(name), f"{path}.{name}".lstrip("."))
    elif isinstance(before, list) and isinstance(after, list):
        for n in range(max(len(before), len(after))):
            one, other = (some[n] if n < len(some) else None for some in (before, after))
            yield from _differences(one, other, f"{path}[{n}]")
    elif before != after and (before or after):  # an empty default that is gone is no change
        yield Change(path, before, after)


def _unproven(fleet: Fleet) -> Iterator[str]:
    """What no lab shows, in the words of who has to rely on it."""
    kind, count = fleet.overlay.kind, len(fleet.dedicated)
    if kind != "none":
        yield f"the overlay: a lab's hosts run no {kind}; etcd's members meet on loopback, without latency"
    if fleet.clusters:
        yield "Azure: its stand-in has quotas, sizes, zones and images of its own, and no limits of your subscription"
        yield "a first boot: the lab's own reader takes the user-data, and disks are as fast as this machine's"
    if any(cluster.resource_group for cluster in fleet.clusters):
        yield "the resource groups that are given: a lab's are empty, and all rights in them are given"
    if any(cluster.public_address == "host" for cluster in fleet.clusters):
        yield "an address for each host: a lab's hosts share one, as port 22 can be had with privileges only"
    if count:
        yield "your dedicated machine: its rescue system, network and disks; the lab wipes a file"
    if count > 1:
        names = ", ".join(one.name for one in fleet.dedicated[1:])
        yield f"the installation of {names}: the lab has one dedicated machine, and it is {fleet.dedicated[0].name}"
    if fleet.etcd.tls or fleet.etcd.login:
        yield "etcd's TLS and its users: nobody brings certificates to a lab's hosts"
    if fleet.etcd.loopback_listener and len(fleet.hosts) > 1:
        yield "etcd's listener on 127.0.0.1, which exists once on this machine"
    if fleet.approvers is not None:
        yield "approval by others: a rehearsal approves its own plans"
    yield "your logins and keys: the lab has its own"
