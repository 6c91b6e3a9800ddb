"""Applying with the real SDK against the stand-in: all of it, what is left, and what goes wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from corelib.azure import client, executor, inventory
from corelib.azure.executor import ApplyFailed
from corelib.errors import TimedOut, Unreachable
from corelib.lab.arm import Failure
from corelib.plan import Halt, Progress, approve, permit
from tests.lab.arm.conftest import Lab

from .conftest import Deployment, fleet

NOW = datetime(2026, 11, 23, tzinfo=UTC)
Deploy = Callable[[Lab], Deployment]


class Watching:
    """Remembers every event with its time."""

    def __init__(self) -> None:
        self.events: list[tuple[float, Progress]] = []
        self._lock = threading.Lock()

    def __call__(self, event: Progress) -> None:
        with self._lock:
            self.events.append((time.monotonic(), event))

    def targets(self, phase: str) -> set[str]:
        return {event.target for _, event in self.events if event.phase == phase}

    def when(self, target: str, phase: str) -> float:
        return next(at for at, event in self.events if (event.target, event.phase) == (target, phase))


def test_all_is_made_once_and_then_there_is_nothing_to_do(lab: Lab, deploy: Deploy) -> None:
    at, watch = deploy(lab), Watching()
    plan = at.plan()
    executor.apply(plan, at.resources, at.cloud, watch)
    assert watch.targets("begin") == watch.targets("done") == {one.target for one in at.resources}
    for one in at.resources:
        for before in one.after:
            assert watch.when(before, "done") <= watch.when(one.target, "begin")
    assert all(event.facts["requests"] for _, event in watch.events if event.phase == "done")
    assert at.plan().empty
    again = Watching()
    executor.apply(at.plan(), at.resources, at.cloud, again)
    assert again.events == []
    booted = {machine.name: machine.custom_data for machine in lab.hosts.booted[-4:]}
    assert booted["azure-lab-03"] == b"#cloud-config\nhostname: azure-lab-03\n"
    found = inventory.inventory(at.fleet, at.observe())
    assert found["hosts"]["azure-lab-02"]["ssh_port"] == 2202
    assert found["hosts"]["azure-lab-02"]["public_address"] == found["clusters"]["azure-lab-a"]["address"] != ""


def test_a_failure_stops_what_needs_it_and_the_rest_is_finished(lab: Lab, deploy: Deploy) -> None:
    at, watch = deploy(lab), Watching()
    plan = at.plan()
    lab.faults["azure-lab-03-nic"] = Failure(409, "SubnetIsFull", "The subnet has no room.")
    with pytest.raises(ApplyFailed) as caught:
        executor.apply(plan, at.resources, at.cloud, watch)
    said = str(caught.value)
    assert "azure-lab-b/interface/azure-lab-03-nic: SubnetIsFull: The subnet has no room." in said
    assert "not begun, because they need what failed: azure-lab-b/machine/azure-lab-03" in said
    assert watch.targets("failed") == {"azure-lab-b/interface/azure-lab-03-nic"}
    assert "azure-lab-b/machine/azure-lab-03" not in watch.targets("begin")
    assert {f"azure-lab-{c}/machine/azure-lab-0{n}" for c, n in (("a", 1), ("a", 2), ("b", 4))} <= watch.targets("done")
    left = at.plan()
    assert {step.target for step in left.pending} == {
        "azure-lab-b/interface/azure-lab-03-nic",
        "azure-lab-b/machine/azure-lab-03",
    }
    permit(left, approve(plan, NOW, "op@host"), NOW)
    executor.apply(left, at.resources, at.cloud, Watching())
    assert at.plan().empty


def test_what_drifted_is_set_right(lab: Lab, deploy: Deploy) -> None:
    at = deploy(lab)
    executor.apply(at.plan(), at.resources, at.cloud, Watching())
    groups = at.cloud.network.network_security_groups
    body = groups.get("azure-lab-a", "azure-lab-a-nsg").as_dict()
    body["properties"]["securityRules"][0]["properties"]["sourceAddressPrefix"] = "*"
    groups.begin_create_or_update("azure-lab-a", "azure-lab-a-nsg", body).result()
    (step,) = at.plan().pending
    assert (step.action, step.target) == ("change", "azure-lab-a/security-group/azure-lab-a-nsg")
    assert [(change.old, change.new) for change in step.changes] == [("*", "127.0.0.0/8")]
    executor.apply(at.plan(), at.resources, at.cloud, Watching())
    assert at.plan().empty


def test_what_was_opened_or_switched_off_by_hand_is_set_right(lab: Lab, deploy: Deploy) -> None:
    at = deploy(lab)
    executor.apply(at.plan(), at.resources, at.cloud, Watching())
    balancers = at.cloud.network.load_balancers
    body = balancers.get("azure-lab-a", "azure-lab-a-lb").as_dict()
    front = {"id": body["properties"]["frontendIPConfigurations"][0]["id"]}
    pool = {"id": body["properties"]["backendAddressPools"][0]["id"]}
    rule = {"frontendIPConfiguration": front, "backendAddressPool": pool, "protocol": "Tcp",
            "frontendPort": 2379, "backendPort": 2379, "disableOutboundSnat": True}  # fmt: skip
    body["properties"]["loadBalancingRules"] = [{"name": "etcd", "properties": rule}]
    body["tags"]["cost-center"] = "42"
    balancers.begin_create_or_update("azure-lab-a", "azure-lab-a-lb", body).result()
    at.cloud.compute.virtual_machines.begin_deallocate("azure-lab-b", "azure-lab-04").result()
    assert {(step.action, step.target) for step in at.plan().pending} == {
        ("change", "azure-lab-a/load-balancer/azure-lab-a-lb"),
        ("change", "azure-lab-b/machine/azure-lab-04"),
    }
    executor.apply(at.plan(), at.resources, at.cloud, Watching())
    assert at.plan().empty
    now = balancers.get("azure-lab-a", "azure-lab-a-lb").as_dict()
    assert not now["properties"].get("loadBalancingRules")
    assert now["tags"]["cost-center"] == "42", "what somebody else has tagged keeps its tag"


def test_a_machine_whose_creation_failed_is_ours_and_is_put_again(lab: Lab, deploy: Deploy) -> None:
    at = deploy(lab)
    plan = at.plan()
    lab.faults["azure-lab-02"] = Failure(409, "AllocationFailed", "There is no room in this zone.")
    with pytest.raises(ApplyFailed, match="AllocationFailed"):
        executor.apply(plan, at.resources, at.cloud, Watching())
    left = at.plan()
    (step,) = left.pending
    assert (step.target, step.action) == ("azure-lab-a/machine/azure-lab-02", "change")
    assert "Failed" in step.why
    permit(left, approve(plan, NOW, "op@host"), NOW)
    executor.apply(left, at.resources, at.cloud, Watching())
    assert at.plan().empty


def test_a_host_that_left_the_parameters_is_told_and_left_alone(lab: Lab, deploy: Deploy) -> None:
    at = deploy(lab)
    executor.apply(at.plan(), at.resources, at.cloud, Watching())
    fewer = Deployment(at.fleet, at.cloud, at.endpoint, tuple(r for r in at.resources if "azure-lab-04" not in r.name))
    told = {step.target for step in fewer.plan().steps if step.told}
    assert told == {
        "azure-lab-b/disk/azure-lab-04-etcd",
        "azure-lab-b/interface/azure-lab-04-nic",
        "azure-lab-b/machine/azure-lab-04",
    }
    assert fewer.plan().empty


def test_machines_are_made_at_the_same_time(slow: Lab, deploy: Deploy) -> None:
    at, watch = deploy(slow), Watching()
    executor.apply(at.plan(), at.resources, at.cloud, watch)
    machines = [one.target for one in at.resources if one.kind == "machine"]
    assert max(watch.when(m, "begin") for m in machines) < min(watch.when(m, "done") for m in machines)


def test_a_step_that_cannot_be_journaled_does_not_begin(lab: Lab, deploy: Deploy) -> None:
    at = deploy(lab)

    def full(event: Progress) -> None:
        if event.target == "azure-lab-a/address/azure-lab-a-ip":
            raise OSError("the journal's disk is full")

    with pytest.raises(OSError, match="disk is full"):
        executor.apply(at.plan(), at.resources, at.cloud, full)
    assert "azure-lab-a/address/azure-lab-a-ip" not in at.observe().bodies


def test_an_operation_that_never_ends_is_unknown(slow: Lab, deploy: Deploy) -> None:
    at = deploy(slow)
    with pytest.raises(ApplyFailed, match="whether it ends well is unknown"):
        executor.apply(at.plan(), at.resources, at.cloud, Watching(), deadline=0.0)


def test_a_halt_finishes_what_is_under_way_and_starts_nothing_new(slow: Lab, deploy: Deploy) -> None:
    at, watch = deploy(slow), Watching()

    def halting(event: Progress) -> None:
        if event.phase == "begin" and len(watch.targets("begin")) >= 6:
            raise Halt(KeyboardInterrupt("Ctrl-C"))
        watch(event)

    with pytest.raises(Halt, match="Ctrl-C"):
        executor.apply(at.plan(), at.resources, at.cloud, halting)
    assert watch.targets("begin") == watch.targets("done")
    assert watch.targets("begin") < {one.target for one in at.resources}
    executor.apply(at.plan(), at.resources, at.cloud, Watching())
    assert at.plan().empty


def test_a_login_that_is_refused_is_one_sentence(lab: Lab, deploy: Deploy, monkeypatch: pytest.MonkeyPatch) -> None:
    at = deploy(lab)
    monkeypatch.setenv("IDENTITY_HEADER", "wrong")
    account = at.fleet.azure
    assert account is not None
    credential = client.credential_of("managed-identity")
    cloud = client.connect(account, endpoint=at.endpoint, verify=str(lab.ca), credential=credential)
    with pytest.raises(client.LoginFailed) as caught:
        Deployment(at.fleet, cloud, at.endpoint, at.resources).observe()
    assert "Azure did not accept a login" in str(caught.value)
    assert "az login" in str(caught.value)


def test_an_endpoint_that_is_not_there_is_unreachable(lab: Lab, deploy: Deploy) -> None:
    at = deploy(lab)
    account = fleet().azure
    assert account is not None
    credential = client.credential_of("managed-identity")
    cloud = client.connect(account, endpoint="https://127.0.33.9:9", verify=str(lab.ca), credential=credential)
    for one in (cloud.resources, cloud.network, cloud.compute):
        one._config.retry_policy.total_retries = 0
    with pytest.raises((Unreachable, TimedOut), match="was not reached"):
        Deployment(at.fleet, cloud, at.endpoint, at.resources).observe()


def test_a_login_for_another_tenant_is_refused(lab: Lab, deploy: Deploy) -> None:
    account = deploy(lab).fleet.azure
    assert account is not None
    who = client.identity(client.credential_of("managed-identity"), "https://management.azure.com")
    assert who["tid"] == account.tenant
    assert set(who) == {"kind", "tid", "oid", "appid"}
    client.check_tenant(who, account)
    client.check_tenant({"kind": "a token that tells nothing"}, account)
    with pytest.raises(client.LoginFailed, match="the login is for the tenant"):
        client.check_tenant(who, account.model_copy(update={"tenant": "99999999-9999-9999-9999-999999999999"}))
