"""Records under faults, each made for real: whatever happens, the outcome is true, and what was recorded verifies."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from corelib import lab as labs
from corelib.errors import RunbookError
from corelib.project import Project
from corelib.record import Record, read, records, seal
from corelib.record.outputs import source_digest
from corelib.record.verify import executions_of, notebook_findings, verify
from corelib.runbook.filing import collect
from tests.project import lay_out, python_path
from tests.runbook import papermill
from tests.runbook.jupyter import opened

from .tables import Row

FRONT_ENDS = ("papermill", "runbooks", "jupyter")
LAB = ("-f", "parameters/lab.yaml")

# What the cell does, and what the run's outcome is then.
KILL = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
EAT = "import os; open('GROUP/cgroup.procs', 'w').write(str(os.getpid())); full = b'x' * (1 << 30)"
LIMIT = "import resource; resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30)); full = b'x' * (8 << 30)"
SLEEP = "import os, subprocess; me = os.getpid(); subprocess.Popen(['sh', '-c', f'sleep 4; kill -CONT {me}']); os.kill(me, 19)"
BACK = """
from datetime import datetime, UTC, timedelta
from corelib.record import journal
journal._now = lambda: (datetime.now(UTC) - timedelta(hours=1)).isoformat()
"""
FILLING = """
import pathlib
with pathlib.Path(run.project.root / "records" / "filler").open("wb", buffering=0) as file:
    try:
        while True: file.write(bytes(1024))
    except OSError: pass
try:
    while True: run._journal.note("what its last block still takes")
except Exception as error: assert "No space left" in str(error)
"""
CELLS = {
    "SIGKILL of the kernel": (KILL, "interrupted"),
    "os._exit(1)": ("import os; os._exit(1)", "interrupted"),
    "out of memory, killed": (EAT, "interrupted"),
    "out of memory, told": (LIMIT, "failed"),
    "sys.exit(0)": ("import sys; sys.exit(0)", "interrupted"),
    "stopped for 4 s": (SLEEP, "succeeded"),
    "a mistyped name": ("run.documnts()", "failed"),
    "the clock set back": (BACK, "succeeded"),
}


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    folder = lay_out(tmp_path / "project", "127.0.44")
    try:
        yield folder
    finally:
        labs.stop(folder, "127.0.44.0/24")


@pytest.fixture
def group() -> Iterator[str]:
    """A control group whose processes are killed above 300 MB; only root may make one (cgroups(7), version 1 or 2)."""
    first, second = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
    base, limit = (first, "memory.limit_in_bytes") if first.is_dir() else (second, "memory.max")
    path = base / f"runbooks-{os.getpid()}"
    if not os.access(base, os.W_OK) or not (base / "cgroup.procs").exists():
        pytest.skip("no control group of memory can be made here")
    path.mkdir()
    (path / limit).write_text("300M")
    yield str(path)
    until(lambda: not (path / "cgroup.procs").read_text())
    path.rmdir()


def insert(root: Path, source: str, name: str = "render") -> None:
    """Put a cell after the one that reads the parameters, into the project's own copy of the runbook."""
    notebook = json.loads((root / "runbooks" / f"{name}.ipynb").read_text())
    cell = {"cell_type": "code", "id": "fault", "metadata": {}, "outputs": [], "execution_count": None}
    notebook["cells"].insert(6, cell | {"source": source})
    (root / "runbooks").unlink()
    (root / "runbooks").mkdir()
    (root / "runbooks" / f"{name}.ipynb").write_text(json.dumps(notebook))


def play(root: Path, front_end: str, *options: str) -> tuple[Record, Path | None]:
    """Run `render` to wherever it gets; its record, and the notebook as the front end has saved it."""
    if front_end == "papermill":
        return papermill.run(root, "render", *LAB, *options).record, root / "out.ipynb"
    if front_end == "runbooks":
        command = [sys.executable, "-m", "corelib.cli", "run", "render", *LAB]
        subprocess.run(command, cwd=root, env=_at(root), timeout=120, check=False, capture_output=True)
        (one,) = records(root)
        return one, Path(one.path) / "notebook.ipynb"
    with opened(root, "render") as lab:
        for cell in lab.code():
            if lab.run(cell) != "ok":
                break
        saved = lab.save(root / "out.ipynb")
    (one,) = records(root)
    return one, saved


def _at(root: Path) -> dict[str, str]:
    return {**os.environ, "RUNBOOKS_ROOT": str(root)}


def check(one: Record, notebook: Path | None, matrix: list[Row], fault: str, front_end: str, expected: str) -> None:
    """The outcome is the expected one; the record verifies, or does so once it is sealed; so does the notebook."""
    folder = Path(one.path)
    matrix.append((fault, front_end, one.outcome, "closed" if verify(folder).sealed else "closed by runbooks seal"))
    assert one.outcome == expected
    if read(folder)[-1]["kind"] != "end":
        seal.seal(folder, None, "op@host")
    found = verify(folder)
    assert found.intact, found
    assert found.outcome == expected
    if notebook is not None and notebook.exists():
        wrong = notebook_findings(folder, notebook.read_bytes(), read(folder))
        assert {problem.kind for problem in wrong} <= {"note"}, wrong


@pytest.mark.faults
@pytest.mark.parametrize("front_end", FRONT_ENDS)
@pytest.mark.parametrize("fault", sorted(CELLS))
def test_record_of_a_faulty_cell(
    root: Path, fault: str, front_end: str, matrix: list[Row], request: pytest.FixtureRequest
) -> None:
    source, expected = CELLS[fault]
    if "GROUP" in source:
        source = source.replace("GROUP", request.getfixturevalue("group"))
    insert(root, source)
    one, notebook = play(root, front_end)
    check(one, notebook, matrix, fault, front_end, expected)
    happened(fault, Path(one.path))


def happened(fault: str, folder: Path) -> None:
    """A fault that leaves the outcome as it is has to be seen elsewhere, or nothing was tried."""
    if fault == "the clock set back":
        notes = [one for one in verify(folder).findings if one.message.startswith("the clock was set back: ")]
        assert len(notes) == 1, "once, though all that follows is an hour behind as well"
        assert notes[0].kind == "note"
    if fault == "stopped for 4 s":
        spans: dict[int, list[float]] = {}
        for entry in read(folder):
            if entry["kind"] == "cell":
                spans.setdefault(entry["cell"], []).append(entry["up"])
        assert max(max(ups) - min(ups) for ups in spans.values()) >= 4


@pytest.mark.faults
def test_record_of_cells_in_any_order(root: Path, matrix: list[Row]) -> None:
    """What only JupyterLab can do: out of order, twice, and a cell that is edited after it ran."""
    with opened(root, "render") as lab:
        begin, parameters, read_, documents, finish = lab.code()
        orders = {
            "cells out of order": (begin, documents, parameters, documents, read_, documents, finish),
            "cells twice": (begin, parameters, read_, documents, read_, documents, documents, finish),
        }
        for fault, order in orders.items():
            states = [lab.run(cell) for cell in order]
            too_early = [cell is documents and n < order.index(read_) for n, cell in enumerate(order)]
            assert states == ["error" if early else "ok" for early in too_early]
            check(records(root)[-1], lab.save(root / "out.ipynb"), matrix, fault, "jupyter", "succeeded")
            ran = [one.source for one in executions_of(read(Path(records(root)[-1].path)))]
            assert ran == [source_digest("".join(cell["source"])) for cell in order], "each run of a cell, in its order"
        documents["source"] = "run.documents('as-written')"
        edited = lab.save(root / "edited.ipynb")
    (one,) = records(root)[-1:]
    wrong = notebook_findings(Path(one.path), edited.read_bytes(), read(Path(one.path)))
    assert [problem.kind for problem in wrong] == ["altered"]
    assert "its source is not what the kernel ran" in wrong[0].message
    with pytest.raises(RunbookError, match="it is not what the run's kernel did"):
        collect(edited, Project(root))
    matrix.append(("a cell edited after it ran", "jupyter", one.outcome, "told, and not collected"))


@pytest.mark.faults
def test_record_of_a_cell_that_takes_too_long(root: Path, matrix: list[Row]) -> None:
    insert(root, "import time; time.sleep(60)")
    one, notebook = play(root, "papermill", "--execution-timeout", "3")
    check(one, notebook, matrix, "cell timeout", "papermill", "interrupted")


@pytest.mark.faults
@pytest.mark.parametrize(
    ("front_end", "number", "times"),
    [
        ("papermill", signal.SIGTERM, 1),
        ("papermill", signal.SIGINT, 1),
        ("papermill", signal.SIGINT, 2),
        ("papermill", signal.SIGKILL, 1),
        ("runbooks", signal.SIGTERM, 1),
        ("runbooks", signal.SIGINT, 1),
        ("runbooks", signal.SIGINT, 2),
        ("runbooks", signal.SIGKILL, 1),
    ],
)
def test_record_of_a_signal(root: Path, front_end: str, number: int, times: int, matrix: list[Row]) -> None:
    insert(root, "import time; time.sleep(60)")
    notebook = str(root / "runbooks" / "render.ipynb")
    command = {
        "papermill": [sys.executable, "-m", "papermill", notebook, "out.ipynb", *LAB],
        "runbooks": [sys.executable, "-m", "corelib.cli", "run", "render", *LAB],
    }[front_end]
    with subprocess.Popen(command, cwd=root, env=_at(root), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          start_new_session=True) as process:  # fmt: skip
        until(lambda: any(one.environment for one in records(root)) and _cells(root) >= 4)
        for _ in range(times):
            time.sleep(0.5)
            os.killpg(process.pid, number)
        process.wait(timeout=60)
    until(lambda: records(root)[0].outcome != "running")
    (one,) = records(root)
    folder = Path(one.path)
    notebook_file = root / "out.ipynb" if front_end == "papermill" else folder / "notebook.ipynb"
    fault = f"{signal.Signals(number).name} x{times} to the runner"
    check(one, notebook_file if number != signal.SIGKILL else None, matrix, fault, front_end, "interrupted")


@pytest.mark.faults
@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_record_on_a_full_disk(root: Path, front_end: str, matrix: list[Row]) -> None:
    """The records lie on a file system of their own, which the cell fills: nothing is done any more, and it is said."""
    insert(root, FILLING)
    with small_disk(root / "records"):
        one, notebook = play(root, front_end)
        assert one.outcome in ("failed", "interrupted")
        assert not (root / "state").exists(), "nothing was rendered"
        if notebook is not None and notebook.exists():
            assert "THE RECORD IS INCOMPLETE" in notebook.read_text() or "No space left" in notebook.read_text()
        (root / "records" / "filler").unlink()
        check(one, notebook, matrix, "full disk", front_end, one.outcome)


@pytest.mark.faults
def test_record_on_a_full_disk_that_gets_room_again(root: Path, matrix: list[Row]) -> None:
    """More cells are run than there is room kept for: they are journaled later, and nobody is accused of them."""
    insert(root, FILLING)
    with small_disk(root / "records"):
        with opened(root, "render") as lab:
            begin, parameters, read_, fill, documents, finish = lab.code()
            assert [lab.run(cell) for cell in (begin, parameters, read_, fill)] == ["ok"] * 4
            more = [lab.add(f"print({n})", 7 + n) for n in range(100)]
            assert [lab.run(cell) for cell in more] == ["ok"] * 100
            assert lab.run(documents) == "error"
            assert not (root / "state").exists(), "nothing was rendered"
            said = json.dumps(lab.notebook)
            assert said.count("THE RECORD IS INCOMPLETE") == 1
            (root / "records" / "filler").unlink()
            assert [lab.run(cell) for cell in (documents, finish)] == ["ok", "ok"]
            saved = lab.save(root / "out.ipynb")
        (one,) = records(root)
        entries, folder = read(Path(one.path)), Path(one.path)
        wrong = notebook_findings(folder, saved.read_bytes(), entries)
        assert all("not the runbook's own" in problem.message for problem in wrong), wrong
        matrix.append(("full disk, then room", "jupyter", one.outcome, "closed" if verify(folder).sealed else "open"))
        assert (one.outcome, verify(folder).sealed, verify(folder).intact) == ("succeeded", True, True)


@pytest.mark.faults
@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_record_where_nothing_can_be_written(root: Path, front_end: str, matrix: list[Row]) -> None:
    with small_disk(root / "records"):
        subprocess.run(["mount", "-o", "remount,ro", str(root / "records")], check=True)
        if front_end == "jupyter":
            with opened(root, "render") as lab:
                assert lab.run(lab.code()[0]) == "error"
                said = json.dumps(lab.notebook)
        else:
            command = [sys.executable, "-m", "corelib.cli", "run", "render", *LAB]
            if front_end == "papermill":
                notebook = str(root / "runbooks" / "render.ipynb")
                command = [sys.executable, "-m", "papermill", notebook, "out.ipynb", *LAB]
            done = subprocess.run(
                command, cwd=root, env=_at(root), timeout=60, check=False, capture_output=True, text=True
            )
            assert done.returncode != 0
            said = done.stdout + done.stderr
        assert "Read-only file system" in said
        assert "make room or permissions" in said
        assert not (root / "state").exists()
        assert records(root) == []
        matrix.append(("records read-only", front_end, "not begun", "nothing was done"))


class small_disk:  # noqa: N801 - used as a function
    """A small file system on a folder, for as long as the block lasts; only root can make one."""

    def __init__(self, folder: Path, size: str = "256k") -> None:
        self._folder = folder
        self._size = size

    def __enter__(self) -> None:
        self._folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={self._size}", "tmpfs", str(self._folder)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("no file system can be mounted here")

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "-l", str(self._folder)], check=True)


def _cells(root: Path) -> int:
    return sum(entry["kind"] == "cell" for entry in read(Path(records(root)[0].path)))


def until(condition: Any, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


# What changes something: on a lab, with a plan that was approved.

SLOW = """
import os, time, json
if os.environ.get("RUNBOOKS_TEST"):
    from corelib.runbook import pulse
    pulse.LONGEST = 1.0
    pulse.Pulse.__init__.__defaults__ = (1.0,)
    from corelib.azure import acts
    original = acts._At._put
    def slow(self, body):
        if self._kind == "network":
            open(os.environ["RUNBOOKS_TEST"], "a").write("network\\n")
            time.sleep(4)
        return original(self, body)
    acts._At._put = slow
"""


@pytest.fixture
def approved(root: Path) -> tuple[Path, str]:
    """A lab with a deployment that is planned and slowed down at its networks; the plan's digest."""
    (root / "sitecustomize.py").write_text(SLOW)
    labs.start(root, "127.0.44.0/24")
    planned = papermill.run(root, "deploy-azure", *LAB)
    return root, re.findall(r"Digest: (plan-[0-9a-f]{16})", planned.shown)[0]


def _slow(root: Path) -> dict[str, str]:
    return {**_at(root), "PYTHONPATH": python_path(root), "RUNBOOKS_TEST": str(root / "begun")}


def _apply(root: Path, digest: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "corelib.cli", "run", "deploy-azure", *LAB, "--approved-plan", digest]
    return subprocess.Popen(
        command, cwd=root, env=_slow(root), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip


def _steps(folder: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for entry in read(folder):
        if entry["kind"] == "step" and entry["phase"] != "wait":
            found.setdefault(entry["target"], []).append(entry["phase"])
    return found


@pytest.mark.faults
@pytest.mark.parametrize("times", [1, 2])
def test_record_of_an_apply_that_is_interrupted(approved: tuple[Path, str], times: int, matrix: list[Row]) -> None:
    root, digest = approved
    with _apply(root, digest) as process:
        until((root / "begun").exists)
        for _ in range(times):
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.5)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 5
    assert "Interrupted: what is under way is finished, nothing new begins." in said
    assert "Traceback" not in said
    one = records(root)[-1]
    steps = _steps(Path(one.path))
    if times == 1:
        assert all(phases == ["begin", "done"] for phases in steps.values()), "what was under way was finished"
    assert len(steps) < 22
    assert [entry["kind"] for entry in read(Path(one.path))].count("interrupt") == times
    check(one, Path(one.path) / "notebook.ipynb", matrix, f"Ctrl-C x{times} in an apply", "runbooks", "interrupted")
    again = papermill.run(root, "deploy-azure", *LAB, "-p", "approved_plan", digest)
    assert again.record.outcome == "succeeded", again.shown[-2000:]


@pytest.mark.faults
@pytest.mark.parametrize("times", [1, 2])
def test_record_of_an_apply_that_is_interrupted_in_jupyterlab(
    approved: tuple[Path, str], times: int, matrix: list[Row]
) -> None:
    root, digest = approved
    with opened(root, "deploy-azure", **_slow(root)) as lab:
        code = lab.code()
        code[1]["source"] = "".join(code[1]["source"]).replace('approved_plan = ""', f'approved_plan = "{digest}"')
        assert [lab.run(cell) for cell in code[:4]] == ["ok"] * 4
        apply = lab.send(code[4])
        until((root / "begun").exists)
        for _ in range(times):
            lab.manager.interrupt_kernel()
            time.sleep(0.5)
        assert lab.wait(apply) == "error"
        assert "interrupted" in json.dumps(code[4]["outputs"])
        saved = lab.save(root / "out.ipynb")
    one = records(root)[-1]
    assert [entry["kind"] for entry in read(Path(one.path))].count("interrupt") == times
    check(one, saved, matrix, f"Ctrl-C x{times} in an apply", "jupyter", "interrupted")
    again = papermill.run(root, "deploy-azure", *LAB, "-p", "approved_plan", digest)
    assert again.record.outcome == "succeeded", again.shown[-2000:]


@pytest.mark.faults
def test_record_of_an_apply_that_slept(approved: tuple[Path, str], matrix: list[Row]) -> None:
    """Stopped as a laptop that sleeps: it looks at lock, approval and plan again, and goes on."""
    root, digest = approved
    with _apply(root, digest) as process:
        until((root / "begun").exists)
        kernel = read(Path(records(root)[-1].path))[0]["pid"]
        os.kill(kernel, signal.SIGSTOP)
        time.sleep(6)
        os.kill(kernel, signal.SIGCONT)
        process.communicate(timeout=90)
    one = records(root)[-1]
    entries = read(Path(one.path))
    kinds, slept = [entry["kind"] for entry in entries], [e["seconds"] for e in entries if e["kind"] == "slept"]
    assert max(slept) >= 5
    # A machine that stalls for longer than this test's short limit has slept as well, and is asked as often.
    assert kinds.count("approval") == 1 + len(slept)
    check(one, Path(one.path) / "notebook.ipynb", matrix, "stopped for 6 s in an apply", "runbooks", "succeeded")


@pytest.mark.faults
def test_record_of_an_approval_that_a_sleep_outlived(approved: tuple[Path, str], matrix: list[Row]) -> None:
    root, digest = approved
    with _apply(root, digest) as process:
        until((root / "begun").exists)
        kernel = read(Path(records(root)[-1].path))[0]["pid"]
        os.kill(kernel, signal.SIGSTOP)
        plan = root / "state" / "lab" / "plans" / f"{digest}.json"
        old = json.loads(plan.read_text()) | {"at": "2026-01-01T00:00:00+00:00"}
        plan.write_text(json.dumps(old))
        time.sleep(3)
        os.kill(kernel, signal.SIGCONT)
        said, _ = process.communicate(timeout=90)
    assert "is valid for 24 h" in said
    one = records(root)[-1]
    check(one, Path(one.path) / "notebook.ipynb", matrix, "slept beyond the approval", "runbooks", "refused")


@pytest.mark.faults
def test_record_of_two_operators_at_once(approved: tuple[Path, str], matrix: list[Row]) -> None:
    root, digest = approved
    with _apply(root, digest) as first:
        until((root / "begun").exists)
        holder = records(root)[-1].id
        kernel = read(Path(records(root)[-1].path))[0]["pid"]
        os.kill(kernel, signal.SIGSTOP)  # it hangs, and holds the lock
        second = papermill.run(root, "deploy-azure", *LAB, "-p", "approved_plan", digest)
        assert second.record.outcome == "refused"
        assert re.search(rf"it is locked by \S+@\S+, pid \d+, since .*, run {holder}", second.shown)
        check(second.record, root / "out.ipynb", matrix, "two operators at once", "papermill", "refused")
        assert collect(root / "out.ipynb", Project(root)).name == second.record.id, "not the one that holds the lock"
        forced = papermill.run(root, "deploy-azure", *LAB, "-p", "approved_plan", digest, "-p", "force_unlock", holder)
        os.kill(kernel, signal.SIGCONT)
        said, _ = first.communicate(timeout=90)
    assert any(entry["kind"] == "force-unlock" for entry in read(Path(forced.record.path)))
    assert "its lock was taken by" in said
    check(next(one for one in records(root) if one.id == holder), None, matrix, "overruled", "runbooks", "refused")


@pytest.mark.faults
def test_record_of_an_apply_on_a_full_disk(approved: tuple[Path, str], matrix: list[Row]) -> None:
    """The journal is full in the middle of an apply: what was under way is finished, nothing new is asked for."""
    root, digest = approved
    with small_disk_over(root / "records", "2m"):
        with _apply(root, digest) as process:
            until(lambda: (root / "begun").exists() or process.poll() is not None)
            assert process.poll() is None, process.communicate()[0]
            filler = (root / "records" / "filler").open("wb", buffering=0)
            try:
                while True:
                    filler.write(bytes(512))
            except OSError:
                filler.close()
            at = time.monotonic()
            said, _ = process.communicate(timeout=90)
        log = [json.loads(line) for line in (root / ".lab" / "127.0.44.0-24" / "arm.log").read_text().splitlines()]
        machines = [entry for entry in log if entry["method"] == "PUT" and "/virtualMachines/" in entry["path"]]
        assert machines == [], "no machine was asked for once nothing could be recorded"
        assert "No space left" in said, said
        assert time.monotonic() - at < 60
        (root / "records" / "filler").unlink()
        one = next(one for one in reversed(records(root)) if one.runbook == "deploy-azure")
        assert one.outcome in ("failed", "interrupted")
        check(one, None, matrix, "full disk in an apply", "runbooks", one.outcome)


class small_disk_over(small_disk):  # noqa: N801 - used as a function
    """The same over a folder that has something in it, which is kept."""

    def __enter__(self) -> None:
        kept = self._folder.with_name("kept")
        shutil.copytree(self._folder, kept)
        shutil.rmtree(self._folder)
        super().__enter__()
        shutil.copytree(kept, self._folder, dirs_exist_ok=True)
