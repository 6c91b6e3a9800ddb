"""Applying with the real SDK against the stand-in: all of it, what is left, and what goes wrong."""

from __future__ import annotations

import base64
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from corelib.azure import client, desired, executor, inventory
from corelib.azure.acts import acts
from corelib.azure.executor import ApplyFailed
from corelib.azure.pace import Clock, Pace
from corelib.errors import TimedOut, Unreachable
from corelib.lab.arm import Failure, Fault
from corelib.plan import Halt, Progress, approve, permit
from tests.lab.arm.conftest import Lab

from .conftest import Deployment, custom_data, fleet

NOW = datetime(2026, 11, 23, tzinfo=UTC)
Deploy = Callable[..., Deployment]


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
    at.apply(plan, watch)
    assert watch.targets("begin") == watch.targets("done") == {one.target for one in at.resources}
    for one in at.resources:
        for before in one.after:
            assert watch.when(before, "done") <= watch.when(one.target, "begin")
    assert all(event.facts["requests"] for _, event in watch.events if event.phase == "done")
    assert at.plan().empty
    again = Watching()
    at.apply(at.plan(), again)
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
        at.apply(plan, watch)
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
    at.apply(left, Watching())
    assert at.plan().empty


def test_what_drifted_is_set_right(lab: Lab, deploy: Deploy) -> None:
    at = deploy(lab)
    at.apply(at.plan(), Watching())
    groups = at.cloud.network.network_security_groups
    body = groups.get("azure-lab-a", "azure-lab-a-nsg").as_dict()
    body["properties"]["securityRules"][0]["properties"]["sourceAddressPrefix"] = "*"
    groups.begin_create_or_update("azure-lab-a", "azure-lab-a-nsg", body).result()
    (step,) = at.plan().pending
    assert (step.action, step.target) == ("change", "azure-lab-a/security-group/azure-lab-a-nsg")
    assert [(change.old, change.new) for change in step.changes] == [("*", "127.0.0.0/8")]
    at.apply(at.plan(), Watching())
    assert at.plan().empty


def test_what_was_opened_or_switched_off_by_hand_is_set_right(lab: Lab, deploy: Deploy) -> None:
    at = deploy(lab)
    at.apply(at.plan(), Watching())
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
    at.apply(at.plan(), Watching())
    assert at.plan().empty
    now = balancers.get("azure-lab-a", "azure-lab-a-lb").as_dict()
    assert not now["properties"].get("loadBalancingRules")
    assert now["tags"]["cost-center"] == "42", "what somebody else has tagged keeps its tag"


def test_a_machine_whose_creation_failed_is_ours_and_is_put_again(lab: Lab, deploy: Deploy) -> None:
    at = deploy(lab)
    plan = at.plan()
    lab.faults["azure-lab-02"] = Failure(409, "AllocationFailed", "There is no room in this zone.")
    with pytest.raises(ApplyFailed, match="AllocationFailed"):
        at.apply(plan, Watching())
    left = at.plan()
    (step,) = left.pending
    assert (step.target, step.action) == ("azure-lab-a/machine/azure-lab-02", "change")
    assert "Failed" in step.why
    permit(left, approve(plan, NOW, "op@host"), NOW)
    at.apply(left, Watching())
    assert at.plan().empty


def test_a_host_that_left_the_parameters_goes_and_its_disk_stays(lab: Lab, deploy: Deploy) -> None:
    at, watch = deploy(lab), Watching()
    at.apply(at.plan(), Watching())
    (b,) = [one for one in at.fleet.clusters if one.name == "azure-lab-b"]
    fewer = at.fleet.model_copy(
        update={"clusters": (at.fleet.clusters[0], b.model_copy(update={"hosts": b.hosts[:1]}))}
    )
    left = Deployment(fewer, at.cloud, at.endpoint, desired.resources(fewer, custom_data(fewer)))
    plan = left.plan()
    assert plan.consents == ("destroy azure-lab-04",)
    left.apply(plan, watch)
    assert watch.targets("done") == {"azure-lab-b/machine/azure-lab-04", "azure-lab-b/load-balancer/azure-lab-b-lb"}
    after = left.plan()
    assert after.empty
    assert [step.target for step in after.steps if step.told] == ["azure-lab-b/disk/azure-lab-04-etcd"]
    assert set(left.observe().bodies) == {one.target for one in left.resources}, "and nothing else has changed"


def test_machines_are_made_at_the_same_time(slow: Lab, deploy: Deploy) -> None:
    at, watch = deploy(slow), Watching()
    at.apply(at.plan(), watch)
    machines = [one.target for one in at.resources if one.kind == "machine"]
    assert max(watch.when(m, "begin") for m in machines) < min(watch.when(m, "done") for m in machines)


def test_a_step_that_cannot_be_journaled_does_not_begin(lab: Lab, deploy: Deploy) -> None:
    at = deploy(lab)

    def full(event: Progress) -> None:
        if event.target == "azure-lab-a/address/azure-lab-a-ip":
            raise OSError("the journal's disk is full")

    with pytest.raises(OSError, match="disk is full"):
        at.apply(at.plan(), full)
    assert "azure-lab-a/address/azure-lab-a-ip" not in at.observe().bodies


def test_an_operation_that_never_ends_is_unknown(slow: Lab, deploy: Deploy) -> None:
    at = deploy(slow)
    with pytest.raises(ApplyFailed, match="whether it ends well is unknown"):
        at.apply(at.plan(), Watching(), deadline=0.0)


def test_a_halt_finishes_what_is_under_way_and_starts_nothing_new(slow: Lab, deploy: Deploy) -> None:
    at, watch = deploy(slow), Watching()

    def halting(event: Progress) -> None:
        if event.phase == "begin" and len(watch.targets("begin")) >= 6:
            raise Halt(KeyboardInterrupt("Ctrl-C"))
        watch(event)

    with pytest.raises(Halt, match="Ctrl-C"):
        at.apply(at.plan(), halting)
    assert watch.targets("begin") == watch.targets("done")
    assert watch.targets("begin") < {one.target for one in at.resources}
    at.apply(at.plan(), Watching())
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
    where, pace = "https://127.0.33.9:9", Pace(Clock(speed=1000))
    cloud = client.connect(account, endpoint=where, verify=str(lab.ca), credential=credential, pace=pace)
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


def test_what_was_accepted_is_journaled_by_its_operation(lab: Lab, deploy: Deploy) -> None:
    """As soon as Azure has accepted it, and without the query of its address, in which Azure may sign who asks."""
    at, watch = deploy(lab), Watching()
    at.apply(at.plan(), watch)
    accepted = [event for _, event in watch.events if "operation" in event.facts]
    assert len(accepted) == len([one for one in at.resources if one.kind != "group"])
    assert all("/operations/" in event.facts["operation"] and "?" not in event.facts["operation"] for event in accepted)
    for event in accepted:
        assert watch.when(event.target, "begin") <= watch.when(event.target, "wait") <= watch.when(event.target, "done")


def test_every_change_is_journaled_by_its_ids(lab: Lab, deploy: Deploy) -> None:
    """By ours before it is sent, by Azure's as soon as it has answered: whoever is killed then has left both."""
    at, watch = deploy(lab), Watching()
    at.apply(at.plan(), watch)
    for one in at.resources:
        facts = [event.facts for _, event in watch.events if event.target == one.target]
        asked = next(n for n, fact in enumerate(facts) if "client_request" in fact)
        assert all("requests" not in fact for fact in facts[:asked])
        uuid.UUID(facts[asked]["client_request"])
        if one.kind != "group":
            (request,) = next(fact["requests"] for fact in facts if "operation" in fact)
            assert facts[-1]["requests"][0] == request != ""
        assert "unanswered" not in facts[-1]


def test_what_had_no_answer_is_known_by_our_own_id(lab: Lab, deploy: Deploy) -> None:
    at, watch = deploy(lab, Pace(Clock(speed=20))), Watching()
    lab.tell(Fault(do="reset-after", method="PUT", path="*/virtualNetworks/azure-lab-a*"))
    at.apply(at.plan(), watch)
    target = next(one.target for one in at.resources if one.kind == "network" and one.cluster == "azure-lab-a")
    facts = [event.facts for _, event in watch.events if event.target == target]
    (sent,) = [fact["client_request"] for fact in facts if "client_request" in fact]
    assert facts[-1]["unanswered"] == [sent]
    assert facts[-1]["requests"], "those of the looks"


def test_a_continuation_token_of_the_sdk_holds_no_login(slow: Lab, deploy: Deploy) -> None:
    """None is journaled, as a look says the same; what is in one is known all the same."""
    at = deploy(slow)
    at.cloud.resources.resource_groups.create_or_update("g", {"location": "westeurope"})
    body = {"location": "westeurope", "properties": {"addressSpace": {"addressPrefixes": ["10.20.0.0/16"]}}}
    poller = at.cloud.network.virtual_networks.begin_create_or_update("g", "net", body)
    token = base64.b64decode(poller.continuation_token()).decode()
    assert "asyncoperation" in token.lower()
    assert "authorization" not in token.lower()
    assert "bearer" not in token.lower()
    poller.result()


def test_a_problem_of_many_is_told_once(lab: Lab, deploy: Deploy) -> None:
    at = deploy(lab)
    for host in ("azure-lab-01", "azure-lab-02", "azure-lab-03", "azure-lab-04"):
        lab.faults[host] = Failure(409, "QuotaExceeded", "No more cores.")
    with pytest.raises(ApplyFailed) as caught:
        at.apply(at.plan(), Watching())
    assert str(caught.value).count("No more cores.") == 1
    assert "azure-lab-a/machine/azure-lab-01" in str(caught.value)


def test_many_that_wait_hold_no_thread(slow: Lab, deploy: Deploy) -> None:
    """With a single worker of each sort, machines are still made at the same time."""
    at, watch = deploy(slow), Watching()
    executor.apply(at.plan(), acts(at.cloud, at.resources), watch, workers=1)
    machines = [one.target for one in at.resources if one.kind == "machine"]
    assert max(watch.when(m, "begin") for m in machines) < min(watch.when(m, "done") for m in machines)
