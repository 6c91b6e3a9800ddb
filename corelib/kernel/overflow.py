"""Long output: the beginning, lines with findings and the end stay in the cell; all of it lies beside the record.

JupyterLab's server drops messages above 1,000 a second and 1 MB a second, and nobody reads 100,000 lines in a cell.
"""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO

HEAD = 2000  # lines of a cell that are shown as they come
TAIL = 100
FINDINGS = 100
WIDTH = 4000  # characters of one line
_FINDING = re.compile(r"error|fail|warn|refus|✘", re.IGNORECASE)


class Overflow:
    """The streams of one cell. `take` gives what is to be shown now, `end` what is shown when the cell ends.

    `place` makes the path of the log that a cell's number gets, and is asked only if there is too much.
    """

    def __init__(self, place: Callable[[], Path]) -> None:
        self._place = place
        self._lines = 0
        self._head: list[str] = []  # what was shown, for the log, if there comes to be one
        self._file: IO[bytes] | None = None
        self._path: Path | None = None
        self._digest = hashlib.sha256()
        self._findings: list[str] = []
        self._tail: deque[str] = deque(maxlen=TAIL)
        self._bytes = 0

    def take(self, text: str) -> str:
        """Whole lines, redacted. Raises OSError if the log cannot be written."""
        if self._file is None and self._lines + text.count("\n") <= HEAD and len(text) <= WIDTH * 10:
            self._lines += text.count("\n")
            self._head.append(text)
            return text
        if self._file is None:
            self._path = self._place()
            self._file = self._path.open("xb")
            self._log("".join(self._head))
            self._head.clear()
        lines = text.splitlines(keepends=True)
        room = max(0, HEAD - self._lines)
        for line in lines[room:]:
            self._later(line)
        self._log(text)
        self._lines += len(lines)
        return "".join(_short(line) for line in lines[:room])

    def end(self) -> str:
        """What was left out, in a line, then the findings and the tail; empty if nothing was."""
        if self._file is None or self._path is None:
            return ""
        self._file.close()
        self._file = None
        left = max(0, self._lines - HEAD - len(self._tail))
        note = (
            f"… {left:,} lines more. All {self._lines:,} are in {self._path.name} beside the journal "
            f"({self._bytes:,} bytes, SHA-256 {self._digest.hexdigest()})\n"
        )
        shown = [line for line in self._findings if line not in self._tail]
        found = [f"… {len(shown)} of them with findings:\n", *shown] if shown else []
        return "".join([note, *found, *(["… and the last ones:\n"] if self._tail else []), *self._tail])

    def _later(self, line: str) -> None:
        line = _short(line)
        if len(self._findings) < FINDINGS and _FINDING.search(line):
            self._findings.append(line)
        self._tail.append(line)

    def _log(self, text: str) -> None:
        assert self._file is not None  # noqa: S101 - opened by `take`
        content = text.encode(errors="surrogatepass")
        self._file.write(content)
        self._digest.update(content)
        self._bytes += len(content)


def _short(line: str) -> str:
    if len(line) <= WIDTH:
        return line
    return f"{line[:WIDTH]} … ({len(line) - WIDTH:,} characters more in the log)\n"
