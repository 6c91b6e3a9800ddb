"""Throttling by token buckets, with Azure's own limits, on the lab's clock.

Resource Manager's buckets are those of one subscription, caller and region (Understand how Azure Resource Manager
throttles requests, 2024): a lab has one caller and is one region. Compute's are per machine, and per subscription and
region (Compute throttling limits): those of changes to machines are here, those of reads and of disks are not.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from .cloud import Reply, Request
from .failure import Failure
from .operations import Timing

Class = Literal["reads", "writes", "deletes"]


@dataclass(frozen=True, slots=True)
class Limit:
    """A bucket: how many tokens it holds, and how many come back in a second."""

    size: int
    refill: float


@dataclass(frozen=True, slots=True)
class Limits:
    """All limits of a lab; `None` instead of them throttles nothing."""

    reads: Limit = Limit(250, 25)
    writes: Limit = Limit(200, 10)
    deletes: Limit = Limit(200, 10)
    machine: Limit = Limit(12, 4 / 60)  # Compute: PutVM, UpdateVM and DeleteVM, each of its own
    machines: Limit = Limit(1500, 500 / 60)  # the same, per subscription and region


class Throttle:
    """The buckets, each full until it is used."""

    def __init__(self, timing: Timing, limits: Limits | None) -> None:
        self._timing = timing
        self._limits = limits
        self._buckets: dict[tuple[str, ...], tuple[float, float]] = {}  # tokens, and when there were so many

    def through(self, request: Request, answer: Callable[[], Reply]) -> Reply:
        """The answer to a request, or its refusal, with the headers that say what is left. Failure 429."""
        found = _SUBSCRIPTION.match(request.path)
        headers = self.take(request, found[1]) if found else {}
        try:
            reply = answer()
        except Failure as failure:
            failure.headers |= headers
            raise
        return replace(reply, headers={**reply.headers, **headers})

    def take(self, request: Request, subscription: str) -> dict[str, str]:
        """Take what a request costs; returns the headers that say what is left. Failure 429, with when to try again."""
        limits, kind = self._limits, _class(request.method)
        if limits is None:
            return {}
        left, wait = self._draw((subscription.lower(), kind), getattr(limits, kind))
        if wait:
            seconds, word = math.ceil(wait), kind.removesuffix("s")
            text = f"Number of '{word}' requests for subscription '{subscription}' exceeded. Please try again after"
            text += f" '{seconds}' seconds after additional tokens are available. Refer to"
            text += " https://aka.ms/arm-throttling for additional information."
            raise Failure(429, "SubscriptionRequestsThrottled", text, headers=self._timing.retry_after(seconds))
        return {f"x-ms-ratelimit-remaining-subscription-{kind}": str(left)} | self._compute(request, subscription)

    def _compute(self, request: Request, subscription: str) -> dict[str, str]:
        assert self._limits is not None  # noqa: S101 - asked before
        policy, machine = _policy(request)
        if not policy:
            return {}
        remaining = []
        for name, key, limit in (
            (policy, subscription.lower(), self._limits.machines),
            (f"{policy}Resource", machine, self._limits.machine),
        ):
            left, wait = self._draw((name, key), limit)
            if wait:
                raise self._too_many(name, math.ceil(wait))
            remaining.append(f"Microsoft.Compute/{name};{left}")
        return {"x-ms-ratelimit-remaining-resource": ",".join(remaining)}

    def _too_many(self, policy: str, seconds: int) -> Failure:
        text = "The server rejected the request because too many requests have been received for this subscription."
        detail = {"code": "TooManyRequests", "target": policy, "message": f'{{"operationGroup":"{policy}"}}'}
        headers = {
            "x-ms-ratelimit-remaining-resource": f"Microsoft.Compute/{policy};0",
            **self._timing.retry_after(seconds),
        }
        return Failure(429, "OperationNotAllowed", text, headers=headers, details=[detail])

    def _draw(self, key: tuple[str, ...], limit: Limit) -> tuple[int, float]:
        """One token: how many are left, and how many seconds to wait if there was none."""
        now = self._timing.now()
        tokens, since = self._buckets.get(key, (float(limit.size), now))
        tokens = min(float(limit.size), tokens + (now - since) * limit.refill)
        if tokens < 1:
            self._buckets[key] = (tokens, now)
            return 0, (1 - tokens) / limit.refill
        self._buckets[key] = (tokens - 1, now)
        return int(tokens - 1), 0.0


_SUBSCRIPTION = re.compile(r"/subscriptions/([^/]+)", re.IGNORECASE)
_MACHINE = re.compile(r".*/providers/microsoft\.compute/virtualmachines/[^/]+", re.IGNORECASE)


def _class(method: str) -> Class:
    return "reads" if method in ("GET", "HEAD") else "deletes" if method == "DELETE" else "writes"


def _policy(request: Request) -> tuple[str, str]:
    """Which of Compute's policies a request falls under, and for which machine; two empty words if none."""
    found = _MACHINE.match(request.path)
    if found is None or request.method in ("GET", "HEAD"):
        return "", ""
    rest = request.path[found.end() :].lower().strip("/")
    if request.method == "DELETE" or rest == "deallocate":
        return "DeleteVM", found[0].lower()
    return ("PutVM" if request.method == "PUT" and not rest else "UpdateVM"), found[0].lower()
