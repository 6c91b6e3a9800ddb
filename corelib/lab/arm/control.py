"""What a lab can be told about its Azure while it runs: faults, and what a subscription is and may do."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from tornado.web import RequestHandler

from .account import Account
from .cloud import Cloud
from .faults import Fault, Faults


class _Told(RequestHandler):
    """JSON in and out; what means nothing is a 400 with one sentence."""

    def initialize(self, cloud: Cloud, faults: Faults) -> None:
        self.cloud, self.faults = cloud, faults

    def take(self, act: Callable[[Any], None]) -> None:
        try:
            act(json.loads(self.request.body))
        except (KeyError, TypeError, ValueError) as problem:
            self.set_status(400)
            self.finish({"error": str(problem)})


class _Faults(_Told):
    def get(self) -> None:
        """The faults that are still to come."""
        self.finish({"faults": self.faults.left})

    def put(self) -> None:
        """These faults, and no others any more."""
        self.take(lambda body: self.faults.set([Fault.of(one) for one in body["faults"]]))


class _Account(_Told):
    def get(self, subscription: str) -> None:
        """What a subscription is and may do."""
        self.finish(asdict(self.cloud.account(subscription)))

    def put(self, subscription: str) -> None:
        """This is what it is and may do; what is not named, as by default."""
        self.take(lambda body: self.cloud.accounts.update({subscription.lower(): Account.of(body)}))


def routes(cloud: Cloud, faults: Faults) -> list[tuple[str, type[RequestHandler], dict[str, Any]]]:
    """The paths for a lab's own control server."""
    options = {"cloud": cloud, "faults": faults}
    return [("/arm/faults", _Faults, options), ("/arm/accounts/([0-9a-fA-F-]{36})", _Account, options)]
