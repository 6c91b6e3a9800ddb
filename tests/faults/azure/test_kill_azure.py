"""An apply killed at every step, and run again under the same approval: the end is the same, everything made once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from corelib.record import read
from tests.faults.tables import Table

from .runs import Place, place

EVENTS = 86  # of an undisturbed run: a begin, a request and an end for each of 22 resources, and 20 operations
PUTS = 22
MOMENTS = [*(("event", n) for n in range(1, EVENTS + 1)), *(("answer", n) for n in range(1, PUTS + 1))]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What an apply leaves that nobody disturbs."""
    with place(tmp_path_factory.mktemp("azure") / "undisturbed") as at:
        assert at.run("plan, then apply") == 0, at.said
        assert len([one for one in read(Path(at.record.path)) if _counted(one)]) == EVENTS
        assert _puts(at) == dict.fromkeys(_puts(at), 1)
        assert len(_puts(at)) == PUTS
        yield at.state()


def _counted(entry: dict[str, Any]) -> bool:
    return entry["kind"] == "step" and (entry["phase"] != "wait" or bool(entry["facts"]))


def _named(at: Place) -> set[str]:
    """The ids under which changes were asked for, in the journal of the run that was killed."""
    facts = [one["facts"] for one in read(Path(at.record.path)) if one["kind"] == "step"]
    return {one["client_request"] for one in facts if "client_request" in one}


def _puts(at: Place) -> dict[str, int]:
    return {path: number for (method, path), number in at.requests().items() if method == "PUT"}


def test_azure_is_the_same_after_a_kill_and_a_resume(tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    """The last machine has been asked for: the resume asks for none, and waits for all."""
    asked, outcome, waited = _kill_and_resume(tmp_path / "at", undisturbed, ("answer", PUTS))
    assert (asked, outcome, waited) == ("22 + 0", "succeeded", "4 waited for")


@pytest.mark.faults
@pytest.mark.parametrize("first", range(0, len(MOMENTS), 2))
def test_azure_is_the_same_whenever_it_is_killed(
    tmp_path: Path, undisturbed: dict[str, Any], first: int, azure_matrix: Table
) -> None:
    """Every moment, two at a time, each on a stand-in of its own."""
    moments = MOMENTS[first : first + 2]
    with ThreadPoolExecutor(2) as pool:
        work = [pool.submit(_kill_and_resume, tmp_path / f"{kind}-{n}", undisturbed, (kind, n)) for kind, n in moments]
    for (kind, number), done in zip(moments, work, strict=True):
        azure_matrix.rows.append((f"killed at {kind} {number}", *done.result()))


def _kill_and_resume(folder: Path, undisturbed: dict[str, Any], moment: tuple[str, int]) -> tuple[str, str, str]:
    """What was asked for before the kill and after it, and how much of it the resume had to wait for."""
    with place(folder) as at:
        assert at.run("plan, then apply", (*moment, "SIGKILL")) != 0, at.said
        before = sum(_puts(at).values())
        assert at.record.outcome == "interrupted", at.said
        assert len(_named(at)) >= before, "whatever Azure was asked for is in the journal by its id"
        code, under_way = at.resume()
        assert code == 0, at.said
        assert at.record.outcome in ("succeeded", "no change")
        assert at.state() == undisturbed
        assert _puts(at) == dict.fromkeys(_puts(at), 1), "each resource is asked for once"
        assert at.requests().total() == PUTS, "and nothing else was asked for"
        assert sorted(one.name for one in at.lab.hosts.booted) == [f"azure-lab-0{n}" for n in (1, 2, 3, 4)]
        waited = {one["target"] for one in read(Path(at.record.path)) if one.get("detail") == "Azure says Creating"}
        assert len(waited) == under_way, "what was under way is waited for"
        return f"{before} + {PUTS - before}", at.record.outcome, f"{under_way} waited for"
