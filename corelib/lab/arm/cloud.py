"""The cloud that requests act on: what exists, what is under way, the hosts, and the region's public addresses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..places import PUBLIC
from ..site import Hosts, Site
from .account import Account
from .failure import Failure
from .operations import Operations, Timing
from .store import Store


@dataclass(frozen=True, slots=True)
class Request:
    """One call: `path` without the query, `query` with folded names, `body` parsed JSON (None: there was none)."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any = None


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer; no body where it is None."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cloud:
    """Everything that a handler needs. `url` is where clients reach it."""

    site: Site
    hosts: Hosts
    url: str
    timing: Timing
    operations: Operations
    store: Store = field(default_factory=Store)
    usual: Account = field(default_factory=Account)  # what a subscription may do that nothing was said of
    accounts: dict[str, Account] = field(default_factory=dict)  # by subscription, in lower case

    def account(self, subscription: str) -> Account:
        """What a subscription is and may do."""
        return self.accounts.get(subscription.lower(), self.usual)

    def public_address(self) -> str:
        """The lowest public address of this lab that no resource holds; Failure when all are taken."""
        held = {r.properties.get("ipAddress") for r in self.store}
        free = (address for address in map(self.site.address, PUBLIC) if address not in held)
        found = next(free, None)
        if found is None:
            text = f"Cannot create more than {len(PUBLIC)} public IP addresses for this subscription in this region."
            raise Failure(400, "PublicIPCountLimitReached", text)
        return found
