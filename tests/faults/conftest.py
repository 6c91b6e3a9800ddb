"""The matrices of faults are printed at the end, so that one can read what was tried and what became of it."""

from __future__ import annotations

import signal

import pytest

Row = tuple[str, str, str, str]
ROWS = pytest.StashKey[list[Row]]()


@pytest.fixture(autouse=True, scope="session")
def _signals_are_heard() -> None:
    """A shell starts what runs in its background deaf to Ctrl-C, and children inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def matrix(request: pytest.FixtureRequest) -> list[Row]:
    """Rows to be printed: fault, front end, outcome, what its record says."""
    rows: list[Row] = request.config.stash.setdefault(ROWS, [])
    return rows


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    rows = config.stash.get(ROWS, [])
    if rows:
        terminalreporter.section("records under faults")
        widths = [max(len(row[n]) for row in rows) for n in range(3)]
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
            terminalreporter.write_line("  ".join([*cells, row[3]]))
