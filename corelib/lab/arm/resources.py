"""What can be done with any resource: read, list, put, patch, delete. What differs between kinds is in their tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from . import compute, gate, network, references, schema
from .cloud import Cloud, Reply, Request
from .desired import patched, read
from .failure import Failure, not_found
from .ids import ResourceId
from .kinds import Change, Kind
from .operations import Operation
from .paging import page
from .rendering import etag, render
from .store import Resource, child_of, children, new_etag

KINDS = {kind.type.lower(): kind for kind in (*network.KINDS, *compute.KINDS)}


def kind_of(namespace: str, collection: str) -> Kind:
    """The kind at that place; Failure as Resource Manager answers for a type that is not there."""
    kind = KINDS.get(f"{namespace}/{collection}".lower())
    if kind is None and not any(k.namespace.lower() == namespace.lower() for k in KINDS.values()):
        raise Failure(404, "InvalidResourceNamespace", f"The resource namespace '{namespace}' is invalid.")
    if kind is None:
        text = f"The resource type '{collection}' could not be found in the namespace '{namespace}'."
        raise Failure(404, "InvalidResourceType", text)
    return kind


def find(cloud: Cloud, target: ResourceId) -> tuple[Kind, Resource]:
    """An existing resource; Failure when its group or it is not there."""
    kind = kind_of(target.namespace, target.types[0])
    group = cloud.store.group(target.subscription, target.group)
    resource = cloud.store.find(target)
    if resource is None:
        raise not_found(f"{kind.type}/{target.name}", group.name)
    return kind, resource


def get(cloud: Cloud, request: Request, target: ResourceId) -> Reply:
    """Read one resource, or one inline child of it."""
    kind, resource = find(cloud, target.top)
    body = render(cloud, kind, resource, request.query.get("$expand", ""))
    if len(target.types) > 1:
        found = child_of(body["properties"], target.types[1:], target.names[1:])
        if found is None:
            raise not_found(f"{target.type}/{'/'.join(target.names)}", resource.id.group)
        return Reply(200, found)
    return Reply(200, body, {"ETag": body["etag"]} if kind.has_etag else {})


def head(cloud: Cloud, _request: Request, target: ResourceId) -> Reply:
    """Say whether a resource exists."""
    kind_of(target.namespace, target.types[0])
    return Reply(204 if cloud.store.find(target) else 404)


def list_children(cloud: Cloud, request: Request, target: ResourceId, collection: str) -> Reply:
    """List the inline children of a resource."""
    kind, resource = find(cloud, target)
    named = {name.lower(): name for name in kind.collections}
    if collection.lower() not in named:
        text = f"The resource type '{target.types[0]}/{collection}' could not be found in '{kind.namespace}'."
        raise Failure(404, "InvalidResourceType", text)
    properties = render(cloud, kind, resource)["properties"]
    return page(cloud.url, request, children(properties, named[collection.lower()]))


def list_all(cloud: Cloud, request: Request, subscription: str, group: str | None, kind: Kind) -> Reply:
    """List the resources of a kind, in a group or in a whole subscription."""
    if group is not None:
        cloud.store.group(subscription, group)
    found = (r for r in cloud.store.resources(subscription, group) if _is(kind, r))
    # Compute API, Virtual Machines - List All: what the machines of a subscription do now is shown on request.
    shown = "instanceView" if request.query.get("statusonly", "").lower() == "true" else ""
    return page(cloud.url, request, [render(cloud, kind, resource, shown) for resource in found])


def put(cloud: Cloud, request: Request, target: ResourceId) -> Reply:
    """Create or replace a resource."""
    kind = kind_of(target.namespace, target.types[0])
    group = cloud.store.group(target.subscription, target.group)
    if group.state == "Deleting":
        text = f"The resource group '{group.name}' is in deprovisioning state and cannot perform this operation."
        raise Failure(409, "ResourceGroupBeingDeleted", text)
    before = cloud.store.find(target)
    canonical = replace(target, group=group.name, namespace=kind.namespace, types=(kind.collection,))
    return _change(cloud, request, kind, read(kind, before.id if before else canonical, request.body, before))


def patch(cloud: Cloud, request: Request, target: ResourceId) -> Reply:
    """Change part of a resource; the network provider changes nothing but tags this way, and at once."""
    kind, before = find(cloud, target)
    if kind.namespace == "Microsoft.Network":
        _precondition(request, kind, before)
        tags = {"tags": (request.body or {}).get("tags", {})}
        after = cloud.store.keep(replace(before, fields={**before.fields, **tags}, etag=new_etag()))
        return Reply(200, render(cloud, kind, after))
    reply = _change(cloud, request, kind, read(kind, before.id, patched(before, request.body), before))
    return replace(reply, status=200)


def delete(cloud: Cloud, request: Request, target: ResourceId) -> Reply:
    """Delete a resource that nothing uses; one that is not there is no error."""
    kind = kind_of(target.namespace, target.types[0])
    cloud.store.group(target.subscription, target.group)
    before = cloud.store.find(target)
    if before is None:
        return Reply(204)
    _precondition(request, kind, before)
    refused = kind.in_use(before, cloud.store.links_to(before))
    if refused:
        raise refused
    if kind.immediate:
        cloud.store.drop(before.id)
        return Reply(kind.deleted)
    _take_over(cloud, kind, before)
    cloud.store.keep(replace(before, state="Deleting"))

    def act() -> None:
        cloud.store.drop(before.id)
        kind.remove(cloud, before)

    operation = start(cloud, request, before, kind, act)
    return Reply(kind.deleted, None, polling(cloud, request, operation, location=True))


def _change(cloud: Cloud, request: Request, kind: Kind, change: Change) -> Reply:
    before = change.before
    _precondition(request, kind, before)
    references.check(cloud.store, change)
    gate.check_links(cloud.account(change.id.subscription), change)
    kind.prepare(cloud, change)
    schema.complete(kind.type, {**change.fields, "properties": change.properties})
    _refuse_lost_children(cloud, kind, change)
    _take_over(cloud, kind, before)
    state = "Succeeded" if kind.immediate else "Updating" if before else "Creating"
    resource = Resource(change.id, change.fields, change.properties, state, change.secret, change.power)
    for made in (*change.disks, resource):
        cloud.store.keep(made)
    status = kind.updated if before else kind.created
    if kind.immediate:
        return Reply(status, render(cloud, kind, resource))
    operation = start(cloud, request, resource, kind, lambda: kind.finish(cloud, resource, before))
    return Reply(status, render(cloud, kind, resource), polling(cloud, request, operation))


def _refuse_lost_children(cloud: Cloud, kind: Kind, change: Change) -> None:
    """A child that others use cannot be left out of a PUT."""
    before = change.before
    for link in cloud.store.links_to(before) if before else []:
        names = link.target[len(str(change.id)) + 1 :].split("/")
        lost = len(names) > 1 and child_of(change.properties, names[::2], names[1::2]) is None
        refused = kind.in_use(before, [link]) if lost and before else None
        if refused:
            raise refused


def _take_over(cloud: Cloud, kind: Kind, before: Resource | None) -> None:
    """A second request while one is under way: compute drops the older, the network provider refuses the newer."""
    running = cloud.operations.running(before.id.key) if before else None
    if running is None or before is None:
        return
    if kind.namespace == "Microsoft.Compute":
        cloud.operations.preempt(before.id.key)
        return
    text = "Another operation on this or dependent resource is in progress. To retrieve status of the operation use"
    text += f" uri: {cloud.url}/subscriptions/{running.subscription}/providers/{running.namespace}"
    text += f"/locations/{running.location}/operations/{running.id}"
    raise Failure(429, "AnotherOperationInProgress", text, headers={"Retry-After": "1"})


def start(cloud: Cloud, request: Request, resource: Resource, kind: Kind, act: Callable[[], None]) -> Operation:
    """Begin an operation on a resource; its end sets the resource's state."""

    def settle(failure: Failure | None) -> None:
        now = cloud.store.find(resource.id)
        if now is not None:
            cloud.store.keep(replace(now, state="Failed" if failure else "Succeeded"))

    location = str(resource.fields["location"])
    place = (resource.id.subscription, kind.namespace, location, request.path)
    operation = Operation(request.method, resource.id.key, *place)
    return cloud.operations.begin(operation, getattr(cloud.timing, kind.pace), act, settle)


def polling(cloud: Cloud, request: Request, operation: Operation, *, location: bool = False) -> dict[str, str]:
    """The headers that say where and when to ask for an operation's end."""
    base = f"{cloud.url}/subscriptions/{operation.subscription}/providers/{operation.namespace}"
    version = f"api-version={request.query['api-version']}"
    urls = {"Azure-AsyncOperation": f"{base}/locations/{operation.location}/operations/{operation.id}?{version}"}
    if location:
        urls["Location"] = f"{base}/locations/{operation.location}/operationResults/{operation.id}?{version}"
    return {**urls, **cloud.timing.retry}


def _precondition(request: Request, kind: Kind, before: Resource | None) -> None:
    """If-Match and If-None-Match (RFC 9110, section 13.1)."""
    match, none_match = request.headers.get("if-match"), request.headers.get("if-none-match")
    current = etag(kind, before) if before else None
    if (match and match != current and not (match == "*" and before)) or (none_match == "*" and before):
        text = "The condition specified using HTTP conditional header(s) is not met."
        raise Failure(412, "PreconditionFailed", text)


def _is(kind: Kind, resource: Resource) -> bool:
    return resource.id.type.lower() == kind.type.lower()
