"""Berlin's local time, in which Robot tells boot times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def berlin(now: datetime) -> datetime:
    """Central European time: summer time between the last Sundays of March and October, 01:00 UTC (2000/84/EC).

    Reckoned here, as a computer without Debian's tzdata knows no time zones.
    """
    summer = _last_sunday(now.year, 3) <= now.astimezone(UTC) < _last_sunday(now.year, 10)
    return (now.astimezone(UTC) + timedelta(hours=2 if summer else 1)).replace(tzinfo=None)


def _last_sunday(year: int, month: int) -> datetime:
    last = datetime(year, month, 31, 1, tzinfo=UTC)
    return last - timedelta(days=last.isoweekday() % 7)
