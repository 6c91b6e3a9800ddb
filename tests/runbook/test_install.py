"""install-hetzner on a lab of its own, as a user runs it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from corelib import lab
from corelib.hetzner.facts import Note
from corelib.hetzner.memory import Memory
from corelib.hetzner.robot import Robot
from corelib.record import read
from corelib.ssh import KeyPair
from tests.project import ROOT, lay_out

from . import papermill

NETWORK = "127.0.10.0/24"
LAB = ("-f", "parameters/lab.yaml")
WIPE = ("-y", 'consent: ["wipe wwn-0x5000c500a1b2c3d4 of ded-lab-01"]')


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    folder = lay_out(tmp_path / "project", "127.0.10")
    lab.start(folder, NETWORK)
    try:
        yield folder
    finally:
        lab.stop(folder, NETWORK)


def test_look_plan_consent_install_and_no_change(root: Path) -> None:
    looked = _approved(root)
    assert looked.record.outcome == "succeeded"
    assert "1 to create can be planned now: run again." in looked.shown
    assert _done(looked)[-1] == "ded-lab-01/tidied"
    assert not any("wiped" in state for state in _done(looked))

    planned = papermill.run(root, "install-hetzner", *LAB)
    assert planned.record.outcome == "awaiting approval"
    assert re.search(r"ded-lab-01 +wwn-0x5000c500a1b2c3d4 .* WIPED", planned.shown)
    assert re.search(r"ded-lab-01 +wwn-0x5000c500a1b2c3ff .* stays as it is", planned.shown)
    approve = ("-p", "approved_plan", _digest_of(planned))

    refused = papermill.run(root, "install-hetzner", *LAB, *approve)
    assert refused.record.outcome == "refused"
    assert "needs its own consent: 'wipe wwn-0x5000c500a1b2c3d4 of ded-lab-01'" in refused.shown
    assert not [entry for entry in read(Path(refused.record.path)) if entry["kind"] == "step"]

    done = papermill.run(root, "install-hetzner", *LAB, *approve, *WIPE)
    assert (done.code, done.record.outcome) == (0, "succeeded")
    assert {"ded-lab-01/guarded", "ded-lab-01/wiped", "ded-lab-01/installed", "ded-lab-01/verified"} <= set(_done(done))
    for words in (
        "state by state",
        "Wiped: wwn-0x5000c500a1b2c3d4 (/dev/sd",
        "and no other disk",
        "what you would type without",
    ):
        assert words in done.shown
    password = (root / ".lab" / "127.0.10.0-24" / "robot-password").read_text().strip()
    for text in (done.terminal, str(done.notebook), str(read(Path(done.record.path)))):
        assert password not in text
        assert "PRIVATE KEY" not in text
    (note,) = (root / "state/lab/installs").glob("*.json")
    assert Memory(note).note == Note(installs=1), "of an install that has ended only that is remembered"

    robot, key = _leave_a_key(root)
    tidied = _approved(root)
    assert tidied.record.outcome == "succeeded", tidied.shown[-2000:]
    assert _done(tidied) == ["ded-lab-01/tidied"]
    assert key not in robot.key_names()

    again = papermill.run(root, "install-hetzner", *LAB)
    assert again.record.outcome == "no change"


def test_a_disk_that_is_not_there_is_not_replaced_by_another(root: Path) -> None:
    file = root / "parameters" / "lab.yaml"
    file.write_text(file.read_text().replace("wwn-0x5000c500a1b2c3d4", "wwn-0x5000c500a1b2c300"))
    before = _disks(root)
    looked = _approved(root)
    run = papermill.run(root, "install-hetzner", *LAB)
    assert looked.record.outcome == "succeeded", "it was a look, and that went well"
    for words in (
        "What follows is blocked now:",
        "no disk has the name wwn-0x5000c500a1b2c300; disks seen: wwn-0x5000c500a1b2c3d4 (/dev/sd",
        "nothing was written: name one of these as the disk of ded-lab-01",
    ):
        assert words in looked.shown
    assert "no disk has the name wwn-0x5000c500a1b2c300" in run.shown
    assert "wwn-0x5000c500a1b2c3d4" in run.shown, "the disks that are there are listed"
    assert "cannot be approved" in run.shown
    assert "Traceback" not in run.shown
    assert before
    assert _disks(root) == before


def test_an_install_script_that_is_not_the_pinned_one_is_not_taken(root: Path) -> None:
    file = root / "parameters" / "lab.yaml"
    file.write_text(re.sub(r'installer_sha256: "[0-9a-f]{64}"', f'installer_sha256: "{"ab" * 32}"', file.read_text()))
    run = papermill.run(root, "install-hetzner", *LAB)
    assert run.code != 0
    assert f"the parameters say {'ab' * 32}" in run.shown
    assert "read it, and give its path and SHA-256" in run.shown


def test_the_script_of_the_lab_is_the_one_that_its_parameters_pin() -> None:
    content = (ROOT / "corelib/lab/files/flatcar-install").read_bytes()
    assert hashlib.sha256(content).hexdigest() in (ROOT / "parameters/lab.yaml").read_text()


def test_production_is_refused_while_values_are_examples(root: Path) -> None:
    run = papermill.run(root, "install-hetzner", "-f", "parameters/prd.yaml")
    assert "cannot be approved" in run.shown
    for marked in ("fleet.dedicated[0].server", "fleet.dedicated[0].address", "fleet.dedicated[0].disk"):
        assert f"parameters/{marked}: still marked as an example" in run.shown
    assert run.record.outcome == "refused"


def _approved(root: Path) -> papermill.Run:
    """Plan, and apply exactly that."""
    planned = papermill.run(root, "install-hetzner", *LAB)
    return papermill.run(root, "install-hetzner", *LAB, "-p", "approved_plan", _digest_of(planned))


def _leave_a_key(root: Path) -> tuple[Robot, str]:
    """As an install does whose Robot is in maintenance at its end."""
    folder, inventory = root / ".lab" / "127.0.10.0-24", root / "state" / "lab" / "inventory.json"
    login = (folder / "robot-user").read_text(), (folder / "robot-password").read_text()
    robot = Robot("https://127.0.10.250:8445", *login, str(folder / "ca.pem"))
    key = robot.add_key("coreos-runbooks ded-lab-01 (temporary)", KeyPair.new("left").public)
    known = json.loads(inventory.read_text())
    known["dedicated"]["ded-lab-01"] |= {"left_behind": "our key", "left_key": key}
    inventory.write_text(json.dumps(known))
    return robot, key


def _digest_of(run: papermill.Run) -> str:
    (digest,) = set(re.findall(r"Digest: (plan-[0-9a-f]{16})", run.shown))
    return digest


def _done(run: papermill.Run) -> list[str]:
    return [entry["target"] for entry in read(Path(run.record.path)) if entry.get("phase") == "done"]


def _disks(root: Path) -> dict[str, str]:
    """The digests of what the disks hold; they are sparse, and all that is ever written lies in their first 64 MiB."""
    folder = root / ".lab" / "127.0.10.0-24" / "machines"
    return {str(file): _digest(file) for file in folder.rglob("*") if file.is_file() and file.stat().st_size > 1 << 30}


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.sha256(content.read(64 << 20)).hexdigest()
