"""Carrying out a plan, as parallel as the graph of what needs what allows.

A step begins only when `watch` has taken its `begin`, and all that it comes after is done. What fails stops what
depends on it; the rest is finished. A watch that raises Halt at a `begin` ends it all: what is under way is finished,
and nothing new begins. How a step is done is not its business: that is the `act`'s. A step that waits for Azure holds
no thread: it says for how long, and is taken up again then.
"""

from __future__ import annotations

import heapq
import queue
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Any

from ..errors import RunbookError
from ..plan import Plan, Progress, Step, Watch
from .pace import CLIENT_REQUEST, REQUEST, Clock


@dataclass(frozen=True, slots=True)
class Telling:
    """What an act tells of its step while that is under way; `facts` go into the journal with its end."""

    target: str
    watch: Watch
    facts: dict[str, Any] = field(default_factory=dict)
    sent: dict[str, bool] = field(default_factory=dict)  # what was asked for, by our own id: whether it had an answer

    def waits(self, detail: str) -> None:
        """Say what is waited for."""
        self.watch(Progress(self.target, "wait", detail))

    def sends(self, number: str) -> None:
        """Keep the id under which Azure is asked for a change, before it is: without an answer there is no other."""
        if number not in self.sent:
            self.watch(Progress(self.target, "wait", "Azure is asked for it", {"client_request": number}))
        self.sent[number] = False

    def accepted(self, operation: str) -> None:
        """Keep the name of what Azure has begun, and the id of the request, as soon as it has."""
        facts = {"operation": operation, "requests": self.facts.get("requests", [])[-1:]}
        self.watch(Progress(self.target, "wait", "Azure has accepted it", facts))

    def seen(self, response: Any) -> None:
        """The SDK's hook: remember the id that Azure has given a request."""
        if (own := response.http_request.headers.get(CLIENT_REQUEST)) in self.sent:
            self.sent[own] = True
        if number := response.http_response.headers.get(REQUEST):
            self.facts.setdefault("requests", []).append(str(number))

    @property
    def kept(self) -> dict[str, Any]:
        """The facts at the end of the step, and what of all that was sent had no answer."""
        unanswered = [number for number, answered in self.sent.items() if not answered]
        return {**self.facts, "unanswered": unanswered} if unanswered else self.facts


Pauses = Generator[float, None, None]
"""A step under way: each value is how many seconds it waits before it goes on, on any thread."""

Act = Callable[[Step, Telling], Pauses | None]
"""Does one step to its end: at once (None), or in pauses. Raises RunbookError."""


_NAMED = 10  # targets that a sentence names; the record has all


class ApplyFailed(RunbookError):
    """Some steps failed; what did not depend on them was done."""


def apply(plan: Plan, act: Act, watch: Watch, workers: int = 16, clock: Clock = Clock()) -> None:  # noqa: B008 - frozen
    """Do every pending step of the plan. Raises ApplyFailed naming each target that failed or was not begun."""
    pending = {step.target: step for step in plan.pending}
    graph = {target: set(step.after) & set(pending) for target, step in pending.items()}
    with _Walk(graph, lambda target: _one(pending[target], act, watch), workers, clock) as walk:
        failed = walk.run()
    if failed:
        raise _failure(plan, pending, failed)


def _one(step: Step, act: Act, watch: Watch) -> Pauses:
    """Do one step, and tell `watch` its begin and its end."""
    telling = Telling(step.target, watch)
    watch(Progress(step.target, "begin", step.action))
    try:
        yield from act(step, telling) or ()
    except RunbookError as problem:
        watch(Progress(step.target, "failed", problem.found, telling.kept))
        raise
    watch(Progress(step.target, "done", "", telling.kept))


class _Walk:
    """Every target of a graph, after all that it comes after.

    What begins and what goes on have workers of their own: many that wait for their turn to begin do not keep those
    from their end that have begun.
    """

    def __init__(
        self, graph: Mapping[str, set[str]], begin: Callable[[str], Pauses], workers: int, clock: Clock
    ) -> None:
        self._order = TopologicalSorter(graph)
        self._order.prepare()
        self._begin, self._clock = begin, clock
        self._beginners, self._others = ThreadPoolExecutor(workers), ThreadPoolExecutor(workers)
        self._working = 0
        self._paused: list[tuple[float, str, Pauses]] = []  # by when each goes on
        self._back: queue.SimpleQueue[tuple[str, Pauses, Future[float | None]]] = queue.SimpleQueue()
        self._failed: dict[str, str] = {}
        self._fault: BaseException | None = None

    def __enter__(self) -> _Walk:
        return self

    def __exit__(self, *_: object) -> None:
        for pool in (self._beginners, self._others):
            pool.shutdown()

    def run(self) -> dict[str, str]:
        """Returns what each failed target said; raises what else went wrong, once nothing is under way any more."""
        while True:
            for target in () if self._fault or not self._order.is_active() else self._order.get_ready():
                self._work(self._beginners, target, self._begin(target))
            while self._paused and self._paused[0][0] <= self._clock.now():
                self._work(self._others, *heapq.heappop(self._paused)[1:])
            if not self._working and not self._paused:
                break  # what is left needs what failed
            with suppress(queue.Empty):
                self._settle(*self._back.get(timeout=self._until_next()))
        if self._fault:
            raise self._fault
        return self._failed

    def _work(self, pool: ThreadPoolExecutor, target: str, pauses: Pauses) -> None:
        """Let a step go on until its next pause, or its end."""
        self._working += 1
        future = pool.submit(next, pauses, None)
        future.add_done_callback(lambda done: self._back.put((target, pauses, done)))

    def _until_next(self) -> float | None:
        """Real seconds until a step goes on; None if there is none to wait for."""
        return max(0.0, self._clock.real(self._paused[0][0] - self._clock.now())) if self._paused else None

    def _settle(self, target: str, pauses: Pauses, future: Future[float | None]) -> None:
        self._working -= 1
        problem = future.exception()
        if isinstance(problem, RunbookError):
            self._failed[target] = problem.found
        elif problem:
            self._fault = self._fault or problem
        elif (pause := future.result()) is None:
            self._order.done(target)
        else:
            heapq.heappush(self._paused, (self._clock.now() + pause, target, pauses))


def _failure(plan: Plan, pending: Mapping[str, Step], failed: Mapping[str, str]) -> ApplyFailed:
    lines = [f"{_some(targets)}: {problem}" for problem, targets in _by_problem(failed).items()]
    waiting = sorted(target for target in pending if _needs(target, pending, set(failed)))
    if waiting:
        lines.append(f"not begun, because they need what failed: {_some(waiting)}")
    return ApplyFailed(
        f"applying {plan.runbook} in {plan.environment}",
        "\n".join(lines),
        f"remove the cause, then run again under the same approval ({plan.digest}): it goes on with what is left",
    )


def _by_problem(failed: Mapping[str, str]) -> dict[str, list[str]]:
    """What went wrong, each once, with all targets that say it: a quota stops hundreds with the same words."""
    found: dict[str, list[str]] = {}
    for target, problem in failed.items():
        found.setdefault(problem, []).append(target)
    return found


def _some(targets: list[str]) -> str:
    more = len(targets) - _NAMED
    return ", ".join(targets[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _needs(target: str, pending: Mapping[str, Step], failed: set[str]) -> bool:
    """True if a step comes after a failed one, at any distance."""
    return target not in failed and any(
        one in failed or (one in pending and _needs(one, pending, failed)) for one in pending[target].after
    )
