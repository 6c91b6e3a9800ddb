"""etcd's certificates on a host: where they are, how etcd is told of them, and what it waits for. Pure.

Private keys are no more in user-data than the overlay's secrets: they are brought after the boot, and a path unit
starts the rest as soon as the key, the last of the three, is there.
"""

from __future__ import annotations

from typing import Any

# Flatcar's etcd-wrapper mounts ETCD_SSL_DIR into etcd's container at /etc/ssl/certs, and no other place of /etc. With
# its default, /etc/ssl/certs itself, a path below has one name on the host and in the container. (CoreOS's etcd2 runs
# on the host, where any place would do.)
FOLDER = "/etc/ssl/certs/etcd"
CA, CERTIFICATE, KEY = f"{FOLDER}/ca.pem", f"{FOLDER}/member.pem", f"{FOLDER}/member-key.pem"

_SERVICE = "etcd-certificates.service"


def settings() -> dict[str, str]:
    """What etcd is told: one certificate for clients and for peers, and both have to show one of the same CA."""
    own = {"CERT_FILE": CERTIFICATE, "KEY_FILE": KEY, "TRUSTED_CA_FILE": CA, "CLIENT_CERT_AUTH": "true"}
    return {f"ETCD_{whose}{name}": value for whose in ("", "PEER_") for name, value in own.items()}


def units(etcd: str) -> list[dict[str, Any]]:
    """What hands the key to etcd's user, who alone may read it then, and starts `etcd`, the unit."""
    service = (
        "[Unit]\n"
        "Description=etcd is started with its certificates\n"
        f"Wants={etcd}\n"
        f"Before={etcd}\n"
        "\n"
        "[Service]\n"
        "Type=oneshot\n"
        "RemainAfterExit=yes\n"
        f"ExecStart=/usr/bin/chown etcd:etcd {KEY}\n"
        f"ExecStart=/usr/bin/chmod 0400 {KEY}\n"
    )
    path = (
        "[Unit]\n"
        "Description=etcd waits for the key of its certificate\n"
        "\n"
        "[Path]\n"
        f"PathExists={KEY}\n"
        f"Unit={_SERVICE}\n"
        "\n"
        "[Install]\n"
        "WantedBy=multi-user.target\n"
    )
    return [
        {"name": _SERVICE, "content": service},
        {"name": "etcd-certificates.path", "enable": True, "command": "start", "content": path},
    ]
