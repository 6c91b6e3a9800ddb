"""The normal form of outputs: the same digests however a front end stores them."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from corelib.record.outputs import Stream, digest, digests, source_digest

TEXT = st.text(alphabet=st.characters(), max_size=30)


def stream(text: Any, name: str = "stdout") -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": text}


@given(st.lists(TEXT))
def test_a_stream_in_pieces_is_the_stream(pieces: list[str]) -> None:
    whole = "".join(pieces)
    assert digests([stream(piece) for piece in pieces]) == ([digest(stream(whole))] if whole else [])
    growing = Stream("stdout")
    for piece in pieces:
        growing.add(piece)
    assert growing.digest == digest(stream(whole))
    assert digests([stream(whole.splitlines(keepends=True))]) == digests([stream(whole)])


@given(TEXT, TEXT)
def test_different_texts_and_names_differ(one: str, other: str) -> None:
    assert (digest(stream(one)) == digest(stream(other))) == (one == other)
    assert digest(stream(one)) != digest(stream(one, "stderr"))
    assert (source_digest(one) == source_digest(other)) == (one == other)


def test_streams_of_two_names_are_two_outputs() -> None:
    assert len(digests([stream("a"), stream("b", "stderr"), stream("c"), stream("")])) == 3


def test_what_a_front_end_may_change_is_left_out() -> None:
    shown = {"output_type": "display_data", "data": {"text/html": "<b>\nx</b>"}, "metadata": {}, "transient": {"a": 1}}
    result = {"output_type": "execute_result", "data": {"text/html": ["<b>\n", "x</b>"]}, "metadata": {}}
    assert digest(shown) == digest({**result, "execution_count": 7})
    picture = {"output_type": "display_data", "data": {"image/png": "aGVs\nbG8=\n"}, "metadata": {}}
    assert digest(picture) == digest({**picture, "data": {"image/png": "aGVsbG8="}})


def test_what_an_operator_sees_is_in() -> None:
    shown = {"output_type": "display_data", "data": {"text/plain": "a"}, "metadata": {}}
    others = [
        {**shown, "data": {"text/plain": "b"}},
        {**shown, "data": {"text/html": "a"}},
        {**shown, "metadata": {"isolated": True}},
        {**shown, "data": {"application/json": ["a"]}},
        {"output_type": "error", "ename": "E", "evalue": "a", "traceback": ["a"]},
    ]
    assert len({digest(one) for one in (shown, *others)}) == 6
    json = {**shown, "data": {"application/json": ["a", "b"]}}
    assert digest(json) != digest({**shown, "data": {"application/json": "ab"}})
