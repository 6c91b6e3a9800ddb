"""Members that are down, hang, are not what they should be, or are not etcd at all."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from corelib.lab import pki
from corelib.member import Member
from tests.etcd import fakes
from tests.etcd.clusters import Running
from tests.faults.tables import EtcdTable

pytestmark = pytest.mark.faults

LEFT = "3 of 4: no further loss tolerated"
REFUSES = "{0.name} refuses connections on {0.address}:2379 (etcd is not running)"
HANGS = "{0.name} accepts connections on {0.address}:2379 and answers nothing for "
STRANGE = "{0.name} has something that is not etcd on {0.address}:2379 "


def victim(cluster: Running, role: str) -> Member:
    return cluster.leader() if role == "leader" else cluster.followers()[0]


@pytest.mark.parametrize("role", ["follower", "leader"])
def test_etcd_killed(role: str, fast: Running, etcd_matrix: EtcdTable) -> None:
    member = victim(fast, role)
    fast.kill(member)
    says = ["start etcd there", "do not wipe its data"]
    etcd_matrix.fault(f"{role} killed", fast, REFUSES.format(member), says=says, margin=LEFT)


@pytest.mark.parametrize("role", ["follower", "leader"])
def test_etcd_stopped(role: str, fast: Running, etcd_matrix: EtcdTable) -> None:
    member = victim(fast, role)
    fast.stop(member)
    says = ["(hung, not down)", "then restart etcd there only", "do not wipe its data"]
    etcd_matrix.fault(f"{role} stopped", fast, HANGS.format(member), says=says, margin=LEFT)


def test_etcd_two_of_four_killed(fast: Running, etcd_matrix: EtcdTable) -> None:
    first, second = fast.followers()[:2]
    fast.kill(first)
    fast.kill(second)
    lost = f"quorum lost: 2 of 4, needs 3: restart {first.name} or {second.name}; do not wipe"
    one, other = sorted((first, second), key=fast.members.index)
    starts = f"{REFUSES.format(one)} and {REFUSES.format(other)}"
    verdict = etcd_matrix.fault("two of four killed", fast, starts, margin=lost)
    assert verdict.sentence.endswith(lost)
    assert "empty data" not in str(verdict.findings)


@pytest.mark.parametrize("state", ["new", "existing"])
def test_etcd_wiped(state: str, fast: Running, etcd_matrix: EtcdTable) -> None:
    member = fast.followers()[1]
    fast.kill(member)
    fast.wipe(member)
    fast.start(member, initial_cluster_state=state)
    fatal = "already been bootstrapped" if state == "new" else "tocommit"
    assert fatal in fast.ends(member)
    says = [f"read etcd's journal on {member.name}"]
    etcd_matrix.fault(f"data wiped, state {state}", fast, REFUSES.format(member), says=says, margin=LEFT)


def test_etcd_foreign_cluster(fast: Running, etcd_matrix: EtcdTable, tmp_path: Path) -> None:
    member = fast.followers()[0]
    fast.kill(member)
    other = {
        "name": "staging-01",
        "data_dir": str(tmp_path / "staging-01"),
        "initial_cluster": f"staging-01={member.peer_url}",
        "initial_cluster_token": "staging",
    }
    fast.start(member, **other)
    fast.answers(member)
    starts = f"{member.name} belongs to cluster "
    says = ["bootstrapped otherwise than rendered", "its list has staging-01 at", "wipe no other member"]
    etcd_matrix.fault("foreign cluster at one address", fast, starts, says=says, margin=LEFT)


TALKS = {
    "an HTTP server": (fakes.page("200 OK", "text/html", b"<html>It works!</html>"), STRANGE, "It works!"),
    "a TCP sink": (fakes.sink, HANGS, "(hung, not down)"),
    "an answer that never ends": (fakes.flood, STRANGE, "its answer is longer than 1 MiB"),
    "an answer that drips for ever": (fakes.trickle, STRANGE, "its answer does not end"),
    "an answer that is not JSON": (fakes.page("200 OK", "application/json", b'{"etcdserver":'), STRANGE, "bad JSON"),
}


@pytest.mark.parametrize("what", TALKS)
def test_etcd_replaced_by_something_else(what: str, fast: Running, etcd_matrix: EtcdTable) -> None:
    talk, starts, says = TALKS[what]
    member = fast.followers()[0]
    fast.kill(member)
    with _listening(member, talk):
        etcd_matrix.fault(what, fast, starts.format(member), says=[says], margin=LEFT)


def test_etcd_replaced_by_a_tls_server(fast: Running, etcd_matrix: EtcdTable, tmp_path: Path) -> None:
    member = fast.followers()[0]
    fast.kill(member)
    context, _ = pki.issue(tmp_path, str(member.address))

    def talk(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            secure.recv(65536)

    with _listening(member, talk):
        starts = f"{member.name}: a TLS server answers at {member.address}:2379, where plain http is expected"
        says = ["name its CA and a certificate in etcd.tls; otherwise take TLS off there"]
        etcd_matrix.fault("a TLS server", fast, starts, says=says, margin=LEFT)


@contextlib.contextmanager
def _listening(member: Member, talk: fakes.Talk) -> Iterator[None]:
    """On both ports; a flood only for clients: there its peers would read all of it, on this very machine."""
    peers = fakes.sink if talk is fakes.flood else talk
    with fakes.listener(str(member.address), 2379, talk), fakes.listener(str(member.address), 2380, peers):
        yield
