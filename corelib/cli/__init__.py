"""The `runbooks` command: what can be asked without opening a notebook, and running one headless.

Exit codes: 0 succeeded, no change or awaiting approval · 1 failed · 2 bad input · 3 refused · 4 unhealthy ·
5 interrupted. `verify` besides: 6 members come or go as intended · 7 nothing is known to be wrong, not all is proven.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import project
from ..errors import BadInput, Refused, RunbookError, Unhealthy
from . import evidence

_EPILOG = (__doc__ or "").partition("\n\n")[2]

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

VERDICTS = {"healthy": 0, "unhealthy": 4, "awaiting": 6, "unproven": 7}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; what is foreseeable is told in a sentence on standard error."""
    given = _parser().parse_args(arguments)
    try:
        code = int(given.act(given))
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read this has seen enough; what is still buffered has nowhere to go
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except RunbookError as error:
        print(error, file=sys.stderr)
        return next((code for kind, code in _CODES.items() if isinstance(error, kind)), 1)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 5
    return code


_CODES: dict[type[RunbookError], int] = {BadInput: 2, Refused: 3, Unhealthy: 4}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="runbooks", description="Runbooks for fleets of container hosts.", epilog=_EPILOG
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    check = commands.add_parser("check", help="read a parameters file; name every problem with its line")
    check.add_argument("-f", "--file", type=Path, required=True)
    check.set_defaults(act=_check)

    schema = commands.add_parser("schema", help="the JSON Schema of parameters files, as in parameters/schema.json")
    schema.set_defaults(act=_schema)

    render = commands.add_parser("render", help="write the user-data of every host into a folder")
    render.add_argument("-f", "--file", type=Path, required=True)
    render.add_argument("--out", type=Path, required=True, metavar="DIR", help="replaced as a whole")
    render.add_argument("--as-written", action="store_true", help="the form in which the reference's owner wrote it")
    render.set_defaults(act=_render)

    verify = commands.add_parser("verify", help="is etcd healthy, and the one that was rendered? As the runbook says")
    verify.add_argument("-f", "--file", type=Path, required=True)
    verify.add_argument("--json", action="store_true")
    verify.set_defaults(act=_verify)

    _add_lint(commands)
    run = commands.add_parser("run", help="run a runbook headless, its notebook filed with its record")
    run.add_argument("name", choices=("render", "deploy-azure", "install-hetzner", "verify-etcd"))
    run.add_argument("-f", "--file", type=Path, required=True)
    run.add_argument("--reason", default="", help="why, for the record")
    run.add_argument("--ticket", default="", help="the number of the ticket, for the record")
    run.add_argument("--approved-plan", default="", metavar="plan-…", help="the digest of the plan that you approve")
    run.add_argument(
        "--consent", action="append", default=[], metavar="TEXT", help="what may be destroyed, as the plan names it"
    )
    run.add_argument("--break-glass", default="", metavar="REASON", help="go alone where others have to approve")
    run.add_argument("--force-unlock", default="", metavar="RUN", help="the run that hangs and holds the lock")
    run.set_defaults(act=_run)

    evidence.add(commands)

    lab = commands.add_parser("lab", help="local stand-ins for both providers")
    lab.add_argument("what", choices=("start", "stop", "status"))
    lab.add_argument("--network", default="127.0.2.0/24", help="a /24 in 127.0.0.0/8 (default: %(default)s)")
    lab.set_defaults(act=_lab)

    demo = commands.add_parser("demo", help="all four runbooks on a lab, from nothing to a verified cluster")
    demo.set_defaults(act=_demo)
    return parser


def _add_lint(commands: Any) -> None:
    lint = commands.add_parser("lint", help="what each release would make of a #cloud-config, line by line")
    lint.add_argument("files", nargs="+", type=Path, metavar="FILE")
    lint.add_argument("--release", action="append", choices=("coreos", "flatcar"), help="default: both")
    lint.add_argument("--fix", action="store_true", help="write the corrected file, where no decision is needed")
    lint.add_argument("--json", action="store_true")
    lint.set_defaults(act=_lint)


def _check(given: argparse.Namespace) -> int:
    from ..runbook.inputs import load  # noqa: PLC0415 - each command loads only what it needs

    loaded = load(given.file.resolve(), project.find_or_here())
    hosts = len(loaded.fleet.hosts) + len(loaded.fleet.dedicated)
    environment, target = loaded.fleet.environment, loaded.fleet.target
    print(f"{loaded.source}: environment {environment}, target {target}, {hosts} hosts: no errors")
    for finding in loaded.report:
        print(finding)
    for example in loaded.examples:
        print(f"{example.where}: still an example: {example.path}")
    return 0


def _schema(_: argparse.Namespace) -> int:
    from ..parameters import schema  # noqa: PLC0415 - each command loads only what it needs

    print(json.dumps(schema(), indent=1))
    return 0


def _render(given: argparse.Namespace) -> int:
    from .. import userdata  # noqa: PLC0415 - each command loads only what it needs
    from ..runbook.inputs import load  # noqa: PLC0415
    from ..runbook.inventory import Inventory  # noqa: PLC0415
    from ..runbook.render import changes, last, write  # noqa: PLC0415
    from ..views.findings import lines  # noqa: PLC0415

    at = project.find_or_here()
    loaded = load(given.file.resolve(), at)
    addresses = Inventory(at.inventory(loaded.fleet.environment)).addresses()
    profile = "as-written" if given.as_written else loaded.fleet.profile
    rendered = userdata.render(loaded.fleet, profile, addresses)
    folder = given.out.resolve()
    before = {name: last(folder, name) for name in rendered}
    write(rendered, folder, as_written=profile == "as-written")
    for name, one in rendered.items():
        print(f"{one.sha256[:12]}  {given.out / name}.yaml")
    for change in changes(rendered, before):
        print(f"\n{change.text()}")
    for line in lines(userdata.findings(rendered)):
        print(line, file=sys.stderr)
    return 0


def _verify(given: argparse.Namespace) -> int:
    from .. import references  # noqa: PLC0415 - each command loads only what it needs
    from ..runbook.inputs import load  # noqa: PLC0415
    from ..runbook.targets import Targets  # noqa: PLC0415
    from ..runbook.verification import verify  # noqa: PLC0415

    at = project.find_or_here()
    fleet = load(given.file.resolve(), at).fleet
    found = verify(fleet, Targets.of(fleet, at.root, lambda one: references.resolve(one, at.root)), at)
    print(json.dumps(found.facts, indent=1) if given.json else found.view().text())
    return VERDICTS[found.verdict.kind]


def _lint(given: argparse.Namespace) -> int:
    from ..runbook import lint  # noqa: PLC0415 - each command loads only what it needs
    from ..userdata.lint import RELEASES  # noqa: PLC0415

    mended = [str(file) for file in given.files if given.fix and lint.mend(file)]
    releases = [RELEASES[name] for name in given.release or RELEASES]
    found = {str(file): lint.check(file, releases) for file in given.files}
    worst = any(trap.severity == "error" for traps in found.values() for trap in traps)
    if given.json:
        facts = ("rule", "severity", "line", "message", "remedy", "releases")
        listed = {file: [{name: getattr(t, name) for name in facts} for t in traps] for file, traps in found.items()}
        print(json.dumps({"mended": mended, "files": listed}, indent=1))
        return 1 if worst else 0
    for file in mended:
        print(f"{file}: corrected")
    for file, traps in found.items():
        for trap in traps:
            releases_said = "" if len(trap.releases) in (0, len(releases)) else f" on {', '.join(trap.releases)}"
            remedy = f" ({trap.remedy})" if trap.remedy else ""
            print(f"{file}:{trap.line}: {trap.severity}{releases_said}: {trap.message}{remedy} [{trap.rule}]")
        count = sum(trap.severity == "error" for trap in traps)
        print(f"{file}: {count} errors, {len(traps) - count} other findings")
    return 1 if worst else 0


def _run(given: argparse.Namespace) -> int:
    from ..runbook.launch import launch  # noqa: PLC0415 - papermill is slow to load

    settings = {"reason": given.reason, "ticket": given.ticket}
    changing = {name: getattr(given, name) for name in ("approved_plan", "consent", "break_glass", "force_unlock")}
    if given.name in ("deploy-azure", "install-hetzner"):
        settings |= changing
    elif any(changing.values()):
        raise BadInput(f"running {given.name}", "it changes nothing, so it takes no approval", "leave it out")
    done = launch(given.name, given.file.resolve(), settings, project.find(), print)
    return EXIT[done.record.outcome]


def _lab(given: argparse.Namespace) -> int:
    from ..runbook.labs import act  # noqa: PLC0415 - each command loads only what it needs

    return act(given.what, project.find().root, given.network, print)


def _demo(_: argparse.Namespace) -> int:
    from ..runbook.demo import demo  # noqa: PLC0415 - each command loads only what it needs

    return demo(project.find(), print)
