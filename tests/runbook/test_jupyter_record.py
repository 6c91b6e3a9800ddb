"""Records of runs in JupyterLab: the saved notebook is checked against the journal, whatever was done in between."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from corelib.cli import main
from corelib.errors import RunbookError
from corelib.project import Project
from corelib.record import read, records
from corelib.record.chain import verify_all
from corelib.record.verify import notebook_findings, verify
from corelib.runbook.filing import collect
from tests.project import lay_out

from .jupyter import Lab, opened


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with opened(lay_out(tmp_path / "project"), "render") as lab:
        yield lab


def _record(lab: Lab) -> Path:
    (one,) = records(lab.path.parent.parent)
    return Path(one.path)


def _problems(lab: Lab) -> list[str]:
    saved = lab.save(lab.path.parent.parent / "saved.ipynb")
    folder = _record(lab)
    return [f"{one.where}: {one.message}" for one in notebook_findings(folder, saved.read_bytes(), read(folder))]


NOISY = """
import sys, threading, time
from IPython.display import HTML, clear_output, display
print("one\\rtwo\\b three", end="")
print("err", file=sys.stderr)
shown = display(HTML("<b>first</b>"), display_id=True)
print("gone soon")
clear_output(wait=True)
display(HTML("<i>stays</i>"))
shown = display(HTML("<b>first</b>"), display_id=True)
def late():
    time.sleep(1.0)
    print("late")
threading.Thread(target=late).start()
display({"image/png": "iVBORw0KGgo=\\n", "text/plain": "a picture"}, raw=True)
"""


def test_every_kind_of_output_is_the_same_in_the_journal_and_in_the_saved_notebook(lab: Lab) -> None:
    begin, parameters, read_, documents, finish = lab.code()
    assert [lab.run(cell) for cell in (begin, parameters, read_)] == ["ok"] * 3
    noisy = lab.add(NOISY, 6)
    update = lab.add("import time; time.sleep(1.5); shown.update(HTML('<b>second</b>'))", 7)
    failing = lab.add("1 / 0", 8)
    assert [lab.run(cell) for cell in (noisy, update, failing, documents, finish)] == ["ok", "ok", "error", "ok", "ok"]
    assert json.dumps([noisy["outputs"], update["outputs"]]).count("late") == 1
    assert "second" in json.dumps(noisy["outputs"])
    problems = _problems(lab)
    assert all("runbook's own" in problem for problem in problems), problems


def test_a_plain_run_is_collected_once_and_verifies(lab: Lab) -> None:
    for cell in lab.code():
        assert lab.run(cell) == "ok"
    root = lab.path.parent.parent
    folder = collect(lab.save(root / "saved.ipynb"), Project(root))
    found = verify(folder)
    assert (found.intact, found.sealed, found.outcome) == (True, True, "succeeded")
    assert {path.name for path in folder.iterdir()} == {"journal.jsonl", "notebook.ipynb", "record.html", "files.json"}
    with pytest.raises(RunbookError, match="never overwritten"):
        collect(root / "saved.ipynb", Project(root))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda cells: cells[5].update(source="run.parameters(globals())\n"), "cell 6 ('run.parameters(globals())')"),
        (lambda cells: cells[7]["outputs"].clear(), "outputs are not those of execution 4: 1 removed"),
        (lambda cells: cells[7]["outputs"].append(cells[1]["outputs"][0]), "output 2 inserted"),
        (lambda cells: cells.pop(7), "the cell of execution 4 was removed"),
        (lambda cells: cells.insert(3, dict(cells[7], id="x")), "the kernel never ran it"),
        (lambda cells: cells[4].update(source="## Something else"), "not the runbook's own"),
        (lambda cells: cells.pop(0), "1 of the runbook's cells were removed before cell"),
        (lambda cells: cells[9].update(execution_count=99), "it says In [99], and was In [5]"),
    ],
)
def test_what_was_altered_is_named(lab: Lab, change: Any, words: str) -> None:
    for cell in lab.code():
        lab.run(cell)
    assert _problems(lab) == []
    change(lab.notebook["cells"])
    assert words in "\n".join(_problems(lab))


def test_cells_run_twice_and_out_of_order_are_what_they_are(lab: Lab) -> None:
    begin, parameters, read_, documents, finish = lab.code()
    for cell in (begin, parameters, read_, documents, read_, documents, finish):
        assert lab.run(cell) == "ok"
    assert _problems(lab) == []
    assert verify(_record(lab)).intact


def test_a_cell_edited_after_it_ran_is_told(lab: Lab) -> None:
    for cell in lab.code():
        lab.run(cell)
    lab.code()[3]["source"] = "run.documents('as-written')"
    assert "its source is not what the kernel ran as execution 4" in "\n".join(_problems(lab))


def test_what_is_run_before_the_run_begins_is_clear(lab: Lab) -> None:
    documents = lab.code()[3]
    assert lab.run(documents) == "error"
    assert "name 'run' is not defined" in json.dumps(documents["outputs"])
    assert records(lab.path.parent.parent) == []


def test_beginning_again_closes_the_run_before(lab: Lab) -> None:
    begin, parameters, read_, documents, finish = lab.code()
    for cell in (begin, parameters, read_, begin, parameters, read_, documents, finish):
        assert lab.run(cell) == "ok"
    found = records(lab.path.parent.parent)
    assert [one.outcome for one in found] == ["interrupted", "succeeded"]
    assert all(verify(Path(one.path)).intact for one in found)


def test_the_record_of_a_notebook_is_the_run_that_it_was_not_another_that_it_names(lab: Lab) -> None:
    begin, parameters, read_, documents, finish = lab.code()
    root = lab.path.parent.parent
    for cell in (begin, parameters, read_, documents, finish):
        lab.run(cell)
    lab.run(begin)
    refusal = f"it is locked by op@host, pid 7, since now, run {records(root)[0].id}"
    telling = lab.add(f"from corelib.errors import Refused; raise Refused('applying', {refusal!r})", 6)
    assert [lab.run(cell) for cell in (parameters, read_, documents, telling, finish)][-2:] == ["error", "ok"]
    collected = collect(lab.save(root / "saved.ipynb"), Project(root))
    assert collected.name == records(root)[-1].id
    lab.run(documents)
    lab.run(finish)
    continued = records(root)[-1]
    assert read(Path(continued.path))[0]["continues"] == collected.name
    assert collect(lab.save(root / "saved.ipynb"), Project(root)).name == continued.id


def test_a_cell_that_failed_is_made_good_by_itself_only(lab: Lab) -> None:
    begin, parameters, read_, documents, finish = lab.code()
    failing, other = lab.add("1 / divisor", 6), lab.add("divisor = 1", 7)
    root = lab.path.parent.parent
    for cell in (begin, parameters, read_, failing, other, documents, finish):
        assert lab.run(cell) == ("error" if cell is failing else "ok")
    assert records(root)[-1].outcome == "failed"
    for cell in (begin, parameters, read_, failing, documents, finish):
        assert lab.run(cell) == "ok"
    assert records(root)[-1].outcome == "succeeded"
    failing["source"] = "1 / 0"
    for cell in (begin, parameters, read_, failing):
        lab.run(cell)
    failing["source"] = "1 / divisor"
    for cell in (failing, documents, finish):
        assert lab.run(cell) == "ok"
    assert records(root)[-1].outcome == "succeeded", "the same cell, corrected"


def test_a_run_that_chose_another_environment_is_held_against_that_ones_ledger(lab: Lab) -> None:
    begin, parameters, read_, documents, finish = lab.code()
    choose = lab.add("run._choose('prd')", 6)
    for cell in (begin, parameters, read_, documents, finish, begin, parameters, read_, choose, read_, finish):
        assert lab.run(cell) == "ok"
    found = {one.environment: verify(Path(one.path)) for one in records(lab.path.parent.parent)}
    assert {name: one.findings[:-1] for name, one in found.items()} == {"lab": (), "prd": ()}
    assert all(one.intact for one in found.values())
    assert verify_all(lab.path.parent.parent / "records" / "lab").intact


def test_a_secret_of_the_second_run_is_hidden_too(lab: Lab) -> None:
    (lab.path.parent.parent / "secret").write_text("hunter2-hunter2\n")
    begin, parameters, read_, *_ = lab.code()
    telling = lab.add("print(run.secret('file:secret'))", 6)
    for cell in (begin, parameters, read_, begin, parameters, read_):
        lab.run(cell)
    assert lab.run(telling) == "ok"
    assert "hunter2" not in json.dumps(lab.notebook)
    assert "[secret " in json.dumps(telling["outputs"])


def test_a_run_whose_kernel_was_killed_is_sealed_and_its_draft_filed_by_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = lay_out(tmp_path / "project")
    monkeypatch.setenv("RUNBOOKS_ROOT", str(root))
    with opened(root, "render") as lab:
        for cell in lab.code()[:3]:
            lab.run(cell)
        (one,) = records(root)
        assert (one.outcome, main(["seal", one.id])) == ("running", 3)
        assert "it is still being written" in capsys.readouterr().err
        os.kill(read(Path(one.path))[0]["pid"], signal.SIGKILL)
        while records(root)[0].outcome == "running":
            time.sleep(0.05)
        saved = lab.save(root / "saved.ipynb")
    assert main(["collect", str(saved)]) == 3
    assert f"runbooks seal {one.id}" in capsys.readouterr().err
    assert main(["seal", one.id[-6:]]) == 0
    assert main(["collect", str(saved)]) == 0
    assert main(["show", one.id]) == 0
    assert "render in lab: interrupted" in capsys.readouterr().out
    assert main(["verify-record", str(root / "records" / "lab")]) == 0
    assert main(["prune", "--keep", "1h", "--environment", "lab"]) == 0
    assert "0 records would be removed" in capsys.readouterr().out
