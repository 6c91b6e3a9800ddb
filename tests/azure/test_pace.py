"""One pace for all: turns, waits that Azure asks for, and what is sent again by itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from azure.core.exceptions import AzureError, ServiceRequestError, ServiceResponseError
from azure.core.pipeline import PipelineContext, PipelineRequest

from corelib.azure.pace import Clock, Pace, retry_after

FAST = Clock(speed=200)


@dataclass
class Azure:
    """What comes after the policy: gives the next of these answers, and remembers when it was asked."""

    answers: Iterator[Any]
    clock: Clock = FAST
    asked: list[float] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, _request: Any) -> Any:
        with self._lock:
            self.asked.append(self.clock.now())
            answer = next(self.answers)
        if isinstance(answer, AzureError):
            raise answer
        status, headers = answer
        return SimpleNamespace(http_response=SimpleNamespace(status_code=status, headers=headers))


def asking(pace: Pace, azure: Azure) -> Callable[..., Any]:
    """How a client asks: a method, and who is told of waits."""
    policy = pace.policy()
    policy.next = azure  # type: ignore[assignment]

    def ask(method: str, say: Callable[[str], None] = lambda _: None) -> Any:
        request = PipelineRequest(SimpleNamespace(method=method, headers={}), PipelineContext(None, on_wait=say))
        return policy.send(request).http_response.status_code

    return ask


def real(seconds: float) -> str:
    """What Azure would say for so many seconds of the fast clock."""
    return str(seconds * 1000 / FAST.speed)


OK = (200, {})


def test_requests_of_a_kind_take_turns_and_other_kinds_do_not_wait_for_them() -> None:
    azure = Azure(iter([OK] * 100))
    limits = {"reads": (100, 25.0), "writes": (3, 0.5), "deletes": (100, 10.0)}
    ask = asking(Pace(FAST, limits), azure)
    begun = FAST.now()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, ["PUT"] * 8))
    assert azure.asked[-1] - begun >= 5 / 0.5, "three at once, then one in two seconds"
    between = FAST.now()
    for _ in range(20):
        ask("GET")
    assert FAST.now() - between < 10 / 0.5


def test_when_azure_asks_one_to_wait_all_of_its_kind_do() -> None:
    azure = Azure(iter([(429, {"retry-after-ms": real(60)}), *[OK] * 20]))
    pace, said = Pace(FAST), []
    ask, other = asking(pace, azure), asking(pace, azure)  # two clients
    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(ask, "PUT", said.append)
        while not azure.asked:
            threading.Event().wait(0.001)
        FAST.sleep(5)
        later = [pool.submit(other, "PUT", said.append) for _ in range(5)]
        assert [one.result() for one in (first, *later)] == [200] * 6
    assert len(azure.asked) == 7
    assert min(azure.asked[1:]) - azure.asked[0] >= 59
    assert any(words.startswith("Azure asks to wait ") for words in said)


def test_after_a_wait_it_is_asked_less_often() -> None:
    azure = Azure(iter([(429, {"retry-after-ms": real(10)}), *[OK] * 20]))
    ask = asking(Pace(FAST, {"reads": (100, 1.0), "writes": (100, 1.0), "deletes": (100, 1.0)}), azure)
    for _ in range(5):
        ask("PUT")
    assert azure.asked[-1] - azure.asked[1] > 3 / 0.6, "twice as slowly, and one after the other"


@pytest.mark.parametrize(
    "problem", [(500, {}), (502, {}), (503, {}), (504, {}), (408, {}), ServiceResponseError("reset")]
)
def test_what_may_have_acted_is_not_sent_again_and_what_only_reads_is(problem: Any) -> None:
    azure = Azure(iter([problem, OK]))
    assert asking(Pace(FAST), azure)("GET") == 200
    for method in ("PUT", "DELETE", "POST"):
        azure = Azure(iter([problem, OK]))
        try:
            assert asking(Pace(FAST), azure)(method) == problem[0]
        except ServiceResponseError:
            assert problem is not OK
        assert len(azure.asked) == 1


def test_what_never_left_is_sent_again_five_times_at_most() -> None:
    azure = Azure(iter([ServiceRequestError("refused")] * 9))
    with pytest.raises(ServiceRequestError):
        asking(Pace(FAST), azure)("PUT")
    assert len(azure.asked) == 5


def test_a_look_hears_the_ids_of_its_answers_and_not_of_steps() -> None:
    """Also of those that were asked again; who gives `on_wait` is a step, and keeps its own."""
    answers = [(503, {"x-ms-request-id": "r1"}), *((200, {"x-ms-request-id": f"r{n}"}) for n in (2, 3, 4))]
    pace, azure = Pace(FAST), Azure(iter(answers))
    policy = pace.policy()
    policy.next = azure  # type: ignore[assignment]

    def ask(**options: Any) -> None:
        policy.send(PipelineRequest(SimpleNamespace(method="GET", headers={}), PipelineContext(None, **options)))

    with pace.heard() as heard:
        ask()
        ask(on_wait=lambda _: None)
    ask()
    assert heard == ["r1", "r2"]


def test_a_change_is_told_by_its_own_id_before_it_is_sent() -> None:
    pace, azure = Pace(FAST), Azure(iter([OK]))
    policy = pace.policy()
    policy.next = azure  # type: ignore[assignment]
    told: list[tuple[str, int]] = []
    request = SimpleNamespace(method="PUT", headers={"x-ms-client-request-id": "c1"})
    options = {"on_wait": lambda _: None, "on_send": lambda number: told.append((number, len(azure.asked)))}
    policy.send(PipelineRequest(request, PipelineContext(None, **options)))
    assert told == [("c1", 0)]


def test_a_wait_beyond_all_patience_is_an_answer() -> None:
    azure = Azure(iter([(429, {"retry-after-ms": real(3600)})]))
    assert asking(Pace(FAST), azure)("PUT") == 429


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({"Retry-After": "12"}, 12.0), ({"retry-after-ms": "500"}, 0.5), ({"Retry-After": "soon"}, None), ({}, None)],
)
def test_what_an_answer_asks_for(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, Clock()) == seconds
