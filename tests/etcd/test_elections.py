"""What is asked again, because an election has swallowed it, and what is not."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from corelib.etcd.elections import MOST, Across
from corelib.etcd.samples import Reply, Status

MUTE: Reply[Any] = Reply("mute", seconds=3.0)
DONE: Reply[Any] = Reply("answered", 1)


class Port:
    """Says these replies one after the other, the last one for ever; its status has this leader and term."""

    def __init__(self, *replies: Reply[Any], leader: int = 3, term: int = 7) -> None:
        self.replies, self.asked = list(replies), 0
        self.status: Reply[Any] = Reply("answered", Status(1, 2, leader, term, ""))

    def post(self, path: str, content: dict[str, Any], read: Callable[..., Any], until: float) -> Reply[Any]:
        if path == "/v3/maintenance/status":
            return self.status
        self.asked += 1
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


def ask(port: Port) -> Reply[Any]:
    return Across(port, 7, lambda: 1.0, 0.0, time.sleep).post("/v3/kv/put", {}, lambda _, __: 1, 1.0)


@pytest.mark.parametrize(
    "port",
    [
        Port(Reply("failed", detail="etcdserver: leader changed"), DONE),
        Port(Reply("failed", detail="raft proposal dropped"), DONE),
        Port(MUTE, DONE, term=8),
        Port(MUTE, DONE, leader=0),
    ],
    ids=["it says so", "dropped", "another term", "no leader now"],
)
def test_what_an_election_swallowed_is_asked_again(port: Port) -> None:
    assert (ask(port), port.asked) == (DONE, 2)


@pytest.mark.parametrize(
    "reply",
    [
        DONE,
        MUTE,
        Reply("failed", detail="etcdserver: mvcc: database space exceeded"),
        Reply("broken"),
        Reply("refused"),
    ],
)
def test_what_has_another_cause_is_asked_once(reply: Reply[Any]) -> None:
    port = Port(reply)
    assert (ask(port), port.asked) == (reply, 1)


def test_who_does_not_answer_about_its_leader_is_not_asked_again() -> None:
    port = Port(MUTE)
    port.status = MUTE
    assert (ask(port), port.asked) == (MUTE, 1)


def test_elections_without_an_end_are_given_up() -> None:
    port = Port(Reply("failed", detail="etcdserver: no leader"))
    assert ask(port).outcome == "failed"
    assert port.asked == 1 + MOST
