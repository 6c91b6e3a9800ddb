"""Fleet → one `#cloud-config` per host, in one of two profiles.

`bootable` is what is deployed: complete, and today's service for the release is enabled, started and ordered.
`as-written` means what the owner of the reference deployment wrote in 2015, for comparison: one document a cluster,
with the environment files of all its hosts, naming etcd2 without starting it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..fleet import Cluster, Dedicated, Fleet, Host
from ..report import Finding, Report
from . import disk, etcd
from .cloudconfig import Quoted, emit
from .lint import RELEASES, lint


@dataclass(frozen=True, slots=True)
class UserData:
    """What one host is told: the document and what is to be said about it."""

    host: str
    text: str
    report: Report

    @property
    def content(self) -> bytes:
        """The bytes that reach the host."""
        return self.text.encode()

    @property
    def sha256(self) -> str:
        """The digest of those bytes."""
        return hashlib.sha256(self.content).hexdigest()


def render(fleet: Fleet, profile: str | None = None) -> dict[str, UserData]:
    """The user-data of every host by name, in the fleet's order; `profile` overrides the fleet's own."""
    as_written = (profile or fleet.profile) == "as-written"
    cluster_document = _written_cluster if as_written else _bootable_host
    result = {}
    for cluster in fleet.clusters:
        for host in cluster.hosts:
            text = emit(cluster_document(fleet, cluster, host))
            result[host.name] = UserData(
                host.name,
                text,
                Report.of(_findings(fleet, host.name, text, waits=not as_written and host.etcd == "member")),
            )
    for dedicated in fleet.dedicated:
        text = emit(_dedicated(fleet, dedicated))
        report = Report.of(_findings(fleet, dedicated.name, text, waits=False))
        result[dedicated.name] = UserData(dedicated.name, text, report)
    return result


def findings(rendered: Mapping[str, UserData]) -> Report:
    """What is to be said about a whole rendering, each thing once."""
    return Report.of(finding for one in rendered.values() for finding in one.report)


def _bootable_host(fleet: Fleet, _: Cluster, host: Host) -> dict[str, Any]:
    head = {"hostname": host.name, "ssh_authorized_keys": list(fleet.ssh_keys)}
    if host.etcd == "none":
        return {**head, "coreos": _updates(fleet)}
    service = etcd.SERVICES[fleet.release.distribution]
    return {
        **head,
        "write_files": [
            etcd.shared_file(service, fleet.etcd, host.name, complete=True),
            etcd.host_file(service, fleet.etcd, host, complete=True),
        ],
        "coreos": {
            **_updates(fleet),
            "units": [*disk.units(service.data_dir), etcd.started_unit(service, fleet)],
        },
    }


def _written_cluster(fleet: Fleet, cluster: Cluster, _: Host) -> dict[str, Any]:
    timing = {"heartbeat_interval": fleet.etcd.heartbeat_ms, "election_timeout": fleet.etcd.election_ms}
    members = [host for host in cluster.hosts if host.etcd == "member"]
    files = [etcd.host_file(etcd.ETCD2, fleet.etcd, host, complete=False) for host in members]
    return {
        "write_files": [etcd.shared_file(etcd.ETCD2, fleet.etcd, complete=False), *files],
        "coreos": {**_updates(fleet), "etcd2": timing, "units": [etcd.named_unit(etcd.ETCD2)]},
    }


def _dedicated(fleet: Fleet, dedicated: Dedicated) -> dict[str, Any]:
    return {
        "ssh_authorized_keys": list(fleet.ssh_keys),
        "hostname": dedicated.name,
        "coreos": _updates(fleet),
    }


def _updates(fleet: Fleet) -> dict[str, Any]:
    """The sections `update` and, where reboots have a window, `locksmith`."""
    strategy, window = fleet.updates.reboot_strategy, fleet.updates.window
    sections: dict[str, Any] = {"update": {"group": fleet.release.channel, "reboot_strategy": Quoted(strategy)}}
    if window is not None:  # quoted: 02:00 is 120 to YAML 1.1
        sections["locksmith"] = {"window_start": Quoted(window.start), "window_length": Quoted(window.length)}
    return sections


def _findings(fleet: Fleet, host: str, text: str, *, waits: bool) -> Iterator[Finding]:
    """What the release would make of the document; `waits`: its etcd waits for the overlay."""
    release = RELEASES[fleet.release.distribution]
    for trap in lint(text.encode(), (release,)):
        yield Finding(trap.severity, f"{host}:{trap.line}", trap.message, trap.remedy)
    if fleet.overlay.unit and waits:
        message = f"etcd waits for {fleet.overlay.unit}, which this user-data does not bring"
        yield Finding("warning", host, message, "the image or a later step has to; etcd is tried every 10 s")
