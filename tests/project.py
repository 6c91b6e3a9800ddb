"""A project of a test's own: the same runbooks and parameters, on another loopback range, with its own records."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parents[1]


def lay_out(folder: Path, network: str = "127.0.7") -> Path:
    """Make a project in `folder` whose lab is on `network`.0/24; returns the folder."""
    (folder / "parameters").mkdir(parents=True)
    (folder / "runbooks").symlink_to(ROOT / "runbooks")
    for name in ("lab", "prd"):
        text = (ROOT / "parameters" / f"{name}.yaml").read_text()
        (folder / "parameters" / f"{name}.yaml").write_text(text.replace("127.0.2", network))
    return folder


def python_path(root: Path) -> str:
    """PYTHONPATH for a child that shall find the project's own sitecustomize.py, and this very checkout behind it."""
    return os.pathsep.join((str(root), str(ROOT)))
