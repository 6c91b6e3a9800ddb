"""What a subscription may do: registration, rights, quotas, restricted sizes, images and their terms; real SDK."""

from __future__ import annotations

import time
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError
from azure.core.rest import HttpRequest

from corelib.lab.arm import Account

from .conftest import Azure

SPACE = {"addressSpace": {"addressPrefixes": ["10.20.0.0/16"]}}
NET = {"location": "westeurope", "properties": SPACE}
STATIC = {"sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}}


def code(caught: pytest.ExceptionInfo[HttpResponseError]) -> tuple[int | None, str]:
    return caught.value.status_code, str(caught.value.error.code)


def put_machine(azure: Azure, name: str = "vm", size: str = "Standard_B2s_v2", **more: Any) -> Any:
    body = azure.machine(name, azure.interface(f"{name}-nic", azure.subnet()))
    body["properties"]["hardwareProfile"]["vmSize"] = size
    return azure.compute.virtual_machines.begin_create_or_update("g", name, {**body, **more}).result(10)


def test_an_unregistered_provider_refuses_until_it_is_registered_which_takes_a_while(azure: Azure) -> None:
    azure.group()
    providers = azure.resources.providers
    assert providers.unregister("Microsoft.Network").registration_state == "Unregistering"
    with pytest.raises(HttpResponseError) as caught:
        azure.network.virtual_networks.begin_create_or_update("g", "net", NET)
    assert code(caught) == (409, "MissingSubscriptionRegistration")
    assert caught.value.error.details[0].target == "Microsoft.Network"
    for path in (azure.id("Network/virtualNetworks"), f"{usages(azure)}/usages"):
        assert azure.lab.error("GET", path) == (409, "MissingSubscriptionRegistration")
    assert list(azure.compute.resource_skus.list()), "the others are not concerned"
    until(lambda: providers.get("Microsoft.Network").registration_state == "Unregistered")
    assert providers.register("microsoft.network").registration_state == "Registering"
    until(lambda: providers.get("Microsoft.Network").registration_state == "Registered")
    azure.network.virtual_networks.begin_create_or_update("g", "net", NET).result(10)
    with pytest.raises(HttpResponseError) as caught:
        providers.unregister("Microsoft.Network")
    assert code(caught) == (409, "CannotUnregisterResourceProvider")
    assert {p.namespace: p.registration_state for p in providers.list()}["Microsoft.Compute"] == "Registered"


def usages(azure: Azure) -> str:
    return f"/subscriptions/{azure.subscription}/providers/Microsoft.Network/locations/westeurope"


def until(condition: Any) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_cores_are_counted_per_family_and_in_all_and_refused_beyond_the_quota(azure: Azure) -> None:
    azure.lab.account(azure.subscription, quotas={"westeurope/standardBsv2Family": 4, "westeurope/cores": 5})
    put_machine(azure, "one")
    put_machine(azure, "two")
    with pytest.raises(HttpResponseError) as caught:
        put_machine(azure, "three")
    assert code(caught) == (409, "OperationNotAllowed")
    text = "exceeding approved Total Regional Cores quota. Additional details - Deployment Model: Resource Manager,"
    assert f"{text} Location: westeurope, Current Limit: 5, Current Usage: 4, Additional Required: 2" in str(
        caught.value
    )
    azure.lab.account(azure.subscription, quotas={"westeurope/standardBsv2Family": 4})
    with pytest.raises(HttpResponseError, match=r"standardBsv2Family Cores quota.*New Limit Required: 6"):
        put_machine(azure, "three")
    put_machine(azure, "other", "Standard_D2s_v5")
    put_machine(azure, "one"), "what is there already is not counted twice"
    found = {usage.name.value: (usage.current_value, usage.limit) for usage in azure.compute.usage.list("westeurope")}
    assert found["standardBsv2Family"] == (4, 4)
    assert found["cores"] == (6, 100)
    assert found["virtualMachines"][0] == 3
    assert found["PremiumDiskCount"][0] == 0
    elsewhere = {usage.name.value: usage.current_value for usage in azure.compute.usage.list("northeurope")}
    assert elsewhere["cores"] == 0


def test_public_addresses_have_a_quota_too(azure: Azure) -> None:
    azure.group()
    azure.lab.account(azure.subscription, quotas={"*/PublicIPAddresses": 1})
    azure.put("Network/publicIPAddresses/one", **STATIC)
    with pytest.raises(HttpResponseError) as caught:
        azure.network.public_ip_addresses.begin_create_or_update("g", "two", {"location": "westeurope", **STATIC})
    assert code(caught) == (400, "PublicIPCountLimitReached")
    azure.put("Network/publicIPAddresses/one", **STATIC)
    found = {usage.name.value: (usage.current_value, usage.limit) for usage in azure.network.usages.list("westeurope")}
    assert found["PublicIPAddresses"] == (1, 1)
    assert found["VirtualNetworks"] == (0, 1000)


def test_sizes_say_what_they_can_and_where_they_are_restricted(azure: Azure) -> None:
    restricted = {"westeurope/Standard_B2s_v2": ["2"], "northeurope/Standard_B2s_v2": []}
    azure.lab.account(azure.subscription, restricted=restricted)
    here = {sku.name: sku for sku in azure.compute.resource_skus.list(filter="location eq 'westeurope'")}
    (by_zone,) = here["Standard_B2s_v2"].restrictions
    assert (by_zone.type, by_zone.reason_code, by_zone.restriction_info.zones) == (
        "Zone", "NotAvailableForSubscription", ["2"],
    )  # fmt: skip
    able = {one.name: one.value for one in here["Standard_D2s_v6"].capabilities}
    assert (able["DiskControllerTypes"], able["PremiumIO"], able["vCPUs"]) == ("NVMe", "True", "2")
    there = {sku.name: sku for sku in azure.compute.resource_skus.list(filter="location eq 'northeurope'")}
    assert there["Standard_B2s_v2"].restrictions[0].type == "Location"
    west = {sku.name for sku in azure.compute.resource_skus.list(filter="location eq 'westus'")}
    assert "Standard_D2s_v6" not in west
    put_machine(azure, "one", zones=["1"])
    with pytest.raises(HttpResponseError) as caught:
        put_machine(azure, "two", zones=["2"])
    assert code(caught) == (409, "SkuNotAvailable")
    assert "is currently not available in location 'westeurope' zones '2'" in str(caught.value)


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ("Standard_D2ps_v5", "only supports a CPU Architecture of 'Arm64'"),
        ("Standard_D2s_v6", "check that disk controller types"),
        ("Standard_D2_v5", "storage account type 'Premium_LRS' is not supported for VM size 'Standard_D2_v5'"),
        ("Standard_A1", "The value Standard_A1 provided for the VM size is not valid"),
    ],
)
def test_a_size_that_cannot_carry_the_machine_is_refused(azure: Azure, size: str, words: str) -> None:
    body = azure.machine("vm", azure.interface("nic", azure.subnet()))
    body["properties"]["hardwareProfile"]["vmSize"] = size
    body["properties"]["storageProfile"]["osDisk"]["managedDisk"] = {"storageAccountType": "Premium_LRS"}
    with pytest.raises(HttpResponseError, match=words) as caught:
        azure.compute.virtual_machines.begin_create_or_update("g", "vm", body)
    assert caught.value.status_code == 400


def test_images_have_versions_and_latest_is_told_as_what_it_is(azure: Azure) -> None:
    urn = ("westeurope", "kinvolk", "flatcar-container-linux-corevm-amd64", "beta-gen2")
    images = azure.compute.virtual_machine_images
    newest = images.list(*urn, orderby="name desc", top=1)
    assert [one.name for one in newest] == ["4757.1.0"]
    image = images.get(*urn, "4757.1.0")
    assert (image.hyper_v_generation, image.architecture, image.plan) == ("V2", "x64", None)
    with pytest.raises(HttpResponseError) as caught:
        images.get(*urn, "1.2.3")
    assert code(caught) == (404, "PlatformImageNotFound")
    body = azure.machine("vm", azure.interface("nic", azure.subnet()))
    body["properties"]["storageProfile"]["imageReference"]["version"] = "latest"
    made = azure.compute.virtual_machines.begin_create_or_update("g", "vm", body).result(10)
    reference = made.storage_profile.image_reference
    assert (reference.version, reference.exact_version) == ("latest", "4757.1.0")


def test_an_image_that_is_sold_needs_its_plan_and_its_terms(azure: Azure) -> None:
    offer = "flatcar-container-linux-free"
    image = azure.compute.virtual_machine_images.get("westeurope", "kinvolk", offer, "stable-gen2", "4459.2.1")
    assert (image.plan.name, image.plan.product) == ("stable-gen2", offer)
    body = azure.machine("vm", azure.interface("nic", azure.subnet()))
    reference = {"publisher": "kinvolk", "offer": offer, "sku": "stable-gen2", "version": "4459.2.1"}
    body["properties"]["storageProfile"]["imageReference"] = reference
    path, plan = azure.id("Compute/virtualMachines/vm"), image.plan.as_dict()
    assert azure.lab.error("PUT", path, body) == (400, "VMMarketplaceInvalidInput")
    assert azure.lab.error("PUT", path, {**body, "plan": {**plan, "name": "other"}}) == (
        400,
        "VMMarketplaceInvalidInput",
    )
    assert azure.lab.error("PUT", path, {**body, "plan": plan}) == (400, "ResourcePurchaseValidationFailed")
    terms = (
        f"/subscriptions/{azure.subscription}/providers/Microsoft.MarketplaceOrdering/offerTypes/virtualmachine"
        f"/publishers/kinvolk/offers/{offer}/plans/stable-gen2/agreements/current?api-version=2021-01-01"
    )
    agreement = azure.compute.send_request(HttpRequest("GET", terms)).json()
    assert agreement["properties"]["accepted"] is False
    agreement["properties"]["accepted"] = True
    assert azure.lab.call("PUT", terms, agreement).json()["properties"]["accepted"] is True
    assert azure.lab.call("PUT", path, {**body, "plan": plan}).status_code == 201
    assert azure.lab.error("GET", terms.replace("-free", "-corevm-amd64")) == (400, "BadRequest"), "nothing to accept"


def test_rights_are_listed_and_kept(azure: Azure) -> None:
    azure.group()
    azure.lab.account(azure.subscription, not_actions=["Microsoft.Network/virtualNetworks/*"])
    path = f"{azure.root}/providers/Microsoft.Authorization/permissions?api-version=2022-04-01"
    (found,) = azure.resources.send_request(HttpRequest("GET", path)).json()["value"]
    assert (found["actions"], found["notActions"]) == (["*"], ["Microsoft.Network/virtualNetworks/*"])
    with pytest.raises(HttpResponseError) as caught:
        azure.network.virtual_networks.begin_create_or_update("g", "net", NET)
    assert code(caught) == (403, "AuthorizationFailed")
    assert "'Microsoft.Network/virtualNetworks/write'" in str(caught.value)
    azure.lab.account(azure.subscription, actions=["*/read", "Microsoft.Compute/virtualMachines/start/action"])
    assert azure.lab.error("DELETE", azure.root) == (403, "AuthorizationFailed")
    start = azure.id("Compute/virtualMachines/none/start")
    assert azure.lab.error("POST", start) == (404, "ResourceNotFound")
    assert azure.lab.error("POST", start.replace("start", "restart")) == (403, "AuthorizationFailed")


def test_what_is_referred_to_must_be_open_to_the_caller(azure: Azure) -> None:
    subnet = azure.subnet()
    azure.lab.account(azure.subscription, not_actions=["Microsoft.Network/*/join/action"])
    config = {"name": "a", "properties": {"subnet": {"id": subnet}}}
    body = {"location": "westeurope", "properties": {"ipConfigurations": [config]}}
    with pytest.raises(HttpResponseError, match="/virtualNetworks/subnets/join/action'") as caught:
        azure.network.network_interfaces.begin_create_or_update("g", "nic", body)
    assert code(caught) == (403, "LinkedAuthorizationFailed")
    azure.lab.account(azure.subscription)
    azure.interface("nic", subnet)


def test_a_subscription_may_be_disabled_or_not_there(azure: Azure) -> None:
    azure.group()
    azure.lab.account(azure.subscription, state="Disabled")
    assert azure.lab.call("GET", f"/subscriptions/{azure.subscription}").json()["state"] == "Disabled"
    assert azure.resources.resource_groups.get("g").name == "g"
    assert azure.lab.error("PUT", azure.root, {"location": "westeurope"}) == (409, "ReadOnlyDisabledSubscription")
    azure.lab.account(azure.subscription, exists=False)
    assert azure.lab.error("GET", f"/subscriptions/{azure.subscription}") == (404, "SubscriptionNotFound")


def test_an_account_knows_its_names() -> None:
    with pytest.raises(ValueError, match="no quotass"):
        Account.of({"quotass": {}})
