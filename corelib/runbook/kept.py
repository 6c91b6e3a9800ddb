"""The subject of a parameters file, kept from one look to the next: to understand it takes longer than to ask etcd.

What is kept is used for the very same text, code and libraries only, and only as it was written: its first line has
the digests of both. Whatever else is found there is as good as nothing, and the file is read as ever.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from ..digests import blake2b
from ..project import Project
from .subject import Subject

_CODE = Path(__file__).parents[1]
_LIBRARIES = ("pydantic", "pydantic_core", "yaml")  # what else decides what a text means


def subject(file: Path, at: Project) -> Subject:
    """What the parameters file says about verifying etcd. Raises BadInput if it is not there or wrong."""
    text = _bytes(file)
    key, place = _key(text), at.kept(file.stem)
    found = _read(place, key)
    if found is None:
        import hashlib  # noqa: PLC0415 - here it is loaded anyway

        from .inputs import load  # noqa: PLC0415 - pydantic's models take 150 ms to be made

        loaded = load(file, at)
        found = Subject.of(loaded.fleet)
        if loaded.digest == hashlib.sha256(text).hexdigest() and at.is_there():
            _write(place, key, found)
    return found


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:  # whoever reads it in earnest says why
        return b""


def _key(text: bytes) -> str:
    """A digest of all that decides what `text` means."""
    made_by = "\n".join([sys.version, *_sources(_CODE), *_libraries()])
    return _digest(text + made_by.encode())


def _sources(folder: str | Path) -> Iterator[str]:
    """Every source below a folder by time and size: what Python itself goes by to know one that it has compiled."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda one: one.name):
            if entry.name.endswith(".py"):
                yield _look(entry.path)
            elif entry.is_dir() and entry.name != "__pycache__":
                yield from _sources(entry.path)


def _libraries() -> Iterator[str]:
    """Where each one is, and when it, and what is installed beside it, was changed last."""
    for name in _LIBRARIES:
        for folder in sys.path:
            if os.path.exists(file := f"{folder}/{name}/__init__.py"):  # noqa: PTH110 - a Path for each costs more
                yield from (_look(file), _look(folder))
                break


def _look(path: str) -> str:
    found = os.stat(path)  # noqa: PTH116 - the same
    return f"{path} {found.st_mtime_ns} {found.st_size}"


def _read(place: Path, key: str) -> Subject | None:
    try:
        head, _, body = place.read_text().partition("\n")
        return Subject.read(body) if head == _head(key, body) else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _write(place: Path, key: str, found: Subject) -> None:
    """As a whole, or not at all: where nothing may be written, the next look only takes longer."""
    draft = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(f"{_head(key, found.text())}\n{found.text()}")
        draft.replace(place)
    except OSError:
        return


def _head(key: str, body: str) -> str:
    return f"{key} {_digest(body.encode())}"


def _digest(content: bytes) -> str:
    return blake2b(content, digest_size=32).hexdigest()
