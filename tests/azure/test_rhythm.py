"""When it is asked how an operation does."""

from __future__ import annotations

from corelib.azure.rhythm import Rhythm


def test_while_nothing_is_known_azures_wish_is_kept() -> None:
    assert Rhythm(25.0).pause("machine", 0.0, 10.0) == 10.0


def test_without_a_wish_it_is_asked_less_and_less_often() -> None:
    rhythm = Rhythm(25.0)
    assert [rhythm.pause("machine", at, None) for at in (0.0, 4.0, 60.0)] == [1.0, 2.0, 5.0]


def test_once_its_like_have_ended_the_first_question_comes_then() -> None:
    rhythm = Rhythm(25.0)
    rhythm.ended("network", 3.0)
    rhythm.ended("machine", 41.0)
    rhythm.ended("machine", 40.0)
    rhythm.ended("machine", None)
    assert 3.0 < rhythm.pause("interface", 0.0, 5.0) < 3.2, "sooner than Azure has asked for, once"
    assert rhythm.pause("interface", 3.1, 5.0) == 5.0
    assert 40.0 < rhythm.pause("machine", 0.0, 5.0) < 41.0, "and not in vain before"
    assert rhythm.look(0.0) == 1.0, "what an earlier run has begun may be at its end"


def test_all_together_ask_no_more_often_than_azure_allows() -> None:
    rhythm = Rhythm(25.0)
    for _ in range(400):
        rhythm.begun()
    assert rhythm.pause("machine", 60.0, 5.0) == 400 / (25.0 * 0.8)
