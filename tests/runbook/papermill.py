"""Running a notebook as a user does, and reading what was saved."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corelib.record import Record, records


@dataclass(frozen=True)
class Run:
    """One papermill run: its exit code, what the terminal saw, the saved notebook, the newest record."""

    code: int
    terminal: str
    notebook: dict[str, Any]
    record: Record

    @property
    def shown(self) -> str:
        """All outputs of the saved notebook, as text."""
        return "\n".join(_text(output) for cell in self.notebook["cells"] for output in cell.get("outputs", []))


def run(
    root: Path, name: str, *options: str, cwd: Path | None = None, environment: dict[str, str] | None = None
) -> Run:
    """`papermill runbooks/NAME.ipynb out.ipynb OPTIONS`, from the project's root unless `cwd` is given."""
    out = root / "out.ipynb"
    command = [sys.executable, "-m", "papermill", str(root / "runbooks" / f"{name}.ipynb"), str(out), *options]
    done = subprocess.run(
        command,
        cwd=cwd or root,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        env={**os.environ, "RUNBOOKS_ROOT": str(root), **(environment or {})},
    )
    return Run(done.returncode, done.stdout + done.stderr, json.loads(out.read_text()), records(root)[-1])


def _text(output: dict[str, Any]) -> str:
    if output["output_type"] == "error":
        return "\n".join(output["traceback"])
    content = output.get("text") or output.get("data", {}).get("text/plain", "")
    return "".join(content)
