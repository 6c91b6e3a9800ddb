"""Polling: an operation's status, and its result."""

from __future__ import annotations

from .cloud import Cloud, Reply
from .failure import Failure
from .operations import Operation


def status(cloud: Cloud, operation_id: str) -> Reply:
    """What `Azure-AsyncOperation` answers: always 200, with the status inside."""
    operation = _find(cloud, operation_id)
    return Reply(200, operation.shown, cloud.timing.retry if operation.status == "InProgress" else {})


def result(cloud: Cloud, operation_id: str, url: str) -> Reply:
    """What `Location` answers: 202 while it lasts, then 200; or the failure itself."""
    operation = _find(cloud, operation_id)
    if operation.status == "InProgress":
        return Reply(202, None, {"Location": url, **cloud.timing.retry})
    if operation.error:
        raise operation.error
    return Reply(200)


def _find(cloud: Cloud, operation_id: str) -> Operation:
    found = cloud.operations.find(operation_id)
    if found is None:
        raise Failure(404, "NotFound", f"The operation '{operation_id}' was not found.")
    return found
