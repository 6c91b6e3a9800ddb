"""Looking at all members until nothing is left that time alone may mend."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ..member import quorum
from .asking import Pass
from .credentials import barred
from .samples import (
    ABOUT_TLS,
    NOT_ASKED,
    Metrics,
    Reply,
    Sample,
)

ELECTIONS = 2  # an election takes between one and two election timeouts: etcd randomises it in that range
LATECOMER_S = 1.0  # a member that is just starting, while the others serve
PAUSE_S = 0.2  # between looks, or longer
MOST_LOOKS = 12


def settle(run: Pass, election_s: float) -> tuple[tuple[Sample, ...], float]:
    """Look until nothing is left that time alone may mend; the last look, and how long that took.

    Where there is no leader the metrics are read before, and again after as long as every member needs to want to
    lead: who heard of whom in between shows where the network is cut.
    """
    begun = time.monotonic()
    earlier: dict[str, Reply[Metrics]] = {}
    while True:
        at = time.monotonic() - begun
        samples = run.look()
        waited = time.monotonic() - begun
        lost = not _led(samples)
        # What began before the election was over says nothing about afterwards, however long it took.
        over = at >= election_s if lost else waited >= _worth_waiting(samples, election_s)
        if over or not run.until():
            break
        if lost and not earlier:
            serving = [s.member for s in samples if s.listing.value is not None]
            earlier, since = run.each(serving, run.metrics), time.monotonic()
        hung = lost and any(s.linearizable.outcome == "mute" for s in samples)
        run.rest(begun + election_s if hung else time.monotonic() + max(PAUSE_S, election_s / (MOST_LOOKS - 1)))
    if lost and earlier:
        run.rest(since + election_s)
    return tuple(s._replace(earlier=earlier.get(s.member.name, NOT_ASKED)) for s in samples), waited


def _led(samples: Sequence[Sample]) -> bool:
    """Whether enough members serve, and all that do read through the one leader that they name.

    Where time mends nothing it is no matter of elections: a host that is not reached, a door that is another's.
    """
    asked = [s for s in samples if s.version.outcome != "not asked"]
    if not asked or all(s.version.outcome in ABOUT_TLS for s in samples):
        return True
    serving = [s for s in samples if s.listing.value is not None]
    leaders = {s.status.value.leader if s.status.value else 0 for s in serving}
    read = all(s.linearizable.outcome == "answered" or barred(s.linearizable) for s in serving)
    return len(serving) >= min(quorum(len(samples)), len(asked)) and read and len(leaders) == 1 and 0 not in leaders


def _worth_waiting(samples: Sequence[Sample], election_s: float) -> float:
    """How long a look with a leader may still be a passing state: one member may be just starting."""
    asked = [s for s in samples if s.version.outcome != "not asked"]
    if not asked or all(s.version.outcome in ABOUT_TLS for s in samples):
        return 0.0
    serving = [s for s in samples if s.listing.value is not None]
    published = all(entry.client_urls for s in serving if s.listing.value for entry in s.listing.value.members)
    return 0.0 if len(serving) == len(asked) and published else min(LATECOMER_S, election_s)
