"""Long-running operations: begun by a request, settled later, polled meanwhile.

An answer names its operation in `Azure-AsyncOperation`; the client polls that URL until `Succeeded` or `Failed`, then
reads the resource once more (azure-resource-manager-rpc, "Asynchronous operations"). When to poll again is said in
`Retry-After` where it is whole seconds, as Azure does, and in `retry-after-ms` where it is less: HTTP allows no
fraction in `Retry-After`, and azure-core takes a 0 for "use your own interval", which is 30 s.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from .failure import Failure

Status = Literal["InProgress", "Succeeded", "Failed"]


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds that operations take, and seconds until a client shall poll again."""

    network: float = 0.2
    compute: float = 1.0
    group: float = 0.2
    poll: float = 0.2

    @property
    def retry(self) -> dict[str, str]:
        """The header that says when to ask again."""
        if self.poll >= 1:
            return {"Retry-After": str(round(self.poll))}
        return {"retry-after-ms": str(max(1, round(self.poll * 1000)))}


@dataclass(slots=True)
class Operation:
    """One operation on `subject` (a folded id), begun by `verb`. It ends once."""

    verb: str
    subject: str
    subscription: str
    namespace: str
    location: str
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: Status = "InProgress"
    error: Failure | None = None
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
"""Decides, when an operation's time has come, whether it fails: the one place for faults on demand."""


def succeed(operation: Operation) -> Failure | None:  # noqa: ARG001 - an Outcome
    """The outcome of every operation unless faults are asked for."""
    return None


class Operations:
    """All operations of one cloud, on the running event loop."""

    def __init__(self, outcome: Outcome = succeed) -> None:
        self._outcome = outcome
        self._all: dict[str, Operation] = {}

    def begin(
        self, operation: Operation, delay: float, act: Callable[[], None], settle: Callable[[Failure | None], None]
    ) -> Operation:
        """Start `operation`: after `delay` seconds `act`, unless it is to fail; then `settle` with what went wrong."""
        self._all[operation.id] = operation
        asyncio.get_running_loop().call_later(delay, self._end, operation, act, settle)
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
        error = self._outcome(operation) or _attempt(act)
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
