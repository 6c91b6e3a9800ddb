"""Weave as in the reference deployment: a bridge with the host's address, the router, docker on the bridge.

The bridge exists before docker, the router and etcd. Source: the Azure guide of 2015 that the reference deployment
builds on; the router's unit as in Weave Net's own documentation.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any

from ...fleet import Install, Overlay
from ..cloudconfig import Quoted
from .part import Part, Port
from .peers import Peers, Site, unknown

UNIT = "weave.service"
PASSWORD = "/etc/weave.password.env"  # noqa: S105 - where it is, not what it is: WEAVE_PASSWORD=…
_SLICE = 24  # each host's docker has 254 addresses
# Weave Net's own: control, and data by either of its ways
PORTS = (Port("weave-control", "Tcp", 6783), Port("weave-sleeve", "Udp", 6783), Port("weave-data", "Udp", 6784))
BRIDGE = "weave-create-bridge.service"


def slice_of(overlay: Overlay, address: IPv4Address) -> IPv4Network:
    """The addresses of a host's containers: its own number on the overlay chooses the slice. Raises ValueError."""
    assert overlay.containers is not None  # noqa: S101 - asked only of those that have containers
    start = int(overlay.containers.network_address) + (int(address) - int(overlay.network.network_address)) * 256
    found = IPv4Network((start, _SLICE))
    if not found.subnet_of(overlay.containers):
        raise ValueError(f"{overlay.containers} has no /{_SLICE} for the host at {address}: {found} is outside")
    return found


def part(overlay: Overlay, site: Site, peers: Peers, starts: tuple[str, ...]) -> Part:
    """Everything that brings Weave up on one host, once its password is there."""
    assert overlay.install is not None  # noqa: S101 - checked with the parameters
    entries = _entries(site, peers)
    units = [_network(), _bridge(starts), _router(overlay, overlay.install), _target(), _path()]
    if overlay.containers is not None:
        units.append(_docker(slice_of(overlay, site.address)))
    names = dict.fromkeys(one.seen_from(site) or unknown(one) for one in entries)
    files = (_environment(overlay, site, list(names)), _installer(overlay.install), _bridge_script())
    missing = dict.fromkeys(one.holder for one in entries if not one.seen_from(site))
    return Part(files, tuple(units), PASSWORD, tuple(missing))


def _entries(site: Site, peers: Peers) -> list[Site]:
    """Whom a host asks to be let in: the first of its own cluster that are before it, and every other cluster.

    The mesh tells it of all others. So a host that comes later changes nothing on those that are there; as in the
    reference deployment, the first host of a single cluster has nobody to ask.
    """
    near = [one for one in peers.firsts[site.cluster] if one.number < site.number]
    return [*near, *(some[0] for cluster, some in peers.firsts.items() if cluster and cluster != site.cluster)]


def _environment(overlay: Overlay, site: Site, peers: list[str]) -> dict[str, Any]:
    content = (
        f'WEAVE_PEERS="{" ".join(peers)}"\n'
        f'BREAKOUT_ROUTE="{overlay.network}"\n'
        f'BRIDGE_ADDRESS_CIDR="{site.address}/{overlay.network.prefixlen}"\n'
    )
    return _file(f"/etc/weave.{site.name}.env", "0600", content)


def _installer(install: Install) -> dict[str, Any]:
    # Downloaded beside its place and moved there: what is there has been checked.
    content = (
        "#!/bin/sh\n"
        "set -eu\n"
        f"right() {{ echo '{install.sha256}  '\"$1\" | sha256sum --check --status; }}\n"
        "right /opt/bin/weave 2> /dev/null && exit 0\n"
        f"curl --fail --silent --show-error --location --retry 5 --output /opt/bin/.weave '{install.url}'\n"
        "right /opt/bin/.weave || { echo 'weave: the download has another checksum than was chosen' >&2; exit 1; }\n"
        "chmod 0755 /opt/bin/.weave\n"
        "mv /opt/bin/.weave /opt/bin/weave\n"
    )
    return _file("/opt/bin/install-weave", "0755", content)


def _bridge_script() -> dict[str, Any]:
    content = (
        "#!/bin/sh\n"
        "set -eu\n"
        "ip link show weave > /dev/null 2>&1 || ip link add name weave type bridge\n"
        "ip link set dev weave up\n"
        'ip address replace "$BRIDGE_ADDRESS_CIDR" dev weave\n'
        'ip route replace "$BREAKOUT_ROUTE" dev weave scope link\n'
        "ip route replace 224.0.0.0/4 dev weave\n"
    )
    return _file("/opt/bin/create-weave-bridge", "0755", content)


def _network() -> dict[str, Any]:
    content = "[Match]\nName=weave*\n\n[Link]\nUnmanaged=yes\n"  # networkd would take the addresses off again
    return {"name": "10-weave.network", "content": content}


def _bridge(starts: tuple[str, ...]) -> dict[str, Any]:
    content = (
        "[Unit]\n"
        "Description=The bridge of the overlay, with this host's address on it\n"
        f"Before={' '.join(('docker.service', UNIT, *starts))}\n"
        "\n"
        "[Service]\n"
        "Type=oneshot\n"
        "RemainAfterExit=yes\n"
        "EnvironmentFile=/etc/weave.%H.env\n"
        "ExecStart=/opt/bin/create-weave-bridge\n"
    )
    return {"name": BRIDGE, "command": "start", "content": content}


def _router(overlay: Overlay, install: Install) -> dict[str, Any]:
    # The script is fetched before each start: a download that failed is tried again with the router.
    content = (
        "[Unit]\n"
        "Description=The router of the overlay\n"
        "Wants=network-online.target weave-network.target\n"
        f"Requires=docker.service {BRIDGE}\n"
        f"After=network-online.target docker.service {BRIDGE}\n"
        f"AssertPathExists={PASSWORD}\n"
        "\n"
        "[Service]\n"
        "TimeoutStartSec=0\n"
        f"Environment=WEAVE_VERSION={install.version}\n"
        # Weave's fast datapath wants a bridge of its own kind, and refuses this one (weaveworks/weave#3634).
        "Environment=WEAVE_NO_FASTDP=1\n"
        "EnvironmentFile=/etc/weave.%H.env\n"
        f"EnvironmentFile={PASSWORD}\n"
        "ExecStartPre=/opt/bin/install-weave\n"
        "ExecStartPre=-/opt/bin/weave stop\n"
        f"ExecStartPre=/opt/bin/weave launch --no-restart --ipalloc-range={overlay.network} $WEAVE_PEERS\n"
        "ExecStart=/usr/bin/docker attach weave\n"
        "ExecStop=/opt/bin/weave stop\n"
        "Restart=on-failure\n"
        "RestartSec=10\n"
    )
    return {"name": UNIT, "content": content}


def _target() -> dict[str, Any]:
    content = f"[Unit]\nDescription=The overlay is up: what uses it comes after this\nRequires={UNIT}\nAfter={UNIT}\n"
    return {"name": "weave-network.target", "content": content}


def _path() -> dict[str, Any]:
    content = (
        "[Unit]\n"
        "Description=The overlay waits for its password\n"
        "\n"
        "[Path]\n"
        f"PathExists={PASSWORD}\n"
        f"Unit={UNIT}\n"
        "\n"
        "[Install]\n"
        "WantedBy=multi-user.target\n"
    )
    return {"name": "weave.path", "enable": True, "command": "start", "content": content}


def _docker(containers: IPv4Network) -> dict[str, Any]:
    content = (
        "[Unit]\n"
        f"Requires={BRIDGE}\n"
        f"After={BRIDGE}\n"
        "\n"
        "[Service]\n"
        f'Environment="DOCKER_OPTS=--bridge=weave --fixed-cidr={containers}"\n'
    )
    return {"name": "docker.service", "enable": True, "drop_ins": [{"name": "50-weave.conf", "content": content}]}


def _file(path: str, mode: str, content: str) -> dict[str, Any]:
    return {"path": path, "permissions": Quoted(mode), "owner": "root", "content": content}
