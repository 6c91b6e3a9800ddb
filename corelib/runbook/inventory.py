"""The inventory: addresses, ids and host keys of what was deployed, one JSON file per environment.

It is a convenience for the runbooks that come later, never the authority: plans are made from what is observed.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import BadInput


class Inventory(NamedTuple):
    """The file behind an environment's inventory: plain data by part (`azure`, `dedicated`, `host_keys`)."""

    path: Path

    def read(self, part: str) -> dict[str, Any]:
        """One part, empty if nothing was remembered yet. Raises BadInput if the file is damaged."""
        content = self._read()
        found: dict[str, Any] = content.get(part, {})
        return found

    def addresses(self) -> dict[str, str]:
        """The reserved addresses of every cluster that was deployed, by `Cluster.reserved`."""
        azure = self.read("azure")
        shared = {name: one["address"] for name, one in azure.get("clusters", {}).items()}
        return {**shared, **azure.get("addresses", {})}

    def write(self, part: str, content: Mapping[str, Any]) -> None:
        """Replace one part; the others stay, whoever writes them at the same time. The file is replaced as a whole."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_name(f".{self.path.name}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # verifying takes no lock of the environment, and remembers host keys
            whole = {**self._read(), part: dict(content)}
            draft = self.path.with_name(f".{self.path.name}.{os.getpid()}")
            draft.write_text(json.dumps(whole, indent=1, sort_keys=True) + "\n")
            draft.replace(self.path)

    def _read(self) -> dict[str, Any]:
        try:
            content: dict[str, Any] = json.loads(self.path.read_text())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as problem:
            remedy = "move it away: the next apply writes it anew"
            raise BadInput(f"reading the inventory {self.path}", str(problem), remedy) from None
        return content
