"""One install: all that its parts share."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ..fleet import Dedicated, Fleet
from ..plan import Watch
from ..ssh import Address, KeyPair
from .clock import Clock
from .facts import Approved, Server
from .memory import Memory
from .pinned import Pinned
from .robot import Robot
from .stages import Deadlines, Stages


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be installed where, and the clients to do it with; `login_key` is the operator's private key.

    `desired` is the content of the approved step, without which nothing is written. To look at the disks only, neither
    that nor user-data and install script are needed.
    """

    fleet: Fleet
    host: Dedicated
    robot: Robot
    login_key: str
    watch: Watch
    memory: Memory
    user_data: bytes = b""
    installer: bytes = b""
    image: Pinned | None = None  # a local one that is to be written
    desired: Mapping[str, Any] = field(default_factory=dict)
    servers: tuple[Server, ...] | None = None  # as Robot lists them in this run; None: it is to be asked
    left: str = ""  # the MD5 fingerprint of a key of ours that an install which has ended has left at Robot
    deadlines: Deadlines = Deadlines()  # noqa: RUF009 - frozen
    clock: Clock = Clock()  # noqa: RUF009 - frozen

    @property
    def stages(self) -> Stages:
        """The states, each remembered when it is reached."""
        return Stages(self.host.name, self.watch, self.clock, self._reached)

    @property
    def approved(self) -> Approved | None:
        """The disk as it was approved; None if no writing was."""
        return Approved.of(self.desired) if "target" in self.desired else None

    @property
    def distribution(self) -> str:
        """The distribution that will run there."""
        return self.fleet.release.distribution

    @property
    def user_data_sha256(self) -> str:
        """The digest that the user-data must have wherever it is."""
        return hashlib.sha256(self.user_data).hexdigest()

    @property
    def key(self) -> KeyPair:
        """The key for the rescue system: temporary at Robot, the same in a run that goes on with this install."""
        return rescue_key(self.host, self.login_key, self.memory.salt())

    @property
    def rescue(self) -> Login:
        """How to log in to the rescue system whose host keys are noted."""
        return Login(self.at("root", frozenset(self.memory.note.host_keys)), self.key.private)

    def at(self, user: str, pinned: frozenset[str]) -> Address:
        """How to reach the machine."""
        return Address(str(self.host.address), self.host.ssh_port, user, pinned)

    def _reached(self, state: str) -> None:
        now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
        self.memory.keep(state=state, states={**self.memory.note.states, state: now})


@dataclass(frozen=True, slots=True)
class Login:
    """How to log in to the rescue system of this boot: where, under which pinned keys, with which private key."""

    address: Address
    key: str


def rescue_key(host: Dedicated, login_key: str, salt: str) -> KeyPair:
    """The temporary key of an install, of which only the salt is kept."""
    return KeyPair.derived(login_key, salt, f"{host.name} install, temporary")
