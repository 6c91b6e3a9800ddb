"""The states of an install, each reported when it begins, while it waits, and when it is done or has failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..errors import RunbookError, TimedOut
from ..plan import Progress, Watch
from .clock import Clock

T = TypeVar("T")

_FIRST, _MOST = 0.1, 5.0  # seconds between two looks: quick at first, then within Robot's limits of requests


@dataclass
class Stage:
    """A state under way: `say` tells what is waited for; `detail` and `facts` go with its end."""

    target: str
    watch: Watch
    clock: Clock = field(default_factory=Clock)
    detail: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    _said: str = ""

    def say(self, text: str) -> None:
        """Tell what is waited for, if it is news."""
        if text and text != self._said:
            self._said = text
            self.watch(Progress(self.target, "wait", text))

    def until(self, look: Callable[[], T | None], seconds: float, waiting_for: str, remedy: str = "") -> T:
        """Look again and again until there is something. Raises TimedOut after `seconds`."""
        deadline, pause = self.clock.now() + seconds, _FIRST * self.clock.speed
        self.say(f"{waiting_for}; for at most {seconds:.0f} s")
        while (found := look()) is None:
            if self.clock.now() + pause > deadline:
                raise TimedOut(f"{self.target}: {waiting_for}", f"not within {seconds:.0f} s", remedy)
            self.clock.sleep(pause)
            pause = min(pause * 1.3, max(_MOST, _FIRST * self.clock.speed))
        return found


@dataclass(frozen=True, slots=True)
class Stages:
    """The stages of one host's install; `reached` is told the name of each that is done."""

    host: str
    watch: Watch
    clock: Clock = field(default_factory=Clock)
    reached: Callable[[str], None] = lambda _: None

    @contextmanager
    def stage(self, name: str, *, tidying: bool = False) -> Iterator[Stage]:
        """One state, to be reached in a `with`: if the watch refuses its beginning, nothing of it is done."""
        stage = Stage(f"{self.host}/{name}", self.watch, self.clock)
        self.watch(Progress(stage.target, "begin", tidying=tidying))
        try:
            yield stage
            if not tidying:
                self.reached(name)
        except BaseException as error:
            detail = error.found if isinstance(error, RunbookError) else type(error).__name__
            self.watch(Progress(stage.target, "failed", detail, stage.facts))
            raise
        self.watch(Progress(stage.target, "done", stage.detail, stage.facts))


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds that each part may take; the rescue system was seen to need 330, an install 274."""

    rescue: float = 600
    ssh: float = 180
    write: float = 1800
    boot: float = 900
    settle: float = 120
    stuck: float = 60  # a rescue system that was asked to reboot and still answers
