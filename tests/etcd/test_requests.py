"""How often the members are asked, and at which addresses: relays before every port count it."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest

from corelib.etcd import answers
from corelib.etcd.judge import judge
from corelib.etcd.probe import MOST_REQUESTS
from corelib.etcd.samples import Samples
from corelib.etcd.settling import MOST_LOOKS, PAUSE_S
from corelib.member import Member

from . import fakes
from .clusters import Running, intended, look
from .relays import Relay

FOUR = tuple(Member(f"azure-lab-0{n}", IPv4Address(f"127.0.33.{10 + n}")) for n in range(1, 5))


class Watched:
    """A cluster whose members listen elsewhere than they say, and the relays in between."""

    def __init__(self, running: Running, relays: dict[str, list[Relay]]) -> None:
        self.running = running
        self.relays = relays

    def counted(self, patience_s: float = 1.0) -> tuple[Samples, dict[str, list[str]]]:
        for relay in (one for both in self.relays.values() for one in both):
            relay.asked.clear()
        samples = look(FOUR, patience_s=patience_s)
        return samples, {name: [path for one in both for path in one.asked] for name, both in self.relays.items()}


@pytest.fixture(scope="module")
def formed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    flags, relays = {}, {}
    with contextlib.ExitStack() as stack:
        for member in FOUR:
            behind = str(member.address).replace("127.0.33.", "127.0.34.")
            flags[member.name] = {
                "listen-client-urls": f"http://{behind}:2379",
                "listen-peer-urls": f"http://{behind}:2380",
                "enable-v2": "true",
            }
            both = [Relay(str(member.address), port, behind) for port in (2379, 2380)]
            relays[member.name] = [stack.enter_context(relay.open()) for relay in both]
        running = Running(tmp_path_factory.mktemp("watched"), members=FOUR, flags=flags)
        stack.callback(running.end)
        running.wait()
        yield Watched(running, relays)


@pytest.fixture(params=["3.x", "2.x"])
def watched(formed: Watched, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Watched:
    formed.running.heal()
    if request.param == "2.x":
        monkeypatch.setattr(answers, "version", lambda _body, _headers: "2.3.8")
    return formed


def test_a_healthy_cluster_is_asked_a_few_times(watched: Watched) -> None:
    samples, asked = watched.counted()
    assert judge(intended(FOUR), samples).kind in ("healthy", "unproven")
    counts = {name: len(paths) for name, paths in asked.items()}
    assert all(9 <= count <= 32 for count in counts.values()), counts
    assert all(len(paths) <= MOST_REQUESTS for paths in asked.values())


def test_without_a_quorum_nobody_is_asked_more_often_than_stated(watched: Watched) -> None:
    for victim in FOUR[2:]:
        watched.running.kill(victim)
    samples, asked = watched.counted()
    assert samples.waited >= 1, "two election timeouts are waited for a leader"
    counts = [len(asked[member.name]) for member in FOUR[:2]]
    assert all(5 < count <= MOST_REQUESTS for count in counts), counts


def test_a_hung_member_is_not_asked_more_often_than_stated(watched: Watched) -> None:
    watched.running.stop(FOUR[3])
    _, asked = watched.counted()
    assert all(0 < len(paths) <= MOST_REQUESTS for paths in asked.values()), asked


@pytest.mark.parametrize(
    "talk", [fakes.says(b""), fakes.sink, fakes.page("503 Down", "application/json", b'{"error":"no"}')]
)
def test_what_is_no_member_is_not_asked_more_often_than_stated(talk: fakes.Talk) -> None:
    """However long an election may take: the looks become rarer, not more."""
    member = Member("azure-lab-09", IPv4Address("127.0.34.40"))
    asked: list[bytes] = []

    def counting(connection: socket.socket) -> None:
        asked.append(b"")
        talk(connection)

    begun = time.monotonic()
    with fakes.listener("127.0.34.40", 2379, counting), fakes.listener("127.0.34.40", 2380, counting):
        look((member,), patience_s=0.05, deadline_s=6.0)
    assert 2 <= len(asked) <= MOST_REQUESTS
    assert len(asked) <= 2 * 2 * MOST_LOOKS  # a second connection asks whether a port that says nothing speaks TLS
    assert time.monotonic() - begun < 8


def test_only_rendered_addresses_are_ever_connected_to(formed: Watched) -> None:
    """A member list that names other addresses, for clients and for peers, leads nobody there."""
    formed.running.heal()
    reached: list[str] = []
    lock = threading.Lock()

    def note(connection: socket.socket) -> None:
        with lock, contextlib.suppress(OSError):
            head = connection.recv(65536)
            if b"User-Agent: runbooks" in head:  # the other members do go there
                reached.append(head.decode(errors="replace"))

    running = formed.running
    victim = next(member for member in running.followers() if member != FOUR[0])  # which is asked to add and to remove
    added = running.call("/v3/cluster/member/add", {"peerURLs": ["http://127.0.34.41:2380"], "isLearner": True})
    running.kill(victim)
    running.start(victim, advertise_client_urls="http://127.0.34.41:2379")
    try:
        with fakes.listener("127.0.34.41", 2379, note), fakes.listener("127.0.34.41", 2380, note):
            for _ in range(100):
                samples = look(FOUR, patience_s=1.0)
                if "http://127.0.34.41:2379" in repr(samples.members[0].listing.value):
                    break
                time.sleep(PAUSE_S)
    finally:
        running.kill(victim)
        running.call("/v3/cluster/member/remove", {"ID": added["member"]["ID"]})
    text = repr(samples.members[0].listing.value)
    assert "http://127.0.34.41:2379" in text
    assert "http://127.0.34.41:2380" in text
    assert reached == []
