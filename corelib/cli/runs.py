"""`plan`, `run`, `rehearse`, `lab` and `demo`: a runbook headless, and what it runs against."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from .. import project
from ..errors import BadInput

EXIT = {
    "succeeded": 0,
    "no change": 0,
    "awaiting approval": 0,
    "failed": 1,
    "refused": 3,
    "unhealthy": 4,
    "interrupted": 5,
    "running": 1,
}
PLANNED = {"nothing to do": 0, "blocked": 4, "awaiting approval": 6}

CHANGING = ("deploy-azure", "install-hetzner")
TAKES = {"deploy-azure": ("replace", "destroy", "restore"), "install-hetzner": ("replace",)}


def add(commands: Any) -> None:
    """Add these commands to the parser's."""
    plan = commands.add_parser("plan", help="what a changing runbook would do: no run, no record, nothing changed")
    plan.add_argument("name", choices=CHANGING)
    plan.add_argument("-f", "--file", type=Path, required=True)
    plan.add_argument("--json", action="store_true", help="digest, target, steps with their changes, order, consents")
    _add_asked(plan)
    plan.set_defaults(act=_plan)

    run = commands.add_parser("run", help="run a runbook headless, its notebook filed with its record")
    run.add_argument("name", choices=("render", "deploy-azure", "install-hetzner", "verify-etcd"))
    run.add_argument("-f", "--file", type=Path, required=True)
    run.add_argument("--reason", default="", help="why, for the record")
    run.add_argument("--ticket", default="", help="the number of the ticket, for the record")
    run.add_argument("--approved-plan", default="", metavar="plan-…", help="the digest of the plan that you approve")
    run.add_argument(
        "--consent", action="append", default=[], metavar="TEXT", help="what may be destroyed, as the plan names it"
    )
    _add_asked(run)
    run.add_argument("--break-glass", default="", metavar="REASON", help="go alone where others have to approve")
    run.add_argument("--force-unlock", default="", metavar="RUN", help="the run that hangs and holds the lock")
    run.set_defaults(act=_run)

    lab = commands.add_parser("lab", help="local stand-ins for both providers")
    lab.add_argument("what", choices=("start", "stop", "status"))
    lab.add_argument("--network", default="127.0.2.0/24", help="a /24 in 127.0.0.0/8 (default: %(default)s)")
    lab.set_defaults(act=_lab)

    rehearse = commands.add_parser("rehearse", help="production's parameters on a lab: all four runbooks, from nothing")
    rehearse.add_argument("-f", "--file", type=Path, required=True)
    rehearse.add_argument("--network", default="127.0.4.0/24", help="a /24 in 127.0.0.0/8 (default: %(default)s)")
    rehearse.set_defaults(act=_rehearse)

    demo = commands.add_parser("demo", help="all four runbooks on a lab, from nothing to a verified cluster")
    demo.set_defaults(act=_demo)


def _add_asked(command: argparse.ArgumentParser) -> None:
    """What a runbook can be asked for, beside what the parameters say."""
    command.add_argument(
        "--replace", action="append", default=[], metavar="HOST", help="a host to be made anew, or a dedicated machine"
    )
    command.add_argument(
        "--destroy", action="append", default=[], metavar="WHAT", help="a cluster, or targets ('azure-prd-a/disk/*')"
    )
    command.add_argument(
        "--restore", action="append", default=[], metavar="FILE", help="a snapshot of etcd, where its quorum is lost"
    )


def _asked(given: argparse.Namespace) -> dict[str, list[str]]:
    asked = {name: getattr(given, name) for name in ("replace", "destroy", "restore") if getattr(given, name)}
    if strange := [name for name in asked if name not in TAKES.get(given.name, ())]:
        raise BadInput(f"running {given.name}", f"it cannot {' or '.join(strange)}", "leave it out")
    return asked


def _plan(given: argparse.Namespace) -> int:
    from .. import runbook  # noqa: PLC0415 - each command loads only what it needs

    found = runbook.of(given.name).look(given.file.resolve(), _asked(given), project.find())
    print(json.dumps(found.data(), indent=1) if given.json else found.view(str(given.file)).text())
    return PLANNED[found.state]


def _run(given: argparse.Namespace) -> int:
    from ..runbook.launch import launch  # noqa: PLC0415 - papermill is slow to load

    settings = {"reason": given.reason, "ticket": given.ticket}
    changing = {name: getattr(given, name) for name in ("approved_plan", "consent", "break_glass", "force_unlock")}
    if given.name in CHANGING:
        settings |= changing | _asked(given)
    elif any(changing.values()) or _asked(given):
        raise BadInput(f"running {given.name}", "it changes nothing, so it takes no approval", "leave it out")
    done = launch(given.name, given.file.resolve(), settings, project.find(), print)
    return EXIT[done.record.outcome]


def _lab(given: argparse.Namespace) -> int:
    from ..runbook.labs import act  # noqa: PLC0415 - each command loads only what it needs

    return act(given.what, project.find().root, given.network, print)


def _rehearse(given: argparse.Namespace) -> int:
    from ..runbook.rehearse import rehearse  # noqa: PLC0415 - each command loads only what it needs

    return rehearse(given.file.resolve(), project.find(), given.network, print)


def _demo(_: argparse.Namespace) -> int:
    from ..runbook.demo import demo  # noqa: PLC0415 - each command loads only what it needs

    return demo(project.find(), print)
