"""A plan, and the progress of its apply."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence

from ..plan import Action, Plan, Progress, Step
from .deployment import deployment
from .document import Aside, Code, Note, Page, Table, Tone, View

_MOST = 40  # rows of steps
_LONGEST = 160  # characters of a value
_WHICH = ("properties", "id", "name", "type", "etag", "provisioningState")
_OBVIOUS = {"create": "it is not there", "change": "it differs"}  # reasons that are no news
_WHERE = "in the notebook, and in plan.json (runbooks plan --json)"

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


def plan(plan: Plan, approve: str = "", by_hand: str = "") -> View:
    """What would be done: a picture, the steps, each property that changes, the digest, how to approve it.

    `by_hand` is what a person would type instead.
    """
    kept = sum(step.action == "keep" and not step.told for step in plan.steps)
    target = ", ".join(f"{key} {value}" for key, value in plan.target.items())
    exact = [step for step in plan.steps if step.action != "keep"]
    contents = [Code(s.target, json.dumps(s.desired, indent=1, sort_keys=True)) for s in exact]
    typed = Code("typed", by_hand, folded=False)
    return Page.of(
        Note(f"{plan.runbook} in {plan.environment}: {count(plan)}\nTarget: {target}", _tone(plan)),
        Note(plan.checked, "plain" if plan.blocked else "good") if plan.checked else None,
        *[Note(text, "warn") for text in plan.warnings],
        deployment(plan),
        _steps(plan),
        _changes(plan),
        Note(f"{kept} kept as they are") if kept else None,
        Aside(f"the exact content of {_count_of(exact)}", Page(tuple(contents)), _WHERE) if contents else None,
        Aside("what you would type without this tool", typed, _WHERE) if by_hand else None,
        Note(f"Digest: {plan.digest}") if plan.pending else None,
        *[Note(f"Destroys something, and needs its own consent: {text!r}", "bad") for text in plan.consents],
        Note(approve, "warn") if approve else None,
    )


def _steps(plan: Plan) -> View | None:
    """A row for each step in its order, what is blocked first; where they are many, one for all of a kind."""
    wave = _waves(plan)
    shown = [step for step in plan.steps if step.action != "keep" or step.told]
    shown.sort(key=lambda step: (step.action != "blocked", wave.get(step.target, len(wave) + 1)))
    rows: dict[str, list[Step]] = {}
    for step in shown:
        together = len(shown) > _MOST and step.action == "create"
        alike = f"{step.target.rpartition('/')[0]} {step.why} {step.interrupts} {wave.get(step.target)}"
        rows.setdefault(alike if together else step.target, []).append(step)
    cells = [{"order": wave.get(of[0].target, "—"), **_row(of)} for of in rows.values()]
    title = "Steps; those of one number run at the same time" if len(wave) > 1 else ""
    return _table(title, cells, [_step_tone(of[0]) for of in rows.values()]) if rows else None


def _row(of: Sequence[Step]) -> dict[str, object]:
    """A step, or the first of several that are alike under the names of all."""
    step = of[0]
    cluster, _, first = step.target.rpartition("/")
    several = f"{cluster}/{first} … {of[-1].target.rpartition('/')[2]} ({len(of)})"
    why = "" if step.why == _OBVIOUS.get(step.action) else step.why
    target = several if len(of) > 1 else step.target
    return {"action": step.action, "target": target, "what": step.what, "why": why, "interrupts": step.interrupts}


def _table(title: str, rows: Sequence[Mapping[str, object]], tones: Sequence[Tone]) -> Table:
    """Without the columns that would be empty, but for what is interrupted: that it is nothing must be said."""
    columns = [name for name in rows[0] if name == "interrupts" or any(row[name] for row in rows)]
    cells = [[row[name] or ("nothing" if name == "interrupts" else "") for name in columns] for row in rows]
    return Table(columns, cells, title, tones, ("target", "property"))


def _waves(plan: Plan) -> dict[str, int]:
    """The order of what would be done: 1 waits for nothing, each other for one of the number before."""
    wave: dict[str, int] = {}
    for step in plan.pending:  # in an order that respects `after`
        wave[step.target] = 1 + max((wave.get(one, 0) for one in step.after), default=0)
    return wave


def _changes(plan: Plan) -> View | None:
    """Property by property, what was and what will be, of all that is there and does not stay as it is."""
    moving = [step for step in plan.steps if step.action not in ("create", "keep")]
    pairs = [(step, one) for step in moving for one in step.changes]
    rows = [
        {"target": step.target, "property": one.name, "old → new": f"{_value(one.old)} → {_value(one.new)}"}
        for step, one in pairs
    ]
    return _table("What changes", rows, [_step_tone(step) for step, _ in pairs]) if rows else None


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


def _count_of(steps: Sequence[Step]) -> str:
    return f"all {len(steps)} steps" if len(steps) > 1 else "the step"


def _value(value: object) -> str:
    """A value in a line; of a long one the beginning, as all of it is in the exact content."""
    text = "nothing" if value is None else _words(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _words(value: object) -> str:
    """A value as people read it: of a thing its properties, without what only says which thing it is."""
    if not isinstance(value, Mapping):
        return value if isinstance(value, str) else json.dumps(value, default=str)
    inner = {**value, **value.get("properties", {})}
    said = {name: one for name, one in inner.items() if name not in _WHICH}
    return ", ".join(f"{name} {_words(one)}" for name, one in said.items()) or "nothing"
