"""Resource groups: made at once, deleted with all that is in them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from . import catalogue
from .cloud import Cloud, Reply, Request
from .failure import Failure
from .operations import Operation
from .paging import page
from .rendering import summary
from .resources import KINDS
from .store import Group, Resource

_TAGGED = re.compile(r"tagName eq '(?P<name>[^']*)' and tagValue eq '(?P<value>[^']*)'")
_TYPE = "Microsoft.Resources/resourceGroups"


def shown(group: Group) -> dict[str, Any]:
    """A group as Azure shows it."""
    identity = f"/subscriptions/{group.subscription}/resourceGroups/{group.name}"
    body = {"id": identity, "name": group.name, "type": _TYPE, "location": group.location, "tags": dict(group.tags)}
    return {**body, "managedBy": group.managed_by, "properties": {"provisioningState": group.state}}


def get(cloud: Cloud, _request: Request, subscription: str, group: str) -> Reply:
    """Read a group."""
    return Reply(200, shown(cloud.store.group(subscription, group)))


def head(cloud: Cloud, _request: Request, subscription: str, group: str) -> Reply:
    """Say whether a group exists."""
    return Reply(204 if cloud.store.find_group(subscription, group) else 404)


def every(cloud: Cloud, request: Request, subscription: str) -> Reply:
    """List the groups of a subscription."""
    return page(cloud.url, request, [shown(group) for group in cloud.store.groups(subscription)])


def put(cloud: Cloud, request: Request, subscription: str, group: str) -> Reply:
    """Create a group, or change its tags."""
    body = request.body if isinstance(request.body, dict) else {}
    location = catalogue.region(body.get("location"), _TYPE)
    before = cloud.store.find_group(subscription, group)
    tags = body.get("tags") or {}
    if before is None:
        made = cloud.store.keep_group(
            Group(subscription.lower(), group, location, tags, managed_by=body.get("managedBy"))
        )
        return Reply(201, shown(made))
    _refuse_deleting(before)
    if before.location != location:
        text = f"Invalid resource group location '{location}'. The Resource group already exists in location"
        raise Failure(409, "InvalidResourceGroupLocation", f"{text} '{before.location}'.")
    return Reply(200, shown(cloud.store.keep_group(replace(before, tags=tags))))


def patch(cloud: Cloud, request: Request, subscription: str, group: str) -> Reply:
    """Change a group's tags."""
    before = cloud.store.group(subscription, group)
    _refuse_deleting(before)
    tags = (request.body or {}).get("tags", before.tags)
    return Reply(200, shown(cloud.store.keep_group(replace(before, tags=tags))))


def contents(cloud: Cloud, request: Request, subscription: str, group: str | None = None) -> Reply:
    """List what is in a group, or in the whole subscription, whatever its kind; or of that what bears a tag."""
    if group is not None:
        cloud.store.group(subscription, group)
    found = cloud.store.resources(subscription, group)
    if wanted := request.query.get("$filter"):
        tagged = _TAGGED.fullmatch(wanted)
        if tagged is None:
            raise Failure(
                400, "InvalidFilterInQueryString", f"Invalid $filter '{wanted}' specified in the query string."
            )
        found = [one for one in found if (one.fields.get("tags") or {}).get(tagged["name"]) == tagged["value"]]
    return page(cloud.url, request, [summary(KINDS[r.id.type.lower()], r) for r in found])


def delete(cloud: Cloud, request: Request, subscription: str, group: str) -> Reply:
    """Delete a group and all that is in it, its hosts included; polled through `Location`.

    A deletion that is made to fail has deleted a part of it by then, as Azure's have.
    """
    before = cloud.store.group(subscription, group)
    _refuse_deleting(before)
    cloud.store.keep_group(replace(before, state="Deleting"))

    def settle(failure: Failure | None) -> None:
        if failure:
            cloud.store.keep_group(before)
        if failure and failure is operation.fate:
            _delete_some(cloud, before)

    place = (subscription, "", before.location, request.path)
    operation = Operation(request.method, f"{subscription}/{group}".lower(), *place)
    cloud.operations.begin(operation, cloud.timing.group, lambda: _delete_all(cloud, before), settle)
    url = f"{cloud.url}/subscriptions/{subscription}/operationresults/{operation.id}"
    return Reply(202, None, {"Location": f"{url}?api-version={request.query['api-version']}", **cloud.timing.retry})


def _delete_all(cloud: Cloud, group: Group) -> None:
    inside = cloud.store.resources(group.subscription, group.name)
    for resource in inside:
        _refuse_used_outside(cloud, group, resource)
    for resource in inside:
        cloud.operations.preempt(resource.id.key)
    cloud.store.drop_group(group)
    for resource in inside:
        KINDS[resource.id.type.lower()].remove(cloud, resource)


def _delete_some(cloud: Cloud, group: Group) -> None:
    """Half of what nothing else uses: how far a deletion had come."""
    inside = cloud.store.resources(group.subscription, group.name)
    loose = [resource for resource in inside if not cloud.store.links_to(resource)]
    for resource in loose[: (len(loose) + 1) // 2]:
        cloud.operations.preempt(resource.id.key)
        cloud.store.drop(resource.id)
        KINDS[resource.id.type.lower()].remove(cloud, resource)


def _refuse_used_outside(cloud: Cloud, group: Group, resource: Resource) -> None:
    own = f"/resourcegroups/{group.name}/".lower()
    if any(own not in link.source.lower() for link in cloud.store.links_to(resource)):
        text = f"Deletion of resource group '{group.name}' failed as resources with identifiers '{resource.id}' could"
        text += " not be deleted. The provisioning state of the resource group will be rolled back."
        raise Failure(409, "ResourceGroupDeletionBlocked", text)


def _refuse_deleting(group: Group) -> None:
    if group.state == "Deleting":
        text = f"The resource group '{group.name}' is in deprovisioning state and cannot perform this operation."
        raise Failure(409, "ResourceGroupBeingDeleted", text)
