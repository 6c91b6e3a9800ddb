"""A plan as it is looked at without a run (`runbooks plan`), and as the plain data of `plan.json`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..plan import Plan, Step
from ..views import Note, Page, View
from ..views.plan import plan as show_plan

State = Literal["nothing to do", "blocked", "awaiting approval"]


@dataclass(frozen=True, slots=True)
class Look:
    """A plan, what has to be said beside its steps, and what a person would type instead; empty if nothing."""

    plan: Plan
    remark: str
    by_hand: str
    asked: tuple[str, ...] = ()  # what the plan was asked for beside the parameters, as options of the command
    details: View | None = None  # what else has to be seen before the plan can be judged, …
    details_as_data: Mapping[str, Any] = field(default_factory=dict)  # … and the same as plain data, by name

    @property
    def state(self) -> State:
        """What stands between this plan and its apply."""
        if self.plan.blocked:
            return "blocked"
        return "awaiting approval" if self.plan.pending else "nothing to do"

    def view(self, file: str) -> View:
        """As the notebook shows it; `file` is the parameters file as it was named."""
        remark = Note(self.remark, "warn") if self.remark else None
        return Page.of(remark, self.details, show_plan(self.plan, self._how_to_approve(file), self.by_hand))

    def data(self) -> dict[str, Any]:
        """As plain data."""
        return content(self.plan, self.remark, self.by_hand, self.details_as_data)

    def _how_to_approve(self, file: str) -> str:
        if self.state != "awaiting approval":
            return CANNOT if self.plan.blocked else ""
        consents = [word for text in self.plan.consents for word in ("--consent", text)]
        what = ["runbooks", "run", self.plan.runbook, "-f", file, *self.asked]
        command = [*what, "--approved-plan", self.plan.digest, *consents]
        return f"Nothing was changed. To approve exactly this: {shlex.join(command)}"


CANNOT = "This plan cannot be approved: remove what blocks it, then plan again."


def content(plan: Plan, remark: str, by_hand: str, details: Mapping[str, Any]) -> dict[str, Any]:
    """Everything of a plan, its steps in their order; `after` names the steps that each one waits for."""
    return {
        "runbook": plan.runbook,
        "environment": plan.environment,
        "digest": plan.digest,
        "target": dict(plan.target),
        "code": plan.code,
        "remark": remark,
        "checked": plan.checked,
        "warnings": list(plan.warnings),
        "by_hand": by_hand.splitlines(),
        **details,
        "steps": [_step(step) for step in plan.steps],
        "order": [step.target for step in plan.pending],
        "consents": list(plan.consents),
        "blocked": [step.target for step in plan.blocked],
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "target": step.target,
        "action": step.action,
        "what": step.what,
        "why": step.why,
        "interrupts": step.interrupts,
        "consent": step.consent,
        "after": list(step.after),
        "changes": [{"name": one.name, "old": one.old, "new": one.new} for one in step.changes],
        "desired": step.desired,
    }
