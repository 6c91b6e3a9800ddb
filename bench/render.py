"""Rendering a whole fleet, beside a template that is filled in and parsed: time, growth per host, and memory."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import jinja2
import yaml

from .figure import report

PARAMETERS = (Path(__file__).parents[1] / "parameters" / "prd.yaml").read_text()
SIZES = {100: 9, 1_000: 5, 10_000: 3}  # hosts: runs
ADDRESSES = {"azure-prd-a": "203.0.113.5", "azure-prd-b": "203.0.113.6"}


def main() -> None:
    """Print `render-100`, `render-1000`, `render-10000`, `growth` (time per host) and `memory` (MB against 500).

    Each run is a process of its own; imports are not counted, as they are paid once.
    """
    taken: dict[int, list[float]] = {}
    memory: list[float] = []
    for hosts, runs in SIZES.items():
        found = [(_run("ours", hosts), _run("peer", hosts)) for _ in range(runs)]
        taken[hosts] = [ours["seconds"] for ours, _ in found]
        memory = [ours["memory"] for ours, _ in found]
        report(f"render-{hosts}", taken[hosts], [peer["seconds"] for _, peer in found])
    small, large = median(taken[100]) / 100, median(taken[10_000]) / 10_000
    report("growth", [large * 1e6], [small * 1e6], "µs per host")
    report("memory", memory, [500.0] * len(memory), "MB")


def fleet(hosts: int) -> str:
    """The parameters of production with so many hosts; most are nodes: all of it but etcd, and docker's own bridge."""
    place = "        - {name: azure-prd-02, address: 10.1.0.2}\n"
    more = f"        - {{count: {hosts - 4}, name: node-#####, first: 10.1.0.5, etcd: none}}\n"
    lines = [line for line in PARAMETERS.splitlines(keepends=True) if "containers:" not in line]
    assert place in lines
    return "".join(lines).replace(place, place + more)


def ours(text: str) -> int:
    """Load, validate, render, read back and lint every host; how many documents came of it."""
    from corelib import parameters, userdata  # noqa: PLC0415 - in the measured process only

    rendered = userdata.render(parameters.load(text, "bench.yaml").fleet, addresses=ADDRESSES)
    return sum(1 for one in rendered.values() if one.text and one.report.ok)


def peer(hosts: int, template: str) -> int:
    """Fill in the same document for each host, and parse it with libyaml."""
    filled = jinja2.Template(template)
    return sum(1 for n in range(hosts) if yaml.load(filled.render(_values(n)), Loader=yaml.CSafeLoader))


def _values(n: int) -> dict[str, Any]:
    return {"name": f"node-{n:05}", "address": f"10.1.{n // 250}.{n % 250 + 1}", "number": n}


def _template(text: str) -> str:
    """The document of one host with what differs from host to host as variables."""
    from corelib import parameters, userdata  # noqa: PLC0415

    document = userdata.render(parameters.load(text, "bench.yaml").fleet, addresses=ADDRESSES)["node-00001"].text
    return document.replace("node-00001", "{{ name }}").replace("10.1.0.5", "{{ address }}")


def _run(whose: str, hosts: int) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.render", whose, str(hosts)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _measure(whose: str, hosts: int) -> None:
    import corelib.parameters  # noqa: PLC0415 - imported before the clock starts
    import corelib.userdata  # noqa: F401, PLC0415

    text = fleet(hosts)
    if whose == "ours":
        work: Callable[[], int] = lambda: ours(text)  # noqa: E731
    else:
        template = _template(fleet(100))
        work = lambda: peer(hosts, template)  # noqa: E731
    began = time.perf_counter()
    count = work()
    seconds = time.perf_counter() - began
    assert count >= hosts, f"{count} documents for {hosts} hosts"
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "memory": memory}))


if __name__ == "__main__":
    _measure(sys.argv[1], int(sys.argv[2]))
