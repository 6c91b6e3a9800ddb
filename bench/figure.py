"""One figure: ours beside the peer's, medians of the same run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from statistics import median


def report(what: str, ours: Sequence[float], peer: Sequence[float], unit: str = "s") -> None:
    """Print a figure as one JSON line; `ours` and `peer` are samples taken in turn."""
    mine, other = median(ours), median(peer)
    line = {"what": what, "ours": round(mine, 4), "peer": round(other, 4), "ratio": round(mine / other, 3)}
    print(json.dumps({**line, "n": len(ours), "unit": unit}), flush=True)
