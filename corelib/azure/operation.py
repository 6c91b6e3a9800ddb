"""Waiting for an operation that a request has begun (azure-resource-manager-rpc, "Asynchronous operations").

The SDK's own poller keeps a thread for each operation and asks at its own pace. Here a wait is a row of pauses, the
questions of all operations keep one rhythm, and an operation that Azure has forgotten is Unknown: to be looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from azure.core.rest import HttpRequest

from ..errors import ServiceFailed, TimedOut
from .client import AGAIN, Cloud, Unknown
from .executor import Pauses, Telling
from .pace import retry_after
from .rhythm import Rhythm

_PASSING = frozenset({"InternalExecutionError", "InternalServerError", "RetryableError", "ServiceUnavailable"})
"""Codes of operations that may well go through when they are asked for again (Azure: common deployment errors)."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """How the operations of one apply are waited for: `deadline` is seconds for each."""

    cloud: Cloud
    rhythm: Rhythm
    deadline: float

    def until_ended(self, begun_by: Mapping[str, str], kind: str, telling: Telling, doing: str) -> Pauses:
        """Wait for what an answer with these headers has begun; returns at once if that is nothing.

        Raises ServiceFailed with the operation's own error, TimedOut after the deadline, Unknown if a look must tell.
        """
        url = begun_by.get("Azure-AsyncOperation") or begun_by.get("Location")
        if url is None:
            return
        # Without its query, in which Azure may sign who polls: the path names the operation.
        telling.accepted(urlsplit(url).path)
        clock, asked = self.cloud.pace.clock, retry_after(begun_by, self.cloud.pace.clock)
        begun, took = clock.now(), None
        self.rhythm.begun()
        try:
            while took is None:
                yield self.rhythm.pause(kind, clock.now() - begun, asked)
                answer = self._ask(url, telling, doing)
                state, asked = _state(answer, doing), retry_after(answer.headers, clock)
                if state == "Succeeded":
                    took = clock.ours(_took(answer)) or clock.now() - begun
                else:
                    self.still(state, begun, telling, doing)
        finally:
            self.rhythm.ended(kind, took)

    def still(self, state: str, begun: float, telling: Telling, doing: str) -> None:
        """Say what is waited for. Raises TimedOut after the deadline: what Azure does then is unknown."""
        # Only ever after a look: a process that was stopped for an hour finds what has ended meanwhile.
        if self.cloud.pace.clock.now() - begun > self.deadline:
            found = f"it is {state} after {self.deadline:.0f} s; whether it ends well is unknown"
            raise TimedOut(doing, found, "look again later: running again observes first")
        telling.waits(f"Azure says {state}")

    def _ask(self, url: str, telling: Telling, doing: str) -> Any:
        """What Azure answers about an operation."""
        send: Callable[..., Any] = self.cloud.resources.send_request
        answer = send(HttpRequest("GET", url), on_wait=telling.waits, raw_response_hook=telling.seen)
        if answer.status_code == 404:
            raise Unknown(doing, "Azure does not know its operation any more", AGAIN)
        answer.raise_for_status()
        return answer


def _state(answer: Any, doing: str) -> str:
    """The state that an answer tells; raises what the operation ended with, if that is not success."""
    body = answer.json() if answer.content else {}
    state = str(body.get("status") or ("InProgress" if answer.status_code == 202 else "Succeeded"))
    if state not in ("Failed", "Canceled"):
        return state
    error = body.get("error") or {}
    code = error.get("code", state)
    found = f"{code}: {error.get('message', 'Azure says nothing more')}"
    if code in _PASSING:
        raise Unknown(doing, found, AGAIN)
    raise ServiceFailed(doing, found, "remove the cause, then run again: it goes on with what is left")


def _took(answer: Any) -> float:
    """The real seconds that an operation took, as Azure tells them; 0 if it does not."""
    body = answer.json() if answer.content else {}
    try:
        begun, ended = (datetime.fromisoformat(body[name]) for name in ("startTime", "endTime"))
    except (KeyError, ValueError):
        return 0.0
    return max(0.0, (ended - begun).total_seconds())
