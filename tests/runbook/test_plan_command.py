"""`runbooks plan`: what would be done, without a run; and the digest that it shows is approved like a notebook's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from corelib import lab
from corelib.record import Journal, read, records
from tests.project import lay_out

NETWORK = "127.0.22.0/24"
LAB = ("-f", "parameters/lab.yaml")


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    folder = lay_out(tmp_path / "project", "127.0.22")
    lab.start(folder, NETWORK)
    try:
        yield folder
    finally:
        lab.stop(folder, NETWORK)


def runbooks(root: Path, *arguments: str) -> tuple[int, str]:
    """A command as it is typed: exit code, and what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "corelib.cli", *arguments],
        cwd=root, env={**os.environ, "RUNBOOKS_ROOT": str(root)}, capture_output=True, text=True, timeout=150,
        check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def planned(root: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    code, said = runbooks(root, "plan", *arguments, "--json")
    return code, json.loads(said)


def test_it_is_looked_at_approved_by_digest_and_then_nothing_is_left(root: Path) -> None:
    code, plan = planned(root, "deploy-azure", *LAB)
    assert code == 6
    assert (plan["runbook"], plan["environment"], plan["blocked"]) == ("deploy-azure", "lab", [])
    assert sum(line.startswith("az vm create") for line in plan["by_hand"]) == 4
    assert len(plan["steps"]) == len(plan["order"]) == 22
    place = {target: number for number, target in enumerate(plan["order"])}
    assert all(place[one] < place[step["target"]] for step in plan["steps"] for one in step["after"])

    code, said = runbooks(root, "plan", "deploy-azure", *LAB)
    assert code == 6
    assert f"runbooks run deploy-azure -f parameters/lab.yaml --approved-plan {plan['digest']}" in said
    assert not (root / "records").exists(), "no record"
    assert not (root / "state/lab/lock").exists(), "no lock"
    assert lab.status(root, NETWORK).hosts == ()

    code, said = runbooks(root, "run", "deploy-azure", *LAB, "--approved-plan", plan["digest"])
    assert (code, "succeeded" in said) == (0, True), said
    applied = records(root, "lab")[-1]
    begun = [one for one in read(Path(applied.path)) if one["kind"] == "step" and one["phase"] == "begin"]
    assert {one["target"]: one["facts"]["after"] for one in begun} == {s["target"]: s["after"] for s in plan["steps"]}
    code, said = runbooks(root, "show", applied.id)
    assert (code, "22 steps in " in said, "Critical path: group " in said) == (0, True, True), said
    assert "<svg" in (Path(applied.path) / "record.html").read_text()
    assert planned(root, "deploy-azure", *LAB)[0] == 0
    code, said = runbooks(root, "plan", "deploy-azure", *LAB)
    assert (code, "nothing to do" in said, "approve" in said) == (0, True, False)

    # Whoever forgets what a plan was asked for is told, and does not hear that there is nothing to do.
    code, replacing = planned(root, "deploy-azure", *LAB, "--replace", "azure-lab-02")
    assert (code, replacing["consents"]) == (6, ["replace azure-lab-02"])
    code, said = runbooks(root, "run", "deploy-azure", *LAB, "--approved-plan", replacing["digest"])
    assert (code, "made for other wishes: replace azure-lab-02" in said) == (3, True), said
    whole = f"--replace azure-lab-02 --approved-plan {replacing['digest']} --consent 'replace azure-lab-02'"
    assert f"runbooks run deploy-azure -f parameters/lab.yaml {whole}" in said
    # The approval whose work is done is no such thing, and an unknown one is refused.
    assert runbooks(root, "run", "deploy-azure", *LAB, "--approved-plan", plan["digest"])[0] == 0
    asked = (*LAB, "--replace", "azure-lab-02", "--approved-plan", "plan-0123456789abcdef")
    code, said = runbooks(root, "run", "deploy-azure", *asked)
    assert (code, "was ever shown here" in said) == (3, True), said


@pytest.mark.faults  # long, and each part has tests of its own
def test_a_dedicated_machine_is_looked_at_too_and_its_consent_is_in_the_command(root: Path) -> None:
    code, look = planned(root, "install-hetzner", *LAB)
    assert (code, look["consents"]) == (6, []), "first a look at its disks"
    assert runbooks(root, "run", "install-hetzner", *LAB, "--approved-plan", look["digest"])[0] == 0
    code, said = runbooks(root, "plan", "install-hetzner", *LAB)
    assert code == 6
    assert "--consent 'wipe wwn-0x5000c500a1b2c3d4 of ded-lab-01'" in said
    assert said.count("stays as it is") == 1
    assert [one["wiped"] for one in planned(root, "install-hetzner", *LAB)[1]["disks"]].count(True) == 1


@pytest.mark.faults  # long, as it installs a machine twice
def test_a_dedicated_machine_that_is_well_is_installed_anew_once_where_that_is_asked_for(root: Path) -> None:
    wipe = ("--consent", "wipe wwn-0x5000c500a1b2c3d4 of ded-lab-01")
    asked = ("--replace", "ded-lab-01")

    def act(*more: str, asked: tuple[str, ...] = ()) -> str:
        """Plan, approve exactly that; returns its digest."""
        code, plan = planned(root, "install-hetzner", *LAB, *asked)
        assert code == 6
        approval = ("--approved-plan", plan["digest"])
        code, said = runbooks(root, "run", "install-hetzner", *LAB, *approval, *asked, *more)
        assert (code, "succeeded" in said) == (0, True), said
        return str(plan["digest"])

    assert runbooks(root, "run", "install-hetzner", *LAB, "--destroy", "ded-lab-01")[0] == 2
    code, said = runbooks(root, "plan", "install-hetzner", *LAB, "--replace", "ded-lab-02")
    assert (code, "replace: ded-lab-02: no dedicated machine" in said, "ded-lab-01" in said) == (2, True, True), said
    first = act(), act(*wipe)
    assert planned(root, "install-hetzner", *LAB)[0] == 0
    again = act(asked=asked), act(*wipe, asked=asked)
    assert len({*first, *again}) == 4, "no approval is of two of them"
    code, said = runbooks(root, "run", "install-hetzner", *LAB, *asked, *wipe, "--approved-plan", again[1])
    assert (code, "no change" in said) == (0, True), said
    for digest in first:
        code, said = runbooks(root, "run", "install-hetzner", *LAB, *asked, *wipe, "--approved-plan", digest)
        assert (code, "made for other wishes" in said) == (3, True), said


def test_what_is_blocked_cannot_be_approved(root: Path) -> None:
    code, plan = planned(root, "deploy-azure", "-f", "parameters/prd.yaml")
    assert code == 4
    assert "parameters/fleet.azure.tenant" in plan["blocked"]
    code, said = runbooks(root, "plan", "deploy-azure", "-f", "parameters/prd.yaml")
    assert (code, "cannot be approved" in said, "--approved-plan" in said) == (4, True, False)


def test_a_mistake_is_told_in_a_sentence(root: Path) -> None:
    code, said = runbooks(root, "plan", "deploy-azure", "-f", "parameters/none.yaml")
    assert code == 2
    assert "reading parameters/none.yaml" in said


def test_what_shall_be_destroyed_is_known_to_azure_the_parameters_or_a_record(root: Path) -> None:
    destroy = ("plan", "deploy-azure", *LAB, "--destroy")
    code, said = runbooks(root, *destroy, "nosuch")
    assert (code, "destroy: nosuch: neither there, nor in the parameters, nor in a record" in said) == (2, True), said
    code, said = runbooks(root, *destroy, "azure-lab-b")
    assert (code, "nothing to do" in said) == (0, True), "it is in the parameters, and has gone"
    journal = Journal(root / "records" / "lab" / "20260101T000000Z-deploy-azure-000000")
    journal.write("step", target="nosuch/disk/azure-lab-09-etcd", phase="done", detail="", facts={})
    journal.close()
    for name in ("nosuch", "nosuch/disk/*"):
        code, said = runbooks(root, *destroy, name)
        assert (code, "nothing to do" in said) == (0, True), "it has left the parameters since"
