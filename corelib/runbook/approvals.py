"""Plans that were shown, and their approvals, kept between runs so that an interrupted apply can be resumed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import BadInput
from ..plan import Approval, Plan, approve


@dataclass(frozen=True, slots=True)
class Approvals:
    """The folder of plans of one environment: a JSON file per digest, written atomically."""

    folder: Path

    def remember(self, plan: Plan) -> None:
        """Keep a plan that is about to be shown; an approval that it already has stays."""
        if not self._path(plan.digest).exists():
            self._write(plan.digest, _as_dict(plan))

    def approval(self, digest: str, plan: Plan, by: str, now: datetime) -> Approval:
        """The approval named by `digest`: the one on file, else a new one of the plan that was shown under it.

        Its age counts from its first use. Raises BadInput if no plan of that digest was ever shown here.
        """
        if digest == plan.digest:
            self.remember(plan)
        try:
            stored: dict[str, Any] = json.loads(self._path(digest).read_text())
        except FileNotFoundError:
            remedy = f"look at the plan, and approve {plan.digest} if it is what you want"
            raise BadInput(f"applying {plan.runbook}", f"no plan {digest} was ever shown here", remedy) from None
        if "at" not in stored:
            stored |= {"at": now.isoformat(), "by": by}
            self._write(digest, stored)
        at = datetime.fromisoformat(stored["at"]).astimezone(UTC)
        return Approval(digest, at, stored["by"], stored["target"], stored["code"], frozenset(stored["steps"]))

    def _path(self, digest: str) -> Path:
        return self.folder / f"{digest}.json"

    def _write(self, digest: str, content: Mapping[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = self.folder / f".{digest}.{os.getpid()}"
        draft.write_text(json.dumps(content, indent=1, sort_keys=True))
        draft.replace(self._path(digest))


def _as_dict(plan: Plan) -> dict[str, Any]:
    covered = approve(plan, datetime.now(UTC), "")
    return {"runbook": plan.runbook, "target": dict(plan.target), "code": plan.code, "steps": sorted(covered.steps)}
