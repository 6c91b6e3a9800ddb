"""One HTTP/1.1 exchange as bytes: what is sent, and the answer off a connection (RFC 9112). Pure.

The standard library's client takes 16 ms to be imported, a sixth of a whole `runbooks verify`, and 65 µs to read one
answer's head as an e-mail's, where this takes 22. What answers here is etcd or is refused; nothing of it is followed,
unpacked or kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

Receive = Callable[[], bytes]  # the next bytes; none: the other side has closed

_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5]\d\d)(?: [^\r\n]*)?\r?\n")
_FIELD = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]++):[ \t]*+([^\r\n]*+)\r?\n")
_FIELDS = re.compile(f"(?:{_FIELD.pattern})*+")
_INTERIM = 8  # answers that are none yet; etcd gives none
_LINE, _BLANK = re.compile(rb"\n"), re.compile(rb"\n\r?\n")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r?\n")


class NotHttpError(Exception):
    """The answer is none of HTTP; `began` are its first bytes."""

    def __init__(self, began: bytes) -> None:
        super().__init__(began.decode("latin-1"))
        self.began = began


class Answer(NamedTuple):
    """Field names in lower case; `open`: the connection can be used once more."""

    status: int
    fields: dict[str, str]
    body: bytes
    open: bool


def request(method: str, host: str, path: str, content: bytes | None, fields: Mapping[str, str]) -> bytes:
    """What to send; without content nothing is said about one."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in fields.items())]
    if content is not None:
        lines.append(f"Content-Length: {len(content)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (content or b"")


def answer(receive: Receive, enough: bytes = b"") -> Answer:
    """The next answer but interim ones. Raises NotHttpError, and ConnectionResetError if it ends too early.

    An answer in chunks is not read beyond `enough`, and the connection is not used again then.
    """
    source = _Source(receive)
    for _ in range(_INTERIM):
        status, version, fields = _head(source)
        if status >= 200:
            break
    else:
        raise NotHttpError(b"interim answers, and no other")
    kept = version == 1 and fields.get("connection", "").lower() != "close"
    if status in (204, 304):
        return Answer(status, fields, b"", kept)
    if fields.get("transfer-encoding", "").lower() == "chunked":
        body, whole = _chunks(source, enough)
        return Answer(status, fields, body, kept and whole)
    length = fields.get("content-length")
    if length is None:
        return Answer(status, fields, source.rest(), False)  # noqa: FBT003 - a field by its place
    if not re.fullmatch(r"\d{1,18}", length):
        raise NotHttpError(f"Content-Length: {length}".encode("latin-1"))
    return Answer(status, fields, source.exactly(int(length)), kept)


class _Source:
    """What was received, and how far it is read."""

    def __init__(self, receive: Receive) -> None:
        self._receive, self._held, self._at = receive, b"", 0

    def through(self, end: re.Pattern[bytes]) -> bytes:
        """All up to what ends it, with that."""
        while not (found := end.search(self._held, self._at)):
            self._more()
        began, self._at = self._at, found.end()
        return self._held[began : self._at]

    def head(self) -> bytes:
        """All up to a blank line, with it; of what does not begin as HTTP no more than its first line."""
        while not _STATUS.match(self._held, self._at):
            if first := _LINE.search(self._held, self._at):
                raise NotHttpError(self._held[self._at : first.end()][:120])
            self._more()
        return self.through(_BLANK)

    def exactly(self, size: int) -> bytes:
        """So many bytes, in pieces: a promised length reserves nothing."""
        parts, count = [], 0
        while True:
            part = self._held[self._at : self._at + size - count]
            parts.append(part)
            count += len(part)
            self._at += len(part)
            if count == size:
                return b"".join(parts)
            self._more()

    def rest(self) -> bytes:
        """All until the other side closes."""
        parts = [self._held[self._at :]]
        while piece := self._receive():
            parts.append(piece)
        return b"".join(parts)

    def _more(self) -> None:
        begun = bool(self._held)
        if not (piece := self._receive()):
            raise ConnectionResetError("closed before the end of the answer" if begun else "closed without an answer")
        self._held, self._at = self._held[self._at :] + piece, 0


def _head(source: _Source) -> tuple[int, int, dict[str, str]]:
    """Status, minor version and fields."""
    head = source.head()
    status = _STATUS.match(head)
    assert status is not None  # noqa: S101 - for the type checker: the source has just seen it
    text = head[status.end() :].decode("latin-1")
    read = _FIELDS.match(text)
    assert read is not None  # noqa: S101 - none is as good as some
    if (rest := text[read.end() :]) not in ("\r\n", "\n"):
        raise NotHttpError(rest[:120].encode("latin-1"))
    fields = {name.lower(): value.rstrip(" \t") for name, value in _FIELD.findall(text)}
    return int(status[2]), int(status[1]), fields


def _chunks(source: _Source, enough: bytes) -> tuple[bytes, bool]:
    """What the chunks carry, and whether that is all of it."""
    parts: list[bytes] = []
    while True:
        line = source.through(_LINE)
        if not (found := _CHUNK.fullmatch(line)):
            raise NotHttpError(line[:120])
        if not (size := int(found[1], 16)):
            break
        parts.append(source.exactly(size + 2)[:size])
        if enough and enough in parts[-1]:
            return b"".join(parts), False
    while source.through(_LINE) not in (b"\r\n", b"\n"):  # trailing fields
        pass
    return b"".join(parts), True
