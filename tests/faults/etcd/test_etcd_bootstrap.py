"""Members that were started with something else than what was rendered, beside three that have found each other."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from corelib.etcd.judge import judge
from corelib.etcd.present import present
from corelib.member import Member
from tests.etcd.clusters import Running, binary, four, older
from tests.faults.tables import EtcdTable

pytestmark = pytest.mark.faults

LEFT = "3 of 4: no further loss tolerated"
LAST = 3  # the place of the member that comes last


@pytest.fixture(scope="module")
def _three(etcd: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    cluster = Running(tmp_path_factory.mktemp("three"), members=four(1, network="127.0.38"), etcd=etcd, absent=[LAST])
    try:
        cluster.until(lambda: _serving(cluster) == LAST, "three of four serve")
        yield cluster
    finally:
        cluster.end()


@pytest.fixture
def three(_three: Running) -> Running:
    """Three of four; the last one has never been a member that started."""
    member = _three.members[LAST]
    if member.name in _three.processes:
        _three.kill(member)
    shutil.rmtree(_three.data(member), ignore_errors=True)
    return _three


def _serving(cluster: Running) -> int:
    samples = cluster.look(patience_s=0.5, canary=False).members
    return sum(sample.linearizable.value is not None for sample in samples)


def initial(cluster: Running, **instead: str) -> str:
    """The rendered list, with other URLs; an empty one leaves that member out."""
    urls = {m.name: instead.get(m.name.replace("-", "_"), m.peer_url) for m in cluster.members}
    return ",".join(f"{name}={url}" for name, url in urls.items() if url)


ELSEWHERE = "http://127.0.38.99:2380"


def strange(cluster: Running, matrix: EtcdTable, fault: str, why: str, **flags: str) -> None:
    member = cluster.members[LAST]
    cluster.start(member, **flags)
    cluster.until(lambda: _is_strange(cluster, member), f"{member.name} shows another cluster")
    starts = f"{member.name} belongs to cluster "
    ours = f"instead of {cluster.identity.cluster:x}: bootstrapped otherwise than rendered"
    says = [ours, why, f"stop etcd on {member.name}, correct its token and bootstrap list", "wipe no other member"]
    matrix.fault(fault, cluster, starts, says=says, margin=LEFT)


def _is_strange(cluster: Running, member: Member) -> bool:
    seen = {s.member: s.peer.value for s in cluster.look(patience_s=0.5, canary=False).members}
    own = seen[member]
    return own is not None and own.cluster != cluster.identity.cluster


def test_etcd_wrong_token(three: Running, etcd_matrix: EtcdTable) -> None:
    strange(three, etcd_matrix, "wrong token", "so its token differs", initial_cluster_token="another")


def test_etcd_wrong_list(three: Running, etcd_matrix: EtcdTable) -> None:
    why = f"its list has azure-lab-02 at {ELSEWHERE} instead of http://127.0.38.2:2380"
    listed = initial(three, azure_lab_02=ELSEWHERE)
    strange(three, etcd_matrix, "wrong address in the list", why, initial_cluster=listed)


def test_etcd_short_list(three: Running, etcd_matrix: EtcdTable) -> None:
    listed = initial(three, azure_lab_02="")
    strange(three, etcd_matrix, "list without a member", "its list is without azure-lab-02", initial_cluster=listed)


def test_etcd_wrong_peer_address(three: Running, etcd_matrix: EtcdTable) -> None:
    why = f"its list has azure-lab-04 at {ELSEWHERE} instead of http://127.0.38.4:2380"
    own = {"initial_cluster": initial(three, azure_lab_04=ELSEWHERE), "initial_advertise_peer_urls": ELSEWHERE}
    strange(three, etcd_matrix, "wrong peer address everywhere", why, **own)


FATAL = {
    "wrong own URL": ({"initial_advertise_peer_urls": ELSEWHERE}, "initial-cluster"),
    "name not in its list": ({"name": "azure-lab-05"}, "initial"),
    "wrong listen address": ({"listen_client_urls": "http://192.0.2.1:2379"}, "cannot assign requested address"),
}


@pytest.mark.parametrize("fault", FATAL)
def test_etcd_that_exits(fault: str, three: Running, etcd_matrix: EtcdTable) -> None:
    flags, line = FATAL[fault]
    member = three.members[LAST]
    three.start(member, **flags)
    assert line in three.ends(member)
    _refuses(fault, three, etcd_matrix)


def test_etcd_with_a_copied_env_file(three: Running, etcd_matrix: EtcdTable) -> None:
    """All that another member is started with, its addresses too: they are taken, or none of this host's."""
    member = three.members[LAST]
    copied = three.options(three.members[0]) | {"data-dir": str(three.data(member))}
    three.start(member, **copied)
    assert "address already in use" in three.ends(member)
    _refuses("copied env file", three, etcd_matrix)


def _refuses(fault: str, cluster: Running, matrix: EtcdTable) -> None:
    member = cluster.members[LAST]
    starts = f"{member.name} refuses connections on {member.address}:2379 (etcd is not running)"
    says = [f"read etcd's journal on {member.name} and start etcd there; do not wipe its data"]
    verdict = matrix.fault(fault, cluster, starts, says=says, margin=LEFT)
    assert f"{member.name} has published no client URL: it never joined" in str(verdict.findings)


def test_etcd_that_listens_elsewhere_for_clients(three: Running, etcd_matrix: EtcdTable) -> None:
    member = three.members[LAST]
    three.start(member, listen_client_urls="http://127.0.38.77:2379")
    three.until(lambda: "ready to serve" in three.log(member), f"{member.name} serves elsewhere")
    starts = f"{member.name} refuses connections on {member.address}:2379 (etcd runs, but does not listen there)"
    says = ["correct its listen-client-urls"]
    etcd_matrix.fault("listens elsewhere for clients", three, starts, says=says, margin=LEFT)


def test_only_a_member_that_was_once_in_a_quorum_shows_that_there_was_one(etcd: str, tmp_path: Path) -> None:
    """Founders that wait for each other list no client URLs; a member lists them ever after, started again or not."""
    cluster = Running(tmp_path, members=four(11, network="127.0.38"), etcd=etcd, absent=[2, LAST])
    try:
        first, *others = cluster.members
        for _ in range(2):
            cluster.until(lambda: _shows(cluster, first), f"{first.name} shows who it is")
            assert not _founded(cluster)
            cluster.kill(first)
            cluster.start(first)
        for member in others[1:]:
            cluster.start(member)
        cluster.until(lambda: _serving(cluster) == len(cluster.members), "all serve")
        for member in others:
            cluster.kill(member)
        cluster.until(lambda: _serving(cluster) == 0, "nobody serves")
        assert _founded(cluster)
        cluster.kill(first)
        cluster.start(first)
        cluster.until(lambda: _shows(cluster, first), f"{first.name} shows who it is")
        assert _founded(cluster)
    finally:
        cluster.end()


def _shows(cluster: Running, member: Member) -> bool:
    seen = {s.member: s.peer.value for s in cluster.look(patience_s=0.5, canary=False).members}
    return seen[member] is not None


def _founded(cluster: Running) -> bool:
    """As if nothing was known of the machines of the last two."""
    intended = cluster.intended().with_machines([member.name for member in cluster.members[:2]])
    samples = cluster.look(patience_s=0.5, canary=False)
    return present(intended, samples, judge(intended, samples)).founded


@pytest.fixture
def last(_three: Running) -> Running:
    """Three of four, or four after the one before this."""
    return _three


def test_etcd_versions_that_differ(last: Running, etcd_matrix: EtcdTable, etcd: str) -> None:
    """The last of its module, with the data of the one before: that member is upgraded, the others are not yet."""
    if etcd != older():
        pytest.skip("an etcd 3.4 cannot join a cluster of 3.5; the other way round is tried")
    member = last.members[LAST]
    if member.name in last.processes:
        last.kill(member)
    last.start(member, etcd=binary())
    last.until(lambda: _serving(last) == len(last.members), f"{member.name} joins")
    listed = f"the versions differ: azure-lab-01 {last.version}, azure-lab-02 {last.version}, azure-lab-03"
    etcd_matrix.warned("3.5 beside 3.4", last, listed)
