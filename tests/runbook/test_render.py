"""render under papermill: what a user sees, and what a mistake does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from corelib.cli import main
from corelib.record import read, records
from tests.project import lay_out

from . import papermill


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return lay_out(tmp_path / "project")


def test_it_renders_from_the_root_and_from_the_runbooks_folder(root: Path) -> None:
    first = papermill.run(root, "render", "-f", "parameters/lab.yaml")
    again = papermill.run(root, "render", "-f", "../parameters/lab.yaml", cwd=root / "parameters")
    for run in (first, again):
        assert (run.code, run.record.outcome) == (0, "succeeded")
        assert "5 documents rendered, profile bootable." in run.shown
    assert "none" in first.shown
    assert "the same" in again.shown
    assert (root / "state" / "lab" / "rendered" / "azure-lab-01.yaml").read_text().startswith("#cloud-config\n")


def test_without_a_file_the_environment_names_it(root: Path) -> None:
    run = papermill.run(root, "render", "-p", "environment", "prd", "-p", "reason", "ticket 7")
    assert (run.record.outcome, run.record.environment, run.record.reason) == ("succeeded", "prd", "ticket 7")
    lines = (root / "parameters" / "prd.yaml").read_text().splitlines()
    examples = sum(line.endswith("# example") for line in lines)
    assert f"{examples} values are still marked as examples" in run.shown


def test_what_changed_since_the_last_rendering_is_shown(root: Path) -> None:
    assert main_render(root) == 0
    papermill.run(root, "render", "-f", "parameters/lab.yaml")
    file = root / "parameters" / "lab.yaml"
    file.write_text(file.read_text().replace("heartbeat_ms: 500", "heartbeat_ms: 400"))
    run = papermill.run(root, "render", "-f", "parameters/lab.yaml")
    assert "What changed on azure-lab-01, azure-lab-02, azure-lab-03, azure-lab-04" in run.shown
    assert re.search(r"file /etc/etcd-member.env, ETCD_HEARTBEAT_INTERVAL +500 +400 +with the next boot", run.shown)
    (root / "state" / "lab" / "rendered" / "azure-lab-02.yaml").write_text("units: [")
    broken = papermill.run(root, "render", "-f", "parameters/lab.yaml")
    assert "azure-lab-02: the last rendering cannot be compared" in broken.shown
    assert broken.record.outcome == "succeeded"


def main_render(root: Path) -> int:
    return main(["render", "-f", str(root / "parameters" / "lab.yaml"), "--out", str(root / "out")])


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("token: etcd", "tokn: etcd", "parameters/lab.yaml:19: error: unknown key 'tokn'; did you mean 'token'?"),
        (
            "environment: lab",
            '"x; print(1) #": 1\nenvironment: lab',
            "parameters/lab.yaml:3: error: unknown key 'x; print(1) #'",
        ),
    ],
)
def test_a_mistake_is_named_with_its_line_and_nothing_is_done(root: Path, old: str, new: str, words: str) -> None:
    file = root / "parameters" / "lab.yaml"
    file.write_text(file.read_text().replace(old, new, 1))
    run = papermill.run(root, "render", "-f", "parameters/lab.yaml")
    assert run.code != 0
    assert words in run.shown
    assert "Traceback" not in run.shown
    assert run.record.outcome == "failed"
    assert not (root / "state").exists()


def test_the_file_is_the_authority(root: Path) -> None:
    run = papermill.run(root, "render", "-f", "parameters/lab.yaml", "-p", "environment", "prd")
    assert run.record.outcome == "refused"
    assert "environment: the file says 'lab', given was 'prd'" in run.shown


def test_a_kernel_that_dies_is_an_interrupted_run(root: Path) -> None:
    _insert(root, "import os; os._exit(0)")
    run = papermill.run(root, "render", "-f", "parameters/lab.yaml")
    assert run.record.outcome == "interrupted"


def test_leaving_early_is_no_success(root: Path) -> None:
    _insert(root, "import sys; sys.exit(0)")
    run = papermill.run(root, "render", "-f", "parameters/lab.yaml")
    assert run.record.outcome in ("interrupted", "failed")


def test_no_secret_leaves_the_kernel(root: Path) -> None:
    (root / "secret").write_text("s3cr3t-value-of-robot\n")
    lines = [
        "value = run.secret('file:secret')",
        "print(value[:6], end='')",
        "print(value[6:])",
        "import sys",
        "print(value, file=sys.stderr)",
        "value",
    ]
    _insert(root, "\n".join(lines), last=True)
    run = papermill.run(root, "render", "-f", "parameters/lab.yaml")
    assert run.record.outcome == "succeeded"
    assert run.shown.count("[secret ") >= 3
    assert "s3cr3t-value-of-robot" not in run.terminal + json.dumps(run.notebook)
    assert "s3cr3t-value-of-robot" not in json.dumps(read(Path(run.record.path)))


def _insert(root: Path, source: str, *, last: bool = False) -> None:
    """Put a cell after the one that reads the parameters, in a copy of the notebooks."""
    notebook = json.loads((root / "runbooks" / "render.ipynb").read_text())
    cell = {
        "cell_type": "code",
        "id": "inserted",
        "metadata": {},
        "outputs": [],
        "execution_count": None,
        "source": source,
    }
    notebook["cells"].insert(len(notebook["cells"]) - 2 if last else 6, cell)
    (root / "runbooks").unlink()
    (root / "runbooks").mkdir()
    (root / "runbooks" / "render.ipynb").write_text(json.dumps(notebook))


def test_runbooks_run_files_the_notebook_and_exits_by_outcome(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNBOOKS_ROOT", str(root))
    file = root / "parameters" / "lab.yaml"
    assert main(["run", "render", "-f", str(file), "--reason", "a test"]) == 0
    (one,) = records(root)
    assert (one.outcome, one.reason) == ("succeeded", "a test")
    assert (Path(one.path) / "notebook.ipynb").exists()
    assert "render: succeeded. Record: records/lab/" in capsys.readouterr().out
    file.write_text(file.read_text().replace("token: etcd", "tokn: etcd"))
    assert main(["run", "render", "-f", str(file)]) == 2
    assert "unknown key 'tokn'" in capsys.readouterr().err
    assert len(records(root)) == 1, "bad input is refused before anything is written"
    assert main(["records", "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert listed.keys() >= {"id", "runbook", "environment", "started", "outcome", "path"}
