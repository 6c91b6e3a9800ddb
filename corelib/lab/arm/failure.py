"""What goes wrong in Resource Manager's own terms: a status, a code, a sentence.

The shape is that of the Resource Manager RPC (azure-resource-manager-rpc, "Error response content"); the codes are
the ones that Azure answers with, so that a client can be tested against what it will meet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class Failure(Exception):
    """A request or an operation was refused or has failed; `headers` go with the answer."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        target: str = "",
        headers: Mapping[str, str] | None = None,
        details: Sequence[Mapping[str, str]] = (),
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.target = target
        self.headers = dict(headers or {})
        self.details = list(details)

    @property
    def error(self) -> dict[str, Any]:
        """The inner object: code, message and, where there are any, the target and details."""
        error = {"code": self.code, "message": self.message}
        more = {"target": self.target, "details": self.details}
        return {**error, **{name: value for name, value in more.items() if value}}


def group_not_found(name: str) -> Failure:
    """The resource group does not exist."""
    return Failure(404, "ResourceGroupNotFound", f"Resource group '{name}' could not be found.")


def not_found(resource: str, group: str) -> Failure:
    """The resource does not exist in its group; `resource` is `type/name`."""
    text = f"The Resource '{resource}' under resource group '{group}' was not found."
    return Failure(
        404, "ResourceNotFound", f"{text} For more details please go to https://aka.ms/ARMResourceNotFoundFix"
    )


def invalid_parameter(message: str, target: str = "") -> Failure:
    """Compute's answer to a value that it does not accept."""
    return Failure(400, "InvalidParameter", message, target)


def change_not_allowed(target: str) -> Failure:
    """Compute's answer to a changed property that is fixed at creation."""
    return Failure(409, "PropertyChangeNotAllowed", f"Changing property '{target}' is not allowed.", target)
