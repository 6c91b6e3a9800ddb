"""What the harder level prints at the end."""

from __future__ import annotations

from dataclasses import dataclass

from tests.faults.tables import Row, Table


@dataclass
class HardTable(Table):
    """A row an install; `kept` and `changed` count the disks that were not to be written."""

    title: str = "install-hetzner with real tools"
    head: Row = ("fault", "ends", "target", "ms")
    kept: int = 0
    changed: int = 0

    def last(self) -> str:
        return (
            f"{len(self.rows)} installs, in namespaces with sshd and loop disks: "
            f"{self.kept} disks were not to be written, {self.changed} of them changed"
        )
