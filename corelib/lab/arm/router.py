"""Which request does what: one table of paths. Paths are matched without regard to case, as Azure does."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from urllib.parse import unquote, urlencode

from . import gate, groups, power, resources, status, subscriptions
from .cloud import Cloud, Reply, Request
from .failure import Failure
from .ids import ResourceId, parse

Handler = Callable[..., Reply]

_GUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_SUB = "/subscriptions/{subscription}"
_RG = _SUB + "/resourcegroups/{group}"
_COMPUTE = _SUB + "/providers/microsoft.compute/locations/{location}"
_IMAGE = _COMPUTE + "/publishers/{publisher}/artifacttypes/vmimage/offers/{offer}/skus/{sku}/versions"
_PERMISSIONS = "/providers/microsoft.authorization/permissions"
_TERMS = (
    "/providers/microsoft.marketplaceordering/offertypes/virtualmachine/publishers/{publisher}/offers/{offer}"
    "/plans/{plan}/agreements/current"
)
_TYPE = "/providers/{namespace}/{collection}"


def route(cloud: Cloud, request: Request) -> Reply:
    """Answer a request; Failure in Resource Manager's words when it cannot be."""
    _check_version(request)
    seen: set[str] = set()
    for method, pattern, handler in _ROUTES:
        found = pattern.fullmatch(request.path)
        if not found:
            continue
        if method == request.method:
            _check_subscription(found["subscription"])
            gate.check(cloud, request, found["subscription"])
            return handler(cloud, request, **{k: unquote(v) for k, v in found.groupdict().items()})
        seen.add(method)
    if seen:
        text = f"The requested resource does not support http method '{request.method}'."
        raise Failure(405, "MethodNotAllowed", text, headers={"Allow": ", ".join(sorted(seen))})
    raise Failure(404, "NotFound", f"No HTTP resource was found that matches the request path '{request.path}'.")


def _check_version(request: Request) -> None:
    version = request.query.get("api-version")
    if version is None:
        text = "The api-version query parameter (?api-version=) is required for all requests."
        raise Failure(400, "MissingApiVersionParameter", text)
    if not re.fullmatch(r"\d{4}-\d\d-\d\d(-preview)?", version):
        raise Failure(400, "InvalidApiVersionParameter", f"The api-version '{version}' is invalid.")


def _check_subscription(text: str) -> None:
    if not re.fullmatch(_GUID, text, re.IGNORECASE):
        message = f"The provided subscription identifier '{text}' is malformed or invalid."
        raise Failure(400, "InvalidSubscriptionId", message)


def _target(request: Request, path: str | None = None) -> ResourceId:
    found = parse(unquote(path or request.path))
    if found is None:
        raise Failure(404, "NotFound", f"No HTTP resource was found that matches the request path '{request.path}'.")
    return found


def _listed(cloud: Cloud, request: Request, subscription: str, namespace: str, collection: str) -> Reply:
    return resources.list_all(cloud, request, subscription, None, resources.kind_of(namespace, collection))


def _listed_in(cloud: Cloud, request: Request, subscription: str, group: str, **place: str) -> Reply:
    kind = resources.kind_of(place["namespace"], place["collection"])
    return resources.list_all(cloud, request, subscription, group, kind)


def _children(cloud: Cloud, request: Request, child: str, **_place: str) -> Reply:
    return resources.list_children(cloud, request, _target(request, request.path.rsplit("/", 1)[0]), child)


def _act(cloud: Cloud, request: Request, action: str, **_place: str) -> Reply:
    return power.act(cloud, request, _target(request, request.path.rsplit("/", 1)[0]), action)


def _view(cloud: Cloud, request: Request, **_place: str) -> Reply:
    return power.view(cloud, _target(request, request.path.rsplit("/", 1)[0]))


def _on(handler: Callable[[Cloud, Request, ResourceId], Reply]) -> Handler:
    return lambda cloud, request, **_place: handler(cloud, request, _target(request))


def _result(cloud: Cloud, request: Request, operation: str, **_place: str) -> Reply:
    return status.result(cloud, operation, f"{cloud.url}{request.path}?{urlencode(request.query)}")


_TABLE: tuple[tuple[str, str, Handler], ...] = (
    ("GET", _SUB, subscriptions.get),
    ("GET", _SUB + "/locations", subscriptions.locations),
    ("GET", _SUB + "/providers", subscriptions.providers),
    ("GET", _SUB + "/providers/{namespace}", subscriptions.provider),
    ("POST", _SUB + "/providers/{namespace}/register", subscriptions.register),
    ("POST", _SUB + "/providers/{namespace}/unregister", subscriptions.unregister),
    ("GET", _SUB + _PERMISSIONS, subscriptions.permissions),
    ("GET", _RG + _PERMISSIONS, subscriptions.permissions),
    ("GET", _SUB + _TERMS, subscriptions.terms),
    ("PUT", _SUB + _TERMS, subscriptions.accept),
    ("GET", _SUB + "/operationresults/{operation}", _result),
    ("GET", _SUB + "/providers/{namespace}/locations/{location}/operationresults/{operation}", _result),
    (
        "GET",
        _SUB + "/providers/{namespace}/locations/{location}/operations/{operation}",
        lambda cloud, _request, operation, **_place: status.status(cloud, operation),
    ),
    ("GET", _SUB + "/providers/microsoft.compute/skus", subscriptions.skus),
    ("GET", _COMPUTE + "/usages", subscriptions.compute_usages),
    ("GET", _SUB + "/providers/microsoft.network/locations/{location}/usages", subscriptions.network_usages),
    ("GET", _IMAGE, subscriptions.image_versions),
    ("GET", _IMAGE + "/{version}", subscriptions.image_version),
    ("GET", _SUB + "/resourcegroups", groups.every),
    (
        "GET",
        _SUB + "/resources",
        groups.contents,
    ),
    ("GET", _RG, groups.get),
    ("HEAD", _RG, groups.head),
    ("PUT", _RG, groups.put),
    ("PATCH", _RG, groups.patch),
    ("DELETE", _RG, groups.delete),
    ("GET", _RG + "/resources", groups.contents),
    ("GET", _SUB + _TYPE, _listed),
    ("GET", _RG + _TYPE, _listed_in),
    ("GET", _RG + _TYPE + "/{name}", _on(resources.get)),
    ("HEAD", _RG + _TYPE + "/{name}", _on(resources.head)),
    ("PUT", _RG + _TYPE + "/{name}", _on(resources.put)),
    ("PATCH", _RG + _TYPE + "/{name}", _on(resources.patch)),
    ("DELETE", _RG + _TYPE + "/{name}", _on(resources.delete)),
    ("GET", _RG + "/providers/microsoft.compute/virtualmachines/{name}/instanceview", _view),
    ("POST", _RG + "/providers/microsoft.compute/virtualmachines/{name}/{action}", _act),
    ("GET", _RG + _TYPE + "/{name}/{child}", _children),
    ("GET", _RG + _TYPE + "/{name}/{child}/{child_name}", _on(resources.get)),
)


def _compile() -> Iterator[tuple[str, re.Pattern[str], Handler]]:
    for method, path, handler in _TABLE:
        yield method, re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path), re.IGNORECASE), handler


_ROUTES: tuple[tuple[str, re.Pattern[str], Handler], ...] = tuple(_compile())
