"""Steps about etcd's members, on looks at clusters that are values: what is found before anything is asked of etcd."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from corelib.azure.executor import Telling
from corelib.etcd.changing import Door
from corelib.etcd.judge import Intended, judge
from corelib.etcd.samples import NOT_ASKED, Samples
from corelib.plan import Step
from corelib.runbook.members import Members
from corelib.runbook.verification import Verification
from tests.etcd.samples import MEMBERS, TOKEN, everywhere, healthy

NEW = MEMBERS[3]
JOIN = Step("etcd/member/x", "create", "", "", desired={"kind": "join", "name": NEW.name, "peer_url": NEW.peer_url})


@contextmanager
def no_door(name: str) -> Iterator[Door]:
    raise AssertionError(f"nothing is asked of etcd through {name}")
    yield


@pytest.mark.parametrize("samples", [healthy(), everywhere(healthy(), linearizable=NOT_ASKED)])
def test_who_is_a_member_in_the_data_of_the_others_is_not_added_again(samples: Samples, tmp_path: Path) -> None:
    """With a quorum and, for want of its own vote, without one."""
    intended = Intended(MEMBERS, MEMBERS, TOKEN)
    seen = Verification(judge(intended, samples), samples, intended, {}, (), "", "")
    arrived: list[str] = []
    members = Members(lambda _: seen, no_door, lambda: arrived.append("now"), (), tmp_path, frozenset({NEW.name}))
    telling = Telling(JOIN.target, lambda _: None)
    members.act(JOIN, telling)
    assert telling.facts == {"known": "the others' data say that it is a member already"}
    assert arrived, "who founds a cluster may have come a moment ago"
