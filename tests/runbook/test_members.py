"""Steps about etcd's members, on looks at clusters that are values: what is found before anything is asked of etcd."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from corelib.azure.executor import Telling
from corelib.errors import TimedOut
from corelib.etcd.changing import Door
from corelib.etcd.judge import Intended, judge
from corelib.etcd.samples import NOT_ASKED, Samples
from corelib.plan import Step
from corelib.runbook import members as doing
from corelib.runbook.members import Members
from corelib.runbook.verification import Verification
from tests.etcd.samples import LISTED, MEMBERS, TOKEN, everywhere, healthy, listing, spoilt

NEW = MEMBERS[3]
JOIN = Step("etcd/member/x", "create", "", "", desired={"kind": "join", "name": NEW.name, "peer_url": NEW.peer_url})


def look(samples: Samples) -> Verification:
    intended = Intended(MEMBERS, MEMBERS, TOKEN)
    return Verification(judge(intended, samples), samples, intended, {}, (), "", "")


@contextmanager
def no_door(name: str) -> Iterator[Door]:
    raise AssertionError(f"nothing is asked of etcd through {name}")
    yield


@pytest.mark.parametrize("samples", [healthy(), everywhere(healthy(), linearizable=NOT_ASKED)])
def test_who_is_a_member_in_the_data_of_the_others_is_not_added_again(samples: Samples, tmp_path: Path) -> None:
    """With a quorum and, for want of its own vote, without one."""
    arrived: list[str] = []
    members = Members(
        lambda _: look(samples), no_door, lambda: arrived.append("now"), (), tmp_path, frozenset({NEW.name})
    )
    telling = Telling(JOIN.target, lambda _: None)
    members.act(JOIN, telling)
    assert telling.facts == {"known": "the others' data say that it is a member already"}
    assert arrived, "who founds a cluster may have come a moment ago"


def test_what_one_alone_remembers_without_a_quorum_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may not have heard yet that the member has left."""
    monkeypatch.setattr(doing, "CATCHES_UP_S", 0.0)
    behind = healthy().members[0]
    samples = spoilt(listing(LISTED[:3]), 0, peer=behind.peer, listing=behind.listing)
    quorumless = everywhere(samples, linearizable=NOT_ASKED)
    members = Members(lambda _: look(quorumless), no_door, lambda: None, (), tmp_path, frozenset({NEW.name}))
    with pytest.raises(TimedOut, match="etcd does not serve"):
        members.act(JOIN, Telling(JOIN.target, lambda _: None))
