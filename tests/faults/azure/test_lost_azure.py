"""Machines that somebody else deletes: what was there and is lost never looks as if it never was, with real etcd."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from corelib import lab
from corelib.project import Project
from corelib.runbook.deploy_azure import DeployAzure
from corelib.runbook.looking import Look
from tests.faults.tables import Row

from .lives import Life, life
from .test_life_azure import cloud, healthy

pytestmark = pytest.mark.faults
NETWORK = "127.0.91."
FOUNDING_NETWORK = "127.0.92."
LOST = ("azure-lab-02", "azure-lab-03", "azure-lab-04")


def look(one: Life, **asked: list[str]) -> Look:
    """As `runbooks plan`."""
    return DeployAzure.look(one.file, asked, Project(one.root))


def blocked(found: Look) -> dict[str, str]:
    return {step.target: step.why for step in found.plan.blocked}


def _quicker(one: Life) -> None:
    """Looks wait less for a leader that does not come."""
    one.edit(**{"heartbeat_ms: 500": "heartbeat_ms: 100", "election_ms: 2500": "election_ms: 500"})


def kill(one: Life, name: str) -> None:
    pid = one.hosts()[name].etcd_pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def test_a_first_deployment_that_fails_half_way_has_founded_nothing_and_goes_on(
    tmp_path: Path, azure_lives: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of four founders wait for each other."""
    with life(tmp_path, FOUNDING_NETWORK) as one:
        monkeypatch.setenv("RUNBOOKS_ROOT", str(one.root))
        monkeypatch.setenv("NO_PROXY", "127.0.0.0/8")
        _quicker(one)
        at = lab.status(one.root, f"{one.network}0/24").endpoints
        assert at is not None
        full = {"do": "answer", "method": "PUT", "status": 409, "code": "SkuNotAvailable"}
        lab.faults(at, [{**full, "path": f"*/virtualMachines/azure-lab-0{n}"} for n in (3, 4)])
        one.apply()
        assert "SkuNotAvailable" in one.said
        assert set(one.hosts()) == {"azure-lab-01", "azure-lab-02"}
        for _ in range(2):
            found = one.verified().verdict
            assert found.sentence.startswith("awaiting azure-lab-03 and azure-lab-04; no quorum is possible with 2")
            assert look(one).state == "awaiting approval"
        without = look(one, destroy=["azure-lab-a"])
        assert without.plan.consents == ("destroy azure-lab-a",), "there is nothing to keep a snapshot of"
        assert one.resume().outcome == "succeeded", one.said
        healthy(one)
        azure_lives.append(("a first deployment that fails half way", "awaiting, and goes on under its approval", ""))


def test_what_somebody_takes_away_is_lost_and_what_we_take_away_is_gone(
    tmp_path: Path, azure_lives: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    with life(tmp_path, NETWORK) as one:
        monkeypatch.setenv("RUNBOOKS_ROOT", str(one.root))
        monkeypatch.setenv("NO_PROXY", "127.0.0.0/8")
        _quicker(one)
        assert one.apply().outcome == "succeeded", one.said
        _quorum_lost(one)
        healthy(one)
        _site_destroyed(one)
        azure_lives.append(("three of four machines are deleted by somebody", "lost, guarded, and deployed again", ""))


def _quorum_lost(one: Life) -> None:
    """Nobody has verified before: only the last member knows that there was a quorum."""
    machines = cloud(one).compute.virtual_machines
    for name in LOST:
        machines.begin_delete(f"azure-lab-{'a' if name == LOST[0] else 'b'}", name).wait()
    before = one.verified().verdict
    assert (before.kind, "quorum lost: 1 of 4" in before.sentence) == ("unhealthy", True), before.sentence

    again = look(one)
    assert again.state == "awaiting approval", "they come back with their disks"
    after = one.verified().verdict
    assert (after.kind, "quorum lost: 1 of 4" in after.sentence) == ("unhealthy", True), after.sentence
    assert "azure-lab-02, azure-lab-03 and azure-lab-04 has no machine any more" in after.sentence
    assert "restart" not in after.margin, after.margin

    one.edit(**{"Standard_B2s_v2\n      network: 10.20": "Standard_B2ms\n      network: 10.20"})
    assert "etcd/member/azure-lab-01" in blocked(look(one)), "it is not switched off"
    one.edit(Standard_B2ms="Standard_B2s_v2")
    why = blocked(look(one, destroy=["azure-lab-a", "azure-lab-a/disk/*"]))["etcd/member/azure-lab-01"]
    assert "azure-lab-03, azure-lab-04 would stay" in why
    everything = look(one, destroy=["azure-lab-a", "azure-lab-b", "azure-lab-?/*"])
    assert "destroy azure-lab-a without a snapshot of etcd" in everything.plan.consents

    inventory = one.root / "state" / "lab" / "inventory.json"
    inventory.unlink()  # as it is for another operator, who knows of no machine that is gone
    look(one)
    elsewhere = one.verified().verdict
    assert (elsewhere.kind, "quorum lost: 1 of 4" in elsewhere.sentence) == ("unhealthy", True), elsewhere.sentence
    assert one.apply().outcome == "succeeded", one.said


def _site_destroyed(one: Life) -> None:
    assert "take azure-lab-b out of fleet.clusters" in "".join(look(one, destroy=["azure-lab-b"]).plan.warnings)
    assert one.apply(destroy=["azure-lab-b"]).outcome == "succeeded", one.said
    lines = re.search(r"removed: \[(.*)\]", one.said)
    assert lines is not None, "the result says it too"
    assert lines[1] == "azure-lab-03, azure-lab-04"
    well = one.verified().verdict
    assert well.sentence.startswith(
        "awaiting azure-lab-03 and azure-lab-04; the other 2 of 4 serve; 2 voters, quorum 2"
    )
    forbidden = {"etcd/member/azure-lab-03", "etcd/member/azure-lab-04"}
    assert set(blocked(look(one))) == forbidden
    kill(one, "azure-lab-02")
    assert set(blocked(look(one))) == forbidden, "no more is allowed where etcd is dead"
    lost = one.verified().verdict
    assert (lost.kind, "quorum lost: 1 of 2, needs 2: restart azure-lab-02; " in lost.sentence) == ("unhealthy", True)
    kill(one, "azure-lab-01")
    assert set(blocked(look(one))) == forbidden, "nobody answers, and who was in it is remembered"
    assert one.verified().verdict.kind == "unhealthy"

    text = one.file.read_text()
    site = re.search(r"    - name: azure-lab-b\n.*?(?=\n  hetzner:)", text, re.DOTALL)
    assert site is not None
    last = f"      azure-lab-04: {one.network}4\n"
    one.edit(**{site[0]: "", last: f"{last}    removed: [{lines[1]}]\n"})
    assert look(one).state == "nothing to do", "what was said is what is needed"
