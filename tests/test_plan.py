from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corelib.errors import Refused
from corelib.plan import Action, Plan, Step, approve, permit

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


def step(target: str, action: Action = "create", consent: str = "", size: int = 1) -> Step:
    return Step(target, action, "a thing", "it is not there", consent=consent, desired={"size": size})


def plan(*steps: Step, endpoint: str = "https://a", code: str = "c1") -> Plan:
    return Plan("deploy-azure", "lab", {"endpoint": endpoint}, code, steps)


def refusal(current: Plan, approved: Plan, now: datetime = NOW, consent: tuple[str, ...] = ()) -> str:
    with pytest.raises(Refused) as caught:
        permit(current, approve(approved, NOW, "op@host"), now, consent)
    return str(caught.value)


def test_the_digest_is_a_word_over_what_would_be_done() -> None:
    one = plan(step("a"), step("b"))
    assert one.digest.startswith("plan-")
    assert len(one.digest) == len("plan-") + 16
    assert one.digest == plan(step("b"), step("a")).digest
    assert one.digest == plan(replace(step("a"), why="another reason"), step("b")).digest
    assert one.digest == plan(step("a"), step("b"), step("c", "keep")).digest
    for other in (
        plan(step("a")),
        plan(step("a", size=2), step("b")),
        plan(step("a", "change"), step("b")),
        plan(step("a", consent="wipe a"), step("b")),
        plan(step("a"), step("b"), endpoint="https://b"),
        plan(step("a"), step("b"), code="c2"),
        plan(step("a"), step("b"), step("c", "blocked")),
    ):
        assert other.digest != one.digest


def test_an_approval_covers_the_plan_and_what_is_left_of_it() -> None:
    approved = plan(step("a"), step("b"), step("c"))
    permit(approved, approve(approved, NOW, "op@host"), NOW)
    permit(plan(step("a", "keep"), step("b"), step("c")), approve(approved, NOW, "op@host"), NOW)


def test_an_approval_covers_nothing_else() -> None:
    approved = plan(step("a"), step("b"))
    assert "not approved: create c" in refusal(plan(step("a"), step("c")), approved)
    assert "not approved: create b" in refusal(plan(step("b", size=2)), approved)
    assert "approved for endpoint https://a, this is endpoint https://b" in refusal(
        plan(step("a"), endpoint="https://b"), approved
    )
    assert "the code has changed" in refusal(plan(step("a"), code="c2"), approved)
    assert "b is blocked" in refusal(plan(step("a"), step("b", "blocked")), approved)


def test_an_approval_ends() -> None:
    one = plan(step("a"))
    assert "valid for 24 h" in refusal(one, one, NOW + timedelta(hours=24, seconds=1))
    assert "valid for 24 h" in refusal(one, one, NOW - timedelta(hours=1))


def test_what_destroys_needs_its_own_consent() -> None:
    one = plan(step("a", "replace", consent="replace a"))
    assert "'replace a'" in refusal(one, one)
    assert "'replace a'" in refusal(one, one, consent=("replace b",))
    permit(one, approve(one, NOW, "op@host"), NOW, ("replace a",))


def test_all_missing_consents_are_named_for_both_front_ends() -> None:
    one = plan(*(step(name, "replace", consent=f"replace {name}") for name in "abc"))
    said = refusal(one, one, consent=("replace b",))
    assert "its own consent: 'replace a', 'replace c'" in said
    assert "--consent 'replace a' --consent 'replace b' --consent 'replace c'" in said, "a run needs all of them"
    assert 'consent = ["replace a", "replace b", "replace c"]' in said


@given(st.sets(st.integers(0, 9)), st.sets(st.integers(0, 9)))
def test_permitted_is_exactly_what_was_approved(approved: set[int], left: set[int]) -> None:
    before, now = plan(*(step(str(n)) for n in approved)), plan(*(step(str(n)) for n in left))
    try:
        permit(now, approve(before, NOW, "op@host"), NOW)
    except Refused:
        assert left - approved
    else:
        assert left <= approved
