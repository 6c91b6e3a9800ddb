"""A record, as facts and steps: on a terminal, and at the head of its page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from .document import Note, Page, Table, Tone, View
from .timeline import timeline

Entries = Sequence[Mapping[str, Any]]
_TONES: dict[str, Tone] = {"succeeded": "good", "no change": "good", "awaiting approval": "warn", "running": "plain"}


def summary(record: Mapping[str, Any], entries: Entries) -> View:
    """Outcome, who, when, why, what was approved and done, and what went wrong."""
    title = f"{record['runbook']} in {record['environment'] or 'no environment'}: {record['outcome']}"
    return Page.of(
        Note(title, _TONES.get(str(record["outcome"]), "bad")),
        Note(str(record["remark"]), "bad") if record.get("remark") else None,
        Table(("", ""), list(_facts(record, entries))),
        _stages(entries),
        timeline(entries),
        _steps(entries),
    )


def _facts(record: Mapping[str, Any], entries: Entries) -> Iterable[tuple[str, str]]:
    start = entries[0] if entries else {}
    parameters: Mapping[str, Any] = next((e for e in reversed(entries) if e["kind"] == "parameters"), {})
    approvals = [f"{e['plan']} by {e['by']}, {_time(e['at'])}" for e in entries if e["kind"] == "approval"]
    approvals += [f"BREAK GLASS: {e['plan']}, {e['reason']}" for e in entries if e["kind"] == "break-glass"]
    tree = {"True": "unchanged", "False": "changed"}.get(str(start.get("clean")), "unknown")
    yield "record", str(record["id"])
    yield "operator", f"{record['operator']} ({start.get('front_end', '')}, pid {start.get('pid', '')})"
    yield "from", _time(record["started"])
    yield "to", _time(record["ended"]) if record["ended"] else "no end was written"
    yield "reason", " · ".join(text for text in (record["reason"], record.get("ticket", "")) if text) or "none given"
    yield "parameters", f"{parameters.get('file', '')}, SHA-256 {parameters.get('digest', '')}"
    yield "target", str(parameters.get("target", ""))
    for entry in entries:
        if entry["kind"] == "identity":
            yield f"acted at {entry['provider']} as", ", ".join(f"{k} {v}" for k, v in entry["identity"].items())
    if looked := sum(len(entry["requests"]) for entry in entries if entry["kind"] == "look"):
        yield "looked at azure", f"{looked} requests; the journal has their ids"
    yield "approved", "\n".join(approvals) or "nothing"
    yield "code", f"{start.get('code', '')}, commit {start.get('commit', '')}, tree {tree}"
    yield "signed by", str(start.get("signer") or "nobody: unsigned")


def _stages(entries: Entries) -> View | None:
    rows, tones = [], list[Tone]()
    for entry in entries:
        if entry["kind"] in ("result", "error"):
            said = entry.get("summary") or entry.get("result") or entry.get("message")
            rows.append((entry["time"][11:19], entry["stage"], said))
            tones.append("good" if entry["kind"] == "result" else "bad")
    return Table(("UTC", "stage", ""), rows, "Stages", tones) if rows else None


def _steps(entries: Entries) -> View | None:
    done = [e for e in entries if e["kind"] == "step" and e["phase"] in ("done", "failed")]
    ended = {e["target"] for e in done}
    begun = [e for e in entries if e["kind"] == "step" and e["phase"] == "begin" and e["target"] not in ended]
    rows = [_step(entry, _asked([e for e in entries if e.get("target") == entry["target"]])) for entry in begun]
    rows = [*(_step(entry, entry.get("facts") or {}) for entry in done), *rows]
    tones: list[Tone] = ["good" if entry["phase"] == "done" else "bad" for entry in done]
    tones += ["warn"] * len(begun)
    return Table(("UTC", "step", "", "s", "detail", "requests"), rows, "Steps", tones) if rows else None


_KEPT = ("file", "from", "member")  # of a step's facts: what an auditor looks for later


def _step(entry: Mapping[str, Any], asked: Mapping[str, Any]) -> tuple[str, ...]:
    facts = entry.get("facts") or {}
    phase = "begun, its end unknown" if entry["phase"] == "begin" else str(entry["phase"])
    kept = ", ".join(f"{name} {facts[name]}" for name in _KEPT if name in facts)
    seconds, detail = str(facts.get("seconds", "")), entry["detail"] or kept
    return entry["time"][11:19], entry["target"], phase, seconds, detail, _requests(asked)


def _asked(history: Entries) -> Mapping[str, Any]:
    """Of a step that has no end: what its provider has answered, and what it was sent last if that had no answer."""
    facts: list[Mapping[str, Any]] = [entry.get("facts") or {} for entry in history]
    requests = [one for fact in facts for one in fact.get("requests", ())]
    last: Mapping[str, Any] = next(
        (fact for fact in reversed(facts) if "client_request" in fact or "requests" in fact), {}
    )
    return {"requests": requests, "unanswered": [last["client_request"]] if "client_request" in last else []}


def _requests(asked: Mapping[str, Any]) -> str:
    """The first request by its provider's id, and by our own id what had no answer."""
    requests = list(dict.fromkeys(asked.get("requests", ())))
    more = f" and {len(requests) - 1} more" if len(requests) > 1 else ""
    words = [f"{requests[0]}{more}"] if requests else []
    return "; ".join((*words, *(f"no answer to {one} (our own id)" for one in asked.get("unanswered", ()))))


def _time(text: str) -> str:
    """A time of the journal in UTC, and the local one beside it for people who are somewhere else."""
    if not text:
        return ""
    at = datetime.fromisoformat(text)
    local = at.astimezone()
    beside = "" if local.utcoffset() == at.utcoffset() else f" ({local:%H:%M:%S %Z})"
    return f"{at:%Y-%m-%d %H:%M:%S} UTC{beside}"
