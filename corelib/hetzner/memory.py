"""What an install remembers of itself between two runs: one small file per machine, replaced as a whole.

It is never trusted alone: where a machine is follows from what answers there under the keys that are noted here. The
file holds no secret: the temporary key is derived from its `salt` and the operator's own key.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ..errors import BadInput, ServiceFailed
from .facts import NOTHING, Note


class Memory:
    """The file of one machine's install."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.note = _read(path)

    def keep(self, **changes: Any) -> None:
        """Remember, on the disk before it returns."""
        self.note = replace(self.note, **changes)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        with draft.open("w") as file:
            json.dump(asdict(self.note), file, indent=1, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)

    def salt(self) -> str:
        """What the temporary key is derived with: random, once per install."""
        if not self.note.salt:
            self.keep(salt=secrets.token_hex(16))
        return self.note.salt

    @contextmanager
    def judging(self, remedy: str) -> Iterator[None]:
        """What is found bad within it ends this attempt at writing: the next plan is of another one.

        Raises ServiceFailed, with the remedy added; a connection that was lost is no finding.
        """
        try:
            yield
        except ServiceFailed as problem:
            self.keep(failed=problem.found)
            raise ServiceFailed(
                problem.doing, problem.found, ". ".join(filter(None, (problem.remedy, remedy)))
            ) from None

    def end(self) -> None:
        """The install has come to its end: it is counted, and nothing else of it is kept.

        The count is part of what is approved next: without it the same content would be the same plan again.
        """
        self.note = Note(installs=self.note.installs)
        self.keep(installs=self.note.installs + 1)


def _read(path: Path) -> Note:
    try:
        content = json.loads(path.read_text())
        return Note(**{**content, "host_keys": tuple(content["host_keys"])})
    except FileNotFoundError:
        return NOTHING
    except (OSError, ValueError, TypeError, KeyError) as problem:
        plans = path.parent.parent / "plans"
        remedy = (
            f"look at the machine (Robot, vKVM), then move the file away, and {plans} with it, as what was approved "
            "there would count once more: the install begins with a look again"
        )
        raise BadInput(f"reading what the last install noted in {path}", str(problem), remedy) from None
