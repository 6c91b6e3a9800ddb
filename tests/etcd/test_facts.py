"""A verdict as data, what a person types to see a fault, and what changed between two runs."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from corelib.etcd.case import CLUSTER, Check
from corelib.etcd.commands import see
from corelib.etcd.facts import facts, since
from corelib.etcd.judge import Intended, judge
from corelib.etcd.samples import Samples, Status

from .samples import IDENTITY, LISTED, MEMBERS, TOKEN, answered, healthy, spoilt
from .test_judge import DOWN

INTENDED = Intended(MEMBERS, MEMBERS, TOKEN, 500, 2500)


def told(samples: Samples) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(facts(judge(INTENDED, samples), samples, INTENDED)))
    return found


def test_a_verdict_is_plain_data() -> None:
    found = told(healthy())
    assert (found["verdict"], found["leader"]) == ("healthy", "azure-prd-03")
    assert found["members"]["azure-prd-02"] == {
        "address": "10.1.0.2",
        "version": "3.5.16",
        "id": f"{IDENTITY.members['azure-prd-02']:x}",
        "database_mb": 1.0,
        "used_mb": 1.0,
        "round_trip_ms": 0.0,
    }
    assert {check["state"] for check in found["checks"]} == {"passed"}


def test_what_a_dead_member_did_not_tell_is_null() -> None:
    found = told(spoilt(healthy(), 1, **DOWN))
    assert found["members"]["azure-prd-02"]["version"] is None
    (fault,) = [finding for finding in found["findings"] if finding["severity"] == "error"]
    assert fault["where"] == "azure-prd-02"


def test_nothing_changed_between_two_equal_runs() -> None:
    assert since(told(healthy()), told(healthy())) == []


def grown(size: int, leader: int = LISTED[2].id) -> Samples:
    status = Status(IDENTITY.cluster, LISTED[0].id, leader, 7, "3.5.16", size, (), size, 30, 30)
    return spoilt(healthy(), 0, after=answered(status))


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (spoilt(healthy(), 1, **DOWN), "azure-prd-02 answered, and does not now"),
        (spoilt(healthy(), 1, version=answered("3.5.30")), "azure-prd-02: etcd 3.5.16 → 3.5.30"),
        (grown(200 << 20), "azure-prd-01: its database grew 1 → 200 MiB"),
        (spoilt(healthy(), 0, rounds=(0.3, 0.3)), "azure-prd-01: its round trip grew 0 → 297 ms"),
    ],
)
def test_each_change_has_its_words(samples: Samples, words: str) -> None:
    assert words in since(told(healthy()), told(samples))


def test_another_leader_another_id_and_other_members_are_changes() -> None:
    now = told(healthy())
    now["leader"] = "azure-prd-01"
    now["members"]["azure-prd-04"]["id"] = "abc"
    now["members"]["azure-prd-05"] = now["members"].pop("azure-prd-02")
    changes = since(told(healthy()), now)
    assert changes[0] == "azure-prd-03 led, now azure-prd-01 does"
    assert "azure-prd-05 is asked now, and was not" in changes
    assert "azure-prd-02 was asked, and is not now" in changes
    assert f"azure-prd-04: another member since: id {IDENTITY.members['azure-prd-04']:x} → abc" in changes


def row(check: str, member: str = "azure-prd-02") -> Check:
    return Check(member, check, "", "", "failed")


def test_every_check_has_a_command_that_a_shell_can_read() -> None:
    checks = {(one.check, one.member) for one in judge(INTENDED, healthy()).rows}
    for check, member in checks:
        command = see(row(check, member), INTENDED)
        assert shlex.split(command)
        assert ("10.1.0.2" in command) == (member == "azure-prd-02") or member == CLUSTER or "endpoint" in command


def test_where_only_hosts_reach_the_addresses_one_logs_in_first() -> None:
    logins = {"azure-prd-02": "ssh -p 2202 core@203.0.113.5"}
    there = INTENDED._replace(logins=logins, only_from_hosts=True)
    assert see(row("alarms"), there) == (
        'ssh -p 2202 core@203.0.113.5 "etcdctl --endpoints=http://10.1.0.2:2379 alarm list"'
    )
    here = INTENDED._replace(logins=logins)
    assert see(row("alarms"), here) == "etcdctl --endpoints=http://10.1.0.2:2379 alarm list"
    assert see(row("host"), here).startswith('ssh -p 2202 core@203.0.113.5 "systemctl status etcd-member.service')
