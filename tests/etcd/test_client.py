"""Whatever listens on the other side, a call ends in time, within its bytes, with a typed outcome."""

from __future__ import annotations

import contextlib
import socket
import time
import tracemalloc
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corelib.etcd import answers
from corelib.etcd.client import Connection
from corelib.etcd.samples import Alarm, Reply
from corelib.etcd.turns import ALONE, READABLE, Alone

from . import fakes

ADDRESS, PORT = "127.0.14.31", 2379
GIANT = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99999999999999\r\n\r\n{}"
NESTED = b"[" * 200_000
NUMBER = b'{"header":{"cluster_id":' + b"9" * 5000 + b"}}"


def ask(patience: float = 0.4) -> Reply[str]:
    connection = Connection(ADDRESS, PORT)
    try:
        return connection.get("/version", answers.version, time.monotonic() + patience)
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("talk", "outcome", "detail"),
    [
        (fakes.page("200 OK", "application/json", b'{"etcdserver":"3.5.1"}'), "answered", ""),
        (fakes.page("200 OK", "text/html", b"<html>It works!</html>"), "not etcd", "It works!"),
        (fakes.page("200 OK", "application/json", b'{"etcdserver":'), "bad JSON", "etcdserver"),
        (fakes.page("200 OK", "application/json", NESTED), "bad JSON", "[[["),
        (fakes.page("200 OK", "application/json", NUMBER), "bad JSON", "999"),
        (fakes.page("200 OK", "application/json", b"\xff\xfe\x00"), "bad JSON", ""),
        (fakes.page("200 OK", "application/json", b""), "bad JSON", "empty"),
        (fakes.page("200 OK", "application/json", b'["3.5.1"]'), "not etcd", "object"),
        (fakes.page("200 OK", "application/json", b'{"version":"1.0"}'), "not etcd", "version"),
        (fakes.page("404 Not Found", "text/plain", b"404 page not found"), "not etcd", "404"),
        (fakes.page("301 Moved", "text/html", b"", "Location: http://127.0.14.32/\r\n"), "not etcd", "127.0.14.32"),
        (fakes.page("503 Down", "application/json", b'{"error":"etcdserver: no leader"}'), "failed", "no leader"),
        (fakes.page("503 Down", "application/json", b'{"code":14,"message":"no leader"}'), "failed", "no leader"),
        (fakes.page("400 Bad", "text/plain", b"future", "X-Etcd-Cluster-ID: 1\r\n"), "failed", "future"),
        (fakes.says(b"SSH-2.0-OpenSSH_9.6\r\n"), "not etcd", "HTTP"),
        (
            fakes.says(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server."),
            "speaks TLS",
            "HTTPS",
        ),
        (fakes.says(GIANT), "broken", "before the end"),
        (fakes.says(b""), "broken", ""),
        (fakes.reset, "broken", "reset by peer"),
        (fakes.sink, "mute", ""),
        (fakes.trickle, "not etcd", "does not end"),
        (fakes.flood, "not etcd", "longer than 1 MiB"),
        (fakes.header_flood, "not etcd", "interim answers, and no other"),
    ],
)
def test_every_answer_has_its_outcome(talk: fakes.Talk, outcome: str, detail: str) -> None:
    with fakes.listener(ADDRESS, PORT, talk):
        begun = time.monotonic()
        reply = ask()
        assert time.monotonic() - begun < 3  # the listener's own end is not the client's time
    assert (reply.outcome, reply.value is not None) == (outcome, outcome == "answered")
    assert detail in reply.detail


def test_a_port_without_listener_refuses() -> None:
    assert ask().outcome == "refused"


def test_a_full_backlog_is_unreachable_not_mute() -> None:
    """Linux drops the attempt to connect when the queue of a listener is full: nothing answers it."""
    with socket.create_server((ADDRESS, PORT), backlog=0) as server:
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.settimeout(0)
            filler.connect_ex(server.getsockname())
        reply = ask()
        for filler in fillers:
            filler.close()
    assert (reply.outcome, "connect" in reply.detail) == ("unreachable", True)


def test_no_time_left_is_not_asked() -> None:
    assert Connection(ADDRESS, PORT).get("/version", answers.version, 0.0).outcome == "not asked"


def test_an_endless_answer_takes_no_memory() -> None:
    tracemalloc.start()
    with fakes.listener(ADDRESS, PORT, fakes.flood):
        ask(2.0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20


def test_a_connection_that_the_server_closed_is_made_anew() -> None:
    with fakes.listener(ADDRESS, PORT, fakes.page("200 OK", "application/json", b'{"etcdserver":"3.5.1"}')):
        connection = Connection(ADDRESS, PORT)
        outcomes = [
            connection.get("/version", answers.version, time.monotonic() + 1).outcome for _ in range(3)
        ]  # the server closes after each answer, without having said so
        connection.close()
    assert outcomes == ["answered"] * 3


def test_a_redirect_is_not_followed() -> None:
    asked: list[bytes] = []

    def elsewhere(connection: socket.socket) -> None:
        asked.append(connection.recv(65536))

    moved = fakes.page("307 Moved", "text/html", b"", f"Location: http://{ADDRESS}:{PORT + 1}/version\r\n")
    with fakes.listener(ADDRESS, PORT, moved), fakes.listener(ADDRESS, PORT + 1, elsewhere):
        assert ask().outcome == "not etcd"
    assert asked == []


def test_alarms_of_etcd_3_4_come_without_a_header() -> None:
    assert answers.alarms({}, {}) == ()
    assert answers.alarms({"alarms": [{"memberID": "7", "alarm": "NOSPACE"}]}, {}) == (Alarm(7, "NOSPACE"),)
    with pytest.raises(ValueError, match="not a list of alarms"):
        answers.alarms({"status": "ok"}, {})


READERS = [
    answers.version,
    answers.peer_view,
    answers.view,
    answers.status,
    answers.range_,
    answers.revision,
    answers.lease,
    answers.done,
    answers.alarms,
    partial(answers.hash_kv, 12),
]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
KEYS = st.sampled_from(
    ["header", "cluster_id", "members", "ID", "kvs", "key", "count", "alarms", "errors", "hash", "id"]
)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4))


@settings(max_examples=300)
@given(JSON, st.sampled_from(["", "zz", "1403ff3d734b76c1"]))
def test_a_reader_gives_a_value_or_says_what_is_wrong(body: object, cluster: str) -> None:
    for reader in READERS:
        with contextlib.suppress(ValueError):  # anything else would escape and fail here
            assert reader(body, {"x-etcd-cluster-id": cluster}) is not None


def test_an_interrupt_closes_the_connection_whose_answer_may_still_come() -> None:
    """What is asked next reads its own answer."""

    def slow(connection: socket.socket) -> None:
        while connection.recv(65536):
            time.sleep(0.3)
            connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n{"etcdserver":"3.5.1"}')

    class Interrupted(Alone):
        def wait(self, number: int, event: int, until: float) -> bool:
            if event == READABLE:
                raise KeyboardInterrupt
            return super().wait(number, event, until)

    with fakes.listener(ADDRESS, PORT, slow):
        line = Connection(ADDRESS, PORT, turns=Interrupted())
        with pytest.raises(KeyboardInterrupt):
            line.version(time.monotonic() + 2)
        line._turns = ALONE
        begun = time.monotonic()
        assert line.version(begun + 2).value == "3.5.1"
        assert time.monotonic() - begun >= 0.3, "not the answer to what was interrupted"
        line.close()
