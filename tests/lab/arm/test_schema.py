"""The stand-in takes what the SDK's models can say, and nothing else."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corelib.lab.arm import Failure, schema
from corelib.lab.arm.resources import KINDS

from . import shapes
from .conftest import Azure


def test_the_copy_of_the_sdks_models_is_current() -> None:
    assert shapes.FILE.read_text() == shapes.text(), "python -m tests.lab.arm.shapes"
    assert {kind.type for kind in KINDS.values()} == set(shapes.KINDS)


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.type)
def test_what_a_kind_may_hold_is_known_to_the_sdk(kind: Any) -> None:
    provider, _, name = kind.type.partition("/")
    known = shapes.shapes()[provider]
    inner = known[name]["properties"].removesuffix("!")
    assert kind.properties <= set(known[inner]), kind.properties - set(known[inner])
    assert kind.fields <= set(known[name])


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("Compute/disks/d", {"properties": {"diskSizeGB": "32"}}, "\"32\" to type 'integer'. Path 'properties.diskSizeGB'"),
        ("Compute/disks/d", {"properties": {"creationData": []}}, "Cannot convert [] to type 'CreationData!'"),
        ("Compute/disks/d", {"tags": {"a": 1}}, "1 to type 'string'. Path 'tags.a'"),
        ("Compute/disks/d", {"zones": "1"}, "Cannot convert \"1\" to type '[string]'"),
        ("Network/networkSecurityGroups/n", {"properties": {"securityRules": [{"name": "a", "properties": {"priority": True}}]}},
         "true to type 'integer'. Path 'properties.securityRules[0].properties.priority'"),
        ("Network/virtualNetworks/n", {"properties": {"addressSpace": {"adressPrefixes": []}}},
         "Could not find member 'adressPrefixes' on object of type 'AddressSpace'"),
    ],
)  # fmt: skip
def test_wrong_types_and_unknown_members_are_refused(azure: Azure, path: str, body: dict[str, Any], words: str) -> None:
    azure.group()
    answer = azure.lab.call("PUT", azure.id(path), {"location": "westeurope", **body})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "InvalidRequestContent")
    assert words.replace("!'", "'") in answer.json()["error"]["message"]


def test_what_must_be_there_is_asked_for(azure: Azure) -> None:
    azure.group()
    azure.put(
        "Network/publicIPAddresses/p", sku={"name": "Standard"}, properties={"publicIPAllocationMethod": "Static"}
    )
    front = {"name": "f", "properties": {"publicIPAddress": {"id": azure.id("Network/publicIPAddresses/p")}}}
    out = {"name": "out", "properties": {"protocol": "All"}}
    body = {"location": "westeurope", "properties": {"frontendIPConfigurations": [front], "outboundRules": [out]}}
    answer = azure.lab.call("PUT", azure.id("Network/loadBalancers/lb"), body)
    assert answer.status_code == 400
    assert "outboundRules[0].properties.backendAddressPool' is missing (null)" in answer.json()["error"]["message"]
    assert azure.lab.error("GET", azure.id("Network/loadBalancers/lb")) == (404, "ResourceNotFound")


def test_what_is_read_only_is_ignored_wherever_it_stands(azure: Azure) -> None:
    azure.group()
    source = {"createOption": "Empty"}
    made = azure.put("Compute/disks/d", properties={"diskSizeGB": 4, "creationData": source, "diskState": "Attached"})
    assert made["properties"]["diskState"] == "Unattached"
    seen = azure.compute.disks.get("g", "d").as_dict()
    assert azure.lab.call("PUT", azure.id("Compute/disks/d"), seen).status_code in (200, 202), (
        "what a GET showed can be put"
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "name", "properties", "subnets", "tags", "sku", "x"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(st.sampled_from(sorted(shapes.KINDS)), JSON)
def test_any_body_is_taken_or_refused_and_nothing_breaks(kind: str, body: Any) -> None:
    with suppress(Failure):
        schema.check(kind, body)
        schema.complete(kind, body)
