"""Run one benchmark by name, or all of them."""

from __future__ import annotations

import sys
from importlib import import_module

NAMES = ("runbook", "record", "render", "verify", "deploy", "install")

chosen = sys.argv[1:] or NAMES
for name in chosen:
    if name not in NAMES:
        sys.exit(f"no benchmark {name!r}; there are: {', '.join(NAMES)}")
    import_module(f"bench.{name}").main()
