"""Samples of a healthy cluster, as values, to be spoilt by the tests of the judge."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

from corelib.etcd.identity import identities
from corelib.etcd.samples import Canary, Hash, Listed, Metrics, Range, Reply, Sample, Samples, Status, Trace, View
from corelib.member import Member

TOKEN = "etcd-cluster"
MEMBERS = tuple(Member(f"azure-prd-0{n}", IPv4Address(f"10.1.0.{n}")) for n in range(1, 5))
IDENTITY = identities(MEMBERS, TOKEN)
LISTED = tuple(Listed(IDENTITY.members[m.name], m.name, (m.peer_url,), (m.client_url,)) for m in MEMBERS)


def answered(value: Any) -> Reply[Any]:
    return Reply("answered", value, "", 0.002)


def sample(member: Member) -> Sample:
    number = IDENTITY.members[member.name]
    return Sample(
        member,
        peer=answered(View(IDENTITY.cluster, 0, LISTED)),
        version=answered("3.5.16"),
        listing=answered(View(IDENTITY.cluster, number, LISTED)),
        status=answered(Status(IDENTITY.cluster, number, LISTED[2].id, 7, "3.5.16")),
        linearizable=answered(Range(9, 0)),
        alarms=answered(()),
        hash=answered(Hash(12, 3, 0xABCDEF)),
        metrics=answered(Metrics((0.02, 20), (0.02, 20), 2 << 30)),
        after=answered(Status(IDENTITY.cluster, number, LISTED[2].id, 7, "3.5.16", 1 << 20, (), 1 << 20, 30, 30)),
        rounds=(0.004, 0.003, 0.005),
    )


def canary(members: tuple[Member, ...] = MEMBERS) -> Canary:
    names = tuple(member.name for member in members)
    traces = tuple(Trace(m, answered(10), answered(names), answered(0)) for m in members)
    return Canary("/_runbooks/canary/1/", answered(77), answered(value=True), traces)


def healthy() -> Samples:
    return Samples(tuple(sample(member) for member in MEMBERS), canary(), 0.1, 0.2)


def spoilt(samples: Samples, which: int, **fields: Any) -> Samples:
    """The samples with other replies of one member."""
    changed = [s._replace(**fields) if n == which else s for n, s in enumerate(samples.members)]
    return samples._replace(members=tuple(changed))


def everywhere(samples: Samples, **fields: Any) -> Samples:
    """The samples with other replies of every member."""
    return samples._replace(members=tuple(s._replace(**fields) for s in samples.members))


def listing(entries: tuple[Listed, ...]) -> Samples:
    """A healthy cluster whose members all show this list."""
    views = [
        s._replace(
            peer=answered(View(IDENTITY.cluster, 0, entries)),
            listing=answered(View(IDENTITY.cluster, e.id, entries)),
        )
        for s, e in zip(healthy().members, LISTED, strict=True)
    ]
    return healthy()._replace(members=tuple(views))


def unpublished(samples: Samples, *which: int) -> Samples:
    """The same where these members have never run, so that no list has client URLs of them."""
    entries = tuple(entry._replace(client_urls=()) if n in which else entry for n, entry in enumerate(LISTED))
    return samples._replace(members=tuple(_showing(s, entries) for s in samples.members))


def without(samples: Samples, *which: int) -> Samples:
    """The same where these members have left the cluster, and the first of the others leads."""
    entries = tuple(entry for n, entry in enumerate(LISTED) if n not in which)
    shown = (_showing(s, entries) for s in samples.members)
    return samples._replace(members=tuple(s._replace(**_led(s, entries[0].id)) for s in shown))


def _led(sample: Sample, leader: int) -> dict[str, Reply[Status]]:
    told = {"status": sample.status, "after": sample.after}
    return {name: answered(reply.value._replace(leader=leader)) for name, reply in told.items() if reply.value}


def _showing(sample: Sample, entries: tuple[Listed, ...]) -> Sample:
    """A member with another list, on those ports where it gives one."""
    ports = {"peer": sample.peer, "listing": sample.listing}
    shown = {name: answered(reply.value._replace(members=entries)) for name, reply in ports.items() if reply.value}
    return sample._replace(**shown)
