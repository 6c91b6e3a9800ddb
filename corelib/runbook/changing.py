"""The runbooks that change something: plan, approve exactly that, apply."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from ..errors import Refused, ServiceFailed
from ..kernel.frontend import FrontEnd
from ..plan import Plan, Step, examples, permit
from ..project import Project
from ..record import read
from ..record.lock import Hold, exclusive
from ..record.origin import operator
from ..views import Note, Page, View
from ..views.plan import count, count_done
from ..views.plan import plan as show_plan
from ..views.timeline import timeline
from .approvals import Approvals, Asked
from .brake import Abandoned, Brake
from .invocation import ASKED, Invocation, options, same, words
from .looking import CANNOT, Look, content
from .pulse import Pulse
from .session import Session
from .watcher import Watcher


class Changing(Session):
    """A session whose work is a plan; runbooks say how to make it and how to carry it out."""

    inputs: ClassVar[tuple[str, ...]] = (
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

    def _remember(self) -> Mapping[str, Any]:
        """Keep what exists now for the other runbooks, where nothing was to do; for the journal as well."""
        return {}

    def _abandoned(self) -> View | None:
        """What is known of the work that goes on without this run, for the operator's eyes."""
        return None

    @abstractmethod
    def _results(self) -> View | None:
        """What exists now, for the operator's eyes."""

    def plan(self) -> Any:
        """Show what would be done, under which digest, and how to approve it. Changes nothing."""
        with self._stage("plan") as stage:
            self.loaded  # noqa: B018 - a clear error before anything is asked
            self._shown = plan = self._make_plan()
            self._approvals.remember(plan, None if self.given.approved_plan else datetime.now(UTC), self._asked())
            stage.facts = {"plan": plan.digest, "summary": count(plan), "consents": list(plan.consents)}
            self._keep("plan.json", content(plan, self._remark(), self._by_hand(plan), self._details_as_data()))
        remark = Note(self._remark(), "warn") if self._remark() else None
        before = Page.of(remark, self._details())
        if self.front_end.interactive and plan.pending and not plan.blocked:
            return self._with_form(plan, before)
        shown = show_plan(plan, self._how_to_approve(plan), self._by_hand(plan))
        return Page.of(before if before.parts else None, shown)

    @classmethod
    def look(cls, file: Path, settings: Mapping[str, Any], at: Project) -> Look:
        """What would be done, without a run: no record, no lock, nothing changed; it can be approved all the same."""
        run = cls(at, FrontEnd("runbooks", file), recorded=False)
        run.take(file, settings)
        plan = run._make_plan()
        run._approvals.remember(plan, datetime.now(UTC), run._asked())
        details = run._details(), run._details_as_data()
        return Look(plan, run._remark(), run._by_hand(plan), tuple(options(run._asked())), *details)

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
                self._refuse_other_wishes(plan, digest)
                if plan.empty:
                    stage.result, stage.facts = "no change", self._remember()
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
            follows = _follows(self._left)
        return Page.of(
            Note(f"Applied: {count_done(plan)}.", "good"),
            Note(follows, "warn") if follows else None,
            timeline(read(self._journal.folder)),
            self._results(),
        )

    def _remark(self) -> str:
        """What has to be said of the plan that was made last, beside its steps; empty if nothing."""
        return ""

    def _by_hand(self, plan: Plan) -> str:  # noqa: ARG002 - runbooks answer
        """What a person would type to do the same; empty where nobody could."""
        return ""

    def _details(self) -> View | None:
        """What else an operator has to see before a plan can be judged."""
        return None

    def _details_as_data(self) -> Mapping[str, Any]:
        """The same as plain data, by name: it stands beside the steps in `plan.json`."""
        return {}

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

    def _refuse_other_wishes(self, plan: Plan, digest: str) -> None:
        """Refuse an approval of what this run was not asked for: none of it would be in this plan, and so missed."""
        known, asked = self._approvals.asked(digest) if digest else None, self._asked()
        if known is None or digest == plan.digest or same(known[0], asked):
            return
        found = f"that plan was made for other wishes: {words(known[0])}; this run is asked for {words(asked)}"
        again = self._invocation(*known, digest)
        remedy = f"to apply what was approved: {again.command}\nBy papermill, beside -f: {again.papermill}"
        raise Refused(f"applying {digest} in {plan.environment}", found, remedy)

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
            pending = {step.target for step in plan.pending}
            after = {step.target: [one for one in step.after if one in pending] for step in plan.pending}
            watch = self._watch(f"{self.name} in {plan.environment}", brake.may_begin, after)
            try:
                facts = brake.run(lambda: self._carry_out(plan, watch))
            except Abandoned:
                if (told := self._abandoned()) is not None:
                    self._live(told)
                raise
            finally:
                watch.close()
        self._left = left = self._make_plan()
        if undone := not_done(plan, left):
            lines = [f"it went through, and a fresh look still finds: {count(left)}", *(one.why for one in undone)]
            remedy = "look at the plan again: what differs is named there"
            raise ServiceFailed(f"applying {plan.digest}", "\n".join(lines), remedy)
        return facts

    def approve(self, plan: Plan, consent: tuple[str, ...]) -> None:
        """What the form calls when the environment's name was typed: this plan is approved, by this operator."""
        self._approved_here, self._consent_here = plan.digest, consent

    def _with_form(self, plan: Plan, before: Page) -> Any:
        from ..views.forms import WithForm, approval  # noqa: PLC0415 - widgets load only where they can be used

        shown = Page.of(before if before.parts else None, show_plan(plan, by_hand=self._by_hand(plan)))
        return WithForm(shown, approval(plan, self.approve))

    def _how_to_approve(self, plan: Plan) -> str:
        if plan.blocked:
            return CANNOT
        if not plan.pending:
            return ""
        again = self._invocation(self._asked(), plan.consents, plan.digest)
        return (
            f"To approve exactly this: {again.command}\nBy papermill, beside -f: {again.papermill}\n"
            f"In JupyterLab: approved_plan = {plan.digest!r} in the parameters cell, or the form."
        )

    def _invocation(self, asked: Asked, consents: tuple[str, ...], digest: str) -> Invocation:
        """This run once more, with all that it needs to do what was approved."""
        return Invocation(self.name, self.loaded.source, asked, digest, consents)

    def _asked(self) -> dict[str, tuple[str, ...]]:
        """What this run was asked for beside the parameters."""
        found = {name: getattr(self.given, name) for name in ASKED}
        return {name: texts for name, texts in found.items() if texts}

    def _next(self, result: str) -> str:
        if result == "awaiting approval" and self._shown is not None:
            return f"Nothing was changed. Next: approve {self._shown.digest}, or leave it."
        return ""


def not_done(plan: Plan, left: Plan) -> tuple[Step, ...]:
    """The steps of a fresh plan that an applied one should have left nothing of. Pure.

    What was done is believed only when a fresh look finds it done; what follows from it, or is forbidden meanwhile, is
    another plan's.
    """
    planned = {(step.target, one.digest) for step in plan.steps for one in (step, replace(step, action="change"))}
    targets = {step.target for step in plan.steps}
    blocked = [step for step in left.blocked if step.target in targets]
    return (*blocked, *(step for step in left.pending if (step.target, step.digest) in planned))


def _follows(left: Plan) -> str:
    """What is to be done after an apply that went well."""
    if left.blocked:
        lines = [f"{step.target}: {step.why}" for step in left.blocked]
        return "\n".join(["What follows is blocked now:", *lines])
    return f"{count(left)} can be planned now: run again." if left.pending else ""


def _ask(digest: str) -> str:
    return f"ask for: runbooks approve {digest}"


def _cannot(plan: Plan) -> Refused:
    lines = "\n".join(f"{step.target}: {step.why}" for step in plan.blocked)
    return Refused(
        f"applying {plan.runbook} in {plan.environment}", f"blocked:\n{lines}", "remove the causes, plan again"
    )
