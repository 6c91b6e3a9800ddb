"""What is made of an apply that went through, of a fresh look at what is left."""

from __future__ import annotations

import pytest

from corelib.plan import Plan, Step
from corelib.runbook.changing import not_done

ADDRESS = Step(
    "azure-lab-a/address/azure-lab-a-ip", "create", "an address", "it is not there", desired={"static": True}
)
MACHINE = Step("azure-lab-a/machine/azure-lab-01", "create", "a machine", "it is not there")
QUOTA = Step("azure-lab-a/quota/cores", "blocked", "8 cores more", "2 are left")


def plan(*steps: Step) -> Plan:
    return Plan("deploy-azure", "lab", {}, "c1", steps)


@pytest.mark.parametrize(
    ("left", "undone"),
    [
        ((), ()),
        ((MACHINE,), ()),  # the next stage
        ((MACHINE, QUOTA), ()),  # the next stage, which somebody else's machines forbid meanwhile
        ((ADDRESS,), (ADDRESS,)),
        ((Step(ADDRESS.target, "change", "", "it differs", desired=ADDRESS.desired),), (ADDRESS.target,)),
        ((Step(ADDRESS.target, "blocked", "", "it is somebody else's"),), (ADDRESS.target,)),
        ((Step(ADDRESS.target, "change", "", "something new", desired={"static": False}),), ()),
    ],
)
def test_an_apply_is_believed_if_nothing_is_left_of_it(left: tuple[Step, ...], undone: tuple[object, ...]) -> None:
    found = not_done(plan(ADDRESS), plan(*left))
    assert [step.target for step in found] == [getattr(one, "target", one) for one in undone]
