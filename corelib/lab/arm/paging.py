"""Lists in pages, each naming the next (azure-resource-manager-rpc, "Pagination")."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from .cloud import Reply, Request
from .failure import Failure

PAGE = 50


def page(url: str, request: Request, items: Sequence[Any]) -> Reply:
    """One page of `items`; `url` is the cloud's own."""
    start = _read(request.query.get("$skiptoken"))
    body: dict[str, Any] = {"value": list(items[start : start + PAGE])}
    if start + PAGE < len(items):
        token = base64.urlsafe_b64encode(str(start + PAGE).encode()).decode()
        query = urlencode({**request.query, "$skiptoken": token}, safe="$")
        body["nextLink"] = f"{url}{request.path}?{query}"
    return Reply(200, body)


def _read(token: str | None) -> int:
    if token is None:
        return 0
    try:
        return max(0, int(base64.urlsafe_b64decode(token)))
    except (binascii.Error, ValueError):
        raise Failure(400, "InvalidSkipToken", "The provided $skiptoken is invalid.") from None
