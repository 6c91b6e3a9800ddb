"""Plans that were shown, and their approvals, kept between runs so that an interrupted apply can be resumed.

`state/<environment>/plans/<digest>.json` is a plan as it was shown and when it was first applied;
`<digest>.<key>.approval` beside it is somebody's signed approval of exactly that plan, to be carried by any means.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Refused
from ..fleet import Approvers
from ..plan import APPROVAL_LIFETIME, Approval, Plan, approve
from ..project import Project

if TYPE_CHECKING:
    from ..record.signing import Key

Asked = Mapping[str, Sequence[str]]
"""What a plan was made for beside the parameters (replace, destroy, restore): texts by name."""

_SKEW = timedelta(minutes=5)  # how far two people's clocks may differ


@dataclass(frozen=True, slots=True)
class Others:
    """An approval by somebody else: who, when (UTC), with which key, and from which machine's account.

    `statement` is what was signed, `signature` the armoured SSH signature: with them a record proves it by itself.
    """

    name: str
    at: datetime
    fingerprint: str
    account: str
    statement: str
    signature: str


@dataclass(frozen=True, slots=True)
class Given:
    """The approvals by others that count, one for each of them, and why each other file does not."""

    counted: tuple[Others, ...]
    passed_over: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Approvals:
    """The folder of plans of one environment: a JSON file per digest, written atomically."""

    folder: Path

    def remember(self, plan: Plan, now: datetime | None = None, asked: Asked | None = None) -> None:
        """Keep a plan that is about to be shown, and what it was `asked` for; an approval that it already has stays.

        With `now`, to somebody who has not approved it (yet): an approval that has expired is forgotten, so that the
        same plan can be approved anew.
        """
        known = self.shown(plan.digest) if self._path(plan.digest).exists() else {}
        kept = _as_dict(plan) if not known or (now is not None and _expired(known, now)) else known
        if asked is not None:
            kept = {**kept, "asked": {name: list(texts) for name, texts in asked.items()}}
        if kept != known:
            self._write(f"{plan.digest}.json", json.dumps(kept, indent=1, sort_keys=True))

    def approval(self, digest: str, plan: Plan, by: str, now: datetime) -> Approval:
        """The approval named by `digest`: the one on file, else a new one of the plan that was shown under it.

        Its age counts from its first use. Raises Refused if no plan of that digest was ever shown here.
        """
        if digest == plan.digest:
            self.remember(plan)
        try:
            stored = self.shown(digest)
        except FileNotFoundError:
            remedy = f"look at the plan, and approve {plan.digest} if it is what you want"
            raise Refused(f"applying {plan.runbook}", f"no plan {digest} was ever shown here", remedy) from None
        if "at" not in stored:
            stored |= {"at": now.isoformat(), "by": by}
            self._write(f"{digest}.json", json.dumps(stored, indent=1, sort_keys=True))
        at = datetime.fromisoformat(stored["at"]).astimezone(UTC)
        return Approval(digest, at, stored["by"], stored["target"], stored["code"], frozenset(stored["steps"]))

    def shown(self, digest: str) -> dict[str, Any]:
        """A plan as it was shown. Raises FileNotFoundError."""
        content: dict[str, Any] = json.loads(self._path(digest).read_text())
        return content

    def asked(self, digest: str) -> tuple[Asked, tuple[str, ...]] | None:
        """What the plan of this digest was asked for, and the consents that it needs; None where that is not known."""
        try:
            shown = self.shown(digest)
        except FileNotFoundError:
            return None
        return (shown["asked"], tuple(shown["consents"])) if {"asked", "consents"} <= set(shown) else None

    def targets(self, digest: str) -> tuple[str, ...]:
        """What the plan of this digest does something to, as far as it was shown here."""
        try:
            return tuple(self.shown(digest).get("targets", ())) if digest else ()
        except FileNotFoundError:
            return ()

    def sign(self, digest: str, key: Key, by: str, now: datetime) -> Path:
        """Approve a plan that was shown here, with a key; returns the file that says so."""
        from ..record import signing  # noqa: PLC0415 - takes 0.3 s to load

        shown = self.shown(digest)
        covered = {name: shown[name] for name in ("runbook", "environment", "target", "code", "steps")}
        statement = json.dumps({"approves": digest, **covered, "by": by, "at": now.isoformat()}, sort_keys=True)
        signature = key.sign(statement.encode(), signing.APPROVAL).decode()
        name = f"{digest}.{key.fingerprint[7:19].replace('/', '_')}.approval"
        self._write(name, json.dumps({"statement": statement, "signature": signature}, indent=1))
        return self.folder / name

    def of_others(self, plan: str, approvers: Approvers, operator: str, own_key: str, now: datetime) -> Given:
        """The approvals that count: by a key that is allowed, not the operator's, of this plan, at most 24 h old."""
        found: dict[str, Others] = {}
        passed_over = []
        for file in sorted(self.folder.glob(f"{plan}.*.approval")):
            try:
                one = _checked(file, plan, approvers)
                _count(one, file, operator, own_key, now)
                found[one.name] = one
            except Refused as problem:
                passed_over.append(str(problem))
        return Given(tuple(found.values()), tuple(passed_over))

    def _path(self, digest: str) -> Path:
        return self.folder / f"{digest}.json"

    def _write(self, name: str, content: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = self.folder / f".{name}.{os.getpid()}"
        draft.write_text(content)
        draft.replace(self.folder / name)


def shown_in(at: Project, digest: str) -> Iterator[Approvals]:
    """The environments of this project in which a plan of that digest was shown."""
    for file in sorted((at.root / "state").glob(f"*/plans/{digest}.json")):
        yield Approvals(file.parent)


def _checked(file: Path, plan: str, approvers: Approvers) -> Others:
    from ..record import signing  # noqa: PLC0415 - takes 0.3 s to load

    doing = f"reading the approval {file.name}"
    try:
        content = json.loads(file.read_text())
        statement, armour = str(content["statement"]), str(content["signature"])
        signature = signing.check(statement.encode(), armour.encode(), signing.APPROVAL)
        said: Mapping[str, Any] = json.loads(statement)
        at, approves, account = datetime.fromisoformat(said["at"]), said["approves"], str(said["by"])
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise Refused(doing, f"it is none: {problem!r}", "remove it, and let it be given again") from None
    if signature is None or not signature.good:
        raise Refused(doing, "its signature is not one of what it says", "remove it, and let it be given again")
    names = [one.name for one in approvers.keys if signing.same_key(one.key, signature.public)]
    if not names:
        found = f"the key {signature.fingerprint} is not among fleet.approvers.keys"
        raise Refused(doing, found, "remove it, and ask somebody who is")
    if approves != plan:
        raise Refused(doing, f"it approves {approves}", "remove it, and let it be given again")
    return Others(names[0], at, signature.fingerprint, account, statement, armour)


def _count(one: Others, file: Path, operator: str, own_key: str, now: datetime) -> None:
    """Return if an approval counts for this operator, at this time. Raises Refused."""
    doing = f"reading {file.name}"
    if one.fingerprint == own_key or one.account == operator:
        found = f"{one.name} approved, and is the operator of this run ({operator})"
        raise Refused(doing, found, "ask somebody else")
    if not now - APPROVAL_LIFETIME <= one.at <= now + _SKEW:
        raise Refused(doing, f"{one.name} approved at {one.at:%F %R} UTC, and that is valid for 24 h", "ask again")


def _expired(shown: Mapping[str, Any], now: datetime) -> bool:
    at = shown.get("at")
    return at is not None and now - datetime.fromisoformat(at) > APPROVAL_LIFETIME


def _as_dict(plan: Plan) -> dict[str, Any]:
    covered = approve(plan, datetime.now(UTC), "")
    return {
        "runbook": plan.runbook,
        "environment": plan.environment,
        "target": dict(plan.target),
        "code": plan.code,
        "steps": sorted(covered.steps),
        "consents": list(plan.consents),
        "targets": [step.target for step in plan.pending],
        "shown": [f"{step.action} {step.target}: {step.what}" for step in plan.pending],
    }
