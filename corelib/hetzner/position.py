"""What follows from where a machine is: what an install does next. Pure."""

from __future__ import annotations

from typing import Literal

from .facts import Note, Standing

Position = Literal["arm", "guard", "follow", "reboot", "arrive", "busy", "lost"]
"""What an install does next.

`arm`: into the rescue system, as nothing was written, or what was written is bad. `guard`: it is there, and no script
of this attempt was begun. `follow`: its script runs, or has ended well. `reboot`: written and checked, still in the
rescue system. `arrive`: on its way to the new system. `busy`: a script of another install runs. `lost`: a write was
begun, and what became of it is not known; only a look from the rescue system tells, and only another approval writes
again.
"""


def position(note: Note, standing: Standing, wanted: str) -> Position:
    """What follows from the facts; `wanted` names what is to be written now."""
    ours = _ours(note, wanted)
    if note.host_key and ours:
        return "reboot" if standing.system == "rescue" else "arrive"
    if standing.system == "rescue":
        if standing.script == "running":
            return "follow" if ours and note.open else "busy"
        return "follow" if standing.script == "good" and ours and note.open else "guard"
    return "lost" if note.open and not note.failed else "arm"


def attempt(note: Note, standing: Standing, wanted: str) -> int:
    """The number of the attempt at writing that is under way, or would be the next one."""
    goes_on = note.host_key or (note.open and standing.script != "bad")
    return note.attempt if goes_on and _ours(note, wanted) else note.attempt + 1


def _ours(note: Note, wanted: str) -> bool:
    """Whether the last attempt wrote what is wanted now, and has not been found bad since."""
    return note.wanted == wanted and not note.failed
