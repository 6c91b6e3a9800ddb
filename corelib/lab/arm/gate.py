"""What a request must pass before a provider looks at it: the subscription, the caller's right, the registration."""

from __future__ import annotations

import re

from .account import REGISTERED, Account
from .catalogue import ALWAYS, PROVIDERS
from .cloud import Cloud, Request
from .failure import Failure
from .ids import parse
from .kinds import Change
from .store import walk

_VERBS = {"GET": "read", "HEAD": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete"}
_JOINED = (
    *("backendAddressPools", "inboundNatRules", "natGateways", "networkInterfaces", "networkSecurityGroups"),
    *("publicIPAddresses", "subnets"),
)
_PLACE = re.compile(r"/subscriptions/[^/]+(?:/resourcegroups/[^/]+)?", re.IGNORECASE)


def check(cloud: Cloud, request: Request, subscription: str) -> None:
    """Failure in Resource Manager's words when a request does not get through."""
    account = cloud.account(subscription)
    if not account.exists:
        text = f"The subscription '{subscription}' could not be found."
        raise Failure(404, "SubscriptionNotFound", text)
    wanted = action(request)
    if not account.may(wanted):
        raise _not_authorized(wanted, request.path)
    reading = request.method in ("GET", "HEAD")
    if account.state == "Disabled" and not reading:
        text = f"The subscription '{subscription}' is disabled and therefore marked as read only. You cannot perform"
        text += " any write actions on this subscription until it is re-enabled."
        raise Failure(409, "ReadOnlyDisabledSubscription", text)
    _check_registered(account, request, wanted.split("/")[0])


def check_links(account: Account, change: Change) -> None:
    """Failure unless the caller may join what a resource refers to (Azure RBAC: `join/action` on the linked scope)."""
    for link in walk(change.properties, str(change.id), change.id.types[0], "properties"):
        target = parse(link.target)
        if target is None or target.top.key == change.id.key or target.types[-1] not in _JOINED:
            continue
        wanted = f"{target.type}/join/action"
        if not account.may(wanted):
            text = f"The client has permission to perform action '{change.id.type}/write' on scope '{change.id}';"
            text += f" however, it does not have permission to perform action(s) '{wanted}' on the linked scope(s)"
            text += f" '{target}' (respectively) or the linked scope(s) are invalid."
            raise Failure(403, "LinkedAuthorizationFailed", text)


def action(request: Request) -> str:
    """The right that a request needs, such as `Microsoft.Network/virtualNetworks/write` (Azure RBAC: operations)."""
    rest = _PLACE.sub("", request.path, count=1).strip("/").split("/")
    inside = re.match(r"/subscriptions/[^/]+/resourcegroups", request.path, re.IGNORECASE)
    if rest[0].lower() != "providers" or len(rest) < 3:
        kind = "Microsoft.Resources/subscriptions" + ("/resourceGroups" if inside else "")
        return f"{kind}/{_VERBS.get(request.method, 'action')}"
    types, names = rest[2::2], rest[3::2]
    if request.method == "POST" and len(types) > len(names):
        return "/".join([rest[1], *types, "action"])
    return "/".join([rest[1], *types, _VERBS.get(request.method, "action")])


def _not_authorized(wanted: str, path: str) -> Failure:
    text = f"The client does not have authorization to perform action '{wanted}' over scope '{path}' or the scope is"
    text += " invalid. If access was recently granted, please refresh your credentials."
    return Failure(403, "AuthorizationFailed", text)


def _check_registered(account: Account, request: Request, namespace: str) -> None:
    """A provider that is not registered answers nothing, not even what there is of it."""
    known = {name.lower(): name for name in PROVIDERS if name.lower() not in ALWAYS}
    named = known.get(namespace.lower())
    asks = f"/providers/{namespace}/".lower() in request.path.lower() and not request.path.lower().endswith("register")
    if named is None or not asks or account.registration(named) == REGISTERED:
        return
    text = f"The subscription is not registered to use namespace '{named}'. See https://aka.ms/rps-not-found for how to"
    detail = {"code": "MissingSubscriptionRegistration", "target": named, "message": f"{text} register subscriptions."}
    raise Failure(409, detail["code"], detail["message"], details=[detail])
