"""What must be found on each member's host, as its user-data tells it. Pure."""

from __future__ import annotations

from ..fleet import Fleet
from ..userdata import etcd
from .intended import OnHost


def on_hosts(fleet: Fleet) -> dict[str, OnHost]:
    """By name, of every host that runs a member."""
    complete = fleet.profile == "bootable"
    service = etcd.SERVICES[fleet.release.distribution] if complete else etcd.ETCD2
    return {
        host.name: OnHost(
            service.unit,
            service.data_dir,
            data_disk=complete,  # the form of 2015 leaves etcd's data on the root disk
            environment=etcd.environment(service, fleet.etcd, host, complete=complete),
        )
        for host in fleet.hosts
        if host.etcd == "member"
    }
