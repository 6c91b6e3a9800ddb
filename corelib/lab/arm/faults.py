"""Faults on demand: which requests and operations go wrong, how, and how often. Declarative, and counted down.

    {"do": "fail", "method": "PUT", "path": "*/virtualMachines/azure-lab-02", "code": "AllocationFailed"}
    {"do": "answer", "status": 503, "times": 3}
    {"do": "reset-after", "method": "PUT", "skip": 4}

Of several that fit a request, the first acts that has been skipped often enough and has some times left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from fnmatch import fnmatchcase
from typing import Any, Literal, get_args

from .failure import Failure

Do = Literal[
    "answer",  # a request is answered with this error, and nothing is done
    "reset-before",  # the connection is reset, and nothing is done
    "reset-after",  # it is done, and then the connection is reset
    "stall",  # it is done, and answered only after `seconds`
    "expire",  # from this request on, every token that was given out so far has expired
    "fail",  # the operation that this request begins ends with this error
    "last",  # it takes `seconds`
    "hang",  # it never ends
]
_OPERATION = ("fail", "last", "hang")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault; `method` and `path` are shell patterns without regard to case, `seconds` the lab's.

    `skip` that many that fit, then act `times` times. `retry_after` (seconds) goes with an answer.
    """

    do: Do
    method: str = "*"
    path: str = "*"
    skip: int = 0
    times: int = 1
    status: int = 500
    code: str = "InternalServerError"
    message: str = "Encountered internal server error. This fault was asked for."
    retry_after: int | None = None
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.do not in get_args(Do):
            raise ValueError(f"a fault does one of {', '.join(get_args(Do))}; found {self.do!r}")

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Fault:
        """A fault from plain data; ValueError for a name that means nothing."""
        unknown = set(facts) - {one.name for one in fields(cls)}
        if unknown or "do" not in facts:
            raise ValueError(f"a fault has no {', '.join(sorted(unknown))}" if unknown else "a fault needs `do`")
        return cls(**facts)

    @property
    def failure(self) -> Failure:
        """Its error."""
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return Failure(self.status, self.code, self.message, headers=headers)

    def fits(self, method: str, path: str) -> bool:
        """Whether it is meant for such a request."""
        return all(fnmatchcase(a.lower(), b.lower()) for a, b in ((method, self.method), (path, self.path)))


class Faults:
    """The faults that are still to come."""

    def __init__(self) -> None:
        self._left: list[_Count] = []

    def set(self, faults: Iterable[Fault]) -> None:
        """These, and no others any more."""
        self._left = [_Count(fault, fault.skip, fault.times) for fault in faults]

    @property
    def left(self) -> list[dict[str, Any]]:
        """What is still to come, as plain data."""
        return [{**asdict(one.fault), "skip": one.skip, "times": one.times} for one in self._left if one.times]

    def of_request(self, method: str, path: str) -> Fault | None:
        """What happens to a request."""
        return self._next(method, path, operation=False)

    def of_operation(self, method: str, path: str) -> Fault | None:
        """What happens to the operation that a request begins."""
        return self._next(method, path, operation=True)

    def _next(self, method: str, path: str, *, operation: bool) -> Fault | None:
        for one in self._left:
            if not one.times or (one.fault.do in _OPERATION) != operation or not one.fault.fits(method, path):
                continue
            if one.skip:
                one.skip -= 1
                continue
            one.times -= 1
            return one.fault
        return None


@dataclass(slots=True)
class _Count:
    fault: Fault
    skip: int
    times: int
