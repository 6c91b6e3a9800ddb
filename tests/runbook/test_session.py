"""A run outside any kernel: what it keeps beside its journal, and that nothing of it is overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest

from corelib import runbook
from corelib.record import read
from corelib.record.verify import verify
from corelib.runbook.session import Session
from tests.project import lay_out


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    monkeypatch.setenv("RUNBOOKS_ROOT", str(lay_out(tmp_path / "project")))
    return runbook.begin("render")


def test_an_artefact_that_is_kept_again_and_differs_gets_a_number(run: Session) -> None:
    contents = [{"plan": 1}, {"plan": 2}, {"plan": 1}, {"plan": 2}, {"plan": 3}]
    assert [run._keep("plan.json", one).name for one in contents] == [
        "plan.json", "plan-2.json", "plan.json", "plan-2.json", "plan-3.json",
    ]  # fmt: skip
    run.leave()
    folder = run._journal.folder
    assert {path.name for path in folder.iterdir()} == {"journal.jsonl", "plan.json", "plan-2.json", "plan-3.json"}
    assert verify(folder).intact
    assert len([entry for entry in read(folder) if entry["kind"] == "artefact"]) == 5


@pytest.mark.parametrize("name", ["plan.json", "plan-2.json"])
def test_each_artefact_is_held_against_what_was_said_when_it_was_written(run: Session, name: str) -> None:
    """Also while the run has no end that lists them all."""
    for one in ({"plan": 1}, {"plan": 2}):
        run._keep("plan.json", one)
    file = run._journal.folder / name
    assert verify(file.parent).intact
    file.write_text("{}")
    assert [(one.kind, one.where) for one in verify(file.parent).findings if one.kind != "open"] == [("altered", name)]
    file.unlink()
    assert "it was removed" in str(verify(file.parent).findings)
    run.leave()


def test_what_a_crash_left_half_written_accuses_nobody(run: Session) -> None:
    run._keep("plan.json", {"plan": 1})
    run.leave()
    (run._journal.folder / ".plan.json.4711").write_text("{")
    found = verify(run._journal.folder)
    assert found.intact
    assert ("note", ".plan.json.4711") in [(one.kind, one.where) for one in found.findings]
