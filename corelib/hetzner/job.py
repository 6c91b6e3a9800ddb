"""One install: all that its parts share."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from ..fleet import Dedicated, Fleet
from ..ssh import Address
from .robot import Robot
from .stages import Deadlines, Stages


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be installed where, and the clients to do it with; `login_key` is the operator's private key."""

    fleet: Fleet
    host: Dedicated
    user_data: bytes
    installer: bytes
    robot: Robot
    login_key: str
    stages: Stages
    deadlines: Deadlines

    @property
    def distribution(self) -> str:
        """The distribution that will run there."""
        return self.fleet.release.distribution

    @property
    def user_data_sha256(self) -> str:
        """The digest that the user-data must have wherever it is."""
        return hashlib.sha256(self.user_data).hexdigest()

    def at(self, user: str, pinned: frozenset[str]) -> Address:
        """How to reach the machine."""
        return Address(str(self.host.address), self.host.ssh_port, user, pinned)


@dataclass(frozen=True, slots=True)
class Login:
    """How to log in to the rescue system of this boot: where, under which pinned keys, with which private key."""

    address: Address
    key: str
