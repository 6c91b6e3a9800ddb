"""What is done with records afterwards: closing, countersigning, pruning and looking at them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BadInput
from ..project import Project
from ..record import Record, chain, read, records, seal
from ..record.journal import NAME as JOURNAL
from ..record.listing import find, record
from ..record.origin import operator
from . import drafts, filing
from .approvals import shown_in

if TYPE_CHECKING:
    from ..record.signing import Key

_UNITS = {"h": 1 / 24, "d": 1, "w": 7, "m": 30, "y": 365}  # in days


def located(run: str, at: Project) -> Path:
    """The folder of a record, given by its id, the end of it, or its path. Raises BadInput."""
    path = Path(run)
    if (path / JOURNAL).is_file():
        return path.resolve()
    folder = find(at.root, run)
    if folder is None:
        raise BadInput(
            f"looking for the record {run}", "there is none, or more than one", "runbooks records lists them"
        )
    return folder


def close(run: str, at: Project) -> Path:
    """Seal the record of a run whose process is gone, and file what there is of its notebook. Raises RunbookError.

    What was cut off, the sealing or the filing, is finished.
    """
    folder = located(run, at)
    draft = drafts.path(at, folder.name)
    unfiled = draft.exists() or seal.half_filed(folder)
    if not (seal.sealed(folder) and unfiled):
        seal.seal(folder, seal.operators_key(), operator())
    if draft.exists():
        filing.file(folder, draft.read_bytes())
        draft.unlink()
    elif unfiled:
        seal.finish_filing(folder)
    return folder


def approve(digest: str, at: Project) -> tuple[Path, list[str]]:
    """Sign an approval of a plan that was shown here; returns its file, and the steps that it covers."""
    doing = f"approving {digest}"
    key = _key(doing)
    places = list(shown_in(at, digest))
    if len(places) != 1:
        found = "no plan of that digest was shown here" if not places else "several environments have it"
        raise BadInput(doing, found, "let the runbook show it here first")
    return places[0].sign(digest, key, operator(), datetime.now(UTC)), list(places[0].shown(digest)["shown"])


def countersign(run: str, at: Project) -> Path:
    """Sign the journal of a run that went without the approval of others, as one who may approve; returns the file."""
    from ..record import countersigned  # noqa: PLC0415 - takes 0.3 s to load

    folder = located(run, at)
    return countersigned.countersign(folder, read(folder), _key(f"countersigning {folder.name}"), operator())


def prunable(keep: str, environment: str, at: Project) -> list[Record]:
    """The runs of an environment that are over for longer than `keep` (90d, 12w, 1y). Raises BadInput."""
    match = re.fullmatch(r"([1-9][0-9]{0,4})([hdwmy])", keep)
    if match is None:
        raise BadInput("pruning records", f"--keep {keep!r} is no duration", "say 90d, 12w, 6m or 2y")
    age = timedelta(days=int(match[1]) * _UNITS[match[2]])
    return chain.older(records(at.root, environment), age, datetime.now(UTC))


def prune(old: list[Record], environment: str, at: Project) -> None:
    """Remove them, each leaving a tombstone in the environment's ledger."""
    chain.prune(at.records(environment), old, seal.operators_key())


def shown(run: str, at: Project) -> tuple[Record, list[dict[str, object]]]:
    """A record and its journal's entries."""
    folder = located(run, at)
    return record(folder), read(folder)


def _key(doing: str) -> Key:
    key = seal.operators_key()
    if key is None:
        raise BadInput(doing, "no key signs it", "set RUNBOOKS_SIGNING_KEY to your own SSH key")
    return key
