"""Sealing and filing that are cut off: wherever that was, nobody is accused, and doing it again finishes it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from corelib.errors import Refused
from corelib.project import Project
from corelib.record import Journal, ledger, seal
from corelib.record.chain import verify_all
from corelib.record.journal import JournalError
from corelib.record.signing import Key, load
from corelib.record.verify import Verification, verify
from corelib.runbook import evidence

CONTENTS = {"notebook.ipynb": b'{"cells": []}', "record.html": b"<p>"}


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Key:
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(str(tmp_path / "key"))
    monkeypatch.setenv("RUNBOOKS_SIGNING_KEY", str(tmp_path / "key"))
    return load(tmp_path / "key")


@pytest.fixture
def journal(tmp_path: Path, key: Key) -> Journal:
    """A signed run that has reached its end, and not written it."""
    found = Journal(tmp_path / "records" / "lab" / "r1")
    found.write("start", run="r1", runbook="render", signer=key.fingerprint)
    found.write("parameters", environment="lab", ledger="")
    ledger.append(found.folder.parent, "begun", "r1")
    return found


def _cut_off(monkeypatch: pytest.MonkeyPatch, after: int) -> Callable[[], bool]:
    """Let the n-th thing that is written fail; returns whether it came to that."""
    left = [after]

    def limited(act: Callable[..., Any]) -> Callable[..., Any]:
        def do(*arguments: Any, **facts: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise JournalError("writing", "No space left on device")
            return act(*arguments, **facts)

        return do

    monkeypatch.setattr(seal, "put", limited(seal.put))
    monkeypatch.setattr(ledger, "append", limited(ledger.append))
    return lambda: left[0] < 0


def _whole(folder: Path) -> Verification:
    found = verify(folder)
    assert (found.intact, found.sealed, found.findings) == (True, True, ())
    assert verify_all(folder.parent).intact
    assert [line.entry["event"] for line in ledger.read(folder.parent) if line.entry] == ["begun", "sealed", "filed"]
    return found


@pytest.mark.parametrize("after", range(8))
def test_wherever_it_is_cut_off_it_is_open_and_can_be_finished(
    journal: Journal, key: Key, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = journal.folder
    with monkeypatch.context() as patch:
        failed = _cut_off(patch, after)
        try:
            seal.close(journal, key, complete=True)
            seal.file(folder, CONTENTS, key)
        except JournalError:
            assert verify(folder).sealed == (after == 2), "sealed, and nothing filed yet"
        assert failed() == (after < 7), "two for the seal, five for what is filed"
        assert verify(folder).intact, verify(folder)
    if after < 2:
        assert "runbooks seal" in str(verify(folder).findings)
        seal.seal(folder, key, "op@host")
    if after < 7:
        seal.file(folder, CONTENTS, key)
    _whole(folder)
    with pytest.raises(Refused, match="sealed already"):
        seal.seal(folder, key, "op@host")
    with pytest.raises(Refused, match="never overwritten"):
        seal.file(folder, CONTENTS, key)


def test_another_notebook_does_not_finish_a_filing(
    journal: Journal, key: Key, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seal.close(journal, key, complete=True)
    with monkeypatch.context() as patch:
        _cut_off(patch, 4)  # all but the ledger's line
        with pytest.raises(JournalError):
            seal.file(journal.folder, CONTENTS, key)
    assert [one.kind for one in verify(journal.folder).findings] == ["open"]
    with pytest.raises(Refused, match="never overwritten"):
        seal.file(journal.folder, {**CONTENTS, "notebook.ipynb": b'{"cells": [1]}'}, key)
    evidence.close("r1", Project(tmp_path))
    _whole(journal.folder)


def test_a_record_that_was_closed_by_another_key_is_finished_with_that_one(
    journal: Journal, key: Key, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.close()
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(str(tmp_path / "other"))
    other = load(tmp_path / "other")
    with monkeypatch.context() as patch:
        _cut_off(patch, 0)
        with pytest.raises(JournalError):
            seal.seal(journal.folder, other, "anna@host")
    with pytest.raises(Refused, match=re.escape(f"it is to be signed by the key {other.fingerprint}")):
        seal.seal(journal.folder, key, "op@host")
    seal.seal(journal.folder, other, "anna@host")
    assert (verify(journal.folder).sealed, verify(journal.folder).signer) == (True, other.fingerprint)
