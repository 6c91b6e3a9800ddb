"""Operations that take their time: how they are polled, how they fail, and what happens when two meet."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError

from corelib.lab import arm
from corelib.lab.arm.operations import Timing
from corelib.lab.places import CONTROL
from corelib.lab.site import Site

from .conftest import Azure, Lab

SPACE = {"addressSpace": {"addressPrefixes": ["10.20.0.0/16"]}}
NET = {"location": "westeurope", "properties": SPACE}
MACHINE = "Compute/virtualMachines/vm"


@pytest.fixture
def slowly(slow: Lab, azure_at: Callable[[Lab], Azure]) -> Azure:
    return azure_at(slow)


def machine(azure: Azure, name: str = "vm", custom_data: bytes = b"#cloud-config\n") -> dict[str, Any]:
    return azure.machine(name, azure.interface(f"{name}-nic", azure.subnet()), custom_data)


def test_an_operation_is_named_polled_and_followed_by_a_last_look(slowly: Azure) -> None:
    slowly.group()
    answer = slowly.lab.call("PUT", slowly.id("Network/virtualNetworks/net"), NET)
    assert answer.status_code == 201
    assert answer.json()["properties"]["provisioningState"] == "Creating"
    assert "Location" not in answer.headers
    assert answer.headers["retry-after-ms"] == "100"
    path = answer.headers["Azure-AsyncOperation"].removeprefix(slowly.lab.where["arm"])
    assert "/providers/Microsoft.Network/locations/westeurope/operations/" in path
    assert slowly.lab.call("GET", path).json()["status"] == "InProgress"
    slowly.settled("Network/virtualNetworks/net")
    done = slowly.lab.call("GET", path)
    assert done.json()["status"] == "Succeeded"
    assert "retry-after-ms" not in done.headers
    again = slowly.lab.call("PUT", slowly.id("Network/virtualNetworks/net"), NET)
    assert (again.status_code, again.json()["properties"]["provisioningState"]) == (200, "Updating")


def test_the_sdk_polls_as_often_as_it_is_told_and_no_more_often(slowly: Azure) -> None:
    slowly.group()
    began, seen = time.monotonic(), len(slowly.lab.lines())
    slowly.network.virtual_networks.begin_create_or_update("g", "net", NET).result(10)
    took = time.monotonic() - began
    polls = [line for line in slowly.lab.lines()[seen:] if "/operations/" in line["path"]]
    assert 0.4 <= took < 3
    assert 2 <= len(polls) <= 8


def test_whole_seconds_are_said_in_retry_after() -> None:
    assert Timing(poll=2).retry == {"Retry-After": "2"}
    assert Timing(poll=0.25).retry == {"retry-after-ms": "250"}
    assert Timing(poll=0).retry == {"retry-after-ms": "1"}


def test_a_host_boots_when_its_machine_is_done_and_not_before(slowly: Azure) -> None:
    body = machine(slowly, "late")
    count = len(slowly.lab.hosts.booted)
    poller = slowly.compute.virtual_machines.begin_create_or_update("g", "late", body)
    assert slowly.compute.virtual_machines.get("g", "late").provisioning_state == "Creating"
    assert len(slowly.lab.hosts.booted) == count
    poller.result(10)
    assert [host.name for host in slowly.lab.hosts.booted[count:]] == ["late"]


def test_another_process_goes_on_polling_with_the_token(slowly: Azure) -> None:
    poller = slowly.compute.virtual_machines.begin_create_or_update("g", "vm", machine(slowly))
    puts = [line for line in slowly.lab.lines() if line["method"] == "PUT"]
    again = slowly.compute.virtual_machines.begin_create_or_update(
        "g", "vm", {}, continuation_token=poller.continuation_token()
    )
    assert again.result(10).provisioning_state == "Succeeded"
    assert len([line for line in slowly.lab.lines() if line["method"] == "PUT"]) == len(puts)


def test_what_is_referred_to_must_be_there_first(slowly: Azure) -> None:
    slowly.group()
    subnets = [{"name": "hosts", "properties": {"addressPrefix": "10.20.1.0/24"}}]
    slowly.lab.call(
        "PUT", slowly.id("Network/virtualNetworks/net"), {**NET, "properties": {**SPACE, "subnets": subnets}}
    )
    config = {"name": "a", "properties": {"subnet": {"id": slowly.id("Network/virtualNetworks/net/subnets/hosts")}}}
    body = {"location": "westeurope", "properties": {"ipConfigurations": [config]}}
    refused = slowly.lab.error("PUT", slowly.id("Network/networkInterfaces/nic"), body)
    assert refused == (409, "ReferencedResourceNotProvisioned")


def test_the_network_provider_refuses_a_second_request_and_the_sdk_tries_again(slowly: Azure) -> None:
    slowly.group()
    slowly.lab.call("PUT", slowly.id("Network/virtualNetworks/net"), NET)
    answer = slowly.lab.call("PUT", slowly.id("Network/virtualNetworks/net"), NET)
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "AnotherOperationInProgress")
    done = slowly.network.virtual_networks.begin_create_or_update("g", "net", NET).result(10)
    assert done.provisioning_state == "Succeeded"


def test_compute_drops_the_older_request_for_the_newer(slowly: Azure) -> None:
    body = machine(slowly, "twice")
    first = slowly.compute.virtual_machines.begin_create_or_update("g", "twice", body)
    second = slowly.compute.virtual_machines.begin_create_or_update("g", "twice", body)
    with pytest.raises(HttpResponseError) as caught:
        first.result(10)
    assert caught.value.error.code == "OperationPreempted"
    assert second.result(10).provisioning_state == "Succeeded"
    assert [host.name for host in slowly.lab.hosts.booted].count("twice") == 1


def test_a_machine_deleted_while_it_is_made_never_boots(slowly: Azure) -> None:
    body = machine(slowly, "short")
    slowly.compute.virtual_machines.begin_create_or_update("g", "short", body)
    slowly.compute.virtual_machines.begin_delete("g", "short").result(10)
    assert "short" not in [host.name for host in slowly.lab.hosts.booted]
    assert "short" in slowly.lab.hosts.destroyed


def test_nothing_enters_a_group_that_is_being_deleted(slowly: Azure) -> None:
    slowly.group()
    poller = slowly.resources.resource_groups.begin_delete("g")
    refused = slowly.lab.error("PUT", slowly.id("Network/virtualNetworks/net"), NET)
    assert refused == (409, "ResourceGroupBeingDeleted")
    assert slowly.lab.error("PUT", slowly.root, {"location": "westeurope"}) == (409, "ResourceGroupBeingDeleted")
    poller.result(10)
    slowly.group()


def test_a_failed_machine_exists_never_booted_and_a_second_put_repairs_it(azure: Azure) -> None:
    body = machine(azure, "unlucky")
    text = "Allocation failed. We do not have sufficient capacity for the requested VM size in this region."
    azure.lab.faults["unlucky"] = arm.Failure(409, "AllocationFailed", text)
    with pytest.raises(HttpResponseError) as caught:
        azure.compute.virtual_machines.begin_create_or_update("g", "unlucky", body).result(10)
    assert caught.value.error.code == "AllocationFailed"
    assert azure.compute.virtual_machines.get("g", "unlucky").provisioning_state == "Failed"
    assert "unlucky" not in [host.name for host in azure.lab.hosts.booted]
    azure.compute.virtual_machines.begin_create_or_update("g", "unlucky", body).result(10)
    assert "unlucky" in [host.name for host in azure.lab.hosts.booted]


def test_a_host_that_cannot_boot_fails_its_machine(azure: Azure) -> None:
    body = machine(azure, "vm", b"refuse to boot")
    with pytest.raises(HttpResponseError, match="no room for another host") as caught:
        azure.compute.virtual_machines.begin_create_or_update("g", "vm", body).result(10)
    assert caught.value.error.code == "InternalExecutionError"


def test_switching_off_and_on_is_shown(azure: Azure) -> None:
    azure.put(MACHINE, **machine(azure))
    machines = azure.compute.virtual_machines

    def power() -> str:
        return str(machines.instance_view("g", "vm").statuses[-1].code)

    for begin, state in (
        (machines.begin_deallocate, "deallocated"),
        (machines.begin_start, "running"),
        (machines.begin_restart, "running"),
        (machines.begin_power_off, "stopped"),
    ):
        begin("g", "vm").result(10)
        assert power() == f"PowerState/{state}"
    assert azure.lab.error("POST", azure.id(f"{MACHINE}/restart")) == (409, "OperationNotAllowed")
    assert azure.lab.error("POST", azure.id(f"{MACHINE}/explode")) == (404, "InvalidResourceType")


def test_etags_guard_a_machine(azure: Azure) -> None:
    body = machine(azure)
    made = azure.compute.virtual_machines.begin_create_or_update("g", "vm", body).result(10)
    tagged = {**body, "tags": {"a": "b"}}
    put = azure.compute.virtual_machines.begin_create_or_update
    with pytest.raises(HttpResponseError) as caught:
        put("g", "vm", tagged, etag='"other"', match_condition=MatchConditions.IfNotModified)
    assert caught.value.status_code == 412
    with pytest.raises(HttpResponseError) as caught:
        put("g", "vm", tagged, match_condition=MatchConditions.IfMissing)
    assert caught.value.status_code == 412
    changed = put("g", "vm", tagged, etag=made.etag, match_condition=MatchConditions.IfNotModified).result(10)
    assert (changed.tags, changed.etag != made.etag) == ({"a": "b"}, True)


def test_a_taken_address_is_an_error_of_the_system(lab: Lab, tmp_path: Path) -> None:
    host = lab.where["arm"].removeprefix("https://").split(":")[0]
    network = IPv4Network((int(IPv4Address(host)) - CONTROL, 32))
    site = Site("second", network, tmp_path, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), lab.ca)
    with pytest.raises(OSError, match="in use"):
        asyncio.run(arm.serve(site, lab.hosts))
