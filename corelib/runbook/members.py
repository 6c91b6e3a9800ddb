"""Doing a plan's steps about etcd's members: a snapshot, one leaves, one joins, one votes; each with the judge."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ..azure.executor import Telling
from ..errors import Refused, ServiceFailed, TimedOut, Unhealthy
from ..etcd.changing import Door
from ..etcd.hosts import ended
from ..etcd.identity import shown
from ..etcd.present import Present
from ..plan import Step
from .verification import Verification

OLDEST = timedelta(minutes=15)  # of a snapshot, when a member leaves
CATCHES_UP_S = 1800.0  # until a member that joins must vote: the machine boots, and all data come over the network
SETTLES_S = 120.0  # until the others are well after one has left
_PAUSE_S = 2.0

Look = Callable[[Collection[str]], Verification]  # with the names of those that are on their way in
OpenDoor = Callable[[str], AbstractContextManager[Door]]


@dataclass(frozen=True, slots=True)
class Members:
    """What acts on etcd: `look` verifies it, `door` opens a way through one member, `arrived` is told who is back.

    `keys` are the SSH keys that snapshots are encrypted to, `folder` where they are kept; `going` are all members that
    the plan changes, `excused` those of them that were at fault before it began, which stops nothing.
    """

    look: Look
    door: OpenDoor
    arrived: Callable[[], None]
    keys: Sequence[str]
    folder: Path
    going: frozenset[str]
    excused: frozenset[str] = frozenset()
    _away: set[str] = field(default_factory=set)  # who has left, and is not back

    def act(self, step: Step, telling: Telling) -> None:
        """Do one step to its end. Raises RunbookError."""
        does = {"snapshot": self._snapshot, "leave": self._leave, "join": self._join, "ready": self._ready}
        does[step.desired["kind"]](step, telling)

    def _snapshot(self, step: Step, telling: Telling) -> None:
        present = self._well(step, telling, anyway=step.desired["name"] == "all")
        with self.door(_through(present, step.desired["name"])) as door:
            telling.waits(f"comes from {door.name}")
            kept = door.snapshot(self.keys, self.folder / _file(step.desired["name"]))
        with kept.file.open("rb") as file:  # it may have gigabytes
            encrypted = hashlib.file_digest(file, "sha256").hexdigest()
        telling.facts.update(file=kept.file.name, bytes=kept.size, sha256=kept.sha256, sha256_encrypted=encrypted)
        telling.facts.update({"from": door.name, "to open it": f"age -d -i KEY {kept.file.name} > etcd.db"})

    def _leave(self, step: Step, telling: Telling) -> None:
        name, number = step.desired["name"], int(step.desired["id"], 16)
        self._check_snapshot(name)
        before = self._well(step, telling)
        if name in before.voters and before.without(name).spare < 0:  # somebody else has died since the plan
            found = f"without it the quorum would be lost now: {before.sentence}"
            raise Refused(f"removing {name} from etcd", found, "mend that first, then look at the plan again")
        with self.door(_through(before, name)) as door:
            door.remove(number)
        self._away.add(name)
        self._until(
            telling,
            SETTLES_S,
            f"{name} has left, and the others are not well without it",
            lambda found: (
                all(one.id != number for one in found.present.listed) and not self._trouble(found.present, name)
            ),
        )

    def _join(self, step: Step, telling: Telling) -> None:
        """Once etcd serves; who founds it may have come in this plan, and nobody knows yet where."""
        self.arrived()
        name, url = step.desired["name"], step.desired["peer_url"]
        found = self._until(
            telling,
            CATCHES_UP_S,
            "etcd does not serve",
            lambda found: bool(found.present.listed) or _is_known(found, name, url),
        )
        if _is_known(found, name, url):
            telling.facts["known"] = "the others' data say that it is a member already"
            return
        with self.door(_through(found.present, name)) as door:
            number = door.add(url)
        telling.facts["member"] = shown(number)

    def _ready(self, step: Step, telling: Telling) -> None:
        """Until it votes and all is well; what is learnt of its machine first is where it is."""
        self.arrived()
        name = step.desired["name"]
        self._until(telling, CATCHES_UP_S, f"{name} does not vote", lambda found: self._votes(found, name, telling))
        self._away.discard(name)
        self._until(
            telling,
            SETTLES_S,
            f"{name} votes, and etcd is not well",
            lambda found: (
                name in found.present.serving and not found.present.trouble((self.excused | self._away) - {name})
            ),
        )

    def _votes(self, found: Verification, name: str, telling: Telling) -> bool:
        """Whether it votes; a learner that has caught up is promoted. Raises Unhealthy where it never will."""
        entry = found.present.named(name)
        if why := next((ended(one) for one in found.samples.members if one.member.name == name), ""):
            voter = entry is not None and not entry.learner
            remedy = "read its journal, and start it there" if voter else f"have it made anew: replace: [{name}]"
            raise Unhealthy(f"waiting for {telling.target}", f"{why}; {remedy}")
        if entry is None:
            return False
        telling.facts["member"] = shown(entry.id)
        if entry.learner:
            telling.waits("it catches up")
            with self.door(_through(found.present, name)) as door:
                return door.promote(entry.id)
        return True

    def _well(self, step: Step, telling: Telling, *, anyway: bool = False) -> Present:
        """The cluster as it is, well apart from those that the plan changes, or `anyway`: with a quorum at least.

        Raises Unhealthy.
        """
        telling.waits("etcd is verified")
        present = self.look(self.going).present
        trouble = "" if anyway else self._trouble(present, step.desired["name"])
        if not present.has_quorum:
            trouble = present.sentence
        if trouble:
            remedy = "mend that first, then run again with the same approval: it goes on with what is left"
            raise Unhealthy(f"before {step.target}", trouble, remedy)
        return present

    def _trouble(self, present: Present, name: str) -> str:
        """What is wrong with the others, but for who was at fault already, or is away because of us."""
        return present.trouble(self.excused | self._away | {name})

    def _until(self, telling: Telling, limit: float, what: str, well: Callable[[Verification], bool]) -> Verification:
        """Look until it is so. Raises TimedOut with what etcd was like at the last look."""
        end = time.monotonic() + limit
        while True:
            found = self.look(self.going)
            if well(found):
                return found
            if time.monotonic() > end:
                raise TimedOut(f"waiting for {telling.target}", f"{what}: {found.verdict.sentence}", _AGAIN)
            telling.waits(found.verdict.sentence)
            time.sleep(_PAUSE_S)

    def _check_snapshot(self, name: str) -> None:
        """A snapshot for this member must be there, and young: what came after it would be lost with the quorum."""
        files = sorted(self.folder.glob(f"*-{name}.db.age"))
        now = time.time()
        if not files or now - files[-1].stat().st_mtime > OLDEST.total_seconds():
            found = "there is no snapshot" if not files else f"the newest snapshot, {files[-1].name}, is too old"
            remedy = "run again with the same approval: it takes a new one first"
            raise Refused(f"removing {name} from etcd", f"{found} (15 minutes are allowed)", remedy)


_AGAIN = "verify-etcd says what is wrong; then run again with the same approval: it goes on with what is left"


def _is_known(found: Verification, name: str, url: str) -> bool:
    """Whether it has been a member for long: those that came back have found their data, as it will its own.

    A list of a quorum is believed; where there is none, for want of this member perhaps, what all have on their disks.
    """
    own = [view.members for one in found.samples.members for view in (one.listing.value, one.peer.value) if view]
    lists = [found.present.listed] if found.present.listed else own
    has = [any(entry.name == name and url in entry.peer_urls for entry in members) for members in lists]
    return bool(has) and all(has)


def _through(present: Present, apart_from: str) -> str:
    """A member that serves, and is not the one that is changed."""
    names = sorted(present.serving & present.voters - {apart_from})
    if not names:
        raise ServiceFailed("changing who is in etcd", "no other member serves", "verify-etcd says what is wrong")
    return names[0]


def _file(name: str) -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{name}.db.age"
