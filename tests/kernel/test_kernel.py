from __future__ import annotations

import base64
import json
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corelib.errors import BadInput
from corelib.kernel import guard, overflow
from corelib.kernel.cells import Cells
from corelib.kernel.frontend import _given
from corelib.kernel.redaction import Redactor
from corelib.kernel.wire import Wire
from corelib.record.journal import JournalError

ALLOWED = ("environment", "fleet", "reason")
SECRET = 'p4ss w"rd/+=ü'


@pytest.mark.parametrize(
    "source",
    ['# Parameters\nenvironment = "lab"\nfleet = {"a": [1, None, -2.5]}\n', "print(1)", "x = 1", "# Parameters\n"],
)
def test_literals_for_known_names_pass(source: str) -> None:
    assert guard.problem(source, ALLOWED) == ""


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("# Parameters\nenvironmnt = 1", "unknown parameter 'environmnt'; allowed: environment, fleet, reason"),
        ("# Parameters\nreason = print(1)", "parameter 'reason' is not a literal: print(1)"),
        ("# Parameters\nx; print(1) # = 1", "the injected parameters hold code: x"),
        ("# Parameters\nimport os", "the injected parameters hold code: import os"),
        ("# Parameters\nreason = fleet = 1", "the injected parameters hold code"),
        ("# Parameters\nreason = f'{print(1)}'", "is not a literal"),
        ("# Parameters\nreason = (", "are not Python"),
    ],
)
def test_anything_else_is_refused(source: str, words: str) -> None:
    assert words in guard.problem(source, ALLOWED)


@given(st.text())
def test_no_injected_cell_calls_anything(text: str) -> None:
    assert guard.problem(f"# Parameters\nprint({text!r})", ALLOWED)


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        base64.b64encode(SECRET.encode()).decode(),
        quote(SECRET, safe=""),
        json.dumps(SECRET),
        json.dumps(SECRET, ensure_ascii=False),
        f"user:{SECRET}@host",
    ],
)
def test_a_secret_is_hidden_in_every_form(form: str) -> None:
    redactor = Redactor()
    redactor.add(SECRET)
    shown = redactor.text(f"before {form} after")
    assert form not in shown
    assert "[secret " in shown
    assert redactor.count == 1


def test_one_secret_has_one_marker_and_two_have_two() -> None:
    redactor = Redactor()
    redactor.add("alpha-one")
    redactor.add("alpha-two")
    first, again, second = redactor.text("alpha-one alpha-one alpha-two").replace("] [", "]|[").split("|")
    assert first == again != second


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n-----END OPENSSH PRIVATE KEY-----",
        "Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.abcdef",
        "https://account.blob.core.windows.net/c?sv=2024&sig=c2lnbmF0dXJlc2lnbmF0dXJl",
        "https://user:geheim@example.org/",
        "https://a.blob.core.windows.net/c?sv=2024&amp;sig=c2lnbmF0dXJlc2lnbmF0dXJl",
        '{"u": "https://a.blob.core.windows.net/c?sv=2024\\u0026sig=c2lnbmF0dXJlc2lnbmF0dXJl"}',
        "next=https%3A%2F%2Fa.net%2Fc%3Fsv%3D2024%26sig=c2lnbmF0dXJlc2lnbmF0dXJl",
        "next=https%3A%2F%2Fa.net%2Fc%3Fsv%3D2024%26sig%3Dc2lnbmF0dXJlc2lnbmF0dXJl",
        "SharedAccessSignature sig=c2lnbmF0dXJlc2lnbmF0dXJl&se=1",
        "sig=c2lnbmF0dXJlc2lnbmF0dXJl",
        "authorization: bearer eyJhbGciOiJIUzI1NiJ9.abcdef",
        "AUTHORIZATION: BEARER eyJhbGciOiJIUzI1NiJ9.abcdef",
        "redis://:geheim@cache:6379/0",
        '{"u": "https:\\/\\/user:geheim@example.org\\/"}',
        "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nb3BlbnNzaC1rZXk\n-----END PGP PRIVATE KEY BLOCK-----",
    ],
)
def test_what_looks_like_a_secret_is_hidden_without_knowing_it(text: str) -> None:
    shown = Redactor().text(text)
    assert "[secret " in shown
    for part in ("b3BlbnNzaC1rZXk", "eyJhbGci", "c2lnbmF0", "geheim"):
        assert part not in shown


@pytest.mark.parametrize(
    "text",
    [
        "https://example.org:8080/a@b",
        "design=0123456789abcdef0123",
        "the bearer of this",
        "git@example.org:22",
        "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
    ],
)
def test_what_only_resembles_a_secret_is_left(text: str) -> None:
    assert Redactor().text(text) == text


def test_every_line_of_a_secret_is_hidden_and_short_ones_are_not_taken() -> None:
    redactor = Redactor()
    redactor.add("first line\nab\nthird line")
    assert redactor.text("third line, ab").endswith("], ab")


def test_a_short_secret_does_not_destroy_the_digests_that_hold_it_by_chance() -> None:
    redactor = Redactor()
    redactor.add("abcd")
    digest = "0b248a4b4b20924c19e2422a576538aabcd6cd0691136ee797fc25bf82a5e793"
    assert redactor.data({"outputs": [digest], "id": "12345678-abcd-1234-1234-123456789012"}) == {
        "outputs": [digest],
        "id": "12345678-abcd-1234-1234-123456789012",
    }
    assert redactor.count == 0
    for text in ("abcd", "x abcd y", "dead-abcd-beef", "0123456789abcd", f"{digest} abcd"):
        assert "abcd" not in redactor.text(text).replace(digest, "")
    redactor.add(digest[:32])
    assert digest[:32] not in redactor.text(digest), "what no digest holds by chance is hidden wherever it stands"


@given(st.text(min_size=4), st.text(), st.text())
def test_no_secret_survives(secret: str, before: str, after: str) -> None:
    redactor = Redactor()
    redactor.add(secret)
    assert secret not in redactor.text(before + secret + after).replace("[secret ", "")


class Sent:
    """Collects what a session would send."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, Any]] = []
        self.beside: list[dict[str, Any]] = []

    def __call__(self, stream: Any, message: Any, content: Any = None, *rest: Any, **options: Any) -> None:
        if isinstance(message, dict):
            self.messages.append((message["header"]["msg_type"], message["content"]))
            self.beside.append(message | options)
        else:
            self.messages.append((message, content))
            self.beside.append(options)


def wire() -> tuple[Wire, Sent]:
    sent, redactor = Sent(), Redactor()
    redactor.add("hunter2-hunter2")
    return Wire(sent, redactor), sent


def stream(text: str, parent: str = "p1", name: str = "stdout") -> dict[str, Any]:
    return {
        "header": {"msg_type": "stream"},
        "parent_header": {"msg_id": parent},
        "content": {"name": name, "text": text},
    }


def test_a_secret_written_in_two_halves_is_seen_as_one() -> None:
    send, sent = wire()
    send(None, stream("password: hunter2-"))
    send(None, stream("hunter2\nnext"))
    send(None, "status", {"execution_state": "idle"})
    text = "".join(content["text"] for kind, content in sent.messages if kind == "stream")
    assert "hunter2-hunter2" not in text
    assert text.startswith("password: [secret ")
    assert text.endswith("\nnext")
    assert sent.messages[-1][0] == "status", "what was held back comes before idle"


def test_streams_of_two_cells_are_not_mixed() -> None:
    send, sent = wire()
    send(None, stream("one", "p1"))
    send(None, stream("two\n", "p2"))
    assert sent.messages == [("stream", {"name": "stdout", "text": "two\n"})]


@pytest.mark.parametrize(
    "kind", ["display_data", "execute_result", "error", "execute_reply", "comm_msg", "update_display_data"]
)
def test_every_kind_of_message_is_redacted(kind: str) -> None:
    send, sent = wire()
    content = {
        "data": {"text/html": "<b>hunter2-hunter2</b>", "n": 1},
        "traceback": ["x hunter2-hunter2"],
        "ename": None,
    }
    send(None, kind, content)
    send(None, {"header": {"msg_type": kind}, "content": content})
    assert "hunter2-hunter2" not in json.dumps(sent.messages)
    assert all(message[1]["data"]["n"] == 1 for message in sent.messages)
    assert content["traceback"] == ["x hunter2-hunter2"], "the kernel's own copy is left alone"


def test_bytes_and_metadata_beside_a_message_are_redacted() -> None:
    send, sent = wire()
    buffers, metadata = [memoryview(b"\xff\xc3hunter2-hunter2\x00"), b"\x89PNG\xff"], {"note": "hunter2-hunter2"}
    send(None, "comm_open", {}, buffers=buffers, metadata=metadata)
    send(None, "comm_msg", {}, None, None, buffers)
    send(None, {"header": {"msg_type": "comm_msg"}, "content": {}, "buffers": buffers, "metadata": metadata})
    assert len(sent.beside) == 3
    for beside in sent.beside:
        assert "hunter2" not in str(beside.get("metadata"))
        assert bytes(beside["buffers"][0]).startswith(b"\xff\xc3[secret ")
        assert bytes(beside["buffers"][0]).endswith(b"]\x00")
        assert beside["buffers"][1] is buffers[1], "what holds no secret is sent as it is"


class Disk:
    """A journal on a disk that is full while `full` says so, and the run that hears of the cells."""

    def __init__(self) -> None:
        self.full = False
        self.entries: list[dict[str, Any]] = []
        self.idles = 0

    def write(self, kind: str, **facts: Any) -> None:
        if self.full:
            raise JournalError("writing the record", "No space left on device")
        self.entries.append({"kind": kind, **facts})

    def cell_log(self, number: int) -> Path:
        raise OSError(f"no room for the log of cell {number}")

    def before_idle(self) -> None:
        self.idles += 1


def run_cell(send: Wire, name: str, text: str) -> None:
    request = {"header": {"msg_id": name}, "content": {"code": name}}
    send._begin(request)
    send(None, stream(text, name))
    send(None, "status", {"execution_state": "idle"}, parent=request)


def test_what_a_full_disk_did_not_take_is_written_once_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    send, _ = wire()
    said: list[Any] = []
    monkeypatch.setattr(send, "_say", said.append)
    disk = Disk()
    send.listen(disk, Cells(disk.write, disk.write, lambda: 0), {})
    run_cell(send, "first", "one\n")
    disk.full = True
    for name in ("second", "third"):
        run_cell(send, name, f"{name}\n")
    assert disk.idles == 1, "a run does not end while its cells are not in its journal"
    assert [one["text"][:24] for one in said] == ["THE RECORD IS INCOMPLETE"], "it is said once"
    disk.full = False
    run_cell(send, "fourth", "four\n")
    ok = {entry["cell"]: entry["outputs"] for entry in disk.entries if entry["kind"] == "cell"}
    assert {number: len(outputs) for number, outputs in ok.items()} == {1: 1, 2: 1, 3: 1, 4: 1}
    assert disk.idles == 2
    disk.full = True
    run_cell(send, "fifth", "five\n")
    assert len(said) == 2, "a new gap is said anew"


def test_a_log_that_cannot_be_written_stops_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    send, sent = wire()
    monkeypatch.setattr(send, "_say", sent.messages.append)
    disk = Disk()
    send.listen(disk, Cells(disk.write, disk.write, lambda: 0), {})
    run_cell(send, "long", "x\n" * (overflow.HEAD + 1))
    assert sent.messages[-1] == ("status", {"execution_state": "idle"})


@pytest.mark.parametrize(
    ("words", "file"),
    [
        (["papermill", "a", "b", "-f", "p.yaml"], "p.yaml"),
        (["papermill", "-fp.yaml", "a", "b"], "p.yaml"),
        (["papermill", "a", "--parameters_file=p.yaml"], "p.yaml"),
        (["papermill", "a", "--parameters_file", "p.yaml"], "p.yaml"),
    ],
)
def test_the_file_is_found_on_papermills_command_line(words: list[str], file: str) -> None:
    assert _given(words, Path("/here")) == Path("/here") / file
    assert _given(["papermill", "a", "b"], Path("/here")) is None


def test_two_files_are_refused() -> None:
    with pytest.raises(BadInput, match="2 files"):
        _given(["papermill", "-f", "a", "-f", "b"], Path("/here"))


@given(st.binary(max_size=8), st.text(min_size=8, max_size=40), st.binary(max_size=8))
def test_base64_of_anything_around_a_secret_is_hidden(before: bytes, secret: str, after: bytes) -> None:
    """As in a header `Authorization: Basic`: the secret stands at any of three offsets."""
    redactor = Redactor()
    redactor.add(secret)
    whole = base64.b64encode(before + secret.encode() + after).decode()
    assert "[secret " in redactor.text(f"Authorization: {whole}!")


def test_a_private_key_in_pieces_never_leaves() -> None:
    send, sent = wire()
    for line in (
        "-----BEGIN PRIVATE KEY-----\n",
        "MIIBVgIBADANBgkqh\n",
        "kiG9w0BAQEFAASC\n",
        "-----END PRIVATE KEY-----\nafter\n",
    ):
        send(None, stream(f"{line}"))
    text = "".join(content["text"] for kind, content in sent.messages if kind == "stream")
    assert "MIIB" not in text
    assert "kiG9" not in text
    assert text.endswith("after\n")


def test_what_a_terminal_would_overwrite_becomes_lines() -> None:
    send, sent = wire()
    send(None, stream("10%\r20%\r\nab\bc\n"))
    assert sent.messages == [("stream", {"name": "stdout", "text": "10%\n20%\nabc\n"})]


@given(st.lists(st.text(alphabet="ab\n", max_size=3000), max_size=8), st.integers(1, 50))
def test_a_log_holds_every_line_and_the_cell_its_head_and_tail(pieces: list[str], head: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(overflow, "HEAD", head)
        log = Path(folder) / "output-1.log"
        limited = overflow.Overflow(lambda: log)
        lines = "".join(pieces).splitlines(keepends=True)
        written = "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)
        shown = "".join(limited.take(line) for line in written.splitlines(keepends=True)) + limited.end()
        assert shown.startswith("".join(written.splitlines(keepends=True)[:head]))
        if written.count("\n") > head:
            assert log.read_text() == written
            assert shown.endswith(written.splitlines(keepends=True)[-1])
        else:
            assert (shown, log.exists()) == (written, False)
