"""A plan, and the progress of its apply."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence

from ..plan import Action, Plan, Progress, Step
from .document import Code, Fold, Note, Page, Table, Tone, View

_TONES: dict[Action, Tone] = {
    "create": "plain",
    "change": "warn",
    "replace": "bad",
    "destroy": "bad",
    "blocked": "bad",
    "keep": "plain",
}
_PHASES: dict[str, tuple[str, Tone]] = {
    "begin": ("under way", "plain"),
    "wait": ("waiting", "plain"),
    "done": ("done", "good"),
    "failed": ("failed", "bad"),
}


def plan(plan: Plan, approve: str = "") -> View:
    """What would be done, in the plan's order, its digest, and (in `approve`) how to approve it."""
    shown = [step for step in plan.steps if step.action != "keep" or step.told]
    kept = len(plan.steps) - len(shown)
    target = ", ".join(f"{key} {value}" for key, value in plan.target.items())
    rows = [(s.action, s.target, s.what, _why(s), s.interrupts or "nothing") for s in shown]
    table = Table(("action", "target", "what", "why", "interrupts"), rows, "", [_step_tone(s) for s in shown])
    exact = [step for step in shown if step.action != "keep"]
    contents = [Code(s.target, json.dumps(s.desired, indent=1, sort_keys=True)) for s in exact]
    return Page.of(
        Note(f"{plan.runbook} in {plan.environment}: {count(plan)}\nTarget: {target}", _tone(plan)),
        table if shown else None,
        Note(f"{kept} kept as they are") if kept else None,
        Fold(f"the exact content of {_steps(len(exact))}", Page(tuple(contents))) if contents else None,
        Note(f"Digest: {plan.digest}") if plan.pending else None,
        *[Note(f"Destroys something, and needs its own consent: {text!r}", "bad") for text in plan.consents],
        Note(approve, "warn") if approve else None,
    )


def count(plan: Plan) -> str:
    """The plan in a few words: `8 to create, 1 blocked`, or `nothing to do`."""
    counts = Counter(step.action for step in plan.steps if step.action != "keep")
    words = [f"{number} {'blocked' if action == 'blocked' else f'to {action}'}" for action, number in counts.items()]
    return ", ".join(words) or "nothing to do"


def count_done(plan: Plan) -> str:
    """The same, once it was done: `8 created`."""
    past = {"create": "created", "change": "changed", "replace": "replaced", "destroy": "destroyed"}
    counts = Counter(step.action for step in plan.pending)
    return ", ".join(f"{number} {past[action]}" for action, number in counts.items())


def progress(events: Mapping[str, Sequence[tuple[float, Progress]]], title: str) -> View:
    """The last event of each target, and the seconds since its first one."""
    rows, tones = [], []
    for target, history in events.items():
        (begun, _), (now, last) = history[0], history[-1]
        word, tone = _PHASES[last.phase]
        rows.append((target, word, f"{now - begun:.1f} s", last.detail))
        tones.append(tone)
    return Table(("target", "state", "took", "detail"), rows, title, tones)


def _tone(plan: Plan) -> Tone:
    if plan.blocked:
        return "bad"
    return "warn" if plan.pending else "good"


def _step_tone(step: Step) -> Tone:
    return "bad" if step.consent else _TONES[step.action]


def _steps(count: int) -> str:
    return f"all {count} steps" if count > 1 else "the step"


def _why(step: Step) -> str:
    """The reason, and property by property what changes of something that is there."""
    if step.action == "create":
        return step.why
    return "; ".join([step.why, *(f"{one.name}: {_value(one.old)} → {_value(one.new)}" for one in step.changes)])


def _value(value: object) -> str:
    return "nothing" if value is None else value if isinstance(value, str) else json.dumps(value, default=str)
