"""The matrices of faults are printed at the end, so that one can read what was tried and what became of it."""

from __future__ import annotations

import signal

import pytest

from .tables import EtcdTable, Row, Table

RECORDS, ETCD = pytest.StashKey[Table](), pytest.StashKey[EtcdTable]()


@pytest.fixture(autouse=True, scope="session")
def _signals_are_heard() -> None:
    """A shell starts what runs in its background deaf to Ctrl-C, and children inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def matrix(request: pytest.FixtureRequest) -> list[Row]:
    """Rows to be printed: fault, front end, outcome, what its record says."""
    return request.config.stash.setdefault(RECORDS, Table("records under faults")).rows


@pytest.fixture
def etcd_matrix(request: pytest.FixtureRequest) -> EtcdTable:
    """Verifies clusters with a fault or without; what it found is printed."""
    return request.config.stash.setdefault(ETCD, EtcdTable())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for table in (config.stash.get(RECORDS, None), config.stash.get(ETCD, None)):
        if table is not None and table.rows:
            terminalreporter.section(table.title)
            for line in table.lines():
                terminalreporter.write_line(line)
