"""Tasks that take turns: every result comes back, every error too, who waits keeps nobody from his turn."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from random import Random

import pytest

from corelib.etcd.crew import Crew
from corelib.etcd.turns import ALONE, Turns


@pytest.fixture
def crew() -> Iterator[Crew]:
    before = threading.active_count()
    crew = Crew()
    yield crew
    crew.dismiss()
    assert threading.active_count() == before, "nobody stays"


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    here, there = socket.socketpair()
    with here, there:
        yield here, there


def test_all_tasks_come_to_their_end(crew: Crew) -> None:
    tasks = [crew.start(partial(pow, n, 2)) for n in range(50)]
    assert [task.result() for task in tasks] == [n * n for n in range(50)]


def test_who_waits_lets_the_others_go_on(crew: Crew) -> None:
    begun = time.monotonic()
    tasks = [crew.start(partial(crew.sleep, 0.2)) for _ in range(50)]
    for task in tasks:
        task.wait()
    assert 0.2 <= time.monotonic() - begun < 2


def test_a_task_waits_for_what_another_one_sends(crew: Crew, pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair
    end = time.monotonic() + 5

    def hear() -> bytes:
        assert crew.wait(here.fileno(), select.POLLIN, end)
        return here.recv(10)

    heard = crew.start(hear)
    said = crew.start(lambda: there.send(b"hello"))
    assert (heard.result(), said.result()) == (b"hello", 5)


@pytest.mark.parametrize("turns", [ALONE, Crew()])
def test_a_wait_ends_with_its_time(turns: Turns, pair: tuple[socket.socket, socket.socket]) -> None:
    begun = time.monotonic()
    assert not turns.wait(pair[0].fileno(), select.POLLIN, begun + 0.1)
    assert 0.1 <= time.monotonic() - begun < 2
    assert not turns.wait(pair[0].fileno(), select.POLLIN, begun), "and one that is over, at once"
    pair[1].send(b"x")
    assert turns.wait(pair[0].fileno(), select.POLLIN, begun + 5)
    assert turns.apart(threading.active_count) >= 1


def test_each_one_gets_its_turn_in_the_order_of_waiting(crew: Crew) -> None:
    """One that never has to wait for long keeps nobody waiting."""
    order: list[str] = []

    def busy() -> None:
        for _ in range(5):
            order.append("busy")
            crew.sleep(0.001)

    tasks = [crew.start(busy), crew.start(lambda: order.append("once"))]
    for task in tasks:
        task.wait()
    assert order.index("once") <= 1


def test_what_is_raised_is_raised_where_the_result_is_asked_for(crew: Crew) -> None:
    failed, done = crew.start(lambda: 1 // 0), crew.start(lambda: "done")
    failed.wait()
    with pytest.raises(ZeroDivisionError):
        failed.result()
    assert done.result() == "done", "the others go on"


def test_a_task_may_start_others(crew: Crew) -> None:
    outer = crew.start(lambda: sum(crew.start(partial(pow, n, 2)).result() for n in (1, 2, 3)))
    assert outer.result() == 14


def test_what_was_started_is_done_before_they_leave(crew: Crew) -> None:
    done: list[int] = []
    crew.start(lambda: crew.sleep(0.1))
    for n in range(5):
        crew.start(partial(done.append, n))
    crew.dismiss()
    assert done == [0, 1, 2, 3, 4]


def test_what_blocks_is_put_apart(crew: Crew) -> None:
    """Two that wait for each other in ways of their own, while a third one takes its turns."""
    together = threading.Barrier(2, timeout=5)
    tasks = [crew.start(partial(crew.apart, together.wait)) for _ in range(2)]
    third = crew.start(partial(crew.sleep, 0.01))
    assert {task.result() for task in tasks} == {0, 1}
    third.wait()
    with pytest.raises(ZeroDivisionError):
        crew.apart(lambda: 1 // 0)


def test_who_is_apart_waits_alone(crew: Crew, pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair
    apart = crew.start(partial(crew.apart, partial(crew.wait, here.fileno(), select.POLLIN, time.monotonic() + 5)))
    crew.sleep(0.05)
    there.send(b"x")
    assert apart.result() is True


@pytest.mark.parametrize("waiter", ["task", "owner"])
def test_after_an_interrupt_nothing_is_left_under_way(crew: Crew, waiter: str) -> None:
    """The signal comes while all wait: it is raised once, in whoever asks, and what the others do comes to its end."""
    done: list[str] = []

    def last(name: str) -> None:
        try:
            crew.sleep(0.3)
        finally:
            done.append(name)

    tasks = [crew.start(partial(last, name)) for name in ("one", "other")]

    def ask() -> None:
        if waiter == "owner":
            crew.sleep(1)
        for task in tasks:
            task.result()

    timer = threading.Timer(0.1, lambda: os.kill(os.getpid(), 2))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        ask()
    timer.join()
    crew.dismiss()
    assert sorted(done) == ["one", "other"]


# It also meets what Python itself does when something is collected, which can only be said, not raised.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_at_any_moment_hangs_nobody() -> None:
    """Wherever it meets us, all that was begun ends; who would wait for ever is told so instead (`_look`)."""
    random = Random(7)  # noqa: S311 - moments, not secrets

    def work(crew: Crew, done: list[int]) -> None:
        for _ in range(3):
            crew.sleep(0.00001)
        done.append(1)

    def one(crew: Crew) -> None:
        tasks = [crew.start(partial(work, crew, [])) for _ in range(9)]
        try:
            for task in tasks:
                task.result()
        finally:
            for task in tasks:
                task.wait()

    interrupted = 0
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        for _ in range(1500):
            crew = Crew()
            try:
                signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 4e-4))
                try:
                    for _ in range(4):
                        one(crew)
                finally:
                    crew.dismiss()
            except KeyboardInterrupt:
                interrupted += 1
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert interrupted > 500


def test_those_who_would_wait_for_each_other_for_ever_are_told(crew: Crew) -> None:
    with pytest.raises(RuntimeError, match="wait for each other"):
        crew.until(lambda: False, float("inf"))


def test_descriptors_are_not_used_up(crew: Crew) -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names are enough

    act: Callable[[], int] = partial(crew.apart, lambda: 1)
    act()
    before = count()
    for _ in range(20):
        act()
    assert count() == before
