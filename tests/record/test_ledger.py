"""The ledger: one chain however many write, whole after a crash, and what is missing from it is seen."""

from __future__ import annotations

import threading
from itertools import pairwise
from pathlib import Path

from corelib.record import ledger


def test_many_writers_make_one_chain(tmp_path: Path) -> None:
    def write() -> None:
        for n in range(10):
            ledger.append(tmp_path, "begun", f"r{n}")

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = ledger.read(tmp_path)
    assert len(lines) == 40
    for before, line in pairwise(lines):
        assert line.entry is not None
        assert (line.entry["n"], line.entry["previous"]) == (line.number, before.digest)
    assert ledger.head(tmp_path) == lines[-1].digest


def test_half_a_line_of_a_crash_is_replaced(tmp_path: Path) -> None:
    first = ledger.append(tmp_path, "begun", "r1")
    with (tmp_path / ledger.NAME).open("a") as file:
        file.write('{"n": 1, "ev')
    assert ledger.head(tmp_path) == first
    ledger.append(tmp_path, "sealed", "r1", journal="abc")
    assert [line.entry["event"] for line in ledger.read(tmp_path) if line.entry] == ["begun", "sealed"]
    assert ledger.newest_sealed(tmp_path) == {"id": "r1", "journal": "abc"}
    assert ledger.sealed_as(tmp_path, "r1") == "abc"
    assert ledger.sealed_as(tmp_path, "r2") == ""


def test_without_a_ledger_there_is_no_head(tmp_path: Path) -> None:
    assert (ledger.head(tmp_path), ledger.read(tmp_path), ledger.newest_sealed(tmp_path)) == ("", [], {})
