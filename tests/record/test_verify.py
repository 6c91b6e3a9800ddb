"""Tampering: whatever is done to a sealed record is reported, and where."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corelib.cli import main
from corelib.record import Journal, chain, ledger, read, records, seal
from corelib.record.chain import verify_all
from corelib.record.signing import load
from corelib.record.verify import notebook_findings, verify
from tests.project import lay_out


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with three filed and signed records of `render`."""
    root = lay_out(tmp_path_factory.mktemp("project") / "project")
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(str(root / "key"))
    (root / "signers").write_text(f"op@example {key.export_public_key().decode()}")
    environment = {**os.environ, "RUNBOOKS_ROOT": str(root), "RUNBOOKS_SIGNING_KEY": str(root / "key")}
    command = [sys.executable, "-m", "corelib.cli", "run", "render", "-f", str(root / "parameters" / "lab.yaml")]
    for _ in range(3):
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)
    return root


@pytest.fixture
def lab(project: Path, tmp_path: Path) -> Path:
    """A copy of the environment's records, to be tampered with."""
    return Path(shutil.copytree(project / "records" / "lab", tmp_path / "records" / "lab"))


def _names(lab: Path) -> list[str]:
    return sorted(path.name for path in lab.iterdir() if path.is_dir())


def test_what_nobody_touched_is_intact_and_signed(project: Path, lab: Path) -> None:
    found = verify_all(lab, (project / "signers").read_text())
    assert found.intact
    assert not found.findings
    assert [(one.outcome, one.sealed, one.findings) for one in found.records] == [("succeeded", True, ())] * 3
    assert all(one.signer.endswith("(op@example)") for one in found.records)
    assert verify_all(lab, head=found.head).intact


def test_a_key_that_is_not_allowed_is_refused(lab: Path) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    found = verify(lab / _names(lab)[0], f"anna@example.org {other}")
    assert [one.where for one in found.findings] == ["journal.jsonl.sig", "files.json.sig"]
    assert all("is not allowed" in one.message for one in found.findings)


Change = Callable[[bytes, int], bytes]


def _lines(content: bytes) -> list[bytes]:
    return content.splitlines(keepends=True)


def _without(content: bytes, n: int) -> bytes:
    lines = _lines(content)
    del lines[n % len(lines)]
    return b"".join(lines)


def _twice(content: bytes, n: int) -> bytes:
    lines = _lines(content)
    lines.insert(n % len(lines), lines[n % len(lines)])
    return b"".join(lines)


def _swapped(content: bytes, n: int) -> bytes:
    lines = _lines(content)
    n %= len(lines)
    lines[n - 1], lines[n] = lines[n], lines[n - 1]
    return b"".join(lines)


def _byte(content: bytes, n: int) -> bytes:
    place = n % len(content)
    return content[:place] + bytes([(content[place] + 1 + n // len(content)) % 256]) + content[place + 1 :]


CHANGES: dict[str, Change] = {
    "a byte": _byte,
    "a line removed": _without,
    "a line twice": _twice,
    "two lines swapped": _swapped,
    "cut off": lambda content, n: content[: n % len(content)],
    "longer": lambda content, n: content + bytes([n % 256]),
}
FILES = ("journal.jsonl", "journal.jsonl.sig", "files.json", "files.json.sig", "notebook.ipynb", "record.html")


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(FILES), st.sampled_from(sorted(CHANGES)), st.integers(0, 1 << 24))
def test_any_change_of_any_file_is_reported(project: Path, name: str, how: str, n: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lab = Path(shutil.copytree(project / "records" / "lab", Path(folder) / "lab"))
        file = lab / _names(lab)[n % 3] / name
        before = file.read_bytes()
        file.write_bytes(CHANGES[how](before, n))
        found = verify(file.parent)
        assert found.intact == (file.read_bytes() == before), f"{how} of {name}: {found}"


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(CHANGES)), st.integers(0, 1 << 24))
def test_any_change_of_the_ledger_is_reported(project: Path, how: str, n: int) -> None:
    """To whoever has kept its head; without it the last line has only what the record beside it says, too."""
    with tempfile.TemporaryDirectory() as folder:
        lab = Path(shutil.copytree(project / "records" / "lab", Path(folder) / "lab"))
        file, head = lab / "ledger.jsonl", verify_all(lab).head
        before = file.read_bytes()
        file.write_bytes(CHANGES[how](before, n))
        after = file.read_bytes()
        found = verify_all(lab, head=head)
        said = [*found.findings, *(finding for one in found.records for finding in one.findings)]
        assert bool(said) == (after != before), f"{how} of the ledger: {found}"
        if after != before and after.endswith(_lines(before)[-1]):
            assert not verify_all(lab).intact, "what is before the last line is held by it, without any head"


def test_of_the_ledgers_last_line_only_the_time_is_free(lab: Path) -> None:
    file, head = lab / "ledger.jsonl", verify_all(lab).head
    *lines, last = _lines(file.read_bytes())
    entry = json.loads(last)
    assert set(entry) == {"n", "time", "event", "record", "files", "previous"}
    for name in entry:
        for value in (7, "x"):
            file.write_bytes(b"".join([*lines, json.dumps(entry | {name: value}).encode() + b"\n"]))
            found = verify_all(lab)
            said = [*found.findings, *(finding for one in found.records for finding in one.findings)]
            assert bool(said) == (name != "time"), name
            assert not verify_all(lab, head=head).intact


@pytest.mark.parametrize("name", ["journal.jsonl", "files.json", "../ledger.jsonl"])
def test_any_fact_of_another_kind_is_reported(project: Path, tmp_path: Path, name: str) -> None:
    """An entry that is well-formed JSON, and not what its readers rely on, ends in a finding as well."""
    lab = Path(shutil.copytree(project / "records" / "lab", tmp_path / "lab"))
    file = lab / _names(lab)[0] / name
    before = file.read_bytes()
    lines = before.splitlines(keepends=True) if name.endswith("l") else [before]
    seen = set()
    for n, line in enumerate(lines):
        entry = json.loads(line)
        for key in entry:
            if (entry.get("kind"), entry.get("event"), key) in seen:
                continue
            seen.add((entry.get("kind"), entry.get("event"), key))
            for value in (None, 7, "x", [], [7], {}, {"x": [7]}):
                changed = json.dumps(entry | {key: value}).encode() + b"\n"
                file.write_bytes(b"".join([*lines[:n], changed, *lines[n + 1 :]]))
                assert value == entry[key] or not verify_all(lab).intact, f"{key} of line {n + 1} is {value}"
    assert len(seen) >= 4


# What nobody vouches for in a notebook that was not filed, as the README says; a filed one is held byte by byte.
FREE = {"metadata", "id", "nbformat", "nbformat_minor", "output_type"}


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every text and number that is not free."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key not in FREE and not (key == "execution_count" and "outputs" in path):
                yield from _leaves(item, (*path, key))
    elif isinstance(value, list):
        for n, item in enumerate(value):
            yield from _leaves(item, (*path, n))
    elif value is not None:
        yield path


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 1 << 20), st.sampled_from(["other", "longer", "gone"]))
def test_any_change_inside_a_notebook_is_reported_though_it_was_never_filed(project: Path, n: int, how: str) -> None:
    folder = project / "records" / "lab" / _names(project / "records" / "lab")[0]
    notebook = json.loads((folder / "notebook.ipynb").read_text())
    entries = read(folder)
    assert notebook_findings(folder, json.dumps(notebook).encode(), entries) == []
    paths = list(_leaves(notebook["cells"]))
    *way, last = paths[n % len(paths)]
    place: Any = notebook["cells"]
    for part in way:
        place = place[part]
    before = place[last]
    if how == "gone" and isinstance(place, list) and before.strip():
        del place[last]
    else:
        place[last] = f"{before}x" if isinstance(before, str) and how == "longer" else f"~{before}"
    found = notebook_findings(folder, json.dumps(notebook).encode(), entries)
    assert found, (way, last, before)


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="OpenSSH's client is not installed")
def test_ssh_keygen_accepts_a_record(project: Path, lab: Path) -> None:
    folder = lab / _names(lab)[0]
    for name in ("journal.jsonl", "files.json"):
        purpose = {"journal.jsonl": "record", "files.json": "files"}[name]
        verify_it = ["ssh-keygen", "-Y", "verify", "-f", str(project / "signers"), "-I", "op@example"]
        verify_it += ["-n", f"coreos-runbooks-{purpose}", "-s", str(folder / f"{name}.sig")]
        done = subprocess.run(verify_it, input=(folder / name).read_bytes(), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", FILES)
def test_a_removed_file_is_named(lab: Path, name: str) -> None:
    folder = lab / _names(lab)[1]
    (folder / name).unlink()
    found = verify_all(lab)
    assert not found.intact
    assert name in str([finding for one in found.records for finding in one.findings]) + str(found.findings) or (
        name == "journal.jsonl" and folder.name in str(found.findings)
    )


def test_an_added_file_is_named(lab: Path) -> None:
    (lab / _names(lab)[0] / "note.txt").write_text("approved by the boss")
    assert [str(one) for one in verify(lab / _names(lab)[0]).findings] == [
        "altered: note.txt: it is not part of the record"
    ]


def test_a_removed_record_in_the_middle_is_noticed(lab: Path) -> None:
    name = _names(lab)[1]
    shutil.rmtree(lab / name)
    found = verify_all(lab)
    assert [one.where for one in found.findings] == [name]
    file = lab / "ledger.jsonl"
    file.write_bytes(b"".join(line for line in _lines(file.read_bytes()) if name.encode() not in line))
    again = verify_all(lab)
    assert any("the line before it" in one.message for one in again.findings)
    assert any("not the ledger that this run found" in f.message for one in again.records for f in one.findings)


def test_a_missing_newest_record_is_noticed_by_its_head(lab: Path) -> None:
    head, name = verify_all(lab).head, _names(lab)[2]
    shutil.rmtree(lab / name)
    file = lab / "ledger.jsonl"
    file.write_bytes(b"".join(line for line in _lines(file.read_bytes()) if name.encode() not in line))
    assert verify_all(lab).intact, "without the head nobody can tell: the README says so"
    found = verify_all(lab, head=head)
    assert [one.message for one in found.findings] == [
        f"it does not hold the head {head}: its newest lines are missing"
    ]


def test_an_inserted_record_is_noticed(lab: Path) -> None:
    shutil.copytree(lab / _names(lab)[0], lab / "20990101T000000Z-render-ffffff")
    found = verify_all(lab)
    assert "the ledger does not know this record" in [one.message for one in found.findings]


def _anew(file: Path, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> str:
    """Write a journal or a ledger anew, its chain redone, as a forger would; returns the file's digest."""
    previous, lines = "", []
    for n, entry in enumerate(change([json.loads(line) for line in file.read_bytes().splitlines()])):
        lines.append(json.dumps(entry | {"n": n, "previous": previous}).encode() + b"\n")
        previous = hashlib.sha256(lines[-1]).hexdigest()
    file.write_bytes(b"".join(lines))
    return hashlib.sha256(b"".join(lines)).hexdigest()


def _unsigned(lab: Path, name: str) -> None:
    """Make a signed record an unsigned one by another operator, and let everything else fit."""
    folder = lab / name

    def told(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            entry | {"operator": "mallory@host", "signer": ""} if entry["kind"] == "start" else entry
            for entry in entries
        ]

    journal = _anew(folder / "journal.jsonl", told)
    manifest = json.loads((folder / "files.json").read_text()) | {"journal": journal, "signer": ""}
    (folder / "files.json").write_text(json.dumps(manifest))
    files = hashlib.sha256((folder / "files.json").read_bytes()).hexdigest()
    for file in folder.glob("*.sig"):
        file.unlink()
    facts = {"sealed": {"journal": journal, "signer": ""}, "filed": {"files": files}}
    _anew(
        lab / "ledger.jsonl",
        lambda lines: [e | (facts.get(e["event"], {}) if e["record"] == name else {}) for e in lines],
    )


def _gone(lab: Path, name: str, *more: dict[str, Any]) -> None:
    """Remove a record, and let the ledger say why."""
    shutil.rmtree(lab / name)
    _anew(lab / "ledger.jsonl", lambda lines: [*lines, *({"time": "", "record": name, **line} for line in more)])


FORGED: dict[str, tuple[Callable[[Path, str], None], str]] = {
    "the newest one written anew, unsigned": (_unsigned, "nobody signed it"),
    "an unsigned tombstone": (lambda lab, name: _gone(lab, name, {"event": "pruned", "stone": {}}), "is unsigned"),
    "moved, allegedly": (lambda lab, name: _gone(lab, name, {"event": "moved", "to": "prd"}), "knows nothing of it"),
    "moved into itself": (lambda lab, name: _gone(lab, name, {"event": "moved", "to": "."}), "knows nothing of it"),
    "moved nowhere": (lambda lab, name: _gone(lab, name, {"event": "moved"}), "knows nothing of it"),
}


@pytest.mark.parametrize("how", sorted(FORGED))
def test_among_allowed_signers_nothing_unsigned_explains_anything(project: Path, lab: Path, how: str) -> None:
    """What fits together and is signed by nobody: without the signers nobody could tell, as the README says."""
    forge, words = FORGED[how]
    forge(lab, _names(lab)[2])
    found = verify_all(lab, (project / "signers").read_text())
    assert not found.intact
    said = [one for one in (*found.findings, *(f for r in found.records for f in r.findings)) if one.kind == "altered"]
    assert words in str(said)


def test_every_file_that_nobody_signed_is_named(project: Path, lab: Path) -> None:
    name = _names(lab)[2]
    _unsigned(lab, name)
    assert verify_all(lab).intact, "it fits together: only who knows who signs can tell"
    found = verify(lab / name, (project / "signers").read_text())
    assert [(one.kind, one.where) for one in found.findings] == [
        ("altered", "journal.jsonl"),
        ("altered", "files.json"),
    ]


def test_a_record_that_was_moved_is_where_it_went(lab: Path) -> None:
    name, other = _names(lab)[2], lab.with_name("prd")
    shutil.copytree(lab / name, other / name)
    _gone(lab, name, {"event": "moved", "to": "prd"})
    assert verify_all(lab).intact
    shutil.rmtree(other / name)
    assert not verify_all(lab).intact
    ledger.append(other, "pruned", name)
    assert verify_all(lab).intact, "the other ledger says what became of it"


def test_a_journal_under_another_name_is_told(lab: Path) -> None:
    name = _names(lab)[0]
    (lab / name).rename(lab / "20990101T000000Z-render-ffffff")
    assert f"it is the journal of {name}" in str(verify(lab / "20990101T000000Z-render-ffffff").findings)


def test_pruned_records_leave_signed_tombstones(project: Path, lab: Path) -> None:
    root, later = lab.parent.parent, datetime.now(UTC) + timedelta(days=100)
    assert chain.older(records(root, "lab"), timedelta(days=90), datetime.now(UTC)) == []
    old = chain.older(records(root, "lab"), timedelta(days=90), later)
    assert len(old) == 3
    chain.prune(lab, old[:2], load(project / "key"))
    found = verify_all(lab, (project / "signers").read_text())
    assert found.intact
    assert [one.kind for one in found.findings] == ["note", "note"]
    file = lab / "ledger.jsonl"
    (stone,) = (line.entry for line in ledger.read(lab)[-1:] if line.entry is not None)
    shutil.copytree(lab, lab.with_name("copy"))
    _gone(lab.with_name("copy"), _names(lab)[0], stone)
    _anew(lab.with_name("copy") / "ledger.jsonl", lambda lines: [*lines[:-1], lines[-1] | {"record": _names(lab)[0]}])
    assert "its tombstone is another record's" in str(verify_all(lab.with_name("copy")).findings)
    file.write_bytes(file.read_bytes().replace(b'"outcome": "succeeded"', b'"outcome": "no change"'))
    assert "its tombstone's signature is not one of this tombstone" in str(verify_all(lab).findings)


def test_the_command_answers_in_words_and_in_json(project: Path, lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    signers = str(project / "signers")
    assert main(["verify-record", str(lab), "--allowed-signers", signers]) == 0
    assert "3 records, intact. The ledger's head" in capsys.readouterr().out
    folder = lab / _names(lab)[0]
    (folder / "journal.jsonl").write_bytes((folder / "journal.jsonl").read_bytes().replace(b"render", b"Render", 1))
    assert main(["verify-record", str(folder), "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["intact"] is False
    assert {"kind": "altered", "where": "journal.jsonl:2"}.items() <= said["findings"][0].items()
    assert main(["verify-record", str(lab.parent / "nowhere")]) == 2


def test_a_head_is_held_against_the_ledger_beside_one_record_too(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, head = lab / _names(lab)[0], verify_all(lab).head
    assert main(["verify-record", str(folder), "--head", head]) == 0
    assert main(["verify-record", str(folder), "--head", "0" * 64]) == 1
    assert f"it does not hold the head {'0' * 64}" in capsys.readouterr().out
    (lab / "ledger.jsonl").unlink()
    assert main(["verify-record", str(folder), "--head", head]) == 2
    assert "no ledger lies beside this record" in capsys.readouterr().err


def test_all_environments_are_gone_through(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journal = Journal(lab.parent / "unfiled" / "r1")
    journal.write("start", runbook="render")
    seal.close(journal, None, complete=False)
    assert main(["verify-record", str(lab.parent)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("lab:\n")
    assert "\nunfiled:\nr1: sealed, unsigned; outcome interrupted" in said
    assert main(["verify-record", str(lab.parent), "--head", "x"]) == 2
    shutil.rmtree(lab / _names(lab)[1])
    capsys.readouterr()
    assert main(["verify-record", str(lab.parent), "--json"]) == 1
    assert {name: one["intact"] for name, one in json.loads(capsys.readouterr().out).items()} == {
        "lab": False, "unfiled": True,
    }  # fmt: skip


def test_a_ledger_that_lost_its_last_line_break_is_reported(lab: Path) -> None:
    file = lab / "ledger.jsonl"
    file.write_bytes(file.read_bytes()[:-1])
    found = [str(one) for one in verify_all(lab).findings]
    assert found == ["open: ledger.jsonl:9: its last line was cut off: the next run's replaces it"]


def test_an_unknown_event_is_none(lab: Path) -> None:
    _anew(lab / "ledger.jsonl", lambda lines: [*lines, {"event": "blessed", "record": _names(lab)[0]}])
    assert [one.message for one in verify_all(lab).findings if one.kind == "altered"] == [
        "'blessed' is no event of a ledger"
    ]


def test_the_listing_refuses_what_it_does_not_know(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RUNBOOKS_ROOT", str(project))
    for options, words in (
        (("--since", "yesterday"), "--since 'yesterday' is no date"),
        (("--outcome", "fine"), "--outcome 'fine' is none"),
    ):
        assert main(["records", *options]) == 2
        assert words in capsys.readouterr().err
    for since, count in (("2026-01-01", 3), ("2999-01-01T03:00+02:00", 0)):
        assert main(["records", "--since", since, "--outcome", "succeeded", "--json"]) == 0
        assert len(json.loads(capsys.readouterr().out)) == count


def test_sealing_again_is_refused(lab: Path) -> None:
    with pytest.raises(seal.Refused, match="sealed already"):
        seal.seal(lab / _names(lab)[0], None, "op@host")


def test_verification_needs_no_jupyter(lab: Path) -> None:
    """The auditor's machine: nothing of Jupyter can be imported there."""
    program = """
import sys
for name in ("IPython", "ipykernel", "papermill", "nbformat", "nbclient", "jupyter_client", "ipywidgets", "azure"):
    sys.modules[name] = None
from corelib.cli import main
sys.exit(main(["verify-record", sys.argv[1]]))
"""
    done = subprocess.run([sys.executable, "-c", program, str(lab)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_runs_that_never_got_an_environment_are_checked_one_by_one(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "unfiled" / "r1")
    journal.write("start", runbook="render")
    seal.close(journal, None, complete=False)
    found = verify_all(tmp_path / "unfiled")
    assert (found.intact, found.head, [one.outcome for one in found.records]) == (True, "", ["interrupted"])
    file = tmp_path / "unfiled" / "r1" / "journal.jsonl"
    file.write_bytes(_without(file.read_bytes(), 0))
    assert not verify_all(tmp_path / "unfiled").intact
