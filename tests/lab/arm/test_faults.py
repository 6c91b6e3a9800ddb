"""Faults on demand, throttling and the fast clock, as the real SDK meets them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)
from hypothesis import given
from hypothesis import strategies as st

from corelib.lab import arm
from corelib.lab.arm.cloud import Reply, Request
from corelib.lab.arm.faults import Faults
from corelib.lab.arm.operations import Timing
from corelib.lab.arm.throttle import Throttle

from .conftest import Azure, Lab, run
from .test_account import until

NET = {"location": "westeurope", "properties": {"addressSpace": {"addressPrefixes": ["10.20.0.0/16"]}}}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A stand-in that nobody else is disturbed in; its clock goes ten times as fast."""
    timing = Timing(network=0.2, compute=0.5, group=0.2, poll=0.2, speed=10)
    yield from run(tmp_path_factory.mktemp("faults"), timing)


@pytest.fixture
def azure(own: Lab, azure_at: Callable[[Lab], Azure]) -> Iterator[Azure]:
    own.__dict__.pop("token", None)  # the last test may have made it expire
    at = azure_at(own)
    at.group()
    yield at
    own.tell()


def put(azure: Azure, name: str = "net", **options: object) -> object:
    return azure.network.virtual_networks.begin_create_or_update("g", name, NET, **options).result(10)


def puts(azure: Azure, name: str = "net") -> list[int]:
    """How each PUT of a network of this test ended."""
    place = azure.id(f"Network/virtualNetworks/{name}").lower()
    return [x["status"] for x in azure.lab.lines() if x["method"] == "PUT" and x["path"].lower() == place]


def test_the_nth_operation_of_a_kind_fails_with_an_error_of_azures(azure: Azure) -> None:
    azure.lab.tell(
        arm.Fault(
            do="fail", method="PUT", path="*/virtualNetworks/*", skip=1, status=409, code="Conflict", message="No."
        )
    )
    put(azure, "one")
    with pytest.raises(HttpResponseError) as caught:
        put(azure, "two")
    assert (caught.value.error.code, caught.value.error.message) == ("Conflict", "No.")
    assert azure.network.virtual_networks.get("g", "two").provisioning_state == "Failed"
    put(azure, "two")


def test_an_operation_never_ends_or_lasts_as_long_as_it_was_told_to(azure: Azure) -> None:
    azure.lab.tell(
        arm.Fault(do="hang", path="*/virtualNetworks/stuck"), arm.Fault(do="last", path="*/long", seconds=10)
    )
    stuck = azure.network.virtual_networks.begin_create_or_update("g", "stuck", NET)
    began = time.monotonic()
    put(azure, "long")
    assert 0.9 < time.monotonic() - began < 9, "ten of the lab's seconds"
    put(azure, "short")
    assert not stuck.done()
    assert azure.network.virtual_networks.get("g", "stuck").provisioning_state == "Creating"


def test_a_group_whose_deletion_fails_is_half_deleted(azure: Azure) -> None:
    for number in range(4):
        put(azure, f"net-{number}")
    azure.lab.tell(
        arm.Fault(do="fail", method="DELETE", path=azure.root, status=409, code="ResourceGroupDeletionBlocked")
    )
    with pytest.raises(HttpResponseError, match="ResourceGroupDeletionBlocked"):
        azure.resources.resource_groups.begin_delete("g").result(10)
    assert azure.resources.resource_groups.get("g").properties.provisioning_state == "Succeeded"
    assert [net.name for net in azure.network.virtual_networks.list("g")] == ["net-2", "net-3"]
    azure.resources.resource_groups.begin_delete("g").result(10)
    assert not azure.resources.resource_groups.check_existence("g")


@pytest.mark.parametrize("status", [500, 503, 429])
def test_the_next_requests_are_answered_with_an_error_and_the_sdk_tries_again(azure: Azure, status: int) -> None:
    azure.lab.tell(arm.Fault(do="answer", method="PUT", path="*/net", status=status, times=2, retry_after=0))
    put(azure, retry_backoff_factor=0.01)
    assert puts(azure) == [status, status, 201]
    assert azure.lab.standin.faults.left == []


def test_a_connection_is_reset_before_the_stand_in_has_acted(azure: Azure) -> None:
    azure.lab.tell(arm.Fault(do="reset-before", method="PUT", path="*/net"))
    with pytest.raises((ServiceResponseError, ServiceRequestError)):
        put(azure, retry_total=0)
    assert puts(azure) == [0]
    assert azure.lab.error("GET", azure.id("Network/virtualNetworks/net")) == (404, "ResourceNotFound")


def test_a_connection_is_reset_after_it_has_acted(azure: Azure) -> None:
    azure.lab.tell(arm.Fault(do="reset-after", method="PUT", path="*/net"))
    with pytest.raises((ServiceResponseError, ServiceRequestError)):
        put(azure, retry_total=0)
    assert azure.settled("Network/virtualNetworks/net")["properties"]["provisioningState"] == "Succeeded"


def test_an_answer_may_come_too_late(azure: Azure) -> None:
    azure.lab.tell(arm.Fault(do="stall", method="PUT", path="*/net", seconds=20))
    with pytest.raises((ServiceResponseError, ServiceRequestError)):
        put(azure, retry_total=0, read_timeout=0.5)
    assert azure.settled("Network/virtualNetworks/net")["properties"]["provisioningState"] == "Succeeded"


def test_tokens_expire_in_the_middle(azure: Azure, azure_at: Callable[[Lab], Azure]) -> None:
    azure.lab.tell(arm.Fault(do="expire", method="PUT", path="*/two"))
    put(azure, "one")
    with pytest.raises(ClientAuthenticationError, match="ExpiredAuthenticationToken"):
        put(azure, "two")
    again = azure_at(azure.lab)
    again.subscription = azure.subscription
    put(again, "two")


def test_faults_are_counted_down_and_only_where_they_fit() -> None:
    faults = Faults()
    faults.set(
        [arm.Fault(do="answer", method="PUT", path="*/A", skip=1, times=2), arm.Fault(do="answer", method="put")]
    )
    met = [
        faults.of_request(method, path) is not None
        for method, path in [("GET", "/x/a"), ("PUT", "/x/a"), ("PUT", "/x/a")]
    ]
    assert met == [False, True, True], "the second takes what the first still skips"
    assert faults.of_operation("PUT", "/x/a") is None
    assert faults.of_request("PUT", "/x/a") is not None
    assert faults.of_request("PUT", "/x/a") is None
    assert faults.left == []


@pytest.mark.parametrize(
    ("facts", "words"),
    [({"do": "explode"}, "does one of"), ({"do": "fail", "pathh": ""}, "no pathh"), ({"path": "*"}, "needs `do`")],
)
def test_a_fault_that_means_nothing_is_refused(facts: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        arm.Fault.of(facts)


class Hand:
    """A clock that a test moves."""

    speed = 1.0

    def __init__(self) -> None:
        self.at = 100.0

    def now(self) -> float:
        return self.at

    def retry_after(self, seconds: float) -> dict[str, str]:
        return {"Retry-After": str(seconds)}


SUBSCRIPTION = "/subscriptions/s"
VM = f"{SUBSCRIPTION}/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/vm"


def asked(throttle: Throttle, method: str, path: str = SUBSCRIPTION) -> dict[str, str] | arm.Failure:
    try:
        return dict(throttle.through(Request(method, path, {}, {}), lambda: Reply(200)).headers)
    except arm.Failure as failure:
        return failure


def test_reads_writes_and_deletes_have_buckets_of_their_own_that_fill_again() -> None:
    clock = Hand()
    throttle = Throttle(clock, arm.Limits())  # type: ignore[arg-type]
    assert asked(throttle, "GET") == {"x-ms-ratelimit-remaining-subscription-reads": "249"}
    assert asked(throttle, "PUT") == {"x-ms-ratelimit-remaining-subscription-writes": "199"}
    for _ in range(199):
        asked(throttle, "POST")
    refused = asked(throttle, "PUT")
    assert isinstance(refused, arm.Failure)
    assert (refused.status, refused.code, refused.headers) == (
        429,
        "SubscriptionRequestsThrottled",
        {"Retry-After": "1"},
    )
    assert asked(throttle, "DELETE") == {"x-ms-ratelimit-remaining-subscription-deletes": "199"}
    assert isinstance(asked(throttle, "PUT", "/subscriptions/other"), dict)
    clock.at += 0.55
    for _ in range(5):
        assert isinstance(asked(throttle, "PUT"), dict), "ten a second come back"
    assert isinstance(asked(throttle, "PUT"), arm.Failure)
    clock.at += 3600
    assert asked(throttle, "PUT") == {"x-ms-ratelimit-remaining-subscription-writes": "199"}, "and no more than fit in"


@given(st.lists(st.floats(0, 3), max_size=60))
def test_no_more_gets_through_than_a_bucket_holds_and_gets_back(pauses: list[float]) -> None:
    clock, taken = Hand(), 0
    throttle = Throttle(clock, arm.Limits(writes=arm.Limit(5, 2)))  # type: ignore[arg-type]
    for pause in pauses:
        clock.at += pause
        taken += isinstance(asked(throttle, "PUT"), dict)
        assert taken <= 5 + 2 * (clock.at - 100) + 1e-6
    assert taken >= min(5, len(pauses))


def test_compute_counts_the_updates_of_each_machine() -> None:
    clock = Hand()
    throttle = Throttle(clock, arm.Limits())  # type: ignore[arg-type]
    told = asked(throttle, "PUT", VM)
    assert isinstance(told, dict)
    assert (
        told["x-ms-ratelimit-remaining-resource"] == "Microsoft.Compute/PutVM;1499,Microsoft.Compute/PutVMResource;11"
    )
    for _ in range(11):
        asked(throttle, "PUT", VM)
    refused = asked(throttle, "PUT", VM)
    assert isinstance(refused, arm.Failure)
    assert (refused.code, refused.details[0]["target"]) == ("OperationNotAllowed", "PutVMResource")
    assert refused.headers["Retry-After"] == "15"
    assert isinstance(asked(throttle, "POST", f"{VM}/start"), dict), "another policy"
    assert isinstance(asked(throttle, "PUT", f"{VM}2"), dict), "another machine"
    assert "x-ms-ratelimit-remaining-resource" not in asked(throttle, "GET", VM)  # type: ignore[operator]


def test_without_limits_nothing_is_throttled() -> None:
    throttle = Throttle(Hand(), None)  # type: ignore[arg-type]
    assert all(asked(throttle, "PUT") == {} for _ in range(500))


class Moved(Timing):
    """A lab's clock that stands still until a test moves it."""

    at = [0.0]  # noqa: RUF012 - shared on purpose: a Timing is frozen

    def now(self) -> float:
        return self.at[0]


def test_the_sdk_waits_as_long_as_a_full_stand_in_tells_it_to(tmp_path: Path, azure_at: Callable[[Lab], Azure]) -> None:
    limits = arm.Limits(writes=arm.Limit(1, 1))
    for lab in run(tmp_path, Moved(network=0.02, poll=0.05, speed=20), limits=limits):
        azure = azure_at(lab)
        azure.group()  # with the only token that there is
        with ThreadPoolExecutor() as pool:
            waiting = pool.submit(put, azure)
            until(lambda: 429 in puts(azure))  # noqa: B023 - waited for here
            assert not waiting.done()
            Moved.at[0] += 1
            waiting.result(20)
        assert set(puts(azure)[:-1]) == {429}
        assert puts(azure)[-1] == 201


def test_a_fast_clock_is_fast_in_all_that_it_says() -> None:
    fast = Timing(poll=30, speed=60)
    assert fast.retry == {"retry-after-ms": "500"}
    assert fast.retry_after(120) == {"Retry-After": "2"}
    before, told, after = time.monotonic(), fast.now(), time.monotonic()
    assert 60 * before <= told <= 60 * after
    assert arm.AZURE.compute >= 10


def test_what_a_client_is_told_is_left(azure: Azure) -> None:
    answer = azure.lab.call("GET", azure.root)
    assert int(answer.headers["x-ms-ratelimit-remaining-subscription-reads"]) < 250
    refused = azure.lab.call("PUT", azure.id("Network/virtualNetworks/net"), {})
    assert int(refused.headers["x-ms-ratelimit-remaining-subscription-writes"]) < 200
    assert isinstance(answer, requests.Response)
