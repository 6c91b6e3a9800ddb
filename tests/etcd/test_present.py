"""Who is in the cluster, and whether it was up once: from what its members answer."""

from __future__ import annotations

from typing import Any

import pytest

from corelib.etcd.intended import Intended
from corelib.etcd.judge import judge
from corelib.etcd.present import Present, present
from corelib.etcd.samples import NOT_ASKED, Reply, Samples

from .samples import MEMBERS, TOKEN, healthy, spoilt, unpublished, without

NAMES = [member.name for member in MEMBERS]
NOTHING = dict.fromkeys(("peer", "version", "listing", "status", "linearizable", "alarms", "hash", "after"), NOT_ASKED)


def found(samples: Samples, **how: Any) -> Present:
    intended = Intended(MEMBERS, MEMBERS, TOKEN)._replace(**how)
    return present(intended, samples, judge(intended, samples))


def left(*which: int, mute: bool = False) -> Samples:
    """Only these answer, without a quorum; `mute` towards clients, as they are since they started again."""
    samples = healthy()._replace(canary=None)
    for n in range(len(MEMBERS)):
        gone: dict[str, Any] = NOTHING if n not in which else {"linearizable": Reply("failed", detail="no leader")}
        if n in which and mute:
            gone = {name: reply for name, reply in NOTHING.items() if name != "peer"}
        samples = spoilt(samples, n, **gone)
    return samples


@pytest.mark.parametrize("mute", [False, True])
def test_a_member_without_a_quorum_remembers_that_there_was_one(*, mute: bool) -> None:
    now = found(left(0, mute=mute), awaiting=frozenset(NAMES[1:]))
    assert (now.founded, now.has_quorum, now.last) == (True, False, frozenset(NAMES))
    two = found(without(left(0, mute=mute), 2, 3), awaiting=frozenset(NAMES[2:]))
    assert (two.founded, two.last) == (True, frozenset(NAMES[:2])), "who has left is known to have"


def test_founders_that_wait_for_each_other_have_founded_nothing() -> None:
    waiting = unpublished(left(0, 1, mute=True), 0, 1, 2, 3)
    for seen in ((), NAMES):  # the one that was seen before is another one of the same name
        assert not found(waiting, awaiting=frozenset(NAMES[2:]), seen=frozenset(seen)).founded


def test_where_nobody_answers_it_counts_what_was_seen() -> None:
    assert not found(left(), awaiting=frozenset(NAMES[2:])).founded
    seen = found(left(), awaiting=frozenset(NAMES[2:]), seen=frozenset(NAMES[:2]))
    assert (seen.founded, seen.last) == (True, frozenset(NAMES[:2]))
    assert found(left(), gone=frozenset(NAMES[2:])).founded, "all had machines"
