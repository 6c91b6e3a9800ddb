"""Marketplace images: which there are, in which versions, and the plans and terms of those that are sold (2026).

The lab has a few versions for every channel; Flatcar's middle number, which says the channel, is not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .account import Account
from .failure import Failure

_VERSIONS = ("4459.2.1", "4593.1.0", "4628.0.0", "4757.1.0")


class Offer(NamedTuple):
    """What one offer of a publisher holds; one that is sold under a plan needs it in the machine, and its terms."""

    distribution: str
    channels: tuple[str, ...]
    versions: tuple[str, ...] = _VERSIONS
    sold: bool = False


_FLATCAR = ("stable", "beta", "alpha", "lts", "lts2024")
OFFERS = {  # publisher, offer
    ("kinvolk", "flatcar-container-linux-corevm-amd64"): Offer("flatcar", _FLATCAR),
    ("kinvolk", "flatcar-container-linux-free"): Offer("flatcar", _FLATCAR, sold=True),
    ("kinvolk", "flatcar-container-linux"): Offer("flatcar", _FLATCAR, sold=True),
    # CoreOS's own last ones, and Flatcar's, so that parameters can be tried as CoreOS's by one word
    ("coreos", "coreos"): Offer("coreos", ("stable", "beta", "alpha"), ("723.3.0", "1068.9.0", "2512.3.0", *_VERSIONS)),
}


class Image(NamedTuple):
    """An image that exists: `version` is exact."""

    publisher: str
    offer: str
    sku: str
    version: str

    @property
    def of(self) -> Offer:
        """Its offer."""
        return OFFERS[self.publisher.lower(), self.offer.lower()]

    @property
    def generation(self) -> str:
        """Which hypervisor generation it boots on."""
        return "V2" if self.sku.lower().endswith("-gen2") else "V1"

    @property
    def plan(self) -> dict[str, str] | None:
        """The plan under which it is sold, if it is."""
        if not self.of.sold:
            return None
        return {"publisher": self.publisher, "product": self.offer, "name": self.sku}


def find(reference: Any) -> Image:
    """The image of a reference, `latest` resolved; Failure PlatformImageNotFound."""
    given: Mapping[str, Any] = reference if isinstance(reference, dict) else {}
    words = [str(given.get(name, "")) for name in ("publisher", "offer", "sku", "version")]
    offer = OFFERS.get((words[0].lower(), words[1].lower()))
    if offer is not None and words[2].lower().removesuffix("-gen2") in offer.channels:
        version = offer.versions[-1] if words[3].lower() == "latest" else words[3]
        if version in offer.versions:
            return Image(words[0], words[1], words[2], version)
    text = f"The platform image '{':'.join(words)}' is not available. Verify that all fields in the storage profile"
    text += " are correct. For more details about storage profile information, please refer to"
    raise Failure(404, "PlatformImageNotFound", f"{text} https://aka.ms/storageprofile", "imageReference")


def check_plan(account: Account, machine: str, image: Image, given: Any) -> None:
    """Failure unless a machine names the plan of an image that is sold, and its terms were accepted."""
    plan = image.plan
    if plan is None:
        return
    if not isinstance(given, dict) or not given.get("name"):
        text = "Creating a virtual machine from Marketplace image or a custom image sourced from a Marketplace image"
        raise Failure(
            400, "VMMarketplaceInvalidInput", f"{text} requires Plan information in the request. VM: '{machine}'."
        )
    if any(str(given.get(key, "")).lower() != value.lower() for key, value in plan.items()):
        text = f"The purchase plan of the request does not match that of the image ({plan['name']}). VM: '{machine}'."
        raise Failure(400, "VMMarketplaceInvalidInput", text)
    if not account.accepts(*plan_words(plan)):
        text = "User failed validation to purchase resources. Error message: 'You have not accepted the legal terms on"
        text += " this subscription for this plan. Before the subscription can be used, you need to accept the legal"
        text += " terms of the image. To read and accept legal terms, use the Azure CLI commands described at"
        text += f" https://go.microsoft.com/fwlink/?linkid=2110637. Offer details: publisher='{plan['publisher']}'"
        text += f" offer = '{plan['product']}', sku = '{plan['name']}'.'"
        raise Failure(400, "ResourcePurchaseValidationFailed", text)


def plan_words(plan: Mapping[str, str]) -> tuple[str, str, str]:
    """Publisher, offer and plan."""
    return plan["publisher"], plan["product"], plan["name"]


def shown(image: Image) -> dict[str, Any]:
    """What Azure tells of one version."""
    properties: dict[str, Any] = {
        "hyperVGeneration": image.generation,
        "architecture": "x64",
        "osDiskImage": {"operatingSystem": "Linux", "sizeInGb": 30},
        "dataDiskImages": [],
        "automaticOSUpgradeProperties": {"automaticOSUpgradeSupported": False},
        "imageDeprecationStatus": {"imageState": "Active"},
    }
    return properties | ({"plan": image.plan} if image.plan else {})


def agreement(account: Account, subscription: str, publisher: str, offer: str, plan: str) -> dict[str, Any]:
    """The terms of a plan (Marketplace Ordering API); Failure if there is no such plan."""
    sold = OFFERS.get((publisher.lower(), offer.lower()))
    if sold is None or not sold.sold:
        raise Failure(400, "BadRequest", f"Unable to find legal terms for this offer: {publisher}/{offer}/{plan}.")
    place = f"/subscriptions/{subscription}/providers/Microsoft.MarketplaceOrdering/offerTypes/virtualmachine"
    return {
        "id": f"{place}/publishers/{publisher}/offers/{offer}/plans/{plan}/agreements/current",
        "name": plan,
        "type": "Microsoft.MarketplaceOrdering/offertypes",
        "properties": {
            "publisher": publisher,
            "product": offer,
            "plan": plan,
            "licenseTextLink": "https://mpcprodsa.blob.core.windows.net/legalterms/lab",
            "accepted": account.accepts(publisher, offer, plan),
        },
    }
