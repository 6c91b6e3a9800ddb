"""An HTTP answer off a connection, however it comes in pieces."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corelib.etcd import http1

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nTrailer: 1\r\n\r\n"
CLOSED = b"HTTP/1.0 200 OK\r\nDate: now\r\n\r\nhello"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN


def received(content: bytes, size: int) -> http1.Receive:
    pieces = iter([content[at : at + size] for at in range(0, len(content), size)])
    return lambda: next(pieces, b"")


@given(st.sampled_from([(PLAIN, True), (CHUNKED, True), (CLOSED, False), (INTERIM, True)]), st.integers(1, 200))
def test_an_answer_is_the_same_in_any_pieces(case: tuple[bytes, bool], size: int) -> None:
    found = http1.answer(received(case[0], size))
    assert (found.status, found.body, found.open) == (200, b"hello", case[1])


@given(st.sampled_from([PLAIN, CHUNKED]), st.data())
def test_an_answer_that_is_cut_off_is_none(content: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(ConnectionResetError, match="closed before the end" if cut else "closed without an answer"):
        http1.answer(received(content[:cut], 7))


@given(st.binary(max_size=300), st.integers(1, 50))
def test_whatever_comes_is_an_answer_or_one_of_two_errors(content: bytes, size: int) -> None:
    for before in (b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"):
        with contextlib.suppress(http1.NotHttpError, ConnectionResetError):
            assert http1.answer(received(before + content, size)).status >= 200


@pytest.mark.parametrize(
    "content",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno field\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 20,
    ],
)
def test_what_is_no_http_is_said_to_be_none(content: bytes) -> None:
    with pytest.raises(http1.NotHttpError):
        http1.answer(received(content, 1000))


def test_what_comes_after_enough_is_left_and_the_connection_with_it() -> None:
    found = http1.answer(received(CHUNKED, 1000), enough=b"el")
    assert (found.body, found.open) == (b"hel", False)


def test_a_request_has_a_length_only_with_content() -> None:
    asked = http1.request("GET", "10.1.0.1:2379", "/version", None, {"User-Agent": "runbooks"})
    assert asked == b"GET /version HTTP/1.1\r\nHost: 10.1.0.1:2379\r\nUser-Agent: runbooks\r\n\r\n"
    assert http1.request("POST", "h", "/", b"{}", {}).endswith(b"Content-Length: 2\r\n\r\n{}")
