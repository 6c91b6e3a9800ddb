"""Plans: what would be done, a digest that names exactly that, and what an approval still allows.

A plan is the difference between what is desired and what was observed. Its digest covers the target (tenant,
subscription, endpoint, or server), the code version, and of every step that would do something its target, action
and desired content; reasons, times and prices stay outside. `permit` decides what a given approval still allows:
the plan itself, or what is left of an approved plan after an interrupted apply.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from .errors import Refused

Action = Literal["create", "change", "replace", "destroy", "keep", "blocked"]

APPROVAL_LIFETIME = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Change:
    """One property of a target: `old` as observed (None: absent), `new` as desired."""

    name: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do (or to keep) and all that an operator needs to judge it.

    `target` names it for good (`azure-prd-a/machine/azure-prd-01`); `desired` is plain JSON data, the final content
    or its digests; `after` holds the targets that must be done before; `consent` is the exact text that must be
    consented to, or empty; `interrupts` says what stops working meanwhile, or is empty.
    """

    target: str
    action: Action
    what: str
    why: str
    interrupts: str = ""
    consent: str = ""
    after: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    desired: Mapping[str, Any] = field(default_factory=dict)
    told: bool = False  # to be shown although it is kept
    under_way: bool = False  # an earlier run has begun it, and it was not at its end when it was observed

    @property
    def digest(self) -> str:
        """SHA-256 over target, action, desired content and consent."""
        return _sha256({"target": self.target, "action": self.action, "desired": self.desired, "consent": self.consent})


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in an order that respects `after`, for one target, made by one version of the code."""

    runbook: str
    environment: str
    target: Mapping[str, str]
    code: str
    steps: tuple[Step, ...]
    checked: str = ""  # what was looked at beforehand and is well, in a sentence
    warnings: tuple[str, ...] = ()  # what is to be known, and forbids nothing; outside the digest, as is `checked`

    @property
    def pending(self) -> tuple[Step, ...]:
        """The steps that would do something."""
        return tuple(s for s in self.steps if s.action not in ("keep", "blocked"))

    @property
    def blocked(self) -> tuple[Step, ...]:
        """The steps that cannot be done, and so forbid an apply."""
        return tuple(s for s in self.steps if s.action == "blocked")

    @property
    def empty(self) -> bool:
        """True if there is nothing to do and nothing is blocked."""
        return not self.pending and not self.blocked

    @property
    def digest(self) -> str:
        """`plan-` and 16 hex digits of a SHA-256: a word that no YAML or command line mistakes for a number."""
        steps = sorted(s.digest for s in self.steps if s.action != "keep")
        content = {"runbook": self.runbook, "target": self.target, "code": self.code, "steps": steps}
        return f"plan-{_sha256(content)[:16]}"

    @property
    def consents(self) -> tuple[str, ...]:
        """The texts that must be consented to, each once, each naming what it destroys."""
        return tuple(dict.fromkeys(s.consent for s in self.pending if s.consent))


def examples(marked: Iterable[tuple[str, str]], *, apart_from: tuple[str, ...] = ()) -> tuple[Step, ...]:
    """A blocked step for each value that is still marked as an example, given as (path, `file:line`).

    `apart_from` are the beginnings of paths that this runbook does not use.
    """
    return tuple(
        Step(
            f"parameters/{path}",
            "blocked",
            "an example value",
            f"still marked as an example ({place}): give your own value and remove the mark",
        )
        for path, place in marked
        if not path.startswith(apart_from)
    )


@dataclass(frozen=True, slots=True)
class Approval:
    """That a plan was approved: its digest, when (UTC), by whom, and the digest of each step that it covers."""

    plan: str
    at: datetime
    by: str
    target: Mapping[str, str]
    code: str
    steps: frozenset[str]


@dataclass(frozen=True, slots=True)
class Progress:
    """One event of an apply: a step begins, waits for something, is done, or has failed.

    `facts` is plain JSON data worth keeping as evidence (request ids, addresses, exit codes). `tidying` marks what
    only cleans up behind a step: that may begin also when nothing else may.
    """

    target: str
    phase: Literal["begin", "wait", "done", "failed"]
    detail: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    tidying: bool = False


class Halt(Exception):
    """Raised by a watch at a `begin`: neither that step nor any other may begin any more, for this cause."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(str(cause))
        self.cause = cause


Watch = Callable[[Progress], None]
"""Told of every event, from any thread. It journals; if it raises Halt at a `begin`, nothing new may start."""


def approve(plan: Plan, at: datetime, by: str) -> Approval:
    """The approval of exactly this plan."""
    steps = frozenset(digest for step in plan.pending for digest in _covered(step))
    return Approval(plan.digest, at, by, plan.target, plan.code, steps)


def _covered(step: Step) -> set[str]:
    """The steps that are this one: what an interrupted apply has begun to create is there, and now to be changed."""
    if step.action not in ("create", "change"):
        return {step.digest}
    return {replace(step, action="create").digest, replace(step, action="change").digest}


def permit(plan: Plan, approval: Approval, now: datetime, consent: tuple[str, ...] = ()) -> None:
    """Return if `approval` covers all that `plan` (made from a fresh observation) would still do.

    Raises Refused, naming the first thing that is not covered: another target or code version, an approval older
    than 24 h, a blocked step, a step that was not approved, or a destroying step without its consent.
    """
    doing = f"applying {plan.runbook} in {plan.environment} under {approval.plan}"
    again = f"look at the plan again and approve {plan.digest}"
    for step in plan.blocked:
        raise Refused(doing, f"{step.target} is blocked: {step.why}", "remove the cause, then plan again")
    if approval.target != plan.target:
        raise Refused(doing, f"it was approved for {_words(approval.target)}, this is {_words(plan.target)}", again)
    if approval.code != plan.code:
        raise Refused(doing, "the code has changed since the approval", again)
    if now - approval.at > APPROVAL_LIFETIME or approval.at > now + timedelta(minutes=5):
        raise Refused(doing, f"the approval is of {approval.at:%Y-%m-%d %H:%M} UTC and is valid for 24 h", again)
    for step in plan.pending:
        if step.digest not in approval.steps:
            raise Refused(doing, f"this step was not approved: {step.action} {step.target} ({step.why})", again)
    if missing := [text for text in plan.consents if text not in consent]:
        found = f"this destroys something and needs its own consent: {', '.join(map(repr, missing))}"
        raise Refused(doing, found, _to_consent(plan.consents))


def _to_consent(texts: tuple[str, ...]) -> str:
    """How all of it is said, at each front end."""
    options = " ".join(f"--consent {shlex.quote(text)}" for text in texts)
    return f"add {options} (in a notebook: consent = {json.dumps(texts, ensure_ascii=False)})"


def _sha256(content: object) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _words(target: Mapping[str, str]) -> str:
    return ", ".join(f"{k} {v}" for k, v in sorted(target.items()))
