"""What a subscription is and may do: state, rights, registered providers, quotas, restricted sizes, accepted terms.

Everything that a lab says about a subscription and no resource of it says. A lab's default may do all that the
catalogue offers; tests and rehearsals take something away, by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Any

TENANT = "00000000-0000-0000-0000-0000000001ab"  # the one tenant of every lab
REGISTERED = "Registered"


@dataclass(frozen=True, slots=True)
class Account:
    """One subscription, as values. Names are compared without regard to case, patterns are shell patterns.

    `providers`: registration state by namespace, where it is not Registered. `quotas`: limit by `location/name`, where
    it is not the catalogue's. `restricted`: by `location/size` the zones in which the size is not to be had; no zones:
    nowhere in that location. `accepted`: marketplace plans, `publisher/offer/plan`.
    """

    exists: bool = True
    state: str = "Enabled"  # Subscriptions API: Enabled, Warned, PastDue, Disabled
    tenant: str = TENANT
    actions: tuple[str, ...] = ("*",)
    not_actions: tuple[str, ...] = ()
    providers: Mapping[str, str] = field(default_factory=dict)
    quotas: Mapping[str, int] = field(default_factory=dict)
    restricted: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    accepted: tuple[str, ...] = ()

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Account:
        """An account from plain data; what is not named is as by default. ValueError for a name that means nothing."""
        unknown = set(facts) - {one.name for one in fields(cls)}
        if unknown:
            raise ValueError(f"an account has no {', '.join(sorted(unknown))}")
        known: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in facts.items()}
        return cls(**known)

    def may(self, action: str) -> bool:
        """Whether the principal has the right to an action (Azure RBAC: actions less notActions)."""
        return _any(self.actions, action) and not _any(self.not_actions, action)

    def registration(self, namespace: str) -> str:
        """The state of a provider's registration."""
        return str(_folded(self.providers).get(namespace.lower(), REGISTERED))

    def limit(self, location: str, name: str, usual: int) -> int:
        """A quota's limit: the first entry that fits, else the usual one."""
        place = f"{location}/{name}".lower()
        return next((limit for key, limit in self.quotas.items() if fnmatchcase(place, key.lower())), usual)

    def restriction(self, location: str, size: str) -> tuple[str, ...] | None:
        """The zones in which a size is not to be had (none: nowhere there); None if it is not restricted."""
        found = _folded(self.restricted).get(f"{location}/{size}".lower())
        return None if found is None else tuple(found)

    def accepts(self, publisher: str, offer: str, plan: str) -> bool:
        """Whether the terms of a marketplace plan were accepted."""
        return f"{publisher}/{offer}/{plan}".lower() in {one.lower() for one in self.accepted}


def _folded(entries: Mapping[str, Any]) -> dict[str, Any]:
    return {key.lower(): value for key, value in entries.items()}


def _any(patterns: tuple[str, ...], action: str) -> bool:
    return any(fnmatchcase(action.lower(), pattern.lower()) for pattern in patterns)
