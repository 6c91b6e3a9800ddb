"""A cluster whose members reach each other through `Paths`, with the reference's timing."""

from __future__ import annotations

from pathlib import Path

from corelib.etcd.identity import identities
from corelib.member import PEER_PORT, Member

from .clusters import TOKEN, Running
from .paths import Paths, behind

TIMING = (500, 2500)  # heartbeat and election timeout of the reference deployment, in ms


class Relayed(Running):
    """`paths` must be up as long as it runs. Use as a context."""

    def __init__(self, folder: Path, members: tuple[Member, ...], *, etcd: str = "") -> None:
        ids = identities(members, TOKEN).members
        self.behind = behind(members)
        self.paths = Paths(members, {number: name for name, number in ids.items()}, self.behind)
        self._up = self.paths.up()
        self._up.__enter__()
        try:
            super().__init__(folder, members=members, etcd=etcd, timing=TIMING)
        except BaseException:
            self._up.__exit__(None, None, None)
            raise

    def options(self, member: Member) -> dict[str, str]:
        own = f"http://{self.behind[member.name]}:{PEER_PORT}"
        return super().options(member) | {"listen-peer-urls": own}

    def end(self) -> None:
        super().end()
        self._up.__exit__(None, None, None)
