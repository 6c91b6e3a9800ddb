"""Ctrl-C while an install script runs, as an operator presses it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from corelib import lab
from corelib.record import read, records
from tests.project import lay_out

pytestmark = pytest.mark.faults

NETWORK = "127.0.11.0/24"
LAB = ("-f", "parameters/lab.yaml")
CONSENT = ("--consent", "wipe wwn-0x5000c500a1b2c3d4 of ded-lab-01")


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A lab whose install script takes its time."""
    folder = lay_out(tmp_path / "project", "127.0.11")
    file = folder / "parameters" / "lab.yaml"
    content = (Path(lab.__file__).parent / "files" / "flatcar-install").read_bytes()
    slow = content.replace(b"umask 077\n", b"umask 077\necho taking my time; sleep 8\n", 1)
    (folder / "slow-install").write_bytes(slow)
    text = re.sub(r"installer: \S+", "installer: slow-install", file.read_text())
    digest = hashlib.sha256(slow).hexdigest()
    file.write_text(re.sub(r'installer_sha256: "[0-9a-f]{64}"', f'installer_sha256: "{digest}"', text))
    lab.start(folder, NETWORK)
    try:
        yield folder
    finally:
        lab.stop(folder, NETWORK)


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "corelib.cli", *words]


def planned(root: Path) -> str:
    done = subprocess.run(
        command("plan", "install-hetzner", *LAB, "--json"), cwd=root, env=at(root), capture_output=True, check=False
    )
    return str(json.loads(done.stdout)["digest"])


def apply(root: Path) -> list[str]:
    return command("run", "install-hetzner", *LAB, "--approved-plan", planned(root))


def at(root: Path) -> dict[str, str]:
    return {**os.environ, "RUNBOOKS_ROOT": str(root)}


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def begun(root: Path, state: str) -> int:
    entries = [entry for one in records(root, "lab") for entry in read(Path(one.path))]
    return [(one.get("target"), one.get("phase")) for one in entries].count((f"ded-lab-01/{state}", "begin"))


def test_hetzner_second_ctrl_c_leaves_a_report_and_the_same_approval_goes_on(root: Path) -> None:
    assert subprocess.run(apply(root), cwd=root, env=at(root), capture_output=True, check=False).returncode == 0
    write = [*apply(root), *CONSENT]
    with subprocess.Popen(
        write, cwd=root, env=at(root), stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        until(lambda: begun(root, "installed") == 1)
        time.sleep(1)
        for _ in range(2):
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.5)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 5
    assert "ded-lab-01/installed taking my time" in said, "the script's log is followed"
    assert "Run again with the same approval" in said
    shown = (Path(records(root, "lab")[-1].path) / "notebook.ipynb").read_text()
    assert "Traceback" not in shown
    for words in (
        "Wiped: wwn-0x5000c500a1b2c3d4",
        "the install script goes on there by itself",
        "our temporary key may still be there",
        "run again with the same approval: it goes on where the machine is",
    ):
        assert words in shown, words
    again = subprocess.run(write, cwd=root, env=at(root), capture_output=True, text=True, check=False)
    assert (again.returncode, "succeeded" in again.stdout) == (0, True), again.stdout
    assert begun(root, "wiped") == 1
