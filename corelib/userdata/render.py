"""Fleet → one `#cloud-config` per host, in one of two profiles.

`bootable` is what is deployed: complete, and today's service for the release is enabled, started and ordered.
`as-written` means what the owner of the reference deployment wrote in 2015, for comparison: one document a cluster,
with the environment files of all its hosts, naming etcd2 without starting it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ..errors import BadInput
from ..fleet import Cluster, Fleet, Host
from ..member import Member
from ..report import Finding, Report
from . import certificates, disk, etcd, overlay
from .cloudconfig import HEADER, Quoted, write
from .lint import RELEASES, Trap, lint_written


@dataclass(frozen=True, slots=True)
class UserData:
    """What one host is told: the document and what is to be said about it.

    `unknown` are the clusters whose reserved addresses it names and nobody knows yet: it is a draft then, which no
    host recognises as user-data.
    """

    host: str
    text: str
    report: Report
    unknown: tuple[str, ...] = ()

    @property
    def content(self) -> bytes:
        """The bytes that reach the host."""
        return self.text.encode()

    @property
    def sha256(self) -> str:
        """The digest of those bytes."""
        return hashlib.sha256(self.content).hexdigest()


def render(
    fleet: Fleet,
    profile: str | None = None,
    addresses: Mapping[str, str] = MappingProxyType({}),
    joining: Mapping[str, tuple[Member, ...]] = MappingProxyType({}),
    only: Collection[str] = (),
) -> dict[str, UserData]:
    """The user-data of every host by name, in the fleet's order; `profile` overrides the fleet's own.

    `addresses` are the reserved ones (`Cluster.reserved`), as far as they are known. `joining` are hosts that come (or
    come again) into a cluster that exists, each with the members that it finds there, itself among them. With `only`
    some hosts are rendered.
    """
    as_written = (profile or fleet.profile) == "as-written"
    peers = overlay.Peers() if as_written else overlay.Peers.of(fleet, addresses)
    result = {}
    for cluster in fleet.clusters:
        for host in (one for one in cluster.hosts if not only or one.name in only):
            starts = (etcd.SERVICES[fleet.release.distribution].unit,) if host.etcd == "member" else ()
            part = overlay.part(fleet.overlay, host.name, peers, starts)
            document = _written_cluster(fleet, cluster) if as_written else _bootable_host(fleet, host, part, joining)
            result[host.name] = _user_data(fleet, host.name, document, part)
    for dedicated in (one for one in fleet.dedicated if not only or one.name in only):
        part = overlay.part(fleet.overlay, dedicated.name, peers, ())
        document = _document(fleet, dedicated.name, list(part.files), list(part.units))
        result[dedicated.name] = _user_data(fleet, dedicated.name, document, part)
    return result


def _user_data(fleet: Fleet, host: str, document: dict[str, Any], part: overlay.Part) -> UserData:
    text, root = write(document)
    traps = lint_written(text, root, (RELEASES[fleet.release.distribution],))
    found = list(_findings(fleet, host, text, part, traps))
    if part.unknown:
        missing = f"the reserved address of {' and '.join(part.unknown)} is not known yet"
        text = f"#draft, not to be deployed: {missing}\n{text.removeprefix(HEADER)}"
        remedy = "deploy-azure reserves it first; render again, and exactly the hosts that it concerns change"
        found.append(Finding("warning", host, f"this is a draft: {missing}", remedy))
    return UserData(host, text, Report.of(found), part.unknown)


def findings(rendered: Mapping[str, UserData]) -> Report:
    """What is to be said about a whole rendering, each thing once."""
    return Report.of(finding for one in rendered.values() for finding in one.report)


def require(rendered: Mapping[str, UserData], doing: str) -> None:
    """Raise BadInput if a host would not take its document, or not as it was meant."""
    refused = [(one.host, finding) for one in rendered.values() for finding in one.report.errors]
    if refused:
        (_, first), hosts = refused[0], list(dict.fromkeys(host for host, _ in refused))
        others = f", and on {len(hosts) - 1} more hosts" if len(hosts) > 1 else ""
        raise BadInput(doing, f"{first.where}{others}: {first.message}", first.remedy)


def _bootable_host(
    fleet: Fleet, host: Host, part: overlay.Part, joining: Mapping[str, tuple[Member, ...]]
) -> dict[str, Any]:
    service = etcd.SERVICES[fleet.release.distribution]
    files, units = list(part.files), list(part.units)
    if host.etcd == "member":
        found = joining.get(host.name) or etcd.finds(fleet.etcd, host.name)
        files += [
            etcd.shared_file(service, fleet.etcd, found, complete=True),
            etcd.host_file(service, fleet.etcd, host, complete=True),
        ]
        units += disk.units(service.data_dir)
        secured = fleet.etcd.tls is not None
        units += certificates.units(service.unit) if secured else []
        units.append(etcd.started_unit(service, overlay.order(fleet.overlay), secured=secured))
    return _document(fleet, host.name, files, units)


def _document(fleet: Fleet, name: str, files: list[Any], units: list[Any]) -> dict[str, Any]:
    return {
        "hostname": name,
        "ssh_authorized_keys": list(fleet.ssh_keys),
        **({"write_files": files} if files else {}),
        "coreos": {**_updates(fleet), **({"units": units} if units else {})},
    }


def _written_cluster(fleet: Fleet, cluster: Cluster) -> dict[str, Any]:
    timing = {"heartbeat_interval": fleet.etcd.heartbeat_ms, "election_timeout": fleet.etcd.election_ms}
    members = [host for host in cluster.hosts if host.etcd == "member"]
    files = [etcd.host_file(etcd.ETCD2, fleet.etcd, host, complete=False) for host in members]
    return {
        "write_files": [etcd.shared_file(etcd.ETCD2, fleet.etcd, complete=False), *files],
        "coreos": {**_updates(fleet), "etcd2": timing, "units": [etcd.named_unit(etcd.ETCD2)]},
    }


def _updates(fleet: Fleet) -> dict[str, Any]:
    """The sections `update` and, where reboots have a window, `locksmith`."""
    strategy, window = fleet.updates.reboot_strategy, fleet.updates.window
    sections: dict[str, Any] = {"update": {"group": fleet.release.channel, "reboot_strategy": Quoted(strategy)}}
    if window is not None:  # quoted: 02:00 is 120 to YAML 1.1
        sections["locksmith"] = {"window_start": Quoted(window.start), "window_length": Quoted(window.length)}
    return sections


def _findings(fleet: Fleet, host: str, text: str, part: overlay.Part, traps: Iterable[Trap]) -> Iterator[Finding]:
    """What the release would make of the document, and what has to be brought for it."""
    for trap in traps:
        yield Finding(trap.severity, f"{host}:{trap.line}", trap.message, trap.remedy)
    if fleet.overlay.unit and f" {fleet.overlay.unit}\n" in text:
        message = f"etcd waits for {fleet.overlay.unit}, which this user-data does not bring"
        yield Finding("warning", host, message, "the image or a later step has to; etcd is tried every 10 s")
    if part.secret:
        message = f"the overlay, and all that runs on it, waits for {part.secret}"
        yield Finding("info", host, message, "bring it over SSH after the boot; it starts as soon as it is there")
    if f"PathExists={certificates.KEY}\n" in text:
        remedy = (
            f"bring {certificates.CA}, {certificates.CERTIFICATE} and then the key over SSH after the boot: one for "
            "servers and clients, with the host's overlay address in it (and 127.0.0.1, if it listens there)"
        )
        yield Finding("info", host, f"etcd waits for {certificates.KEY}", remedy)
