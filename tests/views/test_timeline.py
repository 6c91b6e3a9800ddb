"""The timeline of an apply, from journal entries alone: what each step waited for, and what decided how long it took."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from corelib.views.document import COLOURS
from corelib.views.spans import sentence, spans
from corelib.views.timeline import bars, timeline

# target, begun, ended, after; `b` is ready early, `c` waits for the slow `a`
STEPS: list[tuple[str, float, float, list[str]]] = [
    ("x/group/g", 10.0, 11.0, []),
    ("x/network/a", 11.0, 15.0, ["x/group/g"]),
    ("x/disk/b", 11.5, 13.0, ["x/group/g"]),
    ("x/machine/c", 15.5, 20.0, ["x/network/a", "x/disk/b"]),
]


def entries(
    steps: list[tuple[str, float, float, list[str]]], ends: dict[str, str] | None = None
) -> list[dict[str, Any]]:
    """A journal: each step begins and, unless `ends` says otherwise, is done."""
    found = []
    for target, begun, ended, after in steps:
        phase = (ends or {}).get(target, "done")
        found.append({"kind": "step", "target": target, "phase": "begin", "up": begun, "facts": {"after": after}})
        found.append({"kind": "step", "target": target, "phase": "wait", "up": begun, "facts": {}})
        if phase:
            found.append({"kind": "step", "target": target, "phase": phase, "up": ended, "facts": {}})
    return [{"kind": "stage", "stage": "apply"}, *sorted(found, key=lambda entry: entry["up"])]


def test_the_critical_path_goes_back_over_what_was_waited_for() -> None:
    found = {one.target: one for one in spans(entries(STEPS))}
    assert [name for name, one in found.items() if one.critical] == ["x/group/g", "x/network/a", "x/machine/c"]
    assert {name: one.waited_for for name, one in found.items()} == {
        "x/group/g": "",
        "x/network/a": "x/group/g",
        "x/disk/b": "x/group/g",
        "x/machine/c": "x/network/a",
    }
    assert (found["x/machine/c"].begun, round(found["x/machine/c"].took, 3)) == (5.5, 4.5)
    said = sentence(list(found.values()))
    assert (
        said
        == "4 steps in 10 s. Critical path: group g 1.0 s → network a 4.0 s → machine c 4.5 s, and 0.5 s between them."
    )


def test_steps_that_follow_each_other_are_all_critical() -> None:
    stages = [(f"ded-01/{n}", float(n), n + 1.0, list[str]()) for n in range(5)]
    assert all(one.critical for one in spans(entries(stages)))


def test_only_the_last_apply_is_shown_and_a_plan_alone_has_no_picture() -> None:
    before = [("x/group/old", 1.0, 2.0, list[str]())]
    assert {one.target for one in spans([*entries(before), *entries(STEPS)])} == {step[0] for step in STEPS}
    assert timeline([{"kind": "stage", "stage": "plan"}, {"kind": "result", "stage": "plan"}]) is None


def test_what_failed_and_what_never_ended_is_said() -> None:
    view = timeline(entries(STEPS, {"x/disk/b": "failed", "x/machine/c": ""}))
    assert view is not None
    for shown in (view.text(), view.html()):
        assert "✘ failed after 1.5 s" in shown
        assert "? not ended after 0.0 s" in shown, "nothing is known of it but its begin"


def test_what_was_made_changed_and_destroyed_is_told_apart() -> None:
    """By colour and by sign, as in the plan's picture; what is alike but for that is not put together."""
    steps = [(f"x/disk/{action}", 10.0, 11.0, list[str]()) for action in ("create", "change", "destroy")]
    journal = entries([*steps, ("x/disk/z", 10.0, 14.0, []), ("ded-01/wipe", 10.0, 12.0, [])])
    for entry in journal:
        if entry.get("phase") == "begin":
            entry["detail"] = entry["target"].partition("/disk/")[2].replace("z", "create")
    view = timeline(journal)
    assert view is not None
    text, html = view.text(), view.html()
    for sign in ("+ disk create", "~ disk change", "− disk destroy", "▸ + disk z", "  ded-01/wipe"):
        assert sign in text
        assert sign.strip() in html
    assert "+ created, ~ changed, − destroyed." in text
    fills = re.findall(r'fill="(#[0-9a-f]{6})"', html)
    assert [COLOURS[tone] in fills for tone in ("good", "warn", "bad", "plain")] == [True] * 4
    many = spans(entries([(f"x/disk/{n}", 1.0, 2.0, list[str]()) for n in range(80)]))
    mixed = [replace(one, action=("create", "destroy")[n % 2], critical=False) for n, one in enumerate(many)]
    assert sorted((row.action, len(row.spans)) for row in bars(mixed)) == [("create", 40), ("destroy", 40)]


def fleet(hosts: int, clusters: int) -> list[tuple[str, float, float, list[str]]]:
    steps: list[tuple[str, float, float, list[str]]] = []
    for c in range(clusters):
        steps.append((f"c{c}/group/c{c}", 0.0, 1.0, []))
        for h in range(hosts // clusters):
            name, late = f"c{c}-{h}", h * 0.01 + c * 0.001
            steps.append((f"c{c}/interface/{name}", 1.0 + late, 3.0 + late, [f"c{c}/group/c{c}"]))
            steps.append((f"c{c}/machine/{name}", 3.0 + late, 60.0 + 2 * late, [f"c{c}/interface/{name}"]))
    return steps


def test_forty_hosts_are_grouped_by_cluster_and_four_hundred_still_fit() -> None:
    for hosts, clusters in ((4, 2), (40, 2), (400, 2), (400, 20)):
        found = spans(entries(fleet(hosts, clusters)))
        rows = bars(found)
        assert sum(len(row.spans) for row in rows) == len(found) == 2 * hosts + clusters
        assert len(rows) <= 36 or clusters == 20
        assert all(len(row.spans) == 1 for row in rows if row.critical), "what decided is never in a group"
    assert "c0: 20 × interface" in {row.label for row in bars(spans(entries(fleet(40, 2))))}
    assert len(bars(spans(entries(fleet(400, 20))))) <= 36


@given(
    st.lists(
        st.tuples(st.text(min_size=1, max_size=6), st.floats(0, 100), st.floats(0, 100), st.just(list[str]())),
        min_size=1,
    )
)
def test_any_journal_is_drawn(steps: list[tuple[str, float, float, list[str]]]) -> None:
    """Also one with steps of no length, with equal times, and with names that are no XML."""
    once = {name: (name, begun, begun + took, after) for name, begun, took, after in steps}
    view = timeline(entries(list(once.values())))
    assert view is not None
    assert view.text()
    (picture,) = re.findall(r"<svg.*</svg>", view.html(), re.DOTALL)
    control = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
    ElementTree.fromstring(control.sub("", picture))  # noqa: S314 - our own picture
