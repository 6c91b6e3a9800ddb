"""What is remembered of machines and of etcd: what is lost never looks as if it never was."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

from corelib.etcd.intended import Intended
from corelib.member import Member
from corelib.runbook import standing
from corelib.runbook.inventory import Inventory

NAMES = [f"azure-lab-0{n}" for n in range(1, 5)]
MEMBERS = tuple(Member(name, IPv4Address(f"127.0.2.{n}")) for n, name in enumerate(NAMES, 1))
INTENDED = Intended(MEMBERS, MEMBERS, "etcd-cluster")


def test_a_machine_that_was_there_and_is_not_any_more_is_gone_and_stays_so() -> None:
    before = {"hosts": {name: {} for name in NAMES}}
    one = {"clusters": {}, "hosts": {"azure-lab-01": {}}}
    now = standing.with_gone(one, before, NAMES)
    assert now == {**one, "gone": NAMES[1:]}
    assert standing.with_gone(one, now, NAMES) == now, "another look does not forget it"
    assert "gone" not in standing.with_gone(one, now, NAMES[:1]), "but a plan of ours that has taken it away"
    two = {**one, "hosts": {name: {} for name in NAMES[:2]}}
    assert standing.with_gone(two, now, NAMES)["gone"] == NAMES[2:], "it is there again"
    assert standing.with_gone(one, {}, NAMES) == one, "the first look knows of nothing"


def test_whose_machines_are_gone_is_not_awaited() -> None:
    intended = INTENDED.with_machines(NAMES[:1], NAMES[1:3])
    assert (intended.awaiting, intended.gone) == ({"azure-lab-04"}, {"azure-lab-02", "azure-lab-03"})


def test_who_was_in_this_very_cluster_is_remembered_until_nothing_is_left_of_it(tmp_path: Path) -> None:
    inventory = Inventory(tmp_path / "inventory.json")
    assert standing.seen(INTENDED, inventory) == frozenset()
    standing.remember(INTENDED, (), inventory)
    assert not inventory.path.exists(), "nobody serves: nothing is known"
    standing.remember(INTENDED, NAMES, inventory)
    standing.remember(INTENDED, (), inventory)
    assert standing.seen(INTENDED, inventory) == {*NAMES}
    assert not standing.seen(INTENDED._replace(token="another"), inventory)
    standing.remember(INTENDED, NAMES[:2], inventory)
    assert standing.seen(INTENDED, inventory) == {*NAMES[:2]}, "as it was seen last"
    standing.forget(inventory)
    assert not standing.seen(INTENDED, inventory)
