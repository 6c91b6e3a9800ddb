"""What evidence costs: a run's journal and redaction, the check of a long journal, and the redaction of long output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from jupyter_client.manager import KernelManager

from corelib.record import Journal
from corelib.record.verify import verify

from .figure import report

ROOT = Path(__file__).parents[1]
RUNS, CHECKS, STREAMS = 11, 5, 5
LINES, SECRETS = 200_000, 50


def main() -> None:
    """Print the figures `overhead`, `verify-growth` and `redaction`."""
    _overhead()
    _verify_growth()
    _redaction()


def without() -> None:
    """In a kernel: no journal, no ledger, no redaction. What is left of a run is the runbook's own work."""
    from corelib.kernel import wire  # noqa: PLC0415 - in the kernel only
    from corelib.record import journal, ledger, seal  # noqa: PLC0415
    from corelib.runbook import session  # noqa: PLC0415

    class Deaf:
        redactor = wire.Redactor()

        def listen(self, *_: object) -> None: ...
        def catch_up(self) -> None: ...
        def deaf(self) -> None: ...

    wire.install = Deaf  # type: ignore[assignment, misc]
    journal.Journal.note = lambda *_, **__: {}  # type: ignore[method-assign]
    journal.Journal.write = lambda *_, **__: {}  # type: ignore[method-assign]
    ledger.append = lambda *_, **__: ""  # type: ignore[assignment]
    seal.close = lambda *_, **__: None  # type: ignore[assignment]
    session.origin = lambda _: {}


def _overhead() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "runbooks").mkdir()
        (folder / "parameters").symlink_to(ROOT / "parameters")
        load, off = "import bench.record", "import bench.record; bench.record.without()"
        for kind, first in (("with", load), ("without", off)):
            notebook = json.loads((ROOT / "runbooks" / "render.ipynb").read_text())
            notebook["cells"][1]["source"] = [f"{first}\n", *notebook["cells"][1]["source"]]
            (folder / "runbooks" / f"{kind}.ipynb").write_text(json.dumps(notebook))
        (folder / "runbooks" / "render.ipynb").write_bytes((ROOT / "runbooks" / "render.ipynb").read_bytes())
        report("overhead", *_in_turn(RUNS, lambda: _papermill(folder, "with"), lambda: _papermill(folder, "without")))


def _papermill(folder: Path, kind: str) -> None:
    command = [sys.executable, "-m", "papermill", str(folder / "runbooks" / f"{kind}.ipynb"), str(folder / "out.ipynb")]
    command += ["--no-progress-bar", "-f", str(folder / "parameters" / "lab.yaml")]
    environment = {**os.environ, "RUNBOOKS_ROOT": str(folder), "PYTHONPATH": str(ROOT)}
    subprocess.run(command, check=True, capture_output=True, timeout=120, env=environment)


def _verify_growth() -> None:
    """Time per line; a step's entry as an apply writes it."""
    with tempfile.TemporaryDirectory() as name:
        long, short = _journal(Path(name) / "long", 100_000), _journal(Path(name) / "short", 1_000)
        ours, peer = _in_turn(CHECKS, lambda: verify(long), lambda: verify(short))
        report("verify-growth", [took / 100_000 * 1e6 for took in ours], [took / 1_000 * 1e6 for took in peer], "µs")


def _journal(folder: Path, lines: int) -> Path:
    with mock.patch("os.fsync"):  # what the disk takes is not what is measured here
        journal = Journal(folder)
        for n in range(lines - 1):
            journal.write("step", target=f"azure-lab-a/machine/{n}", phase="done", detail="", facts={"requests": ["x"]})
        journal.write("end", complete=True, artefacts={})
        journal.close()
    return folder


_PRINT = f"""
import random
random.seed(7)
words = ["".join(random.choices("abcdefghijklmnopqrstuvwxyz0123456789+/", k=24)) for _ in range({SECRETS})]
BEGIN
for n in range({LINES}):
    print("2026-11-23T03:00:00Z host", n, "etcd: request took", n % 977, words[n % {SECRETS}] if n % 10 == 0 else "ms")
"""
_BEGIN = """
from corelib.kernel import wire
from corelib.kernel.cells import Cells
class Run:
    def cell_log(self, number):
        from pathlib import Path; import tempfile
        return Path(tempfile.mkdtemp()) / "log"
    def before_idle(self): pass
w = wire.install()
for word in words: w.redactor.add(word)
w.listen(Run(), Cells(lambda *a, **k: None, lambda *a, **k: None, lambda: 0), wire.executing())
"""


def _redaction() -> None:
    ours, peer = _in_turn(STREAMS, lambda: _kernel(_BEGIN), lambda: _kernel(""))
    report("redaction", ours, peer)


def _kernel(begin: str) -> float:
    """Seconds from the cell's request to its idle, in a fresh kernel, with every message taken."""
    manager = KernelManager()
    manager.start_kernel(env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL)
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        if begin:
            client.execute_interactive("from corelib.kernel import wire, cells", timeout=60)
        begun = time.monotonic()
        reply = client.execute_interactive(_PRINT.replace("BEGIN", begin), timeout=120, output_hook=lambda _: None)
        took = time.monotonic() - begun
        assert reply["content"]["status"] == "ok", reply["content"]
        return took
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def _in_turn(runs: int, ours: Callable[[], object], peer: Callable[[], object]) -> tuple[list[float], list[float]]:
    """Seconds of each, taken in turn; the first pair only warms up. Who measures itself returns a float."""
    found: tuple[list[float], list[float]] = ([], [])
    for run in range(runs + 1):
        for act, into in zip((ours, peer), found, strict=True):
            begun = time.monotonic()
            said = act()
            if run:
                into.append(said if isinstance(said, float) else time.monotonic() - begun)
    return found
