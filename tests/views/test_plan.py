"""A plan as it is shown: what changes, property by property, and no sign of done beside what is not."""

from __future__ import annotations

from corelib.plan import Change, Plan, Step
from corelib.views.plan import plan

CHANGE = Step(
    "a/network/net", "change", "a network", "it differs",
    changes=(Change("tags.owner", None, "ops"), Change("ports", [1], [1, 2])), desired={"x": 1},
)  # fmt: skip
RULE = {
    "id": "/subscriptions/s/x",
    "name": "by-hand",
    "properties": {"access": "Allow", "destinationPortRange": "2379"},
}
OPENED = Step("a/security-group/n", "change", "ssh", "it differs", changes=(Change("rules[by-hand]", RULE, None),))
CREATE = Step("a/group/g", "create", "a group", "it is not there", changes=(Change("x", None, "y"),))
WIPE = Step("ded/install", "create", "an installation", "no system", consent="wipe wwn-0x1")


def shown(*steps: Step) -> str:
    return plan(Plan("deploy-azure", "lab", {"endpoint": "x"}, "c", steps)).text()


def test_a_change_names_what_was_and_what_will_be() -> None:
    lines = [line.split() for line in shown(CHANGE).splitlines() if "→" in line]
    assert lines[1:] == [
        ["!", "a/network/net", "tags.owner", "nothing", "→", "ops"],
        ["!", "a/network/net", "ports", "[1]", "→", "[1,", "2]"],
    ]
    assert "the exact content of the step" in shown(CHANGE)
    assert "the exact content of all 2 steps" in shown(CHANGE, CREATE)


def test_of_a_thing_that_somebody_made_what_it_does_is_said() -> None:
    assert "access Allow, destinationPortRange 2379 → nothing" in shown(OPENED)


def test_the_order_is_what_waits_for_what_and_what_is_blocked_comes_first() -> None:
    after = Step("a/machine/m", "create", "a machine", "it is not there", after=("a/group/g",))
    stuck = Step("a/disk/d", "blocked", "a disk", "somebody else's", interrupts="etcd's member m")
    rows = [line.strip("✘ ").split() for line in shown(CREATE, after, stuck).splitlines() if "a/" in line]
    assert [(row[0], row[2]) for row in rows] == [("—", "a/disk/d"), ("1", "a/group/g"), ("2", "a/machine/m")]
    assert "etcd's member m" in shown(stuck)


def test_many_that_are_alike_share_a_row() -> None:
    many = [Step(f"a/machine/n-{n:02}", "create", "a machine", "it is not there") for n in range(1, 60)]
    rows = [line for line in shown(CREATE, *many).splitlines() if "create" in line]
    assert len(rows) == 3, "the count, the group, the machines"
    assert "a/machine/n-01 … n-59 (59)" in rows[2]


def test_what_is_long_is_named_in_text_and_folded_in_a_notebook() -> None:
    made = Plan("deploy-azure", "lab", {"endpoint": "x"}, "c", (CREATE,))
    view = plan(made, by_hand="az group create --name g")
    assert "az group create" in view.html()
    assert "az group create" not in view.text()
    assert "what you would type without this tool: in the notebook" in view.text()


def test_what_is_only_planned_has_no_sign_of_done() -> None:
    text = shown(CREATE, WIPE)
    assert "✔" not in text
    assert "✘ 1      create  ded/install" in text, "what destroys stands out"
    assert "nothing → y" not in text
