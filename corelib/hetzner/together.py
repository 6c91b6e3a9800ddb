"""Several machines at the same time, each on its own: what goes wrong on one stops none of the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ..errors import RunbookError, ServiceFailed

T = TypeVar("T")


class SomeFailed(ServiceFailed):
    """Some machines could not be brought to where they should be; the others were."""


def together(work: Mapping[str, Callable[[], T]], doing: str) -> dict[str, T]:
    """Do the work of every machine; its results by name.

    Raises what the only one raised, SomeFailed if there are several machines, and at once what is no RunbookError.
    """
    if not work:
        return {}
    with ThreadPoolExecutor(len(work), thread_name_prefix="machine") as pool:
        begun = {name: pool.submit(one) for name, one in work.items()}
    problems = {name: one.exception() for name, one in begun.items()}
    failed = {name: problem for name, problem in problems.items() if problem is not None}
    for problem in failed.values():
        if len(work) == 1 or not isinstance(problem, RunbookError):
            raise problem
    if failed:
        lines = [f"{name}: {problem}" for name, problem in failed.items()]
        well = len(work) - len(failed)
        raise SomeFailed(doing, "\n".join(lines), f"{well} of {len(work)} went well; plan again for the others")
    return {name: one.result() for name, one in begun.items()}
