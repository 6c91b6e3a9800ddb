"""etcd's part of the user-data: its environment files, and the drop-in of the release's own service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..fleet import Etcd, Host
from ..member import CLIENT_PORT, LEGACY_CLIENT_PORT, LEGACY_PEER_PORT, PEER_PORT, Member
from . import certificates
from .cloudconfig import Quoted
from .overlay import Order


@dataclass(frozen=True, slots=True)
class Service:
    """What a distribution calls its etcd: the unit, the stem of its environment files, its data directory."""

    unit: str
    stem: str
    data_dir: str


# CoreOS ships etcd2.service (to 2020); Flatcar ships etcd-member.service only, which runs etcd's own image.
ETCD2 = Service("etcd2.service", "/etc/etcd2", "/var/lib/etcd2")
ETCD_MEMBER = Service("etcd-member.service", "/etc/etcd-member", "/var/lib/etcd")
_IMAGE = "ETCD_IMAGE_TAG"  # for the wrapper that Flatcar's unit runs; etcd itself is not told
SERVICES = {"coreos": ETCD2, "flatcar": ETCD_MEMBER}


def environment(service: Service, etcd: Etcd, host: Host, *, complete: bool) -> dict[str, str]:
    """The variables that etcd has on a host, all of them: of the unit's drop-in and of both its files."""
    own = {"ETCD_DATA_DIR": service.data_dir, "ETCD_NAME": host.name}
    shared = _shared(etcd, finds(etcd, host.name), complete=complete)
    variables = own | shared | _own(etcd, host, complete=complete)
    return {name: value for name, value in variables.items() if name != _IMAGE}


def finds(etcd: Etcd, host: str) -> tuple[Member, ...]:
    """The members that a host finds when it joins, itself among them; nobody: it founds the cluster."""
    return etcd.joined_by(host) if host in etcd.added else ()


def shared_file(service: Service, etcd: Etcd, found: tuple[Member, ...] = (), *, complete: bool) -> dict[str, Any]:
    """The environment file that all founders share: token, bootstrap list, state; or the one of a member that joins.

    `found` are the members of the cluster that it joins, itself among them: etcd wants exactly those. `complete`: with
    the timing and what etcd may keep, which the release of 2015 has elsewhere or does not know.
    """
    return _file(f"{service.stem}.env", _shared(etcd, found, complete=complete))


def _shared(etcd: Etcd, found: tuple[Member, ...], *, complete: bool) -> dict[str, str]:
    members = found or etcd.founders
    lines = {
        "ETCD_INITIAL_CLUSTER_TOKEN": etcd.token,
        "ETCD_INITIAL_CLUSTER": ",".join(f"{member.name}={member.peer_url}" for member in members),
        "ETCD_INITIAL_CLUSTER_STATE": "existing" if found else "new",
    }
    lines |= certificates.settings() if etcd.tls else {}
    return lines | (_tuning(etcd) if complete else {})


def _tuning(etcd: Etcd) -> dict[str, str]:
    lines = {"ETCD_HEARTBEAT_INTERVAL": str(etcd.heartbeat_ms), "ETCD_ELECTION_TIMEOUT": str(etcd.election_ms)}
    if etcd.version:
        lines[_IMAGE] = f"v{etcd.version}"
    if etcd.auto_compaction:
        lines |= {"ETCD_AUTO_COMPACTION_MODE": "periodic", "ETCD_AUTO_COMPACTION_RETENTION": etcd.auto_compaction}
    if etcd.quota_mb:
        lines["ETCD_QUOTA_BACKEND_BYTES"] = str(etcd.quota_mb * 1024 * 1024)
    return lines


def host_file(service: Service, etcd: Etcd, host: Host, *, complete: bool) -> dict[str, Any]:
    """The environment file of one member: where it listens and what it advertises; `complete`: for metrics too."""
    return _file(f"{service.stem}.{host.name}.env", _own(etcd, host, complete=complete))


def _own(etcd: Etcd, host: Host, *, complete: bool) -> dict[str, str]:
    http = etcd.scheme
    peer, client = f"{http}://{host.address}:{PEER_PORT}", f"{http}://{host.address}:{CLIENT_PORT}"
    listen_peer, listen_client = [peer], [client]
    if etcd.legacy_ports:
        listen_peer.append(f"{http}://{host.address}:{LEGACY_PEER_PORT}")
        listen_client.append(f"{http}://{host.address}:{LEGACY_CLIENT_PORT}")
    if etcd.loopback_listener:
        listen_client.append(f"{http}://127.0.0.1:{CLIENT_PORT}")
    lines = {
        "ETCD_INITIAL_ADVERTISE_PEER_URLS": peer,
        "ETCD_LISTEN_PEER_URLS": ",".join(listen_peer),
        "ETCD_LISTEN_CLIENT_URLS": ",".join(listen_client),
        "ETCD_ADVERTISE_CLIENT_URLS": client,
    }
    if complete and etcd.metrics_port:
        lines["ETCD_LISTEN_METRICS_URLS"] = f"{http}://{host.address}:{etcd.metrics_port}"
    return lines


def started_unit(service: Service, network: Order, *, secured: bool) -> dict[str, Any]:
    """The service enabled, started, and ordered on the overlay and on its data disk; `secured`: on its certificates.

    A missing environment file is an error here.
    """
    wants = ["network-online.target", *([network.wants] if network.wants else [])]
    requires = [network.requires] if network.requires else []
    order = (
        "[Unit]\n"
        f"Wants={' '.join(wants)}\n"
        + (f"Requires={requires[0]}\n" if requires else "")
        + f"After={' '.join([*wants, *requires])}\n"
        f"RequiresMountsFor={service.data_dir}\n" + (f"AssertPathExists={certificates.KEY}\n" if secured else "") + "\n"
    )
    # A new file system belongs to root. etcd2.service runs all that it runs as etcd (User=), unless it is told not to.
    owned = f"PermissionsStartOnly=true\nExecStartPre=/usr/bin/install -d -m 0700 -o etcd -g etcd {service.data_dir}\n"
    drop_in = _drop_in(order + _environment(service, optional="") + owned)
    # To command it as well would hold up whatever reads the user-data while the overlay waits for its secret, or fail
    # for want of the certificates that start it.
    command = {} if network.started or secured else {"command": "start"}
    return {"name": service.unit, "enable": True, **command, "drop_ins": [drop_in]}


def named_unit(service: Service) -> dict[str, Any]:
    """The service as its owner wrote it in 2015: only a drop-in; nothing starts it."""
    return {"name": service.unit, "drop_ins": [_drop_in(_environment(service, optional="-"))]}


def _environment(service: Service, optional: str) -> str:
    return (
        "[Service]\n"
        f"Environment=ETCD_DATA_DIR={service.data_dir}\n"
        "Environment=ETCD_NAME=%H\n"
        f"EnvironmentFile={optional}{service.stem}.env\n"
        f"EnvironmentFile={optional}{service.stem}.%H.env\n"
    )


def _drop_in(content: str) -> dict[str, Any]:
    return {"name": "50-environment-variables.conf", "content": content}


def _file(path: str, variables: dict[str, str]) -> dict[str, Any]:
    content = "".join(f'{name}="{value}"\n' for name, value in variables.items())
    return {"path": path, "permissions": Quoted("0644"), "owner": "root", "content": content}
