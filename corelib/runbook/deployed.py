"""The user-data that machines were given, by SHA-256: Azure never shows it again, and a plan wants to compare it."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..azure.resource import USER_DATA, Observed


@dataclass(frozen=True, slots=True)
class Deployed:
    """A folder with a document for each digest. Losing it costs the comparison, nothing else."""

    folder: Path

    def keep(self, machines: Iterable[Mapping[str, Any]]) -> None:
        """Remember what these machines are given, before they are."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for body in machines:
            content = base64.b64decode(body["properties"]["osProfile"]["customData"])
            (self.folder / f"{body['tags'][USER_DATA]}.yaml").write_bytes(content)

    def known(self, observed: Observed) -> dict[str, str]:
        """The documents of the machines that are there, as far as they are remembered."""
        digests = {(body.get("tags") or {}).get(USER_DATA, "") for body in observed.bodies.values()}
        files = {digest: self.folder / f"{digest}.yaml" for digest in digests if digest.isalnum()}
        return {digest: file.read_text() for digest, file in files.items() if file.is_file()}
