"""What can go wrong with Robot, as a tree below the project's own kinds.

RobotError
├── LoginRefused        401: never tried again, as three failures block this address for ten minutes
├── RateLimited         403 RATE_LIMIT_EXCEEDED, and the wait would pass the deadline
├── NotFound            404
├── Conflict            409
├── Rejected            any other refusal
├── NoAnswer            no answer, or maintenance (503), until the deadline
├── LeftBehind          something of ours could not be taken away from Robot
└── ResetUnknown        the request to reset got no answer: it may or may not have happened
"""

from __future__ import annotations

from ..errors import RunbookError, ServiceFailed, TimedOut, Unreachable


class RobotError(RunbookError):
    """Robot did not do what was asked; `status` and `code` are its own, 0 and empty where it gave none."""

    def __init__(self, doing: str, found: str, remedy: str = "", status: int = 0, code: str = "") -> None:
        super().__init__(doing, found, remedy)
        self.status = status
        self.code = code


class LoginRefused(RobotError, ServiceFailed):
    """Robot refused the login."""


class RateLimited(RobotError, ServiceFailed):
    """Too many requests, for longer than the deadline."""


class NotFound(RobotError, ServiceFailed):
    """There is no such thing."""


class Conflict(RobotError, ServiceFailed):
    """It exists already, or is active already."""


class Rejected(RobotError, ServiceFailed):
    """Any other refusal."""


class NoAnswer(RobotError, Unreachable):
    """No answer, or none but "in maintenance"."""


class LeftBehind(RobotError, ServiceFailed):
    """Something of ours is still at Robot: `found` names it, and what was taken away."""


class ResetUnknown(RobotError, TimedOut):
    """Whether the reset happened is unknown: look at the machine, do not ask again."""
