"""Lint of files: what `corelib.userdata.lint` says of a document, and what systemd itself says of its units."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from .. import tree
from ..errors import BadInput
from ..userdata import lint
from ..userdata.lint import Release, Trap

_LINE = re.compile(r"^(?P<path>/[^:]+):(?P<line>\d+): (?P<message>.*)$")
_CHECKED = (".service", ".socket", ".timer", ".mount", ".automount", ".target", ".path", ".slice", ".swap")
_PATIENCE = 30.0  # seconds for all units of one document


def check(file: Path, releases: Iterable[Release]) -> tuple[Trap, ...]:
    """Every trap of a file, by line. Raises BadInput if it cannot be read."""
    content = _read(file)
    found = [*lint.lint(content, releases), *_units(content)]
    return tuple(sorted(found, key=lambda trap: (trap.line, trap.rule)))


def mend(file: Path) -> bool:
    """Write the corrected file in the place of the other, as a whole; False if there was nothing to correct."""
    before = _read(file)
    after = lint.fix(before)
    if after == before:
        return False
    draft = file.with_name(f".{file.name}.mended")
    try:
        draft.write_bytes(after)
        draft.chmod(file.stat().st_mode & 0o777)
        draft.replace(file)
    except OSError as problem:
        draft.unlink(missing_ok=True)
        raise BadInput(f"correcting {file}", problem.strerror or str(problem), "nothing was changed") from None
    return True


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as problem:
        raise BadInput(f"reading {file}", problem.strerror or str(problem), "name a #cloud-config file") from None


def _units(content: bytes) -> Iterator[Trap]:
    """What `systemd-analyze verify` says of each unit that is written out whole, where that program is."""
    if shutil.which("systemd-analyze") is None:
        return
    try:
        root = tree.read(content.decode().removeprefix("\ufeff"))
    except (UnicodeDecodeError, tree.Unreadable):
        return
    coreos = tree.get(root, "coreos") if isinstance(root, tree.Mapping) else None
    for unit in tree.maps(coreos, "units") if isinstance(coreos, tree.Mapping) else ():
        node, name = tree.get(unit, "content"), tree.text_of(unit, "name")
        if isinstance(node, tree.Scalar) and re.fullmatch(r"[\w@.\\:-]+", name) and name.endswith(_CHECKED):
            yield from _verified(name, node)


def _verified(name: str, content: tree.Scalar) -> Iterator[Trap]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder).resolve() / name
        path.write_text(content.value)
        command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(path)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return  # it is an extra opinion; ours stands without
    for line in done.stderr.splitlines():
        match = _LINE.match(line)
        if match and match["path"] == str(path):
            where = tree.line_of(content, int(match["line"]) - 1)
            yield Trap("systemd", "warning", where, f"systemd says of {name}: {match['message']}", "correct the unit")
