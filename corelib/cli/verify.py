"""`verify`: the same look at etcd as the runbook's, from a shell, by a process that loads no more than it takes."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import project, references
from ..project import Project
from ..runbook import kept
from ..runbook.subject import Subject
from ..runbook.verification import verify as look

if TYPE_CHECKING:
    import argparse

VERDICTS = {"healthy": 0, "unhealthy": 4, "awaiting": 6, "unproven": 7}


def add(commands: Any) -> None:
    """Add this command to the parser's."""
    command = commands.add_parser("verify", help="is etcd healthy, and the one that was rendered? As the runbook says")
    command.add_argument("-f", "--file", required=True)
    command.add_argument("--json", action="store_true")
    command.set_defaults(act=_verify)


def _verify(given: argparse.Namespace) -> int:
    return verify(given.file, as_json=given.json)


def verify(file: str, *, as_json: bool) -> int:
    """Look, print the report, and give the verdict's exit code."""
    parameters, at = Path(file).resolve(), project.find_or_here()
    subject = kept.subject(parameters, at)
    with _target(subject, at):
        found = look(subject, lambda one: references.resolve(one, at.root), at)
    if found.learnt:
        _tell_ssh(parameters, at)
    print(json.dumps(found.facts, indent=1) if as_json else found.view().text())
    return VERDICTS[found.verdict.kind]


def _tell_ssh(file: Path, at: Project) -> None:
    """Host keys that were pinned now are known to `ssh -F` too."""
    from ..runbook import ssh_config  # noqa: PLC0415 - once for each host
    from ..runbook.inputs import load  # noqa: PLC0415

    ssh_config.refresh(load(file, at).fleet, at)


def _target(subject: Subject, at: Project) -> AbstractContextManager[object]:
    """Where it looks, for as long as it does: a lab is started if none runs, a real target is there."""
    if not subject.network:
        return nullcontext()
    from .. import lab  # noqa: PLC0415 - a real target needs nothing of it

    return closing(lab.ensure(at.root, subject.network))
