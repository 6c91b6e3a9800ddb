"""WireGuard by systemd-networkd, the living equivalent of Weave on Flatcar; etcd's addresses stay the same.

Sources: systemd.netdev(5), sections WireGuard and WireGuardPeer; systemd.network(5).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...fleet import Overlay
from .part import Part
from .peers import Peers, Site, unknown

UNIT = "systemd-networkd-wait-online@wg0.service"
KEY = "/etc/wireguard/private.key"
PORT = 51820  # and up: hosts behind one reserved address are told apart by their port
_SERVICE = "wireguard-key.service"


def part(overlay: Overlay, site: Site, peers: Peers, starts: tuple[str, ...]) -> Part:
    """Everything that brings WireGuard up on one host, once its private key is there."""
    others = [one for one in peers.values() if one.name != site.name]
    units = (_netdev(overlay, site, others), _network(overlay, site), _service(starts), _path())
    missing = dict.fromkeys(one.holder for one in others if not one.seen_from(site))
    return Part((), units, KEY, tuple(missing))


def port(site: Site) -> int:
    """The UDP port at which a host listens, and is reached from outside."""
    return PORT + site.number


def _netdev(overlay: Overlay, site: Site, others: Iterable[Site]) -> dict[str, Any]:
    content = f"[NetDev]\nName=wg0\nKind=wireguard\n\n[WireGuard]\nPrivateKeyFile={KEY}\nListenPort={port(site)}\n"
    for other in others:
        content += (
            "\n"
            "[WireGuardPeer]\n"
            f"PublicKey={overlay.keys[other.name]}\n"
            f"AllowedIPs={other.address}/32\n"
            f"Endpoint={other.seen_from(site) or unknown(other)}:{port(other)}\n"
            "PersistentKeepalive=25\n"
        )
    return {"name": "wg0.netdev", "content": content}


def _network(overlay: Overlay, site: Site) -> dict[str, Any]:
    address = f"{site.address}/{overlay.network.prefixlen}"
    return {"name": "wg0.network", "content": f"[Match]\nName=wg0\n\n[Network]\nAddress={address}\n"}


def _service(starts: tuple[str, ...]) -> dict[str, Any]:
    # networkd reads the key as its own user, and makes no device without it: it is told once the key is there.
    content = (
        "[Unit]\n"
        "Description=The overlay is brought up with its private key\n"
        f"Wants={' '.join((UNIT, *starts))}\n"
        f"Before={UNIT}\n"
        "\n"
        "[Service]\n"
        "Type=oneshot\n"
        "RemainAfterExit=yes\n"
        f"ExecStart=/usr/bin/chown root:systemd-network {KEY}\n"
        f"ExecStart=/usr/bin/chmod 0640 {KEY}\n"
        "ExecStart=/usr/bin/systemctl restart systemd-networkd.service\n"
    )
    return {"name": _SERVICE, "content": content}


def _path() -> dict[str, Any]:
    content = (
        "[Unit]\n"
        "Description=The overlay waits for its private key\n"
        "\n"
        "[Path]\n"
        f"PathExists={KEY}\n"
        f"Unit={_SERVICE}\n"
        "\n"
        "[Install]\n"
        "WantedBy=multi-user.target\n"
    )
    return {"name": "wireguard-key.path", "enable": True, "command": "start", "content": content}
