"""A verdict as plain data, for JSON and for whoever compares two runs; and what changed between two of them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .commands import see
from .identity import shown
from .intended import Intended
from .judge import Verdict
from .samples import Sample, Samples

Facts = Mapping[str, Any]

_GROWN = 1.5  # times as large, or as slow, as it was
_SMALL_MB, _SHORT_MS = 16, 20  # what is not worth a word, however often it doubles


def facts(verdict: Verdict, samples: Samples, intended: Intended) -> dict[str, Any]:
    """`verdict`, `sentence`, `margin`, `leader`, `members` (as each told of itself), `checks` and `findings`.

    Sizes are MiB, times milliseconds, ids hex as etcdctl writes them; what a member did not tell is null.
    """
    return {
        "verdict": verdict.kind,
        "sentence": verdict.sentence,
        "margin": verdict.margin,
        "leader": verdict.leader,
        "seconds": round(samples.seconds, 3),
        "members": {one.member.name: _member(one, verdict) for one in samples.members},
        "checks": [
            {
                name: value
                for name, value in (row._asdict() | {"see": see(row, intended, verdict.old)}).items()
                if value != ""
            }
            for row in verdict.rows
        ],
        "findings": [finding._asdict() for finding in verdict.findings],
    }


def _member(sample: Sample, verdict: Verdict) -> dict[str, Any]:
    status = sample.after.value or sample.status.value
    trip = verdict.trips.get(sample.member.name)
    return {
        "address": str(sample.member.address),
        "version": sample.version.value,
        "id": shown(status.member) if status else None,
        "database_mb": round(status.db_size / (1 << 20), 1) if status else None,
        "used_mb": round(status.db_used / (1 << 20), 1) if status else None,
        "round_trip_ms": None if trip is None else round(trip, 1),
    }


def since(before: Facts, now: Facts) -> list[str]:
    """What differs between two runs, a clause each; of two healthy ones that is what may explain tomorrow's fault."""
    return [*_leader(before, now), *_who(before, now), *_changed(before, now)]


def _leader(before: Facts, now: Facts) -> Iterator[str]:
    old, new = before["leader"], now["leader"]
    if old and old != new:
        yield f"{old} led, now {new or 'nobody'} does"


def _who(before: Facts, now: Facts) -> Iterator[str]:
    yield from (f"{name} is asked now, and was not" for name in now["members"] if name not in before["members"])
    yield from (f"{name} was asked, and is not now" for name in before["members"] if name not in now["members"])


def _changed(before: Facts, now: Facts) -> Iterator[str]:
    for name, new in now["members"].items():
        old = before["members"].get(name, {})
        if old.get("version") and not new["version"]:
            yield f"{name} answered, and does not now"
        for key, words in (("address", "moved"), ("version", "etcd"), ("id", "another member since: id")):
            if old.get(key) and new[key] and old[key] != new[key]:
                yield f"{name}: {words} {old[key]} → {new[key]}"
        for key, words, unit, small in (
            ("database_mb", "its database grew", "MiB", _SMALL_MB),
            ("round_trip_ms", "its round trip grew", "ms", _SHORT_MS),
        ):
            was, now_is = old.get(key), new[key]
            if was is not None and now_is is not None and now_is > max(_GROWN * was, small):
                yield f"{name}: {words} {was:g} → {now_is:g} {unit}"
