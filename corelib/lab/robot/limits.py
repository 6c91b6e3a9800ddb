"""How often each of Robot's calls may be asked in an hour (its reference), and the refusals that a test asks for."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from .failure import Failure

HOUR = 3600.0
_LIMITS = (
    ("POST", r"/reset/", 50),
    ("GET", r"/reset/", 500),
    ("GET|POST", r"/server(/|$)", 200),
    ("GET|POST|DELETE", r"/boot/", 500),
    ("POST", r"/wol/", 10),
    ("GET", r"/wol/", 500),
    ("GET", r"/key$", 500),
    ("GET|POST|DELETE", r"/key", 200),
)


class Limits:
    """The requests of the last hour, by call; `speed` is how fast this hour goes by."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._asked: dict[str, deque[float]] = {}

    def count(self, method: str, path: str) -> None:
        """Count a request. Raises Failure if that call was asked too often."""
        for methods, pattern, most in _LIMITS:
            if re.fullmatch(methods, method) and re.match(pattern, path):
                self._count(f"{method} {re.sub('[0-9]+', 'N', path)}", most)
                return

    def _count(self, call: str, most: int) -> None:
        now, asked = time.monotonic() * self._speed, self._asked.setdefault(call, deque())
        while asked and now - asked[0] >= HOUR:
            asked.popleft()
        if len(asked) >= most:
            left = int(HOUR - (now - asked[0])) + 1
            raise Failure(403, "RATE_LIMIT_EXCEEDED", "rate limit exceeded", max_request=most, interval=left)
        asked.append(now)


class Refusals:
    """What is to be refused, and how often yet."""

    def __init__(self, wanted: Sequence[Mapping[str, Any]]) -> None:
        self._left = [{"times": 1, **one} for one in wanted]

    def next(self, method: str, path: str) -> Mapping[str, Any] | None:
        """The refusal that this request meets."""
        for one in self._left:
            if one["method"] == method and one["path"] in path and one["times"] > 0:
                one["times"] -= 1
                return one
        return None


def refuse(wanted: Mapping[str, Any]) -> None:
    """Raise the Failure that is wanted, if one is."""
    if "status" in wanted:
        more = {key: value for key, value in wanted.items() if key in ("max_request", "interval")}
        raise Failure(wanted["status"], wanted["code"], "refused on purpose", **more)
