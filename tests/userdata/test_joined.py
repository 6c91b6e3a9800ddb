"""What a host was given that joined is made again, whoever was in the cluster then."""

from __future__ import annotations

import pytest

from corelib import userdata
from corelib.fleet import Fleet
from corelib.userdata.joined import joined, memberships
from tests.azure.test_moves import FLEET, NAMES, grown

NOW = grown(3)


def changed(of: Fleet, **etcd: object) -> Fleet:
    return of.model_copy(update={"etcd": of.etcd.model_copy(update=etcd)})


@pytest.mark.parametrize(
    ("host", "then"),
    [
        ("azure-lab-05", grown(1)),
        ("azure-lab-05", changed(grown(1), removed=("azure-lab-02",))),
        ("azure-lab-07", grown(3)),
        ("azure-lab-07", changed(grown(3), removed=("azure-lab-05",))),
        ("azure-lab-06", changed(grown(2), removed=("azure-lab-02", "azure-lab-05"))),
        ("azure-lab-01", FLEET),  # made anew before anybody was added
        ("azure-lab-01", changed(grown(2), removed=("azure-lab-02",))),
    ],
)
def test_who_joined_then_is_known_now(host: str, then: Fleet) -> None:
    given = userdata.render(then, joining={host: then.etcd.members})[host]
    now = changed(NOW, removed=("azure-lab-02", "azure-lab-05"))
    assert joined(now, {host: given.sha256}, {}) == {given.sha256: given.text}


def test_what_differs_otherwise_is_not_made_again() -> None:
    given = userdata.render(changed(NOW, heartbeat_ms=250))["azure-lab-05"]
    assert joined(NOW, {"azure-lab-05": given.sha256}, {}) == {}


def test_nobody_has_found_those_who_were_added_later() -> None:
    now = changed(NOW, removed=("azure-lab-02", "azure-lab-06"))
    found = [[member.name for member in one] for one in memberships(now.etcd, "azure-lab-05")]
    five = [*NAMES, "azure-lab-05"]
    assert found[:2] == [[name for name in five if name != "azure-lab-02"], five]
    assert all("azure-lab-05" in one for one in found)
    assert len({*map(tuple, found)}) == 2 + 4 + 4 - 2, "each once, but where the removed one had come meanwhile"
