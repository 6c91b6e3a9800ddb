"""References to secrets: `env:NAME`, `file:path` → the value, at the last moment."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import BadInput


def resolve(reference: str, root: Path) -> str:
    """The value behind a reference, without its trailing line break; relative paths start at the project's root.

    Raises BadInput if the variable is unset or empty, or the file cannot be read.
    """
    kind, _, rest = reference.partition(":")
    doing = f"reading the secret {reference}"
    if kind == "env":
        value = os.environ.get(rest, "")
        if not value:
            raise BadInput(doing, f"the environment variable {rest} is not set", f"export {rest}=… and run again")
        return value
    try:
        return path_of(reference, root).read_text().rstrip("\n")
    except (OSError, UnicodeDecodeError) as problem:
        raise BadInput(doing, f"{problem}", "check the path and its permissions, then run again") from None


def path_of(reference: str, root: Path) -> Path:
    """The path behind a `file:` reference."""
    return root / Path(reference.removeprefix("file:")).expanduser()
