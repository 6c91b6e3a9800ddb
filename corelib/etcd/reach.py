"""The hosts of the members, logged in to all at the same time: what leads to their ports, and who tells of them.

One connection to a host serves both its member's ports, all calls and the host's own facts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import NamedTuple, Self

from ..member import Member
from ..ssh import Address, HostKeyMismatch, NotLetIn, Shell, SshError, host_key, private_key
from . import host
from .asking import AskHost
from .intended import OnHost
from .samples import HostFacts, Reply
from .way import Way, closed, through

USER = "core"  # whom the images let in by key
CONNECT_S = 5.0  # until a host has let us in; whoever has not by then is not reached


class Login(NamedTuple):
    """Where a host's SSH is, and the host key that it must have; empty: whichever it shows at this first contact."""

    host: str
    port: int
    pinned: str = ""


class Hosts:
    """The hosts, to be used in a `with`. `learnt` are the host keys of those that were met for the first time, as
    fingerprints; `keys` the public host keys of all who let us in.

    A host that cannot be reached is no error here: its reply says why. Raises BadInput for a key that is none.
    """

    def __init__(self, logins: Mapping[str, Login], key: str, timeout: float = CONNECT_S) -> None:
        private_key(key)
        self._logins, self._key, self._timeout = logins, key, timeout
        self._shells: dict[str, Shell] = {}
        self._failed: dict[str, Reply[HostFacts]] = {}
        self.learnt: dict[str, str] = {}
        self.keys: dict[str, str] = {}

    def __enter__(self) -> Self:
        if self._logins:
            with ThreadPoolExecutor(len(self._logins), thread_name_prefix="reach") as pool:
                list(pool.map(self._enter, self._logins))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shells:
            with ThreadPoolExecutor(len(self._shells), thread_name_prefix="leave") as pool:
                list(pool.map(lambda shell: shell.__exit__(kind, error, trace), self._shells.values()))

    def ways(self, members: Iterable[Member]) -> dict[str, Way]:
        """To each member through its own host; none to a member whose host is not reached."""
        return {
            one.name: through(self._shells[one.name], str(one.address))
            if one.name in self._shells
            else closed("its host was not reached")
            for one in members
        }

    @property
    def shells(self) -> Mapping[str, Shell]:
        """Of the hosts that let us in."""
        return self._shells

    @property
    def silent(self) -> Mapping[str, str]:
        """Why each of the others did not."""
        return {name: reply.detail for name, reply in self._failed.items()}

    def asks(self, on: Mapping[str, OnHost]) -> dict[str, AskHost]:
        """Who tells of each host that `on` says what to look for."""
        found: dict[str, AskHost] = {
            name: partial(host.ask, shell, on[name]) for name, shell in self._shells.items() if name in on
        }
        return found | {name: partial(_say, reply) for name, reply in self._failed.items()}

    def _enter(self, name: str) -> None:
        try:
            self._shells[name] = self._log_in(name, self._logins[name])
        except SshError as problem:
            self._failed[name] = _reply(problem)

    def _log_in(self, name: str, login: Login) -> Shell:
        pinned = login.pinned or host_key(login.host, login.port, self._timeout)
        address = Address(login.host, login.port, USER, frozenset({pinned}))
        shell = Shell(address, self._key, self._timeout).__enter__()
        self.keys[name] = shell.host_key
        if not login.pinned:
            self.learnt[name] = pinned  # only now: whoever does not let us in may be another machine
        return shell


def _say(reply: Reply[HostFacts], _until: float) -> Reply[HostFacts]:
    return reply


def _reply(problem: SshError) -> Reply[HostFacts]:
    """A failed login, in the words that the judge knows."""
    if isinstance(problem, HostKeyMismatch):
        return Reply("another host key", detail=problem.found)
    if isinstance(problem, NotLetIn):
        return Reply("not let in", detail=problem.found)
    refused = "refused" in problem.found.lower()
    return Reply("refused" if refused else "unreachable", detail=problem.found)
