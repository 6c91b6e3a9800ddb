"""Long-running operations: begun by a request, settled later, polled meanwhile.

An answer names its operation in `Azure-AsyncOperation`; the client polls that URL until `Succeeded` or `Failed`, then
reads the resource once more (azure-resource-manager-rpc, "Asynchronous operations"). When to poll again is said in
`Retry-After` where it is whole seconds, as Azure does, and in `retry-after-ms` where it is less: HTTP allows no
fraction in `Retry-After`, and azure-core takes a 0 for "use your own interval", which is 30 s.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from .failure import Failure
from .faults import Faults

Status = Literal["InProgress", "Succeeded", "Failed"]


@dataclass(frozen=True, slots=True)
class Timing:
    """A lab's time: seconds that operations take, seconds until a client shall poll again, and the clock's speed.

    At a speed of 60 a lab's minute is over in a second of ours: operations, `Retry-After` and throttling alike.
    """

    network: float = 0.2
    compute: float = 1.0
    group: float = 0.2
    poll: float = 0.2
    register: float = 0.5  # a provider
    speed: float = 1.0

    def real(self, seconds: float) -> float:
        """The lab's seconds in ours."""
        return seconds / self.speed

    def now(self) -> float:
        """The lab's clock: its seconds since some moment."""
        return time.monotonic() * self.speed

    @property
    def retry(self) -> dict[str, str]:
        """The header that says when to poll again."""
        return self.retry_after(self.poll)

    def retry_after(self, seconds: float) -> dict[str, str]:
        """The header that says to ask again after so many of the lab's seconds, told in a client's own."""
        ours = self.real(seconds)
        if ours >= 1:
            return {"Retry-After": str(round(ours))}
        return {"retry-after-ms": str(max(1, math.ceil(round(ours * 1000, 3))))}


AZURE = Timing(network=3.0, compute=40.0, group=30.0, poll=5.0, register=60.0)
"""About what Azure takes; at a speed of its own it makes a benchmark."""


@dataclass(slots=True)
class Operation:
    """One operation on `subject` (a folded id), begun by `verb`. It ends once."""

    verb: str
    subject: str
    subscription: str
    namespace: str
    location: str
    path: str = ""  # of the request that began it
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: Status = "InProgress"
    error: Failure | None = None
    fate: Failure | None = None  # how it is to end, if that was decided when it began
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    ended: datetime | None = None

    def end(self, error: Failure | None) -> None:
        """Settle it: Succeeded, or Failed with that error."""
        self.error = error
        self.status = "Failed" if error else "Succeeded"
        self.ended = datetime.now(UTC)

    @property
    def shown(self) -> dict[str, Any]:
        """What polling answers."""
        body: dict[str, Any] = {"name": self.id, "status": self.status, "startTime": self.started.isoformat()}
        if self.ended:
            body["endTime"] = self.ended.isoformat()
        return {**body, "error": self.error.error} if self.error else body


Outcome = Callable[[Operation], Failure | None]
"""Decides, when an operation's time has come, whether it fails, unless a fault has decided it already."""


def succeed(operation: Operation) -> Failure | None:  # noqa: ARG001 - an Outcome
    """The outcome of every operation unless faults are asked for."""
    return None


class Operations:
    """All operations of one cloud, on the running event loop."""

    def __init__(self, outcome: Outcome = succeed, timing: Timing = Timing(), faults: Faults | None = None) -> None:
        self._outcome = outcome
        self._timing = timing
        self._faults = faults or Faults()
        self._all: dict[str, Operation] = {}

    def begin(
        self, operation: Operation, delay: float, act: Callable[[], None], settle: Callable[[Failure | None], None]
    ) -> Operation:
        """Start `operation`: after `delay` of the lab's seconds `act`, unless it is to fail; then `settle` with what
        went wrong."""
        self._all[operation.id] = operation
        fault = self._faults.of_operation(operation.verb, operation.path)
        if fault and fault.do == "hang":
            return operation
        operation.fate = fault.failure if fault and fault.do == "fail" else None
        seconds = self._timing.real(fault.seconds if fault and fault.do == "last" else delay)
        asyncio.get_running_loop().call_later(seconds, self._end, operation, act, settle)
        return operation

    def find(self, operation_id: str) -> Operation | None:
        """An operation, or None."""
        return self._all.get(operation_id.lower())

    def running(self, subject: str) -> Operation | None:
        """The operation that is under way on a subject (a folded id), or None."""
        mine = (o for o in self._all.values() if o.subject == subject and o.status == "InProgress")
        return next(mine, None)

    def preempt(self, subject: str) -> None:
        """End what is under way on a subject in favour of a newer request, as compute does."""
        running = self.running(subject)
        if running:
            text = "Operation execution has been preempted by a more recent operation."
            running.end(Failure(409, "OperationPreempted", text))

    def _end(self, operation: Operation, act: Callable[[], None], settle: Callable[[Failure | None], None]) -> None:
        if operation.status != "InProgress":
            return
        error = operation.fate or self._outcome(operation) or _attempt(act)
        settle(error)
        operation.end(error)


def _attempt(act: Callable[[], None]) -> Failure | None:
    try:
        act()
    except Failure as failure:
        return failure
    except Exception as fault:  # whatever an act raises is its operation's outcome, not the cloud's end
        logging.getLogger(__name__).exception("an operation has failed")
        return Failure(500, "InternalExecutionError", f"An internal execution error occurred: {fault}")
    return None
