"""Which members reach each other, by what they heard of each other: what a split looks like. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from ..member import quorum
from .case import Case, joined
from .samples import Sample

Side = frozenset[str]


def sides(case: Case) -> tuple[Side, ...]:
    """The members that told whom they heard, in groups that reach each other."""
    ways = _ways(case)
    groups: list[Side] = []
    for name in ways:
        if not any(name in group for group in groups):
            groups.append(_group(name, ways))
    return tuple(groups)


def alone(case: Case, name: str) -> bool:
    """Whether this member reached none of the others that answer."""
    return len(_ways(case)) > 1 and Side({name}) in sides(case)


def split(case: Case) -> str:
    """In words, how the members are split so that no side has a quorum; empty if they are not."""
    voters = len(case.voters()) or len(case.expected)
    groups = sides(case)
    if len(groups) < 2 or any(len(group) >= quorum(voters) for group in groups):
        return ""
    told = [joined([m.name for m in case.expected if m.name in group]) for group in groups]
    even = len(groups) == 2 and len(groups[0]) == len(groups[1])
    return f"{', '.join(told[:-1])} on one side, {told[-1]} on the other{': an even split' if even else ''}"


def _ways(case: Case) -> dict[str, Side]:
    """By name, whom each member has heard of, or was heard by, while a leader was waited for."""
    heard = {member.name: _heard(case, sample) for member, sample in case.pairs()}
    told = {name: names for name, names in heard.items() if names is not None}
    return {name: names | {other for other, others in told.items() if name in others} for name, names in told.items()}


def _heard(case: Case, sample: Sample) -> Side | None:
    """Who sent it something between two looks: leaders do every heartbeat, and members without one want to lead.

    Not etcd's own figure of active peers: 3.5.1 calls those active whose answers only cease to come.
    """
    before, after = sample.earlier.value, sample.metrics.value
    if before is None or after is None:
        return None
    grown = (number for number, count in after.heard.items() if count > before.heard.get(number, 0))
    return Side(case.name_of(number) for number in grown if number)  # 0: only that the connection lives


def _group(name: str, ways: Mapping[str, Side]) -> Side:
    """All that can be reached from one, over others too."""
    found, new = {name}, [name]
    while new:
        reached = ways[new.pop()].intersection(ways) - found
        found |= reached
        new += sorted(reached)
    return Side(found)
