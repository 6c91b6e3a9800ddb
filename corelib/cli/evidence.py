"""`runbooks records`, `show`, `verify-record`, `collect`, `seal`, `approve`, `countersign`, `prune`."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .. import project
from ..errors import BadInput


def add(commands: Any) -> None:
    """Add these commands to the parser's."""
    records = commands.add_parser("records", help="list the runs and their outcomes")
    records.add_argument("--environment", default="")
    records.add_argument("--runbook", default="")
    records.add_argument("--outcome", default="", help="such as failed, interrupted, 'awaiting approval'")
    records.add_argument("--since", default="", metavar="DATE", help="UTC, as in 2026-11-23")
    records.add_argument("--json", action="store_true")
    records.set_defaults(act=_records)

    show = commands.add_parser("show", help="one record: who, when, why, what was approved and done")
    show.add_argument("id", help="its id, the end of it, or its folder")
    show.add_argument("--json", action="store_true", help="the record and every entry of its journal")
    show.set_defaults(act=_show)

    verify = commands.add_parser("verify-record", help="was anything altered? one record, an environment, or all")
    verify.add_argument("path", type=Path)
    verify.add_argument("--allowed-signers", type=Path, metavar="FILE", help="as ssh-keygen(1) reads it")
    verify.add_argument("--head", default="", metavar="DIGEST", help="the ledger's head as you have kept it")
    verify.add_argument("--json", action="store_true")
    verify.set_defaults(act=_verify)

    collect = commands.add_parser("collect", help="file a notebook that JupyterLab or papermill has saved")
    collect.add_argument("notebook", type=Path)
    collect.set_defaults(act=_collect)

    seal = commands.add_parser("seal", help="close the record of a run whose process is gone")
    seal.add_argument("id")
    seal.set_defaults(act=_seal)

    approve = commands.add_parser("approve", help="sign the approval of a plan, for somebody else's run")
    approve.add_argument("plan", metavar="plan-…")
    approve.set_defaults(act=_approve)

    countersign = commands.add_parser("countersign", help="sign a run that broke the glass, afterwards")
    countersign.add_argument("id")
    countersign.set_defaults(act=_countersign)

    prune = commands.add_parser("prune", help="remove old records; each leaves a tombstone in the ledger")
    prune.add_argument("--keep", required=True, metavar="DURATION", help="such as 90d, 12w, 2y")
    prune.add_argument("--environment", required=True)
    prune.add_argument("--yes", action="store_true", help="without it, they are only listed")
    prune.set_defaults(act=_prune)


def _records(given: argparse.Namespace) -> int:
    from ..record import records  # noqa: PLC0415 - each command loads only what it needs
    from ..record.outcome import OUTCOMES  # noqa: PLC0415
    from ..views import Table  # noqa: PLC0415

    if given.outcome not in ("", *OUTCOMES):
        raise BadInput("listing records", f"--outcome {given.outcome!r} is none", f"say one of: {', '.join(OUTCOMES)}")
    since = _time(given.since) if given.since else ""
    found = [
        one
        for one in records(project.find().root, given.environment)
        if given.runbook in ("", one.runbook) and given.outcome in ("", one.outcome) and one.started >= since
    ]
    if given.json:
        print(json.dumps([one.as_dict() for one in found], indent=1))
        return 0
    columns = ("started (UTC)", "outcome", "environment", "runbook", "operator", "why", "id", "")
    print(Table(columns, [_row(one) for one in found]).text())
    return 0


def _time(text: str) -> str:
    """A date or time, UTC unless it says otherwise, as the records have it."""
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        remedy = "say a date, as in 2026-11-23, or a time, as in 2026-11-23T03:00"
        raise BadInput("listing records", f"--since {text!r} is no date", remedy) from None
    at = given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)
    return at.isoformat(timespec="microseconds")


def _row(one: Any) -> tuple[str, ...]:
    why = " · ".join(text for text in (one.reason, one.ticket) if text)
    return (one.started[:19], one.outcome, one.environment, one.runbook, one.operator, why, one.id, one.remark)


def _show(given: argparse.Namespace) -> int:
    from ..runbook import evidence  # noqa: PLC0415 - each command loads only what it needs
    from ..views.record import summary  # noqa: PLC0415

    one, entries = evidence.shown(given.id, project.find_or_here())
    if given.json:
        print(json.dumps({**one.as_dict(), "entries": entries}, indent=1))
    else:
        print(summary(one.as_dict(), entries).text())
    return 0


def _verify(given: argparse.Namespace) -> int:
    """Needs no project and no Jupyter: an auditor has the folder, and this package."""
    from ..record import chain, journal, ledger  # noqa: PLC0415 - each command loads only what it needs

    signers = _signers(given.allowed_signers) if given.allowed_signers else None
    path: Path = given.path.resolve()
    if (path / journal.NAME).is_file():
        return _verify_one(path, signers, given)
    if any(path.glob(f"*/{journal.NAME}")) or (path / ledger.NAME).is_file():
        every = chain.verify_all(path, signers, given.head)
        print(json.dumps(every.as_dict(), indent=1) if given.json else _chain(every))
        return 0 if every.intact else 1
    if not chain.environments(path):
        remedy = "name a record's folder, records/<environment>, or records"
        raise BadInput(f"verifying {given.path}", "there is no journal and no ledger", remedy)
    return _verify_environments(path, signers, given)


def _verify_one(path: Path, signers: str | None, given: argparse.Namespace) -> int:
    from ..record import chain, ledger, verify  # noqa: PLC0415 - each command loads only what it needs

    lines = ledger.read(path.parent)
    if given.head and not lines:
        raise BadInput(f"verifying {given.path}", "--head was given, and no ledger lies beside this record", "leave it")
    one = verify.verify(path, signers)
    one = replace(one, findings=(*one.findings, *chain.held(lines, given.head)))
    print(json.dumps(one.as_dict(), indent=1) if given.json else _verified(one))
    return 0 if one.intact else 1


def _verify_environments(path: Path, signers: str | None, given: argparse.Namespace) -> int:
    from ..record import chain  # noqa: PLC0415 - each command loads only what it needs

    if given.head:
        found = "--head was given, and every environment has a head of its own"
        raise BadInput(f"verifying {given.path}", found, f"name one: {given.path}/<environment>")
    found_in = {folder.name: chain.verify_all(folder, signers) for folder in chain.environments(path)}
    if given.json:
        print(json.dumps({name: every.as_dict() for name, every in found_in.items()}, indent=1))
    else:
        print("\n\n".join(f"{name}:\n{_chain(every)}" for name, every in found_in.items()))
    return 0 if all(every.intact for every in found_in.values()) else 1


def _chain(every: Any) -> str:
    word = "intact" if every.intact else "ALTERED"
    head = f" The ledger's head, to be kept elsewhere: {every.head}" if every.head else ""
    last = f"{len(every.records)} records, {word}.{head}"
    return "\n".join([*(_verified(one) for one in every.records), *(str(one) for one in every.findings), last])


def _verified(one: Any) -> str:
    word = ("sealed" if one.sealed else "not closed yet") if one.intact else "ALTERED"
    signer = f"signed by {one.signer}" if one.signer else "unsigned"
    lines = [f"{one.record}: {word}, {signer}; outcome {one.outcome}", *(f"  {finding}" for finding in one.findings)]
    return "\n".join(lines)


def _signers(path: Path) -> str:
    from ..record.signing import check_signers  # noqa: PLC0415 - takes 0.3 s to load

    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as problem:
        raise BadInput(f"reading {path}", str(problem), "") from None
    check_signers(text, str(path))
    return text


def _collect(given: argparse.Namespace) -> int:
    from ..runbook.filing import collect  # noqa: PLC0415 - each command loads only what it needs

    print(f"Filed in {collect(given.notebook.resolve(), project.find())}")
    return 0


def _seal(given: argparse.Namespace) -> int:
    from ..runbook import evidence  # noqa: PLC0415 - each command loads only what it needs

    print(f"Sealed: {evidence.close(given.id, project.find())}")
    return 0


def _approve(given: argparse.Namespace) -> int:
    from ..runbook import evidence  # noqa: PLC0415 - each command loads only what it needs

    file, steps = evidence.approve(given.plan, project.find())
    print("\n".join(["You approve:", *(f"  {step}" for step in steps)]))
    print(f"Signed: {file}\nIt is valid for 24 h, where it lies beside the plan, or is carried there.")
    return 0


def _countersign(given: argparse.Namespace) -> int:
    from ..runbook import evidence  # noqa: PLC0415 - each command loads only what it needs

    print(f"Countersigned: {evidence.countersign(given.id, project.find())}")
    return 0


def _prune(given: argparse.Namespace) -> int:
    from ..runbook import evidence  # noqa: PLC0415 - each command loads only what it needs

    at = project.find()
    old = evidence.prunable(given.keep, given.environment, at)
    for one in old:
        print(f"{one.started[:19]}  {one.outcome:18} {one.id}")
    if not given.yes:
        print(f"{len(old)} records would be removed; with --yes they are, each leaving a tombstone in the ledger.")
        return 0
    evidence.prune(old, given.environment, at)
    print(f"{len(old)} records were removed, each leaving a tombstone in the ledger.")
    return 0
