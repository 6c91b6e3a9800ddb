"""A file that the operator gives, by the SHA-256 that it must have: the install script, a local image."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ..errors import BadInput


@dataclass(frozen=True, slots=True)
class Pinned:
    """Where the file is, and what it must be; `what` names it, `remedy` says what to do where it is not that."""

    what: str
    path: Path
    sha256: str
    remedy: str

    def read(self) -> bytes:
        """All of it. Raises BadInput where it cannot be read, or is another one."""
        try:
            content = self.path.read_bytes()
        except OSError as problem:
            raise self._unread(problem) from None
        self._expect(hashlib.sha256(content).hexdigest())
        return content

    def check(self) -> Self:
        """Itself, if it is what it must be now: it is read piece by piece. Raises BadInput as `read` does."""
        try:
            with self.path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as problem:
            raise self._unread(problem) from None
        self._expect(found)
        return self

    def _expect(self, found: str) -> None:
        if found != self.sha256:
            raise BadInput(self._doing, f"its SHA-256 is {found}, the parameters say {self.sha256}", self.remedy)

    def _unread(self, problem: OSError) -> BadInput:
        return BadInput(self._doing, problem.strerror or str(problem), self.remedy)

    @property
    def _doing(self) -> str:
        return f"reading {self.what} {self.path}"
