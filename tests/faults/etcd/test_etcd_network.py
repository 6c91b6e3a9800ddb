"""The network between members: slow, cut for one, cut in the middle, gone."""

from __future__ import annotations

import pytest

from corelib.member import Member
from tests.etcd.clusters import Running
from tests.etcd.relayed import Relayed
from tests.etcd.spaces import Spaces
from tests.faults.tables import EtcdTable

pytestmark = pytest.mark.faults

LEFT = "3 of 4: no further loss tolerated"
ALL = "4 voters, quorum 3: one more loss tolerated"
BACK = "both ways; it comes back by itself: restart and wipe nothing"


def test_etcd_slow_way_near_the_heartbeat(relayed: Relayed, etcd_matrix: EtcdTable) -> None:
    member = relayed.followers()[0]
    relayed.paths.delay(member, 0.15)
    verdict = etcd_matrix.warned("150 ms each way", relayed, "a round trip of ")
    (found,) = [f for f in verdict.findings if "round trip" in f.message]
    assert (found.where, "is near the heartbeat of 500 ms" in found.message) == (member.name, True)
    assert 280 < verdict.trips[member.name] < 400


@pytest.mark.parametrize(
    ("milliseconds", "needs", "beyond"),
    [(600, "12", "heartbeat of 500 ms"), (1500, "30", "election timeout of 2500 ms")],
)
def test_etcd_slow_way(milliseconds: int, needs: str, beyond: str, relayed: Relayed, etcd_matrix: EtcdTable) -> None:
    member = relayed.followers()[0]
    relayed.paths.delay(member, milliseconds / 1000)
    name = f"{milliseconds} ms each way"
    trip = f"ms for a round trip to the leader, more than the {beyond}"
    verdict = etcd_matrix.fault(name, relayed, f"{member.name} needs ", says=[trip, "mend the network"], margin=ALL)
    taken = verdict.trips[member.name]
    assert 2 * milliseconds - 50 < taken < 2 * milliseconds + 200


@pytest.mark.parametrize("role", ["follower", "leader"])
def test_etcd_peers_cut_by_a_relay(role: str, relayed: Relayed, etcd_matrix: EtcdTable) -> None:
    member = relayed.leader() if role == "leader" else relayed.followers()[1]
    relayed.paths.cut([member])
    _without(relayed, member)
    _blocked(f"peers of the {role} cut, clients fine", relayed, member, etcd_matrix)


def test_etcd_split_by_a_relay(relayed: Relayed, etcd_matrix: EtcdTable) -> None:
    leader, *others = (relayed.leader(), *relayed.followers())
    relayed.paths.cut([leader, others[0]])
    _split("2|2 split", relayed, leader, others[0], etcd_matrix)


def test_etcd_link_down(apart: Spaces, etcd_matrix: EtcdTable) -> None:
    member = apart.followers()[0]
    apart.unplug(member)
    starts = f"{member.name} cannot be reached at {member.address}:2379"
    says = ["the host or the network to it, not etcd", "leave etcd as it is"]
    etcd_matrix.fault("link down", apart, starts, says=says, margin=LEFT)


@pytest.mark.parametrize("role", ["follower", "leader"])
def test_etcd_peer_port_blocked(role: str, apart: Spaces, etcd_matrix: EtcdTable) -> None:
    """As by a firewall: who verifies does not reach that port either."""
    member = apart.leader() if role == "leader" else apart.followers()[1]
    apart.block_port(member)
    _without(apart, member)
    starts = (
        f"{member.name} answers clients, and nothing comes back from {member.address}:2380: its peer path is blocked"
    )
    etcd_matrix.fault(f"peer port of the {role} dropped", apart, starts, says=[BACK], margin=LEFT)


def test_etcd_ways_of_one_dropped(apart: Spaces, etcd_matrix: EtcdTable) -> None:
    member = apart.followers()[2]
    apart.block_ways([member])
    _blocked("ways to the peers dropped", apart, member, etcd_matrix)


def test_etcd_split_by_the_network(apart: Spaces, etcd_matrix: EtcdTable) -> None:
    leader, *others = (apart.leader(), *apart.followers())
    apart.block_ways([leader, others[0]])
    _split("2|2 split, dropped", apart, leader, others[0], etcd_matrix)


def _blocked(name: str, cluster: Running, member: Member, matrix: EtcdTable) -> None:
    says = [", while others see ", "hears none of them: its peer path is blocked", f"between {member.name} and", BACK]
    matrix.fault(name, cluster, f"{member.name} sees no leader after ", says=says, margin=LEFT)


def _split(name: str, cluster: Running, one: Member, other: Member, matrix: EtcdTable) -> None:
    names = [member.name for member in cluster.members]
    here = [name for name in names if name in (one.name, other.name)]
    first, second = sorted([here, [name for name in names if name not in here]])
    sides = f"{' and '.join(first)} on one side, {' and '.join(second)} on the other: an even split"
    matrix.fault(
        name,
        cluster,
        f"each of {', '.join(names[:3])} and {names[3]} sees no leader with a quorum after ",
        says=["restart and wipe nothing", "three or five voters"],
        margin=f"4 of 4 voters answer, quorum 3, and no side has it: {sides}",
    )


def _without(cluster: Running, member: Member) -> None:
    """Wait until the others have a leader: who was cut off may have been theirs."""

    def led() -> bool:
        statuses = [s.status.value for s in cluster.look(canary=False, patience_s=1.0).members if s.member != member]
        leaders = {status.leader for status in statuses if status is not None}
        return len(leaders) == 1 and not leaders & {0, cluster.identity.members[member.name]}

    cluster.until(led, f"the others elect a leader without {member.name}", 40)
