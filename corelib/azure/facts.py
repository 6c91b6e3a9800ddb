"""What a subscription was found to be and to allow: the answers that preflight judges. Values, in Azure's terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import NamedTuple

from .needs import Urn


class Subscription(NamedTuple):
    """Subscriptions API: its state (Enabled, Warned, PastDue, Disabled) and its tenant."""

    state: str
    tenant: str


class Right(NamedTuple):
    """One entry of the Permissions API: what is allowed, less what is not; both may hold `*`."""

    actions: tuple[str, ...]
    not_actions: tuple[str, ...]

    def allows(self, action: str) -> bool:
        """Whether it allows an action; letters' case says nothing."""
        return _any(self.actions, action) and not _any(self.not_actions, action)


class Usage(NamedTuple):
    """One quota: in words, what is used of it, and its limit."""

    words: str
    used: int
    limit: int


class Size(NamedTuple):
    """A machine size in one location (Resource SKUs API). `closed`: restricted for this subscription there."""

    family: str
    cores: int
    zones: frozenset[str] = frozenset()
    closed: bool = False
    closed_zones: frozenset[str] = frozenset()
    premium: bool = True
    controllers: frozenset[str] = frozenset({"SCSI"})
    generations: frozenset[str] = frozenset({"V1", "V2"})
    architecture: str = "x64"


class Image(NamedTuple):
    """An image: its versions, oldest first, and of the one that is meant what it needs.

    `plan`: publisher, offer and name of the plan under which it is sold, `accepted` whether its terms were.
    """

    versions: tuple[str, ...]
    version: str = ""  # that is meant; empty: there is none
    generation: str = ""
    architecture: str = ""
    state: str = ""  # imageDeprecationStatus: Active, ScheduledForDeprecation, Deprecated
    plan: tuple[str, str, str] | None = None
    accepted: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """All answers. What is missing could not be asked; `silent` says of which question why not."""

    subscription: Subscription | None = None
    rights: Mapping[str, tuple[Right, ...]] = field(default_factory=dict)  # by resource group, or ""
    providers: Mapping[str, str] = field(default_factory=dict)  # registration state by namespace
    usages: Mapping[str, Mapping[str, Usage]] = field(default_factory=dict)  # by location and name
    sizes: Mapping[str, Mapping[str, Size]] = field(default_factory=dict)  # by location and name in lower case
    images: Mapping[Urn, Image] = field(default_factory=dict)
    silent: Mapping[str, str] = field(default_factory=dict)


def _any(patterns: tuple[str, ...], action: str) -> bool:
    return any(fnmatchcase(action.lower(), pattern.lower()) for pattern in patterns)
