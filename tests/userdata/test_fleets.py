"""Any fleet that its parameters allow: what is rendered is what a host of its release reads, by the lab's own reader.

That reader shares nothing with the one that rendering checks itself with.
"""

from __future__ import annotations

import base64
import json
from ipaddress import IPv4Address
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corelib import parameters, userdata
from corelib.fleet import Fleet
from corelib.lab import cloudconfig as lab

from .test_bad_input import KEY

SERVICES = {"flatcar": ("etcd-member.service", "/etc/etcd-member"), "coreos": ("etcd2.service", "/etc/etcd2")}
ADDRESSES = {name: f"203.0.113.{n}" for n, name in enumerate(("aa", "bb", "cc"), 1)}  # RFC 5737's, for examples
GUID = "11111111-1111-1111-1111-111111111111"
TOKENS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)


@st.composite
def fleets(draw: st.DrawFn) -> Fleet:
    """Fleets by way of their parameters: nothing is made that a file could not say."""
    distribution = draw(st.sampled_from(["flatcar", "coreos"]))
    kind = draw(st.sampled_from(["weave", "none", "provided", *(["wireguard"] if distribution == "flatcar" else [])]))
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    numbers = iter(draw(st.lists(st.integers(1, 250), min_size=14, max_size=14, unique=True)))
    clusters = [
        {
            "name": name, "location": "westeurope", "size": "Standard_B2s", "network": f"10.{20 + n}.0.0/16",
            "subnet": f"10.{20 + n}.1.0/24", "ssh_from": ["203.0.113.0/24"], "data_disk_gb": 32,
            "hosts": [
                {"name": f"h-{name}-{m}", "address": f"10.1.0.{next(numbers)}", "etcd": draw(st.sampled_from(["member", "member", "none"]))}
                for m in range(size)
            ],
        }
        for n, (name, size) in enumerate(zip(ADDRESSES, sizes, strict=False))
    ]  # fmt: skip
    clusters[0]["hosts"][0]["etcd"] = "member"
    members = {host["name"]: host["address"] for one in clusters for host in one["hosts"] if host["etcd"] == "member"}
    added = dict(list(members.items())[draw(st.integers(1, len(members))) :])
    heartbeat = draw(st.integers(10, 900))
    three: dict[str, Any] = {"auto_compaction": "1h", "quota_mb": draw(st.integers(64, 8192)), "metrics_port": 2381}
    etcd = {
        "token": draw(TOKENS),
        "heartbeat_ms": heartbeat,
        "election_ms": 5 * heartbeat + draw(st.integers(0, 3000)) + 50,
        "legacy_ports": draw(st.booleans()),
        "loopback_listener": draw(st.booleans()),
        "bootstrap": {name: address for name, address in members.items() if name not in added},
        "added": added,
        **(three if distribution == "flatcar" and draw(st.booleans()) else {}),
        **({"tls": {"ca": "file:ca", "certificate": "file:c", "key": "env:KEY"}} if draw(st.booleans()) else {}),
    }
    names = [host["name"] for one in clusters for host in one["hosts"]]
    overlay: dict[str, Any] = {"kind": kind, "network": "10.1.0.0/16"}
    if kind == "weave":
        overlay["install"] = {"version": "2.9.0", "url": "https://example.org/weave", "sha256": "0" * 64}
    if kind == "wireguard":
        overlay["keys"] = {name: base64.b64encode(name.rjust(32).encode()[-32:]).decode() for name in names}
    if kind == "provided":
        overlay["unit"] = "net.service"
    window = {"window": {"start": "Sun 02:00", "length": "1h30m"}} if draw(st.booleans()) else {}
    strategy = "reboot" if window else draw(st.sampled_from(["off", "reboot"]))
    fleet = {
        "target": "real", "access": "ssh", "owner": "operations",
        "release": {"distribution": distribution, "channel": "stable", "version": "current"},
        "updates": {"reboot_strategy": strategy, **window}, "ssh_keys": [f"{KEY}-{n}" for n in range(draw(st.integers(1, 3)))],
        "overlay": overlay, "etcd": etcd, "clusters": clusters, "azure": {"tenant": GUID, "subscription": GUID, "login_key": "env:KEY"},
    }  # fmt: skip
    return parameters.load(json.dumps({"environment": "any", "fleet": fleet}), "any.yaml").fleet


def variables(content: bytes) -> dict[str, str]:
    return dict(line.replace('"', "").split("=", 1) for line in content.decode().splitlines())


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(fleets())
def test_every_host_reads_what_its_fleet_means(fleet: Fleet) -> None:
    rendered = userdata.render(fleet, addresses=ADDRESSES)
    userdata.require(rendered, "a test")
    assert rendered == userdata.render(fleet, addresses=ADDRESSES)
    unit_name, stem = SERVICES[fleet.release.distribution]
    for host in fleet.hosts:
        found = lab.read(rendered[host.name].content, fleet.release.distribution, {})
        other = lab.read(rendered[host.name].content, "coreos", {})
        assert (found.files, found.units, found.notes) == (other.files, other.units, ())
        assert (found.host_name, found.keys) == (host.name, fleet.ssh_keys)
        assert found.update == {"group": "stable", "reboot_strategy": fleet.updates.reboot_strategy}
        files = {file.path: file for file in found.files}
        units = {unit.name: unit for unit in found.units}
        if host.etcd == "none":
            assert unit_name not in units
            assert not [path for path in files if path.startswith("/etc/etcd")]
            continue
        shared, own = variables(files[f"{stem}.env"].content), variables(files[f"{stem}.{host.name}.env"].content)
        assert set(shared) & set(own) == set()
        joins, http = host.name in fleet.etcd.added, fleet.etcd.scheme
        assert ("ETCD_PEER_CLIENT_CERT_AUTH" in shared) == (http == "https")
        members = fleet.etcd.joined_by(host.name) if joins else fleet.etcd.founders
        assert shared["ETCD_INITIAL_CLUSTER_STATE"] == ("existing" if joins else "new")
        assert shared["ETCD_INITIAL_CLUSTER_TOKEN"] == fleet.etcd.token
        assert shared["ETCD_INITIAL_CLUSTER"] == ",".join(f"{one.name}={one.peer_url}" for one in members)
        assert own["ETCD_ADVERTISE_CLIENT_URLS"] == f"{http}://{host.address}:2379"
        assert own["ETCD_INITIAL_ADVERTISE_PEER_URLS"] == f"{http}://{host.address}:2380"
        assert (f"{http}://127.0.0.1:2379" in own["ETCD_LISTEN_CLIENT_URLS"]) == fleet.etcd.loopback_listener
        assert (f"{http}://{host.address}:4001" in own["ETCD_LISTEN_CLIENT_URLS"]) == fleet.etcd.legacy_ports
        assert (units[unit_name].enable, units[unit_name].mask) == (True, False)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(fleets(), st.sampled_from(sorted(ADDRESSES)))
def test_an_address_that_becomes_known_changes_exactly_whom_it_concerns(fleet: Fleet, late: str) -> None:
    early = {name: address for name, address in ADDRESSES.items() if name != late}
    before, after = userdata.render(fleet, addresses=early), userdata.render(fleet, addresses=ADDRESSES)
    for name, one in before.items():
        assert (one.text != after[name].text) == (late in one.unknown)
        assert not after[name].unknown
        if one.unknown:
            with pytest.raises(lab.CloudConfigError):
                lab.read(one.content, fleet.release.distribution, {})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(fleets())
def test_a_host_that_comes_later_changes_nothing_of_etcd_on_those_that_are_there(fleet: Fleet) -> None:
    first = fleet.clusters[0]
    free = next(n for n in range(1, 255) if IPv4Address(f"10.1.0.{n}") not in {host.address for host in fleet.hosts})
    host = first.hosts[0].model_copy(update={"name": "h-new", "address": IPv4Address(f"10.1.0.{free}")})
    cluster = first.model_copy(update={"hosts": (*first.hosts, host)})
    etcd = fleet.etcd.model_copy(update={"added": {**fleet.etcd.added, host.name: host.address}})
    if fleet.overlay.kind == "wireguard":
        return  # each host has a peer for every other one: all change, and the plan says so
    after = userdata.render(
        fleet.model_copy(update={"clusters": (cluster, *fleet.clusters[1:]), "etcd": etcd}), addresses=ADDRESSES
    )
    for name, one in userdata.render(fleet, addresses=ADDRESSES).items():
        assert after[name].text == one.text
