"""Tasks and threads: every result comes back, every error too, and nothing stays."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial

import pytest

from corelib.etcd.crew import Crew


@pytest.fixture
def crew() -> Iterator[Crew]:
    before = threading.active_count()
    crew = Crew(3)
    yield crew
    crew.dismiss()
    assert threading.active_count() == before, "nobody stays"


def test_more_tasks_than_threads_all_come_to_their_end(crew: Crew) -> None:
    tasks = [crew.start(partial(pow, n, 2)) for n in range(50)]
    assert [task.result() for task in tasks] == [n * n for n in range(50)]


def test_three_go_on_at_the_same_time_and_a_fourth_waits(crew: Crew) -> None:
    together, late = threading.Barrier(3, timeout=5), threading.Event()
    tasks = [crew.start(together.wait) for _ in range(2)]
    held = crew.start(lambda: together.wait() >= 0 and late.wait(5))
    assert sorted({task.result() for task in tasks} | {0, 1, 2}) == [0, 1, 2]
    fourth = crew.start(lambda: late.set() or "done")
    assert (fourth.result(), held.result()) == ("done", True)


def test_what_is_raised_is_raised_where_the_result_is_asked_for(crew: Crew) -> None:
    failed, done = crew.start(lambda: 1 // 0), crew.start(lambda: "done")
    failed.wait()
    with pytest.raises(ZeroDivisionError):
        failed.result()
    assert done.result() == "done", "its thread goes on"


def test_a_task_may_start_others(crew: Crew) -> None:
    outer = crew.start(lambda: sum(crew.start(partial(pow, n, 2)).result() for n in (1, 2, 3)))
    assert outer.result() == 14


def test_what_was_started_is_done_before_they_leave() -> None:
    crew, done = Crew(1), list[int]()
    go = threading.Event()
    crew.start(lambda: go.wait(5))
    for n in range(5):
        crew.start(partial(done.append, n))
    go.set()
    crew.dismiss()
    assert done == [0, 1, 2, 3, 4]
