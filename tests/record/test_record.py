from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corelib.errors import Refused
from corelib.record import Journal, outcome, read, records
from corelib.record.journal import JournalError, live
from corelib.record.lock import exclusive
from corelib.record.origin import code_version, operator, origin

WRITER = """
import sys
from pathlib import Path
from corelib.record import Journal
journal = Journal(Path(sys.argv[1]))
journal.write("start", runbook="render", operator="op@host")
journal.write("stage", stage="plan")
print("ready", flush=True)
sys.stdin.read()
"""


def stage(name: str) -> dict[str, Any]:
    return {"kind": "stage", "stage": name}


def result(name: str, what: str = "done") -> dict[str, Any]:
    return {"kind": "result", "stage": name, "result": what}


def error(name: str, *classes: str) -> dict[str, Any]:
    return {"kind": "error", "stage": name, "classes": [*classes, "Exception"]}


START, END, LEFT = {"kind": "start"}, {"kind": "end", "complete": True}, {"kind": "end", "complete": False}


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([START, stage("plan"), result("plan"), END], "succeeded"),
        ([START, stage("apply"), result("apply", "no change"), END], "no change"),
        ([START, stage("apply"), result("apply", "awaiting approval"), END], "awaiting approval"),
        ([START, stage("check"), error("check", "Unhealthy", "RunbookError"), LEFT], "unhealthy"),
        ([START, stage("apply"), error("apply", "Refused", "RunbookError"), LEFT], "refused"),
        ([START, stage("apply"), error("apply", "ServiceFailed", "RunbookError"), LEFT], "failed"),
        ([START, stage("apply"), error("apply", "KeyboardInterrupt"), LEFT], "interrupted"),
        ([START, error("notebook", "NameError"), LEFT], "failed"),
        (
            [START, stage("apply"), error("apply", "Refused"), stage("apply"), result("apply", "applied"), END],
            "succeeded",
        ),
        ([START, stage("plan"), result("plan"), LEFT], "interrupted"),
        ([START, stage("plan"), LEFT], "interrupted"),
        ([START, stage("plan"), result("plan")], "interrupted"),
        ([START, stage("plan"), result("plan"), END, stage("plan")], "interrupted"),
        ([], "interrupted"),
    ],
)
def test_the_outcome_follows_from_the_journal(entries: list[dict[str, Any]], expected: str) -> None:
    assert outcome(entries, live=False) == expected


def test_a_run_without_an_end_runs_as_long_as_its_process() -> None:
    assert outcome([START, stage("plan")], live=True) == "running"


@given(
    st.lists(st.sampled_from([stage("a"), result("a"), error("a"), stage("b"), result("b", "no change"), END, LEFT]))
)
def test_only_a_complete_end_without_errors_succeeds(entries: list[dict[str, Any]]) -> None:
    if outcome(entries, live=False) in ("succeeded", "no change"):
        assert entries[-1] == END
        assert {entry["kind"] for entry in {e.get("stage"): e for e in entries if "stage" in e}.values()} <= {"result"}


@given(st.lists(st.sampled_from([START, stage("a"), result("a"), error("a"), error("b", "Unhealthy")])))
def test_sealing_what_has_no_end_changes_no_outcome(entries: list[dict[str, Any]]) -> None:
    """Whether the last error could still be written on a full disk is chance: it is interrupted either way."""
    sealed = {**LEFT, "sealed_by": "op@host"}
    assert outcome([*entries, sealed], live=False) == outcome(entries, live=False) == "interrupted"


def test_entries_are_chained_numbered_and_redacted(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run", lambda facts: {k: v.replace("hunter2", "[secret]") for k, v in facts.items()})
    journal.write("start", runbook="render")
    journal.write("note", text="the password is hunter2")
    journal.close()
    entries = read(tmp_path / "run")
    assert [entry["n"] for entry in entries] == [0, 1]
    assert entries[1]["text"] == "the password is [secret]"
    first = (tmp_path / "run" / "journal.jsonl").read_bytes().split(b"\n")[0] + b"\n"
    assert entries[1]["previous"] == hashlib.sha256(first).hexdigest()


def test_many_threads_write_one_chain(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run")
    threads = [threading.Thread(target=lambda: [journal.write("plan") for _ in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [entry["n"] for entry in read(tmp_path / "run")] == list(range(80))


def test_an_existing_record_is_never_overwritten(tmp_path: Path) -> None:
    Journal(tmp_path / "run").close()
    with pytest.raises(JournalError):
        Journal(tmp_path / "run")


def test_a_journal_that_cannot_be_written_stops_the_run(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run")
    journal._file = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(JournalError, match="No space left"):
        journal.write("plan")


def test_a_line_cut_off_by_a_crash_is_left_out(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run")
    journal.write("start")
    journal.close()
    with (tmp_path / "run" / "journal.jsonl").open("a") as file:
        file.write('{"n": 1, "ki')
    assert [entry["kind"] for entry in read(tmp_path / "run")] == ["start"]


def test_a_killed_run_is_running_and_then_interrupted(tmp_path: Path) -> None:
    folder = tmp_path / "records" / "lab" / "run"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        assert live(folder)
        assert [one.outcome for one in records(tmp_path)] == ["running"]
        writer.kill()
    assert [one.outcome for one in records(tmp_path)] == ["interrupted"]


def test_the_listing_is_plain_data(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "records" / "unfiled" / "r1")
    journal.write("start", runbook="render", operator="op@host")
    journal.move(tmp_path / "records" / "lab" / "r1")
    journal.write("parameters", environment="lab", ledger="", reason="ticket 7")
    journal.write("end", complete=True, artefacts={})
    journal.close()
    (one,) = records(tmp_path)
    assert json.loads(json.dumps(one.as_dict()))["reason"] == "ticket 7"
    assert (one.id, one.environment, one.outcome) == ("r1", "lab", "succeeded")
    assert one.path == str(tmp_path / "records" / "lab" / "r1")
    assert records(tmp_path, "prd") == []


def test_one_changing_run_at_a_time(tmp_path: Path) -> None:
    with exclusive(tmp_path, "lab", "op@host", "run-1"):
        with (
            pytest.raises(Refused, match=r"locked by op@host, pid \d+, since .*, run run-1") as refused,
            exclusive(tmp_path, "lab", "x@y", "run-2"),
        ):
            pass
        assert "--force-unlock run-1 (in a notebook: force_unlock = 'run-1')" in refused.value.remedy
        (tmp_path / "lock").write_text("")  # between its lock and its name
        with pytest.raises(Refused) as refused, exclusive(tmp_path, "lab", "x@y", "run-2"):
            pass
        assert refused.value.remedy == "wait until it has ended"
    with exclusive(tmp_path, "lab", "x@y", "run-2"):
        pass


def test_the_origin_names_code_and_operator(tmp_path: Path) -> None:
    facts = origin(tmp_path)
    assert facts["code"] == code_version()
    assert len(facts["code"]) == 64
    assert "@" in facts["operator"]
    assert facts["commit"] == "unknown"


def test_the_operator_is_the_account_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    before = operator()
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "mallory")
    assert operator() == before
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000)
    assert operator().startswith("uid-4000000@")
