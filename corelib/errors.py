"""What can go wrong, as a tree. Each part of the package adds its own leaves.

RunbookError
├── BadInput            the parameters or a file are wrong; nothing was done
├── Refused             a guard or a missing approval stopped the run; nothing was done
├── Unreachable         no answer from an address (the network, not the service)
├── ServiceFailed       a service answered, and the answer is a failure
├── TimedOut            a deadline passed; what was asked for may or may not have happened
└── Unhealthy           the work was done and its result is bad (a verdict, not a fault of ours)
"""

from __future__ import annotations


class RunbookError(Exception):
    """A foreseeable fault, told in an operator's words.

    `doing` says what was being done and to what, `found` what was met instead of what was expected,
    `remedy` what to do next. `str()` joins them into sentences; IPython shows only that text.
    """

    def __init__(self, doing: str, found: str, remedy: str = "") -> None:
        super().__init__(doing, found, remedy)
        self.doing = doing
        self.found = found
        self.remedy = remedy

    def __str__(self) -> str:
        text = f"{self.doing}: {self.found}"
        return f"{text}\nWhat to do: {self.remedy}" if self.remedy else text

    def _render_traceback_(self) -> list[str]:
        """IPython's own hook: the lines that a notebook shows instead of a traceback."""
        return [f"{type(self).__name__}: {self}"]


class Interrupted(KeyboardInterrupt):
    """Somebody pressed Ctrl-C, and that was heard where it harms nothing; told in a sentence, as it is no fault."""

    def _render_traceback_(self) -> list[str]:
        """IPython's own hook: the lines that a notebook shows instead of a traceback."""
        return [str(self)]


class BadInput(RunbookError):
    """The parameters or a file are wrong; nothing was done."""


class Refused(RunbookError):
    """A guard or a missing approval stopped the run; nothing was done by this step."""


class Unreachable(RunbookError):
    """No answer from an address: the network or the host, not the service's answer."""


class ServiceFailed(RunbookError):
    """A service answered, and the answer is a failure."""


class TimedOut(RunbookError):
    """A deadline passed; whether the thing happened is unknown."""


class Unhealthy(RunbookError):
    """The check ran to its end and its verdict is bad."""
