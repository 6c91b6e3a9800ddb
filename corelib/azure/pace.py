"""How fast Azure is asked, and what is asked again: one policy in the place of the SDK's retries, for all clients.

Requests of a kind (reads, writes, deletes) take turns at the documented pace, so that Azure hardly ever has to refuse
one; if it does (429), nobody sends another of that kind before the time that it names in `Retry-After`. A request that
cannot have acted (it only reads, was refused, or found no connection) is sent again by itself. One that may have acted
(no answer, 408, 5xx) is not: whoever sent it has to look first.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from azure.core.exceptions import AzureError, ServiceRequestError, ServiceResponseError
from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import HTTPPolicy

Say = Callable[[str], None]

REQUEST = "x-ms-request-id"  # Azure's own id of a request, in its answer
CLIENT_REQUEST = "x-ms-client-request-id"  # ours, which the SDK's RequestIdPolicy makes; Azure's logs have both

UNSURE = frozenset({408, 500, 502, 503, 504})  # the server may have acted, or may act yet
PATIENCE = 900.0  # seconds that one request waits because Azure asks to
_PAUSES = (1.0, 2.0, 4.0, 8.0)  # seconds between the attempts at a request that cannot have acted
_SILENCE = 1.0  # seconds of waiting that need no words
_SLOWEST = 100  # of the documented pace, the part that is always asked for
_RECOVERY = 1.02  # of the pace, with each turn
_KINDS = {"GET": "reads", "HEAD": "reads", "DELETE": "deletes"}
LIMITS: Mapping[str, tuple[int, float]] = MappingProxyType(
    {"reads": (250, 25.0), "writes": (200, 10.0), "deletes": (200, 10.0)}
)
"""Requests at once, and so many more each second, for one caller in one subscription and region (Azure Resource
Manager, "Migrating to regional throttling and token bucket algorithm"). One region's worth is kept for all of them."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Seconds, `speed` times as fast as real ones: tests and benchmarks wait less, at the same proportions.

    Whatever is told by others is told in real seconds.
    """

    speed: float = 1.0

    def now(self) -> float:
        """Seconds since some moment; goes on while the process is stopped."""
        return time.monotonic() * self.speed

    def real(self, seconds: float) -> float:
        """How many real seconds these are."""
        return seconds / self.speed

    def ours(self, seconds: float) -> float:
        """How many of this clock's seconds so many real ones are."""
        return seconds * self.speed

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(self.real(seconds))


class Bucket:
    """Turns at one kind of request: `size` at once, then `rate` a second; none while Azure has asked to wait.

    If it has to ask, somebody else draws from the same bucket: from then on half as many a second are asked for, which
    becomes more again with each turn.
    """

    def __init__(self, kind: str, size: int, rate: float, clock: Clock) -> None:
        self._kind, self._size, self._full, self._clock = kind, size, rate, clock
        self._lock = threading.Lock()
        self._rate = rate
        self._left, self._at = float(size), clock.now()  # how many turns there are, and when
        self._held = self._at

    def wait(self, say: Say) -> None:
        """Return when it is the caller's turn; `say` is told of a longer wait."""
        while True:
            turn = self._turn()
            left, held = turn - self._clock.now(), self._held - self._clock.now()
            if left > _SILENCE:
                slow = f"its turn comes in {left:.0f} s: Azure takes {self._full:g} {self._kind} a second"
                say(f"Azure asks to wait {held:.0f} s" if held > _SILENCE else slow)
            self._clock.sleep(max(0.0, left))
            if self._held <= turn:
                return  # else Azure has asked to wait meanwhile, and turns are taken anew

    def hold(self, seconds: float) -> None:
        """Let nobody have a turn for so long, and then one after the other."""
        with self._lock:
            now = self._clock.now()
            if now >= self._held:
                self._rate = max(self._full / _SLOWEST, self._rate / 2)
            if now + seconds > self._held:
                self._held = self._at = now + seconds
                self._left = 1.0

    def _turn(self) -> float:
        """Take the next turn; when it is."""
        with self._lock:
            now = max(self._clock.now(), self._at)
            self._left = min(self._size, self._left + (now - self._at) * self._rate) - 1
            self._at = now
            self._rate = min(self._full, self._rate * _RECOVERY)
            return now + max(0.0, -self._left / self._rate)


class Pace:
    """The pace of one subscription, kept by all of its clients: each gets a `policy` in the place of its retries."""

    def __init__(self, clock: Clock = Clock(), limits: Mapping[str, tuple[int, float]] = LIMITS) -> None:
        self.clock = clock
        self.reads = limits["reads"][1]  # a second
        self.buckets = {kind: Bucket(kind, size, rate, clock) for kind, (size, rate) in limits.items()}
        self._looks: list[list[str]] = []  # of each look under way, the ids that were heard so far

    def policy(self) -> HTTPPolicy[Any, Any]:
        """A policy for one client.

        The option `on_wait` of a call is told of its waits, `on_send` of its client request id before it is sent.
        """
        return _Policy(self)

    @contextmanager
    def heard(self) -> Iterator[list[str]]:
        """The ids that Azure gives meanwhile to what is asked without `on_wait`: by looks, that is, not by steps."""
        heard: list[str] = []
        self._looks = [*self._looks, heard]
        try:
            yield heard
        finally:
            self._looks = [one for one in self._looks if one is not heard]

    def hear(self, answer: PipelineResponse[Any, Any]) -> None:
        """Take the id of an answer to a look."""
        if number := answer.http_response.headers.get(REQUEST):
            for heard in self._looks:
                heard.append(str(number))


class _Policy(HTTPPolicy[Any, Any]):
    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self._pace = pace

    def send(self, request: PipelineRequest[Any]) -> PipelineResponse[Any, Any]:
        """Send a request in its turn, and again for as long as that can do no harm and may help."""
        told: Say | None = request.context.options.pop("on_wait", None)
        sends: Say = request.context.options.pop("on_send", _nobody)
        say, number = told or _nobody, request.http_request.headers.get(CLIENT_REQUEST, "")
        method, clock = request.http_request.method, self._pace.clock
        bucket = self._pace.buckets[_KINDS.get(method, "writes")]
        end, pauses = clock.now() + PATIENCE, iter(_PAUSES)
        while True:
            bucket.wait(say)
            sends(number)
            response, problem = self._once(request)
            if response and told is None:
                self._pace.hear(response)
            asked = retry_after(response.http_response.headers, clock) if response else None
            if response and response.http_response.status_code == 429 and clock.now() + (asked or 0) < end:
                bucket.hold(asked or _PAUSES[0])
                continue
            pause = next(pauses, None) if _harmless(method, response, problem) else None
            if pause is not None:
                say(f"Azure {_words(response)}: it is asked again in {max(pause, asked or 0):.0f} s")
                clock.sleep(max(pause, asked or 0))
            elif problem:
                raise problem
            elif response:
                return response

    def _once(self, request: PipelineRequest[Any]) -> tuple[PipelineResponse[Any, Any] | None, AzureError | None]:
        try:
            return self.next.send(request), None
        except (ServiceRequestError, ServiceResponseError) as problem:
            return None, problem


def _nobody(_words: str) -> None:
    """Who is told, where nobody wants to hear it."""


def retry_after(headers: Mapping[str, str], clock: Clock) -> float | None:
    """The seconds that an answer asks to wait (`Retry-After` of RFC 9110 as seconds; or Azure's in milliseconds)."""
    for name, unit in (("retry-after-ms", 1000.0), ("x-ms-retry-after-ms", 1000.0), ("Retry-After", 1.0)):
        try:
            return clock.ours(float(headers[name]) / unit)
        except (KeyError, ValueError):
            continue
    return None


def _harmless(method: str, response: PipelineResponse[Any, Any] | None, problem: AzureError | None) -> bool:
    """Whether a request that went wrong in a way that may pass can be sent again unseen."""
    if isinstance(problem, ServiceRequestError):
        return True  # it never left
    passing = problem is not None or (response is not None and response.http_response.status_code in UNSURE)
    return passing and method in ("GET", "HEAD")


def _words(response: PipelineResponse[Any, Any] | None) -> str:
    return f"answers {response.http_response.status_code}" if response else "was not reached"
