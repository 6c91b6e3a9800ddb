"""Changing who is in a cluster, through one member that serves: what a person does with `etcdctl member`.

Who is added comes as a learner, which does not count for the quorum until it has caught up and is promoted (etcd's
docs, learning/learner; from 3.4 on). Judges nothing, and asks nobody for leave: that is its caller's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import RunbookError, ServiceFailed, TimedOut
from . import answers
from .client import Connection
from .credentials import Credentials
from .samples import Listed, Reply
from .snapshot import Snapshot, take

PATIENCE_S = 10.0  # one call; a change of the membership is one entry of the log
_PAUSE_S = 1.0
SETTLES_S = 60.0  # etcd refuses a change while a member has been connected for less than 5 s (strict-reconfig-check)
_PASSING = ("unhealthy cluster", "leader changed", "no leader", "not enough started members", "request timed out")
_BEHIND = "in sync with leader"  # of a learner that has not caught up yet


@dataclass(frozen=True, slots=True)
class Door:
    """A way into a cluster: a connection to one member that serves, by its name."""

    name: str
    line: Connection

    def log_in(self, credentials: Credentials) -> None:
        """Ask as that user from now on. Raises ServiceFailed."""
        content = {"name": credentials.user, "password": credentials.password}
        token = self._post("logging in to", "/v3/auth/authenticate", content, answers.token)
        if token is None:
            raise ServiceFailed(f"logging in to etcd on {self.name}", "it gave no token", "see etcd.login")
        self.line.authorize(token, credentials.password)

    def members(self) -> tuple[Listed, ...]:
        """Who is in the cluster now, as a quorum says. Raises ServiceFailed, TimedOut."""
        content = {"linearizable": True}
        doing, path = "asking who is in the cluster of", "/v3/cluster/member/list"
        listed: tuple[Listed, ...] = self._post(doing, path, content, answers.view).members
        return listed

    def add(self, peer_url: str) -> int:
        """Add a learner; its id. One that is there already under that URL and has not started is it."""
        content = {"peerURLs": [peer_url], "isLearner": True}
        doing = f"adding {peer_url} through"
        try:
            number: int = self._until_it_settles(
                lambda: self._post(doing, "/v3/cluster/member/add", content, answers.added)
            )
        except RunbookError:  # it may have been done, by this call or by one before an interruption
            there = [one for one in self.members() if peer_url in one.peer_urls and not one.name]
            if not there:
                raise
            return there[0].id
        return number

    def remove(self, number: int) -> None:
        """Remove a member; one that is gone already is as wanted. Raises ServiceFailed, TimedOut."""
        content, doing = {"ID": str(number)}, f"removing member {number:x} through"
        try:
            self._until_it_settles(lambda: self._post(doing, "/v3/cluster/member/remove", content, answers.done))
        except RunbookError:
            if any(one.id == number for one in self.members()):
                raise

    def snapshot(self, keys: Sequence[str], file: Path) -> Snapshot:
        """Keep a snapshot of all data in `file`, encrypted to these SSH keys. Raises BadInput, RunbookError."""
        doing = f"taking a snapshot of etcd through {self.name}"
        try:
            sock = self.line.line(_until())
        except OSError as problem:
            raise ServiceFailed(doing, str(problem), "verify etcd, then run again") from None
        with sock:
            return take(sock, self.name, self.line.authorization, keys, file)

    def promote(self, number: int) -> bool:
        """Make a learner a voter; False: it has not caught up yet. Raises ServiceFailed, TimedOut."""
        reply = self.line.post("/v3/cluster/member/promote", {"ID": str(number)}, answers.done, _until())
        if _BEHIND in reply.detail or any(word in reply.detail for word in _PASSING):
            return False
        if reply.outcome != "answered" and not self._votes(number):
            raise _failure(f"promoting member {number:x} through", self.name, reply)
        return True

    def _votes(self, number: int) -> bool:
        return any(one.id == number and not one.learner for one in self.members())

    def _until_it_settles(self, call: Callable[[], Any]) -> Any:
        end = time.monotonic() + SETTLES_S
        while True:
            try:
                return call()
            except ServiceFailed as problem:
                if time.monotonic() > end or not any(word in problem.found for word in _PASSING):
                    raise
            time.sleep(_PAUSE_S)

    def _post(self, doing: str, path: str, content: dict[str, Any], read: answers.Reader) -> Any:
        reply: Reply[Any] = self.line.post(path, content, read, _until())
        if reply.outcome != "answered":
            raise _failure(doing, self.name, reply)
        return reply.value


def _until() -> float:
    return time.monotonic() + PATIENCE_S


def _failure(doing: str, name: str, reply: Reply[Any]) -> RunbookError:
    words = f"{reply.outcome}: {reply.detail}" if reply.detail else reply.outcome
    if reply.outcome in ("mute", "broken"):
        return TimedOut(f"{doing} {name}", f"{words}; whether it was done is unknown", "run again: it looks first")
    return ServiceFailed(f"{doing} {name}", words, "verify etcd, then run again: it goes on with what is left")
