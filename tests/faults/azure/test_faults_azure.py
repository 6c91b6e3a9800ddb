"""What can go wrong while an apply runs, made for real on a stand-in whose clock is sixty times as fast."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from corelib.azure.executor import ApplyFailed
from corelib.azure.pace import Clock, Pace
from corelib.errors import Refused
from corelib.lab import arm
from corelib.lab.arm import Fault
from corelib.plan import Progress, approve, permit
from tests.azure.conftest import Deployment, deploy
from tests.faults.tables import Table
from tests.lab.arm.conftest import Lab, run

__all__ = ["deploy"]

SPEED = 60
TIMING = arm.Timing(network=3.0, compute=40.0, group=30.0, poll=5.0, speed=SPEED)
NOW = datetime(2026, 11, 24, tzinfo=UTC)
RESOURCES = 22
A, B = "azure-lab-a", "azure-lab-b"


@pytest.fixture(scope="module")
def standin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    yield from run(tmp_path_factory.mktemp("faults"), TIMING)


@dataclass
class Case:
    """A fleet to be deployed, and what was said and asked for."""

    at: Deployment
    lab: Lab
    matrix: Table
    events: list[Progress]

    def apply(self, deadline: float = 1800.0) -> None:
        self.at.apply(self.at.plan(), self.events.append, deadline)

    def whole(self) -> None:
        """Everything is there, and as desired."""
        assert self.at.plan().empty, self.at.plan().pending
        assert not self.at.observe().strays

    def puts(self) -> Counter[str]:
        """How often each resource was asked for, whatever the answer."""
        account = self.at.fleet.azure
        assert account is not None
        mine = (line for line in self.lab.lines() if account.subscription in line["path"])
        return Counter(line["path"].rsplit("/", 1)[-1] for line in mine if line["method"] == "PUT")

    def said(self, words: str) -> list[str]:
        return [event.target for event in self.events if words in event.detail]

    def row(self, fault: str, outcome: str, more: str) -> None:
        self.matrix.rows.append((fault, str(self.puts().total()), outcome, more))


@pytest.fixture
def case(standin: Lab, deploy: Callable[..., Deployment], azure_matrix: Table) -> Iterator[Case]:
    at = deploy(standin, Pace(Clock(SPEED)))
    # An answer that does not come is given up after a second of ours.
    at.cloud.resources._client._pipeline._transport.connection_config.read_timeout = 1.0
    yield Case(at, standin, azure_matrix, [])
    standin.tell()


def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        threading.Event().wait(0.05)


def each(case: Case, do: str, **options: object) -> list[Fault]:
    """A fault at the first request for each resource."""
    return [Fault(do=do, method="PUT", path=f"*/{one.name}", **options) for one in case.at.resources]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("do", "options", "asked"),
    [
        pytest.param("reset-after", {}, 1, id="done, and the connection reset"),
        pytest.param("reset-before", {}, 2, id="the connection reset, and nothing done", marks=pytest.mark.faults),
        pytest.param("stall", {"seconds": 90.0}, 1, id="done, and no answer in time", marks=pytest.mark.faults),
        pytest.param("answer", {"status": 500}, 2, id="500", marks=pytest.mark.faults),
        pytest.param("answer", {"status": 502}, 2, id="502", marks=pytest.mark.faults),
        pytest.param("answer", {"status": 503, "retry_after": 1}, 2, id="503", marks=pytest.mark.faults),
        pytest.param("answer", {"status": 504}, 2, id="504", marks=pytest.mark.faults),
        pytest.param("answer", {"status": 408}, 2, id="408", marks=pytest.mark.faults),
        pytest.param("fail", {"code": "InternalExecutionError"}, 2, id="passing failure", marks=pytest.mark.faults),
    ],
)
def test_azure_is_looked_at_where_an_answer_says_nothing(
    case: Case, request: pytest.FixtureRequest, do: str, options: dict[str, object], asked: int
) -> None:
    """At every request of an apply: nothing is asked for again that was done."""
    case.lab.tell(*each(case, do, **options))
    case.apply()
    expected = {one.name: asked for one in case.at.resources}
    if do == "fail":  # what is there when its PUT answers has no operation that could fail
        expected |= {A: 1, B: 1}
    until(lambda: case.puts().total() >= sum(expected.values()))  # an answer that was given up is logged at its end
    assert case.puts() == expected
    case.whole()
    case.row(f"{request.node.callspec.id} (each request)", "succeeded", f"{asked} for each resource")


@pytest.mark.faults
@pytest.mark.parametrize("status", [429, 500, 503])
def test_azure_is_asked_again_where_a_look_fails(case: Case, status: int) -> None:
    case.lab.tell(*(Fault(do="answer", method="GET", status=status, skip=7 * n, times=3) for n in range(1, 8)))
    case.apply()
    assert case.puts() == {one.name: 1 for one in case.at.resources}
    case.whole()
    case.row(f"{status} to 21 reads", "succeeded", "1 for each resource")


@pytest.mark.faults
def test_an_operation_that_azure_has_forgotten_is_looked_at(case: Case) -> None:
    case.lab.tell(*(Fault(do="answer", method="GET", path="*/operations/*", status=404, skip=n) for n in range(9)))
    case.apply()
    assert case.said("Azure does not know its operation any more")
    assert case.puts() == {one.name: 1 for one in case.at.resources}
    case.whole()
    case.row("operations forgotten", "succeeded", "1 for each resource")


@pytest.mark.parametrize(("method", "path"), [("PUT", "*"), ("GET", "*/operations/*")])
def test_a_token_that_azure_takes_for_expired_is_renewed(case: Case, method: str, path: str) -> None:
    case.lab.tell(Fault(do="expire", method=method, path=path, skip=9))
    case.apply()
    case.whole()
    case.row(f"token expired in the middle, at a {method}", "succeeded", "renewed")


def test_azure_that_asks_to_wait_is_waited_for_by_all(
    tmp_path: Path, deploy: Callable[..., Deployment], azure_matrix: Table
) -> None:
    """A storm: somebody else leaves us a hundredth of the writes, and a tenth of the reads."""
    limits = arm.Limits(reads=arm.Limit(25, 2.5), writes=arm.Limit(2, 0.1))
    for lab in run(tmp_path, TIMING, limits=limits):
        case = Case(deploy(lab, Pace(Clock(SPEED))), lab, azure_matrix, [])
        case.apply()
        case.whole()
        lines = [line for line in lab.lines() if line["method"] == "PUT"]
        refused = sum(line["status"] == 429 for line in lines)
        assert len(lines) - refused == RESOURCES
        assert case.said("Azure asks to wait")
        assert 0 < refused < 3 * RESOURCES
        case.row("429 storm", "succeeded", f"{refused} refused, then waited")


@pytest.mark.faults
def test_an_operation_that_fails_after_minutes_stops_what_needs_it_only(case: Case) -> None:
    plan = case.at.plan()
    slow = Fault(do="last", path="*/azure-lab-02", seconds=300.0)
    case.lab.tell(
        slow, Fault(do="fail", path="*/azure-lab-01", status=409, code="AllocationFailed", message="No room.")
    )
    with pytest.raises(ApplyFailed, match="machine/azure-lab-01: AllocationFailed: No room"):
        case.apply()
    left = case.at.plan()
    assert [(step.action, step.target) for step in left.pending] == [("change", f"{A}/machine/azure-lab-01")]
    permit(left, approve(plan, NOW, "op"), NOW)
    case.apply()
    case.whole()
    assert case.puts() == {one.name: 2 if one.name == "azure-lab-01" else 1 for one in case.at.resources}
    case.row("fails after minutes", "failed, then succeeded", "the rest was finished")


def test_an_operation_that_never_ends_is_never_begun_again(case: Case) -> None:
    plan = case.at.plan()
    case.lab.tell(Fault(do="hang", path="*/azure-lab-04-nic"))
    for _ in range(2):
        with pytest.raises(ApplyFailed, match=r"azure-lab-04-nic: it is .* whether it ends well is unknown"):
            case.apply(deadline=120.0)
        permit(case.at.plan(), approve(plan, NOW, "op"), NOW)
    assert {step.target for step in case.at.plan().pending} == {
        f"{B}/interface/azure-lab-04-nic",
        f"{B}/machine/azure-lab-04",
    }
    assert case.puts()["azure-lab-04-nic"] == 1
    case.row("an operation that never ends", "failed, twice", "asked for once")


@pytest.mark.faults
def test_a_quota_that_is_hit_half_way_is_told_and_what_is_left_follows(case: Case) -> None:
    account = case.at.fleet.azure
    assert account is not None
    plan = case.at.plan()
    case.lab.account(account.subscription, quotas={"westeurope/cores": 2})
    with pytest.raises(ApplyFailed, match="quota"):
        case.apply()
    left = case.at.plan()
    (step,) = left.pending
    assert step.target.startswith(f"{A}/machine/")
    case.lab.account(account.subscription)
    permit(left, approve(plan, NOW, "op"), NOW)
    case.apply()
    case.whole()
    case.row("quota hit half-way", "failed, then succeeded", "the rest was finished")


@pytest.mark.faults
def test_something_foreign_of_our_name_is_never_touched(case: Case) -> None:
    case.at.cloud.resources.resource_groups.create_or_update(A, {"location": "westeurope", "tags": {"owner": "them"}})
    (step,) = case.at.plan().blocked
    assert (step.target, "is not ours" in step.why) == (f"{A}/group/{A}", True)
    with pytest.raises(Refused, match=f"{A}/group/{A} is blocked"):
        permit(case.at.plan(), approve(case.at.plan(), NOW, "op"), NOW)
    case.row("a foreign group of our name", "refused", f"names {step.target}")


@pytest.mark.faults
def test_a_half_deleted_group_is_waited_for_and_made_again(case: Case) -> None:
    plan = case.at.plan()
    case.apply()
    going = case.at.cloud.resources.resource_groups.begin_delete(B)
    with pytest.raises(Refused, match="it is being deleted"):
        permit(case.at.plan(), approve(plan, NOW, "op"), NOW)
    until(going.done)
    left = case.at.plan()
    assert {step.target.split("/")[0] for step in left.pending} == {B}
    permit(left, approve(plan, NOW, "op"), NOW)
    case.apply()
    case.whole()
    case.row("a half-deleted group", "refused, then succeeded", "made again under its approval")


@pytest.mark.faults
def test_a_group_that_is_deleted_during_an_apply_fails_what_is_in_it_only(case: Case) -> None:
    gone: list[object] = []

    def watch(event: Progress) -> None:
        case.events.append(event)
        if (event.target, event.phase) == (f"{B}/load-balancer/{B}-lb", "done") and not gone:
            gone.append(case.at.cloud.resources.resource_groups.begin_delete(B))

    with pytest.raises(ApplyFailed, match=B):
        case.at.apply(case.at.plan(), watch)
    assert {event.target for event in case.events if event.phase == "done"} > {
        f"{A}/machine/azure-lab-0{n}" for n in (1, 2)
    }
    assert not any(event.target.startswith(A) for event in case.events if event.phase == "failed")
    case.row("a group deleted during the apply", "failed", "the other group was finished")


@pytest.mark.faults
def test_what_somebody_else_changes_after_the_plan_is_refused_by_name(case: Case) -> None:
    case.apply()
    network = case.at.cloud.network
    group = network.network_security_groups.get(A, f"{A}-nsg").as_dict()
    group["properties"]["securityRules"][0]["properties"]["sourceAddressPrefix"] = "*"
    network.network_security_groups.begin_create_or_update(A, f"{A}-nsg", group).result()
    plan = case.at.plan()
    approval = approve(plan, NOW, "op")
    permit(case.at.plan(), approval, NOW)
    balancer = network.load_balancers.get(B, f"{B}-lb").as_dict()
    balancer["properties"]["inboundNatRules"][0]["properties"]["backendPort"] = 2379
    network.load_balancers.begin_create_or_update(B, f"{B}-lb", balancer).result()
    with pytest.raises(Refused, match=f"this step was not approved: change {B}/load-balancer/{B}-lb"):
        permit(case.at.plan(), approval, NOW)
    case.row("changed by somebody after the plan", "refused", f"names {B}/load-balancer/{B}-lb")
    case.at.cloud.compute.virtual_machines.begin_delete(B, "azure-lab-04").result()
    again = approve(case.at.plan(), NOW, "op")
    case.at.cloud.compute.virtual_machines.begin_delete(A, "azure-lab-01").result()
    with pytest.raises(Refused, match=f"this step was not approved: create {A}/"):
        permit(case.at.plan(), again, NOW)
    case.row("deleted by somebody after the plan", "refused", f"names {A}/machine/azure-lab-01")
    with pytest.raises(Refused, match="valid for 24 h"):
        permit(case.at.plan(), approve(case.at.plan(), NOW - timedelta(hours=25), "op"), NOW)
