"""What `runbooks run` says while something is waited for."""

from __future__ import annotations

from typing import Any

import pytest

from corelib.runbook.news import PACE, News


def step(phase: str, detail: str = "", target: str = "ded/installed") -> dict[str, Any]:
    return {"kind": "step", "phase": phase, "target": target, "detail": detail, "facts": {}}


def heard(*events: tuple[float, dict[str, Any]]) -> list[tuple[float, str]]:
    """What is said, and when, by one who looks every second."""
    news, left, said = News(), list(events), []
    for now in range(60):
        while left and left[0][0] <= now:
            said += [(now, line) for line in [news.take(left.pop(0)[1])] if line]
        said += [(now, line) for line in news.due(now)]
    return said


def test_what_is_waited_for_is_said_at_once_and_only_once() -> None:
    waits = [(at, step("wait", "the limit of 50 requests is used up")) for at in (0, 1, 7, 20)]
    assert heard(*waits) == [(0, "    … ded/installed the limit of 50 requests is used up")]


def test_the_lines_of_a_log_are_followed_at_a_pace() -> None:
    lines = [(at, step("wait", f"line {at}")) for at in range(12)]
    said = [(at, line.split()[-1]) for at, line in heard(*lines)]
    assert said == [(0, "0"), (PACE, "5"), (2 * PACE, "10"), (3 * PACE, "11")]


def test_a_text_that_went_and_came_back_in_between_is_not_repeated() -> None:
    assert len(heard((0, step("wait", "a")), (1, step("wait", "b")), (2, step("wait", "a")))) == 1


def test_what_is_said_anew_after_a_long_time_is_news() -> None:
    news, limit = News(), step("wait", "the limit of 50 requests is used up", "ded/robot")
    said = []
    for now in (0.0, 3600.0):
        news.take(limit)
        said += news.due(now)
    assert len(said) == 2


def test_what_is_over_is_not_waited_for_any_more() -> None:
    events = [(0, step("wait", "a")), (1, step("wait", "b")), (2, step("done", "well"))]
    assert [line for _, line in heard(*events)] == ["    … ded/installed a", "    ✔ ded/installed well"]
    assert heard((0, step("wait", "a")), (0, step("done"))) == [(0, "    ✔ ded/installed")]


def test_many_take_turns() -> None:
    many = [(0.0, step("wait", "Azure says Running", f"group/{number}")) for number in range(40)]
    said = heard(*many)
    assert sorted(line for _, line in said) == sorted(f"    … {one['target']} Azure says Running" for _, one in many)
    assert len({at for at, _ in said}) == 40, "one at a time"


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        (step("failed", "exit code 4"), "    ✘ ded/installed exit code 4"),
        (
            {"kind": "result", "stage": "plan", "summary": "1 to create", "plan": "plan-0"},
            "  plan: 1 to create (plan-0)",
        ),
        ({"kind": "result", "stage": "apply", "result": "applied"}, "  apply: applied"),
        ({"kind": "error", "message": "no"}, "  ✘ no"),
        (step("begin"), ""),
    ],
)
def test_what_has_ended_is_said_at_once(entry: dict[str, Any], line: str) -> None:
    assert News().take(entry) == line
