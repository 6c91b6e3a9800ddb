"""install-hetzner on a lab of its own, as a user runs it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from corelib import lab
from corelib.record import read
from tests.project import lay_out

from . import papermill

NETWORK = "127.0.10.0/24"
LAB = ("-f", "parameters/lab.yaml")
WIPE = ("-y", 'consent: ["wipe wwn-0x5000c500a1b2c3d4"]')


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    folder = lay_out(tmp_path / "project", "127.0.10")
    lab.start(folder, NETWORK)
    try:
        yield folder
    finally:
        lab.stop(folder, NETWORK)


def test_plan_consent_install_and_no_change(root: Path) -> None:
    planned = papermill.run(root, "install-hetzner", *LAB)
    assert planned.record.outcome == "awaiting approval"
    (digest,) = set(re.findall(r"Digest: (plan-[0-9a-f]{16})", planned.shown))
    approve = ("-p", "approved_plan", digest)

    refused = papermill.run(root, "install-hetzner", *LAB, *approve)
    assert refused.record.outcome == "refused"
    assert "needs its own consent: 'wipe wwn-0x5000c500a1b2c3d4'" in refused.shown
    assert not [entry for entry in read(Path(refused.record.path)) if entry["kind"] == "step"]

    done = papermill.run(root, "install-hetzner", *LAB, *approve, *WIPE)
    assert (done.code, done.record.outcome) == (0, "succeeded")
    states = [entry["target"] for entry in read(Path(done.record.path)) if entry.get("phase") == "done"]
    assert states[0] == "ded-lab-01/planned"
    assert {"ded-lab-01/rescue pinned", "ded-lab-01/guarded", "ded-lab-01/installed", "ded-lab-01/verified"} <= set(
        states
    )
    password = (root / ".lab" / "127.0.10.0-24" / "robot-password").read_text().strip()
    for text in (done.terminal, str(done.notebook), str(read(Path(done.record.path)))):
        assert password not in text
        assert "PRIVATE KEY" not in text

    again = papermill.run(root, "install-hetzner", *LAB)
    assert again.record.outcome == "no change"


def test_a_disk_that_is_not_there_is_not_replaced_by_another(root: Path) -> None:
    file = root / "parameters" / "lab.yaml"
    file.write_text(file.read_text().replace("wwn-0x5000c500a1b2c3d4", "wwn-0x5000c500a1b2c300"))
    planned = papermill.run(root, "install-hetzner", *LAB)
    digest = re.findall(r"Digest: (plan-[0-9a-f]{16})", planned.shown)[0]
    before = _disks(root)
    consent = ("-y", 'consent: ["wipe wwn-0x5000c500a1b2c300"]')
    run = papermill.run(root, "install-hetzner", *LAB, "-p", "approved_plan", digest, *consent)
    assert run.record.outcome in ("failed", "refused")
    assert "wwn-0x5000c500a1b2c3d4" in run.shown, "the disks that are there are listed"
    assert "Traceback" not in run.shown
    assert before
    assert _disks(root) == before


def test_production_is_refused_until_the_guards_are_complete(root: Path) -> None:
    run = papermill.run(root, "install-hetzner", "-f", "parameters/prd.yaml")
    assert "cannot be approved" in run.shown
    for marked in ("fleet.dedicated[0].server", "fleet.dedicated[0].address", "fleet.dedicated[0].disk"):
        assert f"parameters/{marked}: still marked as an example" in run.shown
    assert run.record.outcome == "refused"


def _disks(root: Path) -> dict[str, str]:
    """The digests of what the disks hold; they are sparse, and all that is ever written lies in their first 64 MiB."""
    folder = root / ".lab" / "127.0.10.0-24" / "machines"
    return {str(file): _digest(file) for file in folder.rglob("*") if file.is_file() and file.stat().st_size > 1 << 30}


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.sha256(content.read(64 << 20)).hexdigest()
