"""A plan as it is shown: what changes, property by property, and no sign of done beside what is not."""

from __future__ import annotations

from corelib.plan import Change, Plan, Step
from corelib.views.plan import plan

CHANGE = Step(
    "a/network/net", "change", "a network", "it differs",
    changes=(Change("tags.owner", None, "ops"), Change("ports", [1], [1, 2])), desired={"x": 1},
)  # fmt: skip
CREATE = Step("a/group/g", "create", "a group", "it is not there", changes=(Change("x", None, "y"),))
WIPE = Step("ded/install", "create", "an installation", "no system", consent="wipe wwn-0x1")


def shown(*steps: Step) -> str:
    return plan(Plan("deploy-azure", "lab", {"endpoint": "x"}, "c", steps)).text()


def test_a_change_names_what_was_and_what_will_be() -> None:
    assert "it differs; tags.owner: nothing → ops; ports: [1] → [1, 2]" in shown(CHANGE)
    assert "the exact content of the step" in shown(CHANGE)
    assert "the exact content of all 2 steps" in shown(CHANGE, CREATE)


def test_what_is_only_planned_has_no_sign_of_done() -> None:
    text = shown(CREATE, WIPE)
    assert "✔" not in text
    assert "✘ create  ded/install" in text, "what destroys stands out"
    assert "nothing → y" not in text
