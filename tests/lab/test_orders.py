"""A lab that runs is told what shall go wrong in its Azure, from another process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from corelib import lab
from corelib.lab import Endpoints, LabError

NETWORK, SUBSCRIPTION = "127.0.34.0/24", "00000000-0000-0000-0000-0000000001ab"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Endpoints]:
    yield lab.start(tmp_path, NETWORK, speed=20)
    lab.stop(tmp_path, NETWORK)


def test_faults_and_accounts_are_told_and_can_be_asked_for(running: Endpoints) -> None:
    fault = {"do": "answer", "method": "PUT", "path": "*/virtualNetworks/*", "status": 503, "times": 2}
    lab.faults(running, [fault])
    (left,) = lab.faults_left(running)
    assert {key: left[key] for key in fault} == fault
    lab.faults(running, [])
    assert lab.faults_left(running) == []
    lab.account(running, SUBSCRIPTION, quotas={"westeurope/cores": 4}, not_actions=["*/delete"])
    told = requests.get(f"{running.control}/arm/accounts/{SUBSCRIPTION}", timeout=5).json()
    assert (told["quotas"], told["not_actions"], told["state"]) == ({"westeurope/cores": 4}, ["*/delete"], "Enabled")


def test_its_azures_clock_is_as_fast_as_it_was_started(running: Endpoints) -> None:
    login = {"resource": "https://management.azure.com", "api-version": "2019-08-01"}
    secret = {"X-IDENTITY-HEADER": running.identity_header}
    token = requests.get(running.identity, login, headers=secret, timeout=5).json()["access_token"]
    options = {"headers": {"Authorization": f"Bearer {token}"}, "verify": running.ca}
    group = f"{running.arm}/subscriptions/{SUBSCRIPTION}/resourceGroups/g?api-version=2025-04-01"
    requests.put(group, json={"location": "westeurope"}, timeout=5, **options)
    assert requests.delete(group, timeout=5, **options).headers["retry-after-ms"] == "10", "0.2 s, twenty times as fast"


def test_what_means_nothing_is_refused_in_words(running: Endpoints) -> None:
    with pytest.raises(LabError, match="a fault does one of"):
        lab.faults(running, [{"do": "explode"}])
    with pytest.raises(LabError, match="an account has no quota"):
        lab.account(running, SUBSCRIPTION, quota={})
    assert lab.faults_left(running) == []
