"""Whole runs of deploy-azure beside others, after a pause, and after somebody else has changed something."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from corelib.record import read
from tests.faults.tables import Table

from .runs import SUBSCRIPTION, Place, place

GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/azure-lab-b"


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Place]:
    with place(tmp_path / "at") as here:
        yield here


def _stopped(process: Any) -> None:
    """Wait until a process stands still (proc(5))."""
    end = time.monotonic() + 60
    while Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        assert time.monotonic() < end
        threading.Event().wait(0.05)


def _events(at: Place) -> list[dict[str, Any]]:
    return read(Path(at.record.path))


def test_azure_has_one_operator_at_a_time_and_a_pause_of_an_hour_is_survived(at: Place, azure_matrix: Table) -> None:
    """The first stands still in the middle, its lock held, for an hour of its clock; then it looks again and goes on."""
    first = at.start("plan, then apply", ("event", 30, "SIGSTOP"), 900.0)
    _stopped(first)
    begun = time.monotonic()
    assert at.run(at.digest) != 0
    assert "it is locked by" in at.said
    assert at.record.outcome == "refused"
    azure_matrix.rows.append(("two operators at once", "0", "refused", "names who holds the lock"))
    threading.Event().wait(max(0.0, 4.0 - (time.monotonic() - begun)))
    os.kill(first.pid, signal.SIGCONT)
    first.join(60)
    assert first.exitcode == 0, at.said
    done = [one for one in _all(at) if one[-1].get("kind") == "end" and any(e["kind"] == "slept" for e in one)]
    assert len(done) == 1
    approvals = [entry for entry in done[0] if entry["kind"] == "approval"]
    assert len(approvals) == 2, "it was looked at again before the next step"
    assert set(at.requests().values()) == {1}
    azure_matrix.rows.append(("stopped for an hour", str(at.requests().total()), "succeeded", "looked again, went on"))


def _all(at: Place) -> list[list[dict[str, Any]]]:
    return [read(journal.parent) for journal in (at.root / "records/lab").glob("*/journal.jsonl")]


@pytest.mark.faults
def test_azure_is_left_alone_where_an_approval_has_expired(at: Place, azure_matrix: Table) -> None:
    assert at.run("plan, then apply", ("event", 30, "SIGKILL")) != 0
    before = at.settled()
    file = at.root / "state/lab/plans" / f"{at.digest}.json"
    stored = json.loads(file.read_text())
    stored["at"] = (datetime.fromisoformat(stored["at"]) - timedelta(hours=24, minutes=1)).isoformat()
    file.write_text(json.dumps(stored))
    assert at.run(at.digest) != 0
    assert "valid for 24 h" in at.said
    assert (at.record.outcome, at.requests()) == ("refused", before)
    azure_matrix.rows.append(("approval expired", "0", "refused", "says until when it was valid"))


@pytest.mark.faults
def test_azure_is_left_alone_where_somebody_came_between_plan_and_apply(at: Place, azure_matrix: Table) -> None:
    assert at.run("plan") == 0, at.said
    theirs = {"location": "northeurope", "tags": {"owner": "them"}}
    assert at.lab.call("PUT", GROUP, theirs).status_code == 201
    assert at.run(at.digest) != 0
    assert "azure-lab-b/group/azure-lab-b" in at.said
    assert "not ours" in at.said
    assert (at.record.outcome, at.requests().total()) == ("refused", 1)
    azure_matrix.rows.append(("somebody's group of our name", "0", "refused", "names it"))


@pytest.mark.faults
def test_azure_is_left_alone_where_a_step_was_not_approved(at: Place, azure_matrix: Table) -> None:
    """A rule was opened, which the plan would close; then somebody deletes an address."""
    assert at.run("plan, then apply") == 0, at.said
    nsg = f"{GROUP}/providers/Microsoft.Network/networkSecurityGroups/azure-lab-b-nsg"
    body = at.lab.call("GET", nsg).json()
    body["properties"]["securityRules"][0]["properties"]["sourceAddressPrefix"] = "*"
    assert at.lab.call("PUT", nsg, body).status_code == 200
    _settled(at, nsg)
    assert at.run("plan") == 0, at.said
    machine = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/azure-lab-04"
    assert at.lab.call("DELETE", machine).status_code == 202
    _settled(at, machine)
    before = at.requests()
    assert at.run(at.digest) != 0
    assert "this step was not approved: create azure-lab-b/" in at.said
    assert (at.record.outcome, at.requests()) == ("refused", before)
    azure_matrix.rows.append(("deleted between plan and apply", "0", "refused", "names the step"))


def _settled(at: Place, path: str) -> None:
    end = time.monotonic() + 10
    while at.lab.call("GET", path).json().get("properties", {}).get("provisioningState") in ("Updating", "Deleting"):
        assert time.monotonic() < end
        threading.Event().wait(0.05)
