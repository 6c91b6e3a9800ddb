"""Contradictions: what a fleet's values say against each other, though each is right by itself.

Every rule is a pure generator over the fleet; `where` turns a place in the parameters into `file:line`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network
from itertools import combinations
from typing import Any

from .fleet import Fleet
from .member import CLIENT_PORT, LEGACY_CLIENT_PORT, LEGACY_PEER_PORT, PEER_PORT, quorum
from .report import Finding

Location = tuple[str | int, ...]
Where = Callable[[Location], str]

_DOCKER = IPv4Network("172.17.0.0/16")  # of its bridge, where nobody says otherwise (dockerd(8), --bip)
_LOOPBACK = IPv4Network("127.0.0.0/8")  # RFC 1122, section 3.2.1.3


def contradictions(fleet: Fleet, where: Where) -> list[Finding]:
    """All contradictions and warnings of a fleet, in the order of the rules."""
    rules = (
        _unique,
        _needed,
        _given_groups,
        _overlay,
        _bootstrap,
        _membership,
        _choices,
        _secured,
        _timing,
        _networks,
        _target,
        _voters,
        _reboots,
        _approvers,
    )
    return [finding for rule in rules for finding in rule(fleet, where)]


def _unique(fleet: Fleet, where: Where) -> Iterator[Finding]:
    yield from _twice("host name", _host_places(fleet, "name"), where)
    dedicated = [place for place in _host_places(fleet, "address") if place[1][1] == "dedicated"]
    yield from _twice("address", [*_overlay_places(fleet), *dedicated], where)
    clusters = [(c.name, ("fleet", "clusters", n, "name")) for n, c in enumerate(fleet.clusters)]
    yield from _twice("cluster name", clusters, where)
    lists = (("bootstrap", fleet.etcd.bootstrap), ("added", fleet.etcd.added))
    members = [(address, ("fleet", "etcd", key, name)) for key, of in lists for name, address in of.items()]
    left = [(address, place) for address, place in members if place[3] not in fleet.etcd.removed]
    yield from _twice("member address", left, where)  # a removed one's may be given to another
    for key in ("server", "disk"):
        places = [(getattr(d, key), ("fleet", "dedicated", n, key)) for n, d in enumerate(fleet.dedicated)]
        yield from _twice(f"dedicated {key}", places, where)


def repeated(body: Mapping[str, Any], where: Where) -> Iterator[Finding]:
    """Names and addresses that are used twice, in parameters that are no fleet yet because something else is wrong."""
    places: dict[str, list[tuple[Hashable, Location]]] = {"name": [], "address": []}
    for c, cluster in enumerate(_dicts(body.get("clusters"))):
        for h, host in enumerate(_dicts(cluster.get("hosts"))):
            for key, found in places.items():
                found.append((host.get(key), ("fleet", "clusters", c, "hosts", h, key)))
    for d, dedicated in enumerate(_dicts(body.get("dedicated"))):
        for key, found in places.items():
            found.append((dedicated.get(key), ("fleet", "dedicated", d, key)))
    for key, what in (("name", "host name"), ("address", "address")):
        yield from _twice(what, [(value, at) for value, at in places[key] if isinstance(value, str)], where)


def _dicts(items: Any) -> list[Mapping[str, Any]]:
    """The items of what should be a list of mappings, each in its place."""
    return [item if isinstance(item, dict) else {} for item in items] if isinstance(items, list) else []


def _host_places(fleet: Fleet, key: str) -> list[tuple[Hashable, Location]]:
    azure = [
        (getattr(host, key), ("fleet", "clusters", c, "hosts", h, key))
        for c, cluster in enumerate(fleet.clusters)
        for h, host in enumerate(cluster.hosts)
    ]
    return azure + [(getattr(d, key), ("fleet", "dedicated", n, key)) for n, d in enumerate(fleet.dedicated)]


def _twice(what: str, places: Iterable[tuple[Hashable, Location]], where: Where) -> Iterator[Finding]:
    seen: dict[Hashable, Location] = {}
    for value, place in places:
        if value in seen:
            yield Finding("error", where(place), f"{what} {value} is used twice; first at {where(seen[value])}")
        seen.setdefault(value, place)


def _needed(fleet: Fleet, where: Where) -> Iterator[Finding]:
    if fleet.clusters and fleet.azure is None:
        yield Finding("error", where(("fleet", "clusters")), "clusters need fleet.azure (tenant, subscription)")
    if fleet.access == "ssh" and fleet.clusters and fleet.azure is not None and fleet.azure.login_key is None:
        found = "access ssh needs fleet.azure.login_key, the private half of one of ssh_keys"
        yield Finding("error", where(("fleet", "azure")), found, "such as login_key: file:~/.ssh/id_ed25519")
    if fleet.dedicated and fleet.hetzner is None:
        yield Finding("error", where(("fleet", "dedicated")), "dedicated hosts need fleet.hetzner (user, password, …)")
    if fleet.target == "lab" and fleet.lab is None:
        yield Finding("error", where(("fleet", "target")), "target lab needs fleet.lab (network: 127.x.y.0/24)")


def _given_groups(fleet: Fleet, where: Where) -> Iterator[Finding]:
    """A group that is given is nobody's own."""
    own = {cluster.name for cluster in fleet.clusters if cluster.resource_group is None}
    for n, cluster in enumerate(fleet.clusters):
        if cluster.resource_group and cluster.resource_group.lower() in own:
            message = f"{cluster.resource_group} is the resource group that {cluster.resource_group.lower()} makes"
            remedy = "give both the same one, or leave it out"
            yield Finding("error", where(("fleet", "clusters", n, "resource_group")), message, remedy)


def _overlay_places(fleet: Fleet) -> list[tuple[IPv4Address, Location]]:
    """Every address on the overlay."""
    hosts = [place for _, place in _host_places(fleet, "address") if place[1] == "clusters"]
    found = [(host.address, place) for host, place in zip(fleet.hosts, hosts, strict=True)]
    chosen = (
        (one.overlay_address, ("fleet", "dedicated", n, "overlay_address")) for n, one in enumerate(fleet.dedicated)
    )
    return found + [(address, place) for address, place in chosen if address is not None]


def _overlay(fleet: Fleet, where: Where) -> Iterator[Finding]:
    for address, place in _overlay_places(fleet):
        if address not in fleet.overlay.network:
            yield Finding(
                "error", where(place), f"address {address} is not in the overlay's network {fleet.overlay.network}"
            )
    yield from _kind(fleet, where)
    yield from _keys(fleet, where)
    yield from _slices(fleet, where)


# What each kind of overlay needs, and what means nothing to the others.
_OWN = {"unit": ("provided",), "install": ("weave",), "containers": ("weave",), "keys": ("wireguard",)}


def _kind(fleet: Fleet, where: Where) -> Iterator[Finding]:
    overlay = fleet.overlay
    place: Location = ("fleet", "overlay")
    for key, kinds in _OWN.items():
        if getattr(overlay, key) and overlay.kind not in kinds:
            yield Finding("error", where((*place, key)), f"{key} is for {kinds[0]}; the overlay is {overlay.kind}")
    if overlay.kind == "weave" and overlay.install is None:
        yield Finding("error", where(place), "overlay weave needs `install`: version, url and sha256 of its script")
    if overlay.kind == "provided" and not overlay.unit:
        yield Finding("error", where(place), "overlay provided needs `unit`, what brings it up on a host")
    if overlay.kind == "wireguard" and fleet.release.distribution == "coreos":
        yield Finding("error", where((*place, "kind")), "coreos has no WireGuard: its kernel is of 2020", "use weave")


def _keys(fleet: Fleet, where: Where) -> Iterator[Finding]:
    """WireGuard: a key for each host on the overlay, each its own."""
    if fleet.overlay.kind != "wireguard":
        return
    on_it = [host.name for host in fleet.hosts] + [one.name for one in fleet.dedicated if one.overlay_address]
    for name in on_it:
        if name not in fleet.overlay.keys:
            line = where(("fleet", "overlay", "keys"))
            yield Finding("error", line, f"the public key of {name} is missing", "what `wg pubkey` makes of its own")
    for name in fleet.overlay.keys:
        if name not in on_it:
            line = where(("fleet", "overlay", "keys", name))
            yield Finding("error", line, f"{name} is no host on the overlay")
    places = [(key, ("fleet", "overlay", "keys", name)) for name, key in fleet.overlay.keys.items()]
    yield from _twice("WireGuard key", places, where)


def _slices(fleet: Fleet, where: Where) -> Iterator[Finding]:
    """Weave: what docker takes lies on the overlay, apart from its hosts, and there is enough of it."""
    overlay = fleet.overlay
    if overlay.containers is None:
        return
    line = where(("fleet", "overlay", "containers"))
    if not overlay.containers.subnet_of(overlay.network) or overlay.containers.prefixlen > 24:
        found = f"containers {overlay.containers} is not a part of the overlay's {overlay.network} with room for /24s"
        yield Finding("error", line, found)
        return
    for address, place in _overlay_places(fleet):
        if address not in overlay.network:
            continue  # said already
        number = int(address) - int(overlay.network.network_address)
        if address in overlay.containers:
            yield Finding("error", where(place), f"address {address} is among the containers' {overlay.containers}")
        elif number >= 1 << (24 - overlay.containers.prefixlen):
            message = f"host number {number} on the overlay has no /24 left in {overlay.containers}"
            yield Finding("error", where(place), message, "give the containers more, or the host a lower address")


def _bootstrap(fleet: Fleet, where: Where) -> Iterator[Finding]:
    """Who founded or joined the cluster, against the hosts that there are."""
    hosts = {host.name: host.address for host in fleet.hosts}
    for key, members in (("bootstrap", fleet.etcd.bootstrap), ("added", fleet.etcd.added)):
        for name, address in members.items():
            line = where(("fleet", "etcd", key, name))
            if name in fleet.etcd.removed:
                continue
            if name not in hosts:
                message = f"etcd member {name} is no host of this fleet"
                yield Finding("error", line, message, f"if it was taken out of the cluster: removed: [{name}]")
            elif hosts[name] != address:
                yield Finding("error", line, f"etcd member {name} has address {address}, its host has {hosts[name]}")


def _membership(fleet: Fleet, where: Where) -> Iterator[Finding]:
    """Each host is a member of the cluster, or says that it is none; who was added or removed is told once."""
    etcd = fleet.etcd
    members, ever = {member.name for member in etcd.members}, {*etcd.bootstrap, *etcd.added}
    for (name, place), host in zip(_host_places(fleet, "name"), fleet.hosts, strict=False):
        if host.etcd == "member" and name not in members:
            gone = name in etcd.removed
            message = f"host {name} was removed from etcd" if gone else f"host {name} is in neither list of members"
            remedy = "say etcd: none for it" if gone else "name it in etcd.added if it joins, or say etcd: none for it"
            yield Finding("error", where(place), message, remedy)
        elif host.etcd == "none" and name in members:
            yield Finding("error", where(place), f"host {name} says etcd: none, and is a member of the cluster")
    for name in etcd.added:
        if name in etcd.bootstrap:
            line = where(("fleet", "etcd", "added", name))
            yield Finding("error", line, f"{name} founded the cluster: it cannot be added to it")
    for n, name in enumerate(etcd.removed):
        if name not in ever:
            line = where(("fleet", "etcd", "removed", n))
            yield Finding("error", line, f"{name} was never a member", "only who is in bootstrap or added can leave")
    if not members:
        yield Finding("error", where(("fleet", "etcd", "removed")), "nobody is left in the cluster")


def _choices(fleet: Fleet, where: Where) -> Iterator[Finding]:
    """What etcd2 does not know; a port that is taken."""
    etcd = fleet.etcd
    for key in ("version", "auto_compaction", "quota_mb", "metrics_port"):
        if getattr(etcd, key) is not None and fleet.release.distribution == "coreos":
            yield Finding("error", where(("fleet", "etcd", key)), f"{key} is etcd 3's; coreos runs etcd2", "remove it")
    if etcd.metrics_port in (CLIENT_PORT, PEER_PORT, LEGACY_CLIENT_PORT, LEGACY_PEER_PORT):
        line = where(("fleet", "etcd", "metrics_port"))
        yield Finding("error", line, f"port {etcd.metrics_port} is taken by etcd itself", "2381 is the usual one")


def _secured(fleet: Fleet, where: Where) -> Iterator[Finding]:
    """TLS and a login: three different things to trust, and nothing secret over plain http."""
    tls, login, place = fleet.etcd.tls, fleet.etcd.login, ("fleet", "etcd")
    if tls is not None:
        for key in ("certificate", "key"):
            if getattr(tls, key) == tls.ca:
                message = f"tls.{key} is the same as tls.ca, {tls.ca}: what a CA has signed is not the CA"
                yield Finding("error", where((*place, "tls", key)), message, "name the operator's own, which it signed")
        if fleet.target == "lab":
            message = "nobody brings certificates to a lab's hosts, and their etcd would wait for them"
            yield Finding("error", where((*place, "tls")), message, "leave tls out of a lab's parameters")
    elif login is not None:
        message = "etcd.login sends a password over plain http: whoever is on the overlay can read it"
        yield Finding("warning", where((*place, "login")), message, "add etcd.tls")


def _timing(fleet: Fleet, where: Where) -> Iterator[Finding]:
    etcd = fleet.etcd
    if etcd.election_ms < 5 * etcd.heartbeat_ms:
        message = f"election_ms {etcd.election_ms} is under five heartbeats ({5 * etcd.heartbeat_ms})"
        yield Finding("error", where(("fleet", "etcd", "election_ms")), message, "etcd would hold needless elections")


def _networks(fleet: Fleet, where: Where) -> Iterator[Finding]:
    """Ranges that a host reaches at the same time must not overlap; two clusters' networks never meet."""
    for (one, a, _), (other, b, place) in combinations(_ranges(fleet), 2):
        if a.overlaps(b) and not (one == other == "network"):
            yield Finding("error", where(place), f"{other} {b} overlaps {one} {a}")
    for n, cluster in enumerate(fleet.clusters):
        if not cluster.subnet.subnet_of(cluster.network):
            line = where(("fleet", "clusters", n, "subnet"))
            yield Finding("error", line, f"subnet {cluster.subnet} is not inside the network {cluster.network}")
        for wide in cluster.open_to:
            line = where(("fleet", "clusters", n, "ssh_from", cluster.ssh_from.index(wide)))
            message = f"SSH is open to {wide}: {wide.num_addresses:,} addresses"
            yield Finding("warning", line, message, "the ranges that you log in from")


def _ranges(fleet: Fleet) -> Iterator[tuple[str, IPv4Network, Location]]:
    """Every range by its name, and where it can be changed."""
    overlay = fleet.overlay
    if overlay.containers is None:
        yield "docker's own range", _DOCKER, ("fleet", "overlay")
    yield "the overlay's network", overlay.network, ("fleet", "overlay", "network")
    if overlay.services is not None:
        yield "services", overlay.services, ("fleet", "overlay", "services")
    for n, cluster in enumerate(fleet.clusters):
        yield "network", cluster.network, ("fleet", "clusters", n, "network")


def _target(fleet: Fleet, where: Where) -> Iterator[Finding]:
    """A lab's addresses are on its own loopback range, real ones never are."""
    lab = fleet.lab.network if fleet.lab else None
    if lab is not None and (lab.prefixlen != 24 or not lab.subnet_of(_LOOPBACK)):
        yield Finding(
            "error", where(("fleet", "lab", "network")), f"a lab's network is a /24 in 127.0.0.0/8; found {lab}"
        )
    for address, place in _host_places(fleet, "address"):
        if not isinstance(address, IPv4Address):
            continue
        if fleet.target == "lab" and lab is not None and address not in lab:
            yield Finding("error", where(place), f"address {address} is outside the lab's network {lab}")
        if fleet.target == "real" and address in _LOOPBACK:
            yield Finding("error", where(place), f"address {address} is loopback, and the target is real")
    if fleet.target == "lab" and fleet.etcd.loopback_listener and len(fleet.hosts) > 1:
        line = where(("fleet", "etcd", "loopback_listener"))
        message = "127.0.0.1:2379 exists once, and the lab's hosts share this machine"
        yield Finding("error", line, message, "set it to false")


def _voters(fleet: Fleet, where: Where) -> Iterator[Finding]:
    members = len(fleet.etcd.members)
    if members % 2 == 0:
        message = f"{members} voters tolerate no more failures than {members - 1}: quorum is {quorum(members)}"
        sites = "; an even split between two sites stops both halves" if len(fleet.clusters) == 2 else ""
        yield Finding("warning", where(("fleet", "etcd", "bootstrap")), message + sites, "prefer three or five")


def _reboots(fleet: Fleet, where: Where) -> Iterator[Finding]:
    """Whether updates can take a quorum down, or never come."""
    updates, etcd = fleet.updates, fleet.etcd
    place, flatcar = ("fleet", "updates", "reboot_strategy"), fleet.release.distribution == "flatcar"
    if updates.reboot_strategy == "off" and updates.window is not None:
        line = where(("fleet", "updates", "window"))
        yield Finding("error", line, 'reboot_strategy "off" never reboots, so a window means nothing', "remove one")
    if updates.reboot_strategy == "best-effort" and flatcar:
        message = "best-effort is CoreOS's of 2015: Flatcar would refuse the whole user-data"
        yield Finding("error", where(place), message, '"off", reboot or etcd-lock')
    if updates.reboot_strategy == "reboot" and len(etcd.members) > 1:
        lost = len(etcd.members) - quorum(len(etcd.members))
        when = "in the same window" if updates.window else "whenever an update comes"
        message = f"all {len(etcd.members)} members reboot {when}, and the cluster survives the loss of {lost}"
        yield Finding("warning", where(place), message, '"off", and reboot one host at a time')
    if updates.reboot_strategy == "etcd-lock" and flatcar:
        # locksmith's client is etcd's v2 one; etcd serves that only if told to since 3.4 (flatcar/Flatcar#1442)
        message = (
            "Flatcar's locksmith asks for its lock over etcd's v2 API, which etcd 3.5 does not serve: no host gets"
        )
        yield Finding("warning", where(place), f"{message} it, and none ever reboots", '"off", and reboot by hand')


def _approvers(fleet: Fleet, where: Where) -> Iterator[Finding]:
    if fleet.approvers is None:
        return
    place: Location = ("fleet", "approvers")
    for attribute in ("name", "key"):
        places = [
            (" ".join(str(getattr(one, attribute)).split()[:2]), (*place, "keys", n, attribute))
            for n, one in enumerate(fleet.approvers.keys)
        ]
        yield from _twice(f"approver's {attribute}", places, where)
    for n, one in enumerate(fleet.approvers.keys):
        if not one.key.startswith("ssh-ed25519 "):
            yield Finding("error", where((*place, "keys", n, "key")), "an approval is signed with an Ed25519 key")
    if fleet.approvers.count > len(fleet.approvers.keys):
        found = f"{fleet.approvers.count} must approve, and only {len(fleet.approvers.keys)} are named"
        yield Finding("error", where((*place, "count")), found)
