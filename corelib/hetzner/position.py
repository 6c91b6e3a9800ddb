"""What follows from where a machine is: what an install does next. Pure."""

from __future__ import annotations

from typing import Literal

from .facts import Note, Standing

Position = Literal["arm", "guard", "follow", "reboot", "arrive", "busy", "lost"]
"""What an install does next.

`arm`: into the rescue system, as nothing was written. `guard`: it is there, and no script of this attempt was begun.
`follow`: its script runs, or has ended well. `reboot`: written and checked, still in the rescue system. `arrive`: on
its way to the new system. `busy`: a script of another install runs. `lost`: a write was begun, and what became of it
is not known; only a look from the rescue system tells, and only another approval writes again.
"""


def position(note: Note, standing: Standing, wanted: str) -> Position:
    """What follows from the facts; `wanted` names what is to be written now."""
    ours = note.wanted == wanted
    if note.host_key and ours:
        return "reboot" if standing.system == "rescue" else "arrive"
    if standing.system == "rescue":
        if standing.script == "running":
            return "follow" if ours and note.open else "busy"
        return "follow" if standing.script == "good" and ours and note.open else "guard"
    return "lost" if note.open else "arm"


def attempt(note: Note, standing: Standing, wanted: str) -> int:
    """The number of the attempt at writing that is under way, or would be the next one."""
    goes_on = note.open and note.wanted == wanted and standing.script != "bad"
    return note.attempt if goes_on or (note.host_key and note.wanted == wanted) else note.attempt + 1
