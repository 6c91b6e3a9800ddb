"""Where a run comes from: who started it, with which code, and on which machine."""

from __future__ import annotations

import hashlib
import os
import pwd
import socket
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = (
    "azure-identity",
    "azure-mgmt-compute",
    "azure-mgmt-network",
    "asyncssh",
    "ipykernel",
    "papermill",
    "requests",
)


def code_version() -> str:
    """SHA-256 over the names and contents of the package's own files: 64 hex digits."""
    package = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for file in sorted(f for f in package.rglob("*") if f.is_file() and "__pycache__" not in f.parts):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{file.relative_to(package)} {content}\n".encode())
    return digest.hexdigest()


def origin(root: Path) -> dict[str, Any]:
    """Operator, host, process, code, commit and package versions, as plain data for the journal's first entry."""
    return {
        "operator": operator(),
        "pid": os.getpid(),
        "python": sys.version.split()[0],
        "code": code_version(),
        **_commit(root),
        "packages": {name: _version(name) for name in _PACKAGES},
    }


def operator() -> str:
    """`user@host` of this process, by the account that it runs as: LOGNAME and USER can say anything."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run as a number that has no name
        user = f"uid-{os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "absent"


def _commit(root: Path) -> dict[str, Any]:
    """The commit, and whether what git tracks was unchanged; `unknown` where git cannot say."""
    head = _git(root, "rev-parse", "HEAD")
    changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    if head is None or changed is None:
        return {"commit": "unknown", "clean": "unknown"}
    return {"commit": head.strip(), "clean": not changed.strip()}


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
