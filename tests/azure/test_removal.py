"""What is named in `destroy`: in which order it goes, what stays, and what is never touched."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corelib.azure.removal import Removal, members_going, refused, strange
from corelib.azure.resource import Observed
from corelib.etcd.present import Present
from corelib.etcd.samples import Listed
from corelib.plan import Plan

from .test_moves import FLEET, bodies, grown, present

CODE, ENDPOINT = "c1", "https://arm"
A, B = "azure-lab-a", "azure-lab-b"


def removal(
    *patterns: str,
    there: dict[str, Any] | None = None,
    strays: dict[str, Any] | None = None,
    others: dict[str, list[str]] | None = None,
    etcd: Present | None = None,
) -> Plan:
    observed = Observed(bodies() if there is None else there, strays=strays or {})
    etcd = etcd or (present() if members_going(FLEET, patterns, observed) else None)
    return Removal.of(FLEET, patterns, observed, others or {}, etcd).plan(CODE, ENDPOINT)


def going(plan: Plan) -> list[str]:
    return [step.target for step in plan.pending]


def told(plan: Plan) -> dict[str, str]:
    return {step.target: step.why for step in plan.steps if step.told}


def test_one_site_goes_its_members_first_and_what_costs_stays() -> None:
    plan = removal(B)
    assert going(plan) == [
        "etcd/snapshot/azure-lab-03",
        "etcd/member/azure-lab-03@66",
        "etcd/snapshot/azure-lab-04",
        "etcd/member/azure-lab-04@67",
        f"{B}/machine/azure-lab-04",
        f"{B}/machine/azure-lab-03",
        f"{B}/load-balancer/{B}-lb",
        f"{B}/network/{B}-net",
        f"{B}/security-group/{B}-nsg",
    ]
    assert plan.consents == (f"destroy {B}",)
    assert set(told(plan)) == {
        f"{B}/group/{B}",
        f"{B}/address/{B}-ip",
        f"{B}/disk/azure-lab-03-etcd",
        f"{B}/disk/azure-lab-04-etcd",
    }
    assert f"destroy: [{B}/address/{B}-ip]" in told(plan)[f"{B}/address/{B}-ip"]
    assert "none of the others may be lost" in plan.pending[3].interrupts


def test_a_learner_that_has_never_started_leaves_with_its_site() -> None:
    of, now = grown(), present()
    learner = Listed(511, "", (of.etcd.members[-1].peer_url,), (), learner=True)
    etcd = replace(now, listed=(*now.listed, learner))
    plan = Removal.of(of, [B], Observed(bodies(of)), {}, etcd).plan(CODE, ENDPOINT)
    order = going(plan)
    assert not plan.blocked
    assert order.index("etcd/member/azure-lab-05@1ff") < order.index(f"{B}/machine/azure-lab-05")


def test_what_the_parameters_have_to_say_next_is_said() -> None:
    (text,) = removal(B).warnings
    assert "take azure-lab-b out of fleet.clusters, and say who has left etcd:" in text
    assert text.endswith("\nfleet:\n  etcd:\n    removed: [azure-lab-03, azure-lab-04]")
    (one,) = removal(f"{B}/machine/azure-lab-04").warnings
    assert "take azure-lab-04 out of its cluster's hosts" in one
    assert one.endswith("removed: [azure-lab-04]")
    for patterns in ((A, B), (f"{B}/disk/*",), ("azure-lab-c",)):
        assert removal(*patterns).warnings == (), "all goes, or no machine does"


def test_where_all_members_go_a_snapshot_is_what_is_left() -> None:
    plan = removal(A, B)
    assert going(plan)[0] == "etcd/snapshot/all"
    assert not any(target.startswith("etcd/member") for target in going(plan))
    machines = [step for step in plan.pending if "/machine/" in step.target]
    assert all("etcd/snapshot/all" in step.after for step in machines)


def test_without_a_quorum_the_consent_says_that_there_is_no_snapshot() -> None:
    lost = Present(sentence="no quorum", listed=())
    plan = removal(A, B, etcd=lost)
    assert set(plan.consents) == {f"destroy {one} without a snapshot of etcd" for one in (A, B)}
    never = removal(A, B, etcd=Present(founded=False))
    assert set(never.consents) == {f"destroy {A}", f"destroy {B}"}


def test_disks_and_addresses_go_if_they_are_named_and_then_the_group_too() -> None:
    plan = removal(A, B, f"{B}/*")
    assert going(plan)[-1] == f"{B}/group/{B}"
    assert f"destroy {B}/disk/azure-lab-03-etcd" in plan.consents
    assert not any(target.startswith(f"{A}/disk") for target in going(plan))
    assert f"{A}/group/{A}" in told(plan)
    order = going(plan)
    assert order.index(f"{B}/load-balancer/{B}-lb") < order.index(f"{B}/address/{B}-ip")


def test_a_group_that_holds_what_is_not_ours_stays() -> None:
    plan = removal(B, f"{B}/*", others={B: ["/subscriptions/x/…/storageAccounts/books"]})
    assert f"{B}/group/{B}" not in going(plan)
    assert told(plan)[f"{B}/group/{B}"] == "it holds what is not ours: /subscriptions/x/…/storageAccounts/books"


def test_what_is_named_and_not_there_is_told() -> None:
    plan = removal("azure-lab-c")
    assert plan.empty
    assert told(plan) == {"azure-lab-c": "nothing of that name is there"}


def test_a_name_that_nobody_knows_is_told_from_one_that_is_gone() -> None:
    there = sorted(bodies())
    good = [A, f"{A}/*", f"{B}/disk/azure-lab-03-etcd", "*/disk/*", "azure-lab-?/machine/*"]
    typos = ["nosuch", "azure-lab-?", "*", f"{A}/disk/azure-lab-09-etcd", f"{A}/group/{A}", "azure-lab-0/*"]
    assert strange([*good, *typos], there) == typos
    assert refused(["nosuch"], there).remedy == f"there are {A}, {B}, or what is in them (NAME/disk/*)"
    inside = refused([f"{A}/disk/azure-lab-09-etcd"], there).remedy
    assert f"{A}/disk/azure-lab-01-etcd" in inside
    assert f"{B}/disk" not in inside
    assert refused(["nosuch"], ()).remedy == "nothing is there to be destroyed"


@given(st.data())
def test_nothing_is_touched_that_does_not_bear_our_tags(data: st.DataObject) -> None:
    there = bodies()
    foreign = data.draw(st.sets(st.sampled_from(sorted(there)), max_size=8))
    strays = {f"{B}/address/spare": {"id": "/x/spare", "name": "spare", "tags": {}}}
    for target in foreign:
        there[target]["tags"] = data.draw(st.sampled_from([{}, {"runbooks-environment": "prd"}]))
    patterns = data.draw(st.lists(st.sampled_from([A, B, "*", "*/*/*", f"{A}/*", "*/disk/*"]), min_size=1, unique=True))
    plan = removal(*patterns, there=there, strays=strays)
    destroyed = {step.target for step in plan.pending if step.action == "destroy"}
    assert not destroyed & (foreign | set(strays))
    for step in plan.pending:
        assert step.action != "destroy" or step.consent, "each needs a consent"


@pytest.mark.parametrize("pattern", [A, f"{A}/*"])
def test_each_goes_after_all_that_use_it(pattern: str) -> None:
    seen: list[str] = []
    for step in removal(pattern).pending:
        assert not set(step.after) & (set(going(removal(pattern))) - set(seen)), step.target
        seen.append(step.target)


def test_a_site_does_not_go_blindly_while_others_stay() -> None:
    for patterns in ((B,), (f"{B}/machine/*",), (f"{B}/*",)):
        plan = removal(*patterns, etcd=Present(sentence="no key"))
        assert {step.target for step in plan.blocked} == {"etcd/member/azure-lab-03", "etcd/member/azure-lab-04"}
        assert "azure-lab-01, azure-lab-02 would stay: no key" in plan.blocked[0].why


def test_the_last_data_do_not_go_blindly_while_a_disk_of_another_member_stays() -> None:
    """The machines of two of three are gone: what they had is on their disks, and one is in the site that stays."""
    lost = Present(sentence="no quorum")
    machines = ("azure-lab-02", "azure-lab-03", "azure-lab-04")
    there = {target: body for target, body in bodies().items() if target.rpartition("/")[2] not in machines}
    del there[f"{B}/disk/azure-lab-04-etcd"]
    (blocked,) = removal(A, f"{A}/disk/*", there=there, etcd=lost).blocked
    assert "azure-lab-03 would stay: no quorum" in blocked.why
    both = removal(A, B, f"{A}/disk/*", there=there, etcd=lost)
    assert not both.blocked
    assert f"destroy {A} without a snapshot of etcd" in both.consents
    assert f"destroy {A}/disk/azure-lab-01-etcd without a snapshot of etcd" in both.consents


def test_what_was_approved_with_etcd_in_sight_is_not_done_without() -> None:
    seen = {step.digest for step in removal(A, B, f"{B}/*").pending}
    blind = removal(A, B, f"{B}/*", etcd=Present(sentence="no key"))
    assert not blind.blocked
    assert all(step.digest not in seen for step in blind.pending if "/machine/" in step.target)


def test_an_interrupted_destruction_goes_on_where_a_member_has_left_already() -> None:
    now = present()
    left = replace(
        now.without("azure-lab-03"),
        listed=tuple(one for one in now.listed if one.name != "azure-lab-03"),
        faults={"azure-lab-03": "azure-lab-03 is not in the member list"},
    )
    plan = removal(B, etcd=left)
    assert not plan.blocked
    assert going(plan)[:2] == ["etcd/snapshot/azure-lab-04", "etcd/member/azure-lab-04@67"]
