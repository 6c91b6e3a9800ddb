"""Asking across an election: what was under way when the leader changed etcd may forget, so it is asked once more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from . import answers
from .answers import Headers
from .samples import Reply

T = TypeVar("T")

_SAID = (
    "leader changed",
    "no leader",
    "not leader",
    "leader failure",
    "raft proposal dropped",
)  # etcd's own words for it
MOST = 6  # times that something is asked again through one member, in all


class Port(Protocol):
    """A member's JSON gateway."""

    def post(self, path: str, content: dict[str, Any], read: Callable[[Any, Headers], T], until: float) -> Reply[T]: ...


class Across:
    """A gateway of which a call that failed or had no answer is made again if there was an election meanwhile.

    Only for what may be done twice. `term` is that of the leader so far, `until` when a call that begins now is given
    up; elections are waited for as long as `election_s`, by `sleep`.
    """

    def __init__(
        self, port: Port, term: int, until: Callable[[], float], election_s: float, sleep: Callable[[float], None]
    ) -> None:
        self._port, self._term, self._until, self._sleep = port, term, until, sleep
        self._pause = election_s / MOST
        self._again = MOST

    def post(self, path: str, content: dict[str, Any], read: Callable[[Any, Headers], T], until: float) -> Reply[T]:
        """The last reply; etcd's refusals that have nothing to do with an election are the first one."""
        reply = self._port.post(path, content, read, until)
        while reply.outcome in ("failed", "mute") and self._again and self._swallowed(reply):
            self._again -= 1
            self._sleep(self._pause)
            reply = self._port.post(path, content, read, self._until())
        return reply

    def _swallowed(self, reply: Reply[T]) -> bool:
        """Whether etcd says so, has no leader now, or has elected one since all was settled."""
        if any(words in reply.detail for words in _SAID):
            return True
        now = self._port.post("/v3/maintenance/status", {}, answers.status, self._until()).value
        return now is not None and (not now.leader or now.term > self._term)
