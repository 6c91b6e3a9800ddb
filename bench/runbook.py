"""`render.ipynb` under papermill, over an empty notebook under papermill: what our own code adds to a run."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat

from .figure import report

ROOT = Path(__file__).parents[1]
RUNS = 7


def main() -> None:
    """Print the figure `render.ipynb`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        empty = folder / "empty.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("")], metadata=_metadata()), empty)
        for shared in ("runbooks", "parameters"):
            (folder / shared).symlink_to(ROOT / shared)
        ours, peer = [], []
        for run in range(RUNS + 1):
            took = (_papermill(ROOT / "runbooks" / "render.ipynb", folder), _papermill(empty, folder))
            if run:  # the first pair warms the disk's cache
                ours.append(took[0])
                peer.append(took[1])
    report("render.ipynb", ours, peer)


def _metadata() -> dict[str, object]:
    return {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


def _papermill(notebook: Path, folder: Path) -> float:
    """Seconds of one run, in a project of its own, so that no record of the bench stays in this one."""
    command = [sys.executable, "-m", "papermill", str(notebook), str(folder / "out.ipynb"), "--no-progress-bar"]
    if notebook.stem == "render":
        command += ["-f", str(folder / "parameters" / "lab.yaml")]
    begun = time.monotonic()
    environment = {**os.environ, "RUNBOOKS_ROOT": str(folder)}
    subprocess.run(command, check=True, capture_output=True, timeout=120, env=environment)
    return time.monotonic() - begun
