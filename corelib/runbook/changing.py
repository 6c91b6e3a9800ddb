"""The runbooks that change something: plan, approve exactly that, apply."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ..errors import Refused, ServiceFailed
from ..plan import Plan, Step, examples, permit
from ..record.lock import Hold, exclusive
from ..record.origin import operator
from ..views import Note, Page, View
from ..views.plan import count, count_done
from ..views.plan import plan as show_plan
from .approvals import Approvals
from .brake import Brake
from .pulse import Pulse
from .session import Session
from .watcher import Watcher


class Changing(Session):
    """A session whose work is a plan; runbooks say how to make it and how to carry it out."""

    inputs = (
        *("environment", "fleet", "reason", "ticket"),
        *("approved_plan", "consent", "break_glass", "force_unlock"),
    )

    _shown: Plan | None = None
    _approved_here = ""  # the digest that was approved by typing into the form
    _consent_here: tuple[str, ...] = ()
    _left: Plan  # what is still to be done after an apply, because nobody could plan it before

    @abstractmethod
    def _make_plan(self) -> Plan:
        """Observe, and plan what is left to do. Changes nothing."""

    @abstractmethod
    def _carry_out(self, plan: Plan, watch: Watcher) -> Mapping[str, Any]:
        """Do what the plan says; returns what is worth remembering, for the journal and the inventory."""

    @abstractmethod
    def _results(self) -> View | None:
        """What exists now, for the operator's eyes."""

    def plan(self) -> Any:
        """Show what would be done, under which digest, and how to approve it. Changes nothing."""
        with self._stage("plan") as stage:
            self.loaded  # noqa: B018 - a clear error before anything is asked
            self._shown = plan = self._make_plan()
            self._approvals.remember(plan)
            stage.facts = {"plan": plan.digest, "summary": count(plan), "consents": list(plan.consents)}
            self._keep("plan.json", _content(plan))
        remark = Note(self._remark(), "warn") if self._remark() else None
        if self.front_end.interactive and plan.pending and not plan.blocked:
            return self._with_form(plan, remark)
        return Page.of(remark, show_plan(plan, self._how_to_approve(plan)))

    def apply(self) -> View:
        """Carry out the plan, if exactly it was approved: observes and plans again first, and refuses what differs."""
        with self._stage("apply") as stage:
            self.loaded  # noqa: B018 - a clear error before anything is asked
            digest = self._approved_here or self.given.approved_plan
            environment = self.loaded.fleet.environment
            state, overrule = self.project.state(environment), self.given.force_unlock
            with exclusive(state, environment, *self._me, overrule) as hold:
                if hold.overruled:
                    self._journal.write("force-unlock", overruled=hold.overruled)
                plan = self._make_plan()
                if plan.empty:
                    stage.result = "no change"
                    return Page.of(
                        Note("Nothing to do: what is desired is what was observed.", "good"), self._results()
                    )
                if plan.blocked:
                    raise _cannot(plan)
                if not digest:
                    stage.result = "awaiting approval"
                    return Note(f"Nothing was changed: {plan.digest} awaits its approval.", "warn")
                self._permit(plan, digest)
                stage.result, stage.facts = "applied", self._apply(plan, digest, hold)
            follows = f"{count(self._left)} can be planned now: run again." if self._left.pending else ""
        return Page.of(
            Note(f"Applied: {count_done(plan)}.", "good"), Note(follows, "warn") if follows else None, self._results()
        )

    def _remark(self) -> str:
        """What has to be said of the plan that was made last, beside its steps; empty if nothing."""
        return ""

    def _examples(self, *apart_from: str) -> tuple[Step, ...]:
        """On a real target, a blocked step for each example value that this runbook would use."""
        marked = [(example.path, example.where) for example in self.loaded.examples]
        return examples(marked, apart_from=apart_from) if self.loaded.fleet.target == "real" else ()

    def _identify(self, provider: str, who: Mapping[str, str]) -> None:
        """Journal as whom this run acts at a provider; what is secret of that is hidden there as everywhere."""
        self._journal.write("identity", provider=provider, identity=dict(who))

    @property
    def _approvals(self) -> Approvals:
        return Approvals(self.project.state(self.loaded.fleet.environment) / "plans")

    @property
    def _me(self) -> tuple[str, str]:
        return operator(), self._journal.folder.name

    def _permit(self, plan: Plan, digest: str) -> None:
        now, consent = datetime.now(UTC), (*self.given.consent, *self._consent_here)
        approval = self._approvals.approval(digest, plan, operator(), now)
        permit(plan, approval, now, consent)
        self._permit_by_others(digest, now)
        facts = {"plan": digest, "by": approval.by, "at": approval.at.isoformat(), "consent": list(consent)}
        self._journal.write("approval", **facts)

    def _permit_by_others(self, digest: str, now: datetime) -> None:
        """Where the environment asks for approvals by others: enough of them, or an emergency that is allowed."""
        asked = self.loaded.fleet.approvers
        doing = f"applying {digest} in {self.loaded.fleet.environment}"
        if asked is None:
            if self.given.break_glass:
                found = "break_glass was given, and this environment asks for nobody's approval but yours"
                raise Refused(doing, found, "leave it out: it would stand in the record as an emergency")
            return
        if self._key is None:  # in an emergency too: its operator could countersign it
            found = "others have to approve, and an unsigned run cannot show that its operator is not one of them"
            raise Refused(doing, found, "set RUNBOOKS_SIGNING_KEY to your own SSH key")
        if self.given.break_glass:
            if not asked.break_glass:
                raise Refused(doing, "break_glass is not allowed here (fleet.approvers)", _ask(digest))
            self._journal.write("break-glass", plan=digest, reason=self.given.break_glass)
            return
        given = self._approvals.of_others(digest, asked, operator(), self._key.fingerprint, now)
        if len(given.counted) < asked.count:
            names = ", ".join(one.name for one in given.counted) or "nobody"
            lines = [f"{asked.count} others have to approve it, so far: {names}", *given.passed_over]
            raise Refused(doing, "\n".join(lines), _ask(digest))
        for one in given.counted:
            facts = {"plan": digest, "by": one.name, "at": one.at.isoformat(), "key": one.fingerprint}
            self._journal.write("approval", **facts, statement=one.statement, signature=one.signature)

    def _apply(self, plan: Plan, digest: str, hold: Hold) -> Mapping[str, Any]:
        with Pulse() as pulse:
            brake = Brake(self._journal, hold, lambda: self._permit(self._make_plan(), digest), pulse)
            watch = self._watch(f"{self.name} in {plan.environment}", brake.may_begin)
            try:
                facts = brake.run(lambda: self._carry_out(plan, watch))
            finally:
                watch.close()
        self._left = left = self._make_plan()
        planned = {(step.target, step.digest) for step in plan.steps}
        planned |= {(step.target, replace(step, action="change").digest) for step in plan.steps}
        if left.blocked or any((step.target, step.digest) in planned for step in left.pending):
            # What was done is believed only when a fresh look finds it done; what follows from it is another plan.
            found = f"it went through, and a fresh look still finds: {count(left)}"
            raise ServiceFailed(f"applying {plan.digest}", found, "look at the plan again: what differs is named there")
        return facts

    def approve(self, plan: Plan, consent: tuple[str, ...]) -> None:
        """What the form calls when the environment's name was typed: this plan is approved, by this operator."""
        self._approved_here, self._consent_here = plan.digest, consent

    def _with_form(self, plan: Plan, remark: View | None) -> Any:
        from ..views.forms import WithForm, approval  # noqa: PLC0415 - widgets load only where they can be used

        return WithForm(Page.of(remark, show_plan(plan)), approval(plan, self.approve))

    def _how_to_approve(self, plan: Plan) -> str:
        if plan.blocked:
            return "This plan cannot be approved: remove what blocks it, then plan again."
        if not plan.pending:
            return ""
        consent = "".join(f" -y 'consent: {json.dumps(list(plan.consents))}'" for _ in plan.consents[:1])
        return (
            f"To approve exactly this, run again with: -p approved_plan {plan.digest}{consent}\n"
            f"In JupyterLab: approved_plan = {plan.digest!r} in the parameters cell, or the form."
        )

    def _next(self, result: str) -> str:
        if result == "awaiting approval" and self._shown is not None:
            return f"Nothing was changed. Next: approve {self._shown.digest}, or leave it."
        return ""


def _ask(digest: str) -> str:
    return f"ask for: runbooks approve {digest}"


def _cannot(plan: Plan) -> Refused:
    lines = "\n".join(f"{step.target}: {step.why}" for step in plan.blocked)
    return Refused(
        f"applying {plan.runbook} in {plan.environment}", f"blocked:\n{lines}", "remove the causes, plan again"
    )


def _content(plan: Plan) -> dict[str, Any]:
    steps = [
        {
            "target": step.target,
            "action": step.action,
            "what": step.what,
            "why": step.why,
            "interrupts": step.interrupts,
            "consent": step.consent,
            "changes": [{"name": c.name, "old": c.old, "new": c.new} for c in step.changes],
            "desired": step.desired,
        }
        for step in plan.steps
    ]
    return {"digest": plan.digest, "target": plan.target, "code": plan.code, "steps": steps}
