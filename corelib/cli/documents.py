"""`check`, `schema`, `render` and `lint`: what parameters mean, and what hosts would make of a #cloud-config."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from .. import project


def add(commands: Any) -> None:
    """Add these commands to the parser's."""
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
