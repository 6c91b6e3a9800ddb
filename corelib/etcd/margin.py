"""The quorum's margin in words: how much more may fail, or what must come back."""

from __future__ import annotations

from ..member import quorum
from .case import Case, joined
from .sides import split

_TIMES = {1: "one more loss", 2: "two more losses", 3: "three more losses", 4: "four more losses"}


def margin(case: Case) -> str:
    """Counts voters as the member list has them (as rendered, if nobody gives a list) and members that serve."""
    names = {entry.name for entry in case.voters()} or {member.name for member in case.expected}
    voters = len(case.voters()) or len(case.expected)
    needed = quorum(voters)
    serving, up = len(names.intersection(case.serving())), len(names.intersection(case.up()))
    unasked = [name for name in case.unasked() if name in names]
    if serving >= needed:
        return _spare(voters, needed, serving, unasked)
    if unasked and serving:  # a read through the leader has needed a quorum, whoever that is
        return f"a quorum serves; how much more may fail is unknown, as {joined(unasked)} could not be asked"
    if not up:
        return f"unknown: no member of the rendered cluster answers clients ({voters} voters, quorum {needed})"
    if up + len(unasked) >= needed:
        return f"{_undecided(case, unasked)}{up} of {voters} voters answer, quorum {needed}, {_why(case, unasked)}"
    return f"quorum lost: {up} of {voters}, needs {needed}: {_back(case, names)}; do not wipe"


def _back(case: Case, names: set[str]) -> str:
    """How voters come back: who has a machine is restarted, the others are deployed again."""
    silent = [m.name for m in case.expected if m.name in names and m.name not in case.up()]
    without = [name for name in silent if name in case.gone() | case.intended.awaiting]
    ways = []
    if there := [name for name in silent if name not in without]:
        ways.append(f"restart {joined(there, 'or')}")
    if without:
        ways.append(f"deploy {joined(without, 'or')} again, with its data disk as it is")
    return ", or ".join(ways) or "start or remove the voters that are not rendered"


def _undecided(case: Case, unasked: list[str]) -> str:
    return "unknown: " if unasked or case.barred() else ""


def _why(case: Case, unasked: list[str]) -> str:
    """What keeps those that answer from serving, or us from knowing."""
    if case.barred():
        return "and they let nobody read without credentials that they accept"
    if parted := split(case):
        return f"and no side has it: {parted}"
    first = f": reach {joined(unasked)} first; do not wipe" if unasked else ""
    return f"and they have no leader{first}"


def _spare(voters: int, needed: int, serving: int, unasked: list[str]) -> str:
    spare = serving - needed
    word = _TIMES.get(spare, f"{spare} more losses")
    if unasked:
        known = word if spare else "no further loss"
        return f"{serving} of {voters} serve, {joined(unasked)} could not be asked: {known} tolerated for certain"
    more = f"{word} tolerated" if spare else "no further loss tolerated"
    return f"{voters} voters, quorum {needed}: {more}" if serving == voters else f"{serving} of {voters}: {more}"
