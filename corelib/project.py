"""The project's root and every path in it.

`RUNBOOKS_ROOT` names the root outright; otherwise it is found upwards from a start folder, so that a notebook works
from the root (papermill) and from `runbooks/` (JupyterLab, nbval) alike.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from .errors import BadInput


class Project(NamedTuple):
    """Paths below one root; making folders is left to those who write."""

    root: Path

    def parameters(self, environment: str) -> Path:
        """The parameters file of an environment."""
        return self.root / "parameters" / f"{environment}.yaml"

    def records(self, environment: str) -> Path:
        """The folder that holds one folder per run."""
        return self.root / "records" / environment

    def state(self, environment: str) -> Path:
        """What is remembered between runs: inventory, approvals, the last rendering."""
        return self.root / "state" / environment

    def rendered(self, environment: str) -> Path:
        """The last rendering, a file per host."""
        return self.state(environment) / "rendered"

    def inventory(self, environment: str) -> Path:
        """Addresses, ids and host keys of what was deployed."""
        return self.state(environment) / "inventory.json"

    def kept(self, environment: str) -> Path:
        """What was understood of the parameters, to be made again at any time."""
        return self.root / ".cache" / "verify" / f"{environment}.json"

    def is_there(self) -> bool:
        """Whether it is a project, and not just the folder that somebody works in."""
        return (self.root / "parameters").is_dir() and (self.root / "runbooks").is_dir()


def find(start: Path | None = None) -> Project:
    """The project around `start` (default: the working directory). Raises BadInput if there is none."""
    named = os.environ.get("RUNBOOKS_ROOT")
    if named:
        return Project(Path(named).resolve())
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (found := Project(folder)).is_there():
            return found
    raise BadInput(
        "looking for the project",
        f"no folder with runbooks/ and parameters/ at or above {here}",
        "change into the project, or set RUNBOOKS_ROOT",
    )


def find_or_here() -> Project:
    """The project around the working folder; outside of one, the folder itself."""
    try:
        return find()
    except BadInput:
        return Project(Path.cwd())
