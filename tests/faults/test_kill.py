"""A run killed at any moment, and run again under the same approval: each thing is made once, and the end is the same.

The kernel is killed from inside, right after its journal took the n-th step event, at the first, at the last, and at
some between.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from corelib import lab
from corelib.lab import marks, places
from corelib.lab.client import _checked
from corelib.record import records
from tests.project import lay_out, python_path
from tests.runbook import papermill

LAB = ("-f", "parameters/lab.yaml")

KILL = """
import os, signal
if os.environ.get("KILL_AFTER"):
    from corelib.record.journal import Journal
    write, left = Journal.write, [int(os.environ["KILL_AFTER"])]
    def killing(self, kind, **facts):
        entry = write(self, kind, **facts)
        left[0] -= kind == "step" and facts["phase"] != "wait"
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return entry
    Journal.write = killing
"""


@contextmanager
def project(folder: Path, network: str) -> Iterator[Path]:
    """A project whose runs can be killed, with its lab."""
    root = lay_out(folder, network)
    (root / "sitecustomize.py").write_text(KILL)
    lab.start(root, f"{network}.0/24")
    try:
        yield root
    finally:
        lab.stop(root, f"{network}.0/24")


@pytest.fixture
def root(tmp_path: Path, network: str) -> Iterator[Path]:
    with project(tmp_path / "project", network) as folder:
        yield folder


def _kill_and_resume(root: Path, name: str, position: int, *consent: str) -> None:
    planned = papermill.run(root, name, *LAB)
    digest = re.findall(r"Digest: (plan-[0-9a-f]{16})", planned.shown)[0]
    approved = (*LAB, "-p", "approved_plan", digest, *consent)
    environment = {"PYTHONPATH": python_path(root), "KILL_AFTER": str(position)}
    killed = papermill.run(root, name, *approved, environment=environment)
    assert killed.code != 0
    assert killed.record.outcome == "interrupted"
    resumed = papermill.run(root, name, *approved)
    assert resumed.record.outcome in ("succeeded", "no change"), resumed.shown[-2000:]
    assert papermill.run(root, name, *LAB).record.outcome == "no change"


AZURE_EVENTS = 44  # a begin and an end for each of 22 resources


@pytest.mark.faults
@pytest.mark.parametrize("positions", [(1, 9), (2, 16), (23, 30), (37, AZURE_EVENTS)])
def test_an_apply_killed_anywhere_is_resumed_under_its_approval(tmp_path: Path, positions: tuple[int, int]) -> None:
    """A whole kernel with real hosts, two at a time. At every position it is killed in `azure/test_kill_azure.py`."""
    networks = ("127.0.41", "127.0.45")
    with (
        project(tmp_path / "one", networks[0]) as one,
        project(tmp_path / "other", networks[1]) as other,
        ThreadPoolExecutor(2) as pool,
    ):
        list(pool.map(_azure, (one, other), networks, positions))


def _azure(root: Path, network: str, position: int) -> None:
    _kill_and_resume(root, "deploy-azure", position)
    log = [json.loads(line) for line in (root / ".lab" / f"{network}.0-24" / "arm.log").read_text().splitlines()]
    machines = {entry["path"] for entry in log if entry["method"] == "PUT" and "/virtualMachines/" in entry["path"]}
    assert len(machines) == 4, "no second machine"
    hosts = lab.status(root, f"{network}.0/24").hosts
    assert [(host.name, host.state) for host in hosts] == [(f"azure-lab-0{n}", "etcd runs") for n in (1, 2, 3, 4)]
    assert papermill.run(root, "verify-etcd", *LAB).record.outcome == "succeeded"


@pytest.mark.faults
@pytest.mark.parametrize("network", ["127.0.42"])
def test_no_process_outlives_a_supervisor_that_is_killed(root: Path) -> None:
    """With a deployed fleet behind it: etcd's processes go with it, and the next start is a clean one."""
    network = "127.0.42.0/24"
    planned = papermill.run(root, "deploy-azure", *LAB)
    digest = re.findall(r"Digest: (plan-[0-9a-f]{16})", planned.shown)[0]
    assert papermill.run(root, "deploy-azure", *LAB, "-p", "approved_plan", digest).record.outcome == "succeeded"
    endpoints = lab.status(root, network).endpoints
    assert endpoints is not None
    os.kill(endpoints.pid, signal.SIGKILL)
    mark = places.identity(root, _checked(network))
    _until(lambda: not marks.marked(mark))
    assert not lab.status(root, network).running
    lab.start(root, network)
    assert lab.status(root, network).hosts == ()


@pytest.mark.faults
@pytest.mark.parametrize("seconds", [0.3, 1.0, 2.0, 4.0, 7.0, 9.0, 12.0, 15.0])
def test_ctrl_c_in_the_demo_leaves_nothing_running(tmp_path: Path, seconds: float) -> None:
    root = lay_out(tmp_path / "project", "127.0.43")
    demo = subprocess.Popen(
        [sys.executable, "-m", "corelib.cli", "demo"],
        env={**os.environ, "RUNBOOKS_ROOT": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert demo.stdout is not None
    first = demo.stdout.readline()  # Python itself is up: before that nothing of ours could hear a signal
    time.sleep(seconds)
    os.killpg(demo.pid, signal.SIGINT)
    said, _ = demo.communicate(timeout=60)
    assert first.startswith("Starting a lab")
    assert demo.returncode == 5
    assert said.rstrip().endswith("Interrupted.")
    assert "Traceback" not in said
    _until(lambda: not marks.marked(places.identity(root, _checked("127.0.43.0/24"))))
    _until(lambda: not _mentioning(str(root)))
    assert {one.outcome for one in records(root)} <= {"succeeded", "awaiting approval", "interrupted"}


def _mentioning(text: str) -> list[str]:
    """The processes that were started for a project: its path is in their environment."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if (
                process.name.isdigit()
                and int(process.name) != os.getpid()
                and text in (process / "environ").read_text()
            ):
                found.append(process.name)
        except (OSError, UnicodeDecodeError):
            continue
    return found


def _until(condition: object, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]  # a function without arguments
        assert time.monotonic() < end
        time.sleep(0.1)
