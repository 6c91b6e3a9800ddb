"""The matrices of faults are printed at the end, so that one can read what was tried and what became of it."""

from __future__ import annotations

import signal

import pytest

from .tables import AzureTable, EtcdTable, InstallTable, Row, Table

RECORDS, ETCD, AZURE = pytest.StashKey[Table](), pytest.StashKey[EtcdTable](), pytest.StashKey[AzureTable]()
LIVES, INSTALLS = pytest.StashKey[Table](), pytest.StashKey[InstallTable]()


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


@pytest.fixture
def azure_matrix(request: pytest.FixtureRequest) -> AzureTable:
    """Rows to be printed: fault, requests, outcome, end state."""
    return request.config.stash.setdefault(AZURE, AzureTable())


@pytest.fixture
def azure_lives(request: pytest.FixtureRequest) -> list[Row]:
    """Rows to be printed: what was done to a running cluster, what was measured, how long it took."""
    return request.config.stash.setdefault(LIVES, Table("running clusters, changed")).rows


@pytest.fixture
def install_matrix(request: pytest.FixtureRequest) -> InstallTable:
    """Takes down how an install under a fault ended."""
    return request.config.stash.setdefault(INSTALLS, InstallTable())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for table in (config.stash.get(key, None) for key in (RECORDS, ETCD, AZURE, LIVES, INSTALLS)):
        if table is not None and table.rows:
            terminalreporter.section(table.title)
            for line in table.lines():
                terminalreporter.write_line(line)
