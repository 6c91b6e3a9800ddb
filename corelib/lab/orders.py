"""What a running lab can be told about its Azure, from another process: what goes wrong, what a subscription may do."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from .client import Endpoints, LabError


def faults(endpoints: Endpoints, wanted: Iterable[Mapping[str, Any]]) -> None:
    """These faults are to come, and no others any more (`arm.faults`). Raises LabError for one that means nothing."""
    _call(endpoints, "faults", {"faults": [dict(one) for one in wanted]})


def faults_left(endpoints: Endpoints) -> list[dict[str, Any]]:
    """The faults that are still to come. Raises LabError."""
    found: list[dict[str, Any]] = _call(endpoints, "faults")["faults"]
    return found


def account(endpoints: Endpoints, subscription: str, **facts: Any) -> None:
    """What a subscription is and may do; what is not named, as by default (`arm.account`). Raises LabError."""
    _call(endpoints, f"accounts/{subscription}", facts)


def _call(endpoints: Endpoints, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """PUT with a body, GET without."""
    import urllib.error  # noqa: PLC0415 - 50 ms with ssl, and a lab that is only used needs neither
    import urllib.request  # noqa: PLC0415

    doing, data = f"telling the lab on {endpoints.network}", None if body is None else json.dumps(body).encode()
    method = "GET" if body is None else "PUT"
    request = urllib.request.Request(f"{endpoints.control}/arm/{path}", data, method=method)  # noqa: S310 - a lab's http
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy of the environment is not for a lab
    try:
        with direct.open(request, timeout=5) as answer:
            text = answer.read()
    except urllib.error.HTTPError as problem:
        raise LabError(doing, json.load(problem)["error"], "see corelib/lab/arm/faults.py and account.py") from None
    except OSError as problem:
        raise LabError(doing, f"it does not answer: {problem}", "runbooks lab status") from None
    found: dict[str, Any] = json.loads(text) if text else {}
    return found
