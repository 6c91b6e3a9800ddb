"""Filing a run's notebook with its record, once the run is over: the notebook, and a page that reads by itself."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import BadInput, Refused
from ..project import Project
from ..record import read, seal
from ..record.listing import find, record
from ..record.verify import notebook_findings
from ..views.page import page

_ID = r"\d{8}T\d{6}Z-[a-z-]+-[0-9a-f]{6}"
# What a run says of itself, at its beginning and its end; other runs are named as well, such as who holds the lock.
_OWN = re.compile(rf"began: run ({_ID})\b|Record: [^\s\"]*/({_ID}) \(")


def file(folder: Path, content: bytes) -> None:
    """Put a notebook into the record of its run, with its page, listed and signed. Raises RunbookError.

    A key that is asked for and cannot sign is an error; without one the list of files is unsigned.
    """
    entries = read(folder)
    shown = page(content, record(folder).as_dict(), entries)
    seal.file(folder, {seal.NOTEBOOK: content, seal.PAGE: shown.encode()}, seal.operators_key())


def collect(notebook: Path, at: Project) -> Path:
    """File a notebook that JupyterLab or plain papermill has saved; returns its record's folder. Raises BadInput.

    Refused while its run is under way, and where its cells are not what the run's kernel did.
    """
    doing = f"collecting {notebook}"
    try:
        content = notebook.read_bytes()
    except OSError as problem:
        raise BadInput(doing, problem.strerror or str(problem), "") from None
    folder = _folder(content, at, doing)
    if not seal.sealed(folder):
        remedy = f"let it end, or close it: runbooks seal {folder.name}"
        raise Refused(doing, f"its run {folder.name} is not over, or was never closed", remedy)
    wrong = [finding for finding in notebook_findings(folder, content, read(folder)) if finding.kind == "altered"]
    if wrong:
        lines = "\n".join(f"{finding.where}: {finding.message}" for finding in wrong)
        raise Refused(doing, f"it is not what the run's kernel did:\n{lines}", "save it again from where it was run")
    file(folder, content)
    return folder


def _folder(content: bytes, at: Project, doing: str) -> Path:
    """The record that a notebook names in its outputs as its own: the last one, as a run may continue another."""
    named = [began or ended for began, ended in _OWN.findall(content.decode(errors="replace"))]
    for run in reversed(named):
        folder = find(at.root, run)
        if folder is not None:
            return folder
    raise BadInput(doing, "it names no run that has a record here", "give the notebook as it was saved by its run")
