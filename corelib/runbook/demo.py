"""The demo: the whole job on a lab, as an operator would do it, from nothing to a verified cluster.

Both changing runbooks run twice for each of their plans: first without an approval, which shows the plan and changes
nothing, then with the digest that was shown. install-hetzner has two: a look at the disks, then the wipe.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from .. import lab
from ..errors import Refused, ServiceFailed
from ..project import Project
from ..record import Record, read
from . import inputs
from .launch import launch

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Act:
    """One run of the demo: which runbook, what it shows, how it must end."""

    name: str
    shows: str
    outcome: str
    approved: bool = False


ACTS = (
    Act("render", "the user-data of every host", "succeeded"),
    Act("deploy-azure", "what would be created; nothing is changed yet", "awaiting approval"),
    Act("deploy-azure", "exactly the approved plan is applied", "succeeded", approved=True),
    Act("install-hetzner", "a machine whose disks nobody knows; nothing is changed yet", "awaiting approval"),
    Act("install-hetzner", "into its rescue system, to look at its disks", "succeeded", approved=True),
    Act("install-hetzner", "which disk would be wiped; nothing is written yet", "awaiting approval"),
    Act("install-hetzner", "wipe, install, reboot", "succeeded", approved=True),
    Act("verify-etcd", "the cluster is healthy, and the one that was rendered", "succeeded"),
)


def demo(at: Project, say: Say) -> int:
    """Run all acts on a fresh lab, which is stopped in the end whatever happens; 0 if all ended as they must."""
    file = at.parameters("lab")
    fleet = inputs.load(file, at).fleet
    assert fleet.lab is not None  # noqa: S101 - checked with the parameters
    network = str(fleet.lab.network)
    _no_other(at, network)
    at.inventory(fleet.environment).unlink(missing_ok=True)  # what it remembers is of a lab that is gone
    for note in (at.state(fleet.environment) / "installs").glob("*.json"):
        note.unlink()
    begun = time.monotonic()
    done: list[Record] = []
    say(f"Starting a lab on {network}: stand-ins for Azure and Hetzner, on this machine only.")
    try:
        lab.start(at.root, network)
        for number, act in enumerate(ACTS, 1):
            say(f"\n{number}/{len(ACTS)} {act.name}: {act.shows}")
            done.append(play(act, at, done, say))
    finally:
        lab.stop(at.root, network)
        say("\nThe lab is stopped.")
    _conclude(done, at, time.monotonic() - begun, say)
    return 0


def _no_other(at: Project, network: str) -> None:
    if lab.status(at.root, network).running:
        remedy = f"end it: .venv/bin/runbooks lab stop --network {network}"
        raise Refused("starting the demo", f"a lab runs on {network}, and the demo begins with an empty one", remedy)


def play(act: Act, at: Project, before: list[Record], say: Say) -> Record:
    settings: dict[str, object] = {"reason": "demo"}
    if act.approved:
        settings |= approval(before[-1], at)
    launched = launch(act.name, at.parameters("lab"), settings, at, say)
    if launched.interrupted:
        raise KeyboardInterrupt
    done = launched.record
    if done.outcome != act.outcome:
        doing, found = f"the demo's {act.name}", f"it ended as {done.outcome!r}, expected {act.outcome!r}"
        raise ServiceFailed(doing, found, f"read {done.path}")
    return done


def approval(planned: Record, at: Project) -> dict[str, object]:
    """What an operator types who has read the plan of the last run."""
    entries = read(at.root / planned.path)
    plan = next(entry for entry in entries if entry["kind"] == "result" and entry["stage"] == "plan")
    return {"approved_plan": plan["plan"], "consent": plan["consents"]}


def _conclude(done: list[Record], at: Project, seconds: float, say: Say) -> None:
    say(f"\nDone in {seconds:.0f} s. Eight records, each with its journal and the executed notebook:")
    for one in done:
        where = str(one.path).removeprefix(f"{at.root}/")
        say(f"  {one.outcome:18} {one.runbook:16} {where}/notebook.ipynb")
    say("Each folder has a record.html for your browser; list them: .venv/bin/runbooks records")
