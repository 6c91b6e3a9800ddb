"""Robot tells boot times in Berlin's local time, without a zone; here they become UTC. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def told(text: str) -> str:
    """A boot time of Robot's in UTC, and this computer's local time beside it where that differs."""
    at = utc(text)
    if at is None:
        return f"{text} (as Robot says it)" if text else "an unknown time"
    local = at.astimezone()
    beside = "" if local.utcoffset() == timedelta(0) else f" ({local:%H:%M:%S} here)"
    return f"{at:%Y-%m-%d %H:%M:%S} UTC{beside}"


def utc(text: str) -> datetime | None:
    """The moment of `2026-09-01 12:00:00` in Berlin; None if it is no such text.

    Summer time lasts from 01:00 UTC on the last Sunday of March to that of October (directive 2000/84/EC). The hour
    that comes twice in October is taken for its first time. Reckoned here, as not every computer has zone data.
    """
    try:
        local = datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    summer = local - timedelta(hours=2)
    if _last_sunday(local.year, 3) <= summer < _last_sunday(local.year, 10):
        return summer
    return local - timedelta(hours=1)


def _last_sunday(year: int, month: int) -> datetime:
    last = datetime(year, month, 31, 1, tzinfo=UTC)
    return last - timedelta(days=last.isoweekday() % 7)
