"""Applying a whole deployment over the shortest time that its graph, and what Azure lets in, allow at all.

The stand-in is a process of its own, whose operations take a fixed time; its machines boot nothing. Both sides keep a
clock that is faster than the real one: what is measured is in its seconds, so that our own work weighs as much more.
"""

from __future__ import annotations

import asyncio
import heapq
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from .figure import report

ROOT = Path(__file__).parents[1]
PARAMETERS = (ROOT / "parameters" / "prd.yaml").read_text()
NETWORK = "127.0.38.0/24"
SIZES = {4: (3, 2.0), 40: (3, 2.0), 400: (1, 4.0)}  # machines: runs, and how much faster than real the clocks are
AT_ONCE = ("group", "availability-set")


def main() -> None:
    """Print `apply-4`, `apply-40`, `apply-400` (s), `observe-400` (calls against pages) and `memory-400` (MB)."""
    for hosts, (runs, speed) in SIZES.items():
        found = [_run(hosts, speed) for _ in range(runs)]
        report(f"apply-{hosts}", [one["seconds"] for one in found], [one["bound"] for one in found])
        print(json.dumps({"what": f"calls-{hosts}", **found[-1]["calls"]}), flush=True)
    report(f"observe-{hosts}", [found[-1]["observing"]], [found[-1]["pages"]], "calls")
    report(f"memory-{hosts}", [one["memory"] for one in found], [300.0] * len(found), "MB")


def parameters(hosts: int) -> str:
    """Those of production with so many hosts, most of them nodes without etcd; no overlay, so all is known at once."""
    text = PARAMETERS
    changes = {
        "        - {name: azure-prd-02, address: 10.1.0.2}\n": "        - {name: azure-prd-02, address: 10.1.0.2}\n"
        + f"        - {{count: {hosts - 4}, name: node-####, first: 10.1.0.5, etcd: none}}\n" * (hosts > 4),
        "subnet: 10.20.1.0/24": "subnet: 10.20.0.0/20",
        "    kind: weave\n": "    kind: none\n",
    }
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    overlay = text.index("    containers:"), text.index("  etcd:\n")
    return text[: overlay[0]] + "\n" + text[overlay[1] :]


def bound(after: Mapping[str, tuple[str, ...]], takes: Mapping[str, float], size: int, rate: float) -> float:
    """Seconds that no apply can be faster than: each step after those that it needs, each write with a token.

    The bucket is full at the beginning; of the steps that could begin, the one with the longest way to go is first.
    """
    way: dict[str, float] = {}
    for target in reversed(after):
        way[target] = takes[target] + max((way[other] for other in after if target in after[other]), default=0.0)
    left = {target: set(needs) for target, needs in after.items()}
    ready = [(-way[target], target) for target, needs in left.items() if not needs]
    heapq.heapify(ready)
    running: list[tuple[float, str]] = []
    now, tokens = 0.0, float(size)
    while ready or running:
        if ready and tokens >= 1 - 1e-9:
            tokens -= 1
            _, target = heapq.heappop(ready)
            heapq.heappush(running, (now + takes[target], target))
            continue
        token = now + (1 - tokens) / rate if ready else float("inf")
        then = min(token, running[0][0] if running else float("inf"))
        tokens, now = min(float(size), tokens + (then - now) * rate), then
        while running and running[0][0] <= now:
            _, ended = heapq.heappop(running)
            for target in [one for one, needs in left.items() if ended in needs]:
                left[target].discard(ended)
                if not left[target]:
                    heapq.heappush(ready, (-way[target], target))
    return now


def _run(hosts: int, speed: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name, _standin(Path(name), speed) as where:
        command = [sys.executable, "-m", "bench.deploy", "apply", str(hosts), name, json.dumps(where)]
        identity = {"IDENTITY_ENDPOINT": where["identity"], "IDENTITY_HEADER": where["identity_header"]}
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **identity})
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@contextmanager
def _standin(folder: Path, speed: float) -> Iterator[dict[str, Any]]:
    command = [sys.executable, "-m", "bench.deploy", "serve", str(folder), str(speed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()


class _NoHosts:
    """Machines that are there for Azure only."""

    def boot(self, machine: Any) -> None: ...
    def destroy(self, name: str) -> None: ...
    def erase(self, disk: str) -> None: ...


async def _serve(folder: Path, speed: float) -> None:
    """The stand-in, until it is ended."""
    from corelib.lab import arm, pki  # noqa: PLC0415 - not in the measured process
    from corelib.lab.places import CONTROL  # noqa: PLC0415
    from corelib.lab.site import Site  # noqa: PLC0415

    network = IPv4Network(NETWORK)
    tls, ca = pki.issue(folder, str(network.network_address + CONTROL))
    timing = replace(arm.AZURE, speed=speed)
    site, enough = Site("bench", network, folder, tls, ca), arm.Account(quotas={"*": 10_000})
    where = (await arm.start(site, _NoHosts(), timing, usual=enough)).endpoints
    takes = {"machine": timing.compute, "other": timing.network}
    print(json.dumps({**where, "ca": str(ca), "takes": takes, "speed": speed}), flush=True)
    await asyncio.Event().wait()


def _apply(hosts: int, folder: Path, where: Mapping[str, Any]) -> None:
    """The measured process: plan, apply with its journal on the disk, look that all is there."""
    import corelib.parameters  # noqa: PLC0415 - in the measured process only
    from corelib import userdata  # noqa: PLC0415
    from corelib.azure import client, desired, executor, observe  # noqa: PLC0415
    from corelib.azure import plan as planning  # noqa: PLC0415
    from corelib.azure.acts import acts  # noqa: PLC0415
    from corelib.azure.pace import LIMITS, Clock, Pace  # noqa: PLC0415
    from corelib.kernel.display import Live  # noqa: PLC0415
    from corelib.record import Journal  # noqa: PLC0415
    from corelib.runbook.watcher import Watcher  # noqa: PLC0415

    fleet = corelib.parameters.load(parameters(hosts), "bench.yaml").fleet
    assert fleet.azure is not None
    rendered = userdata.render(fleet)
    wanted = desired.resources(fleet, {host.name: rendered[host.name].content for host in fleet.hosts})
    credential, clock = client.credential_of("managed-identity"), Clock(where["speed"])
    at = client.connect(fleet.azure, endpoint=where["arm"], verify=where["ca"], credential=credential, pace=Pace(clock))

    def plan() -> Any:
        observed = observe.observe(at, wanted, fleet.environment)
        return planning.plan(fleet, wanted, observed, "bench", where["arm"])

    first, log = plan(), folder / "arm.log"
    journal = Journal(folder / "record")
    watch = Watcher(journal, Live(shown=False), "bench", lambda: None, {one.target: one.after for one in wanted})
    before, begun = _lines(log), clock.now()
    executor.apply(first, acts(at, wanted), watch, clock=clock)
    seconds, between = clock.now() - begun, _lines(log)
    left = plan()
    assert left.empty, left
    assert len([one for one in wanted if one.kind == "machine"]) == hosts
    applied, observing = between[len(before) :], _lines(log)[len(between) :]
    after = {one.target: one.after for one in wanted}
    took = {**dict.fromkeys(AT_ONCE, 0.0), "machine": where["takes"]["machine"]}
    takes = {one.target: took.get(one.kind, where["takes"]["other"]) for one in wanted}
    found = {
        "seconds": seconds,
        "bound": bound(after, takes, *LIMITS["writes"]),
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "observing": len(observing),
        "pages": _pages(wanted),
        "calls": Counter(f"{one['method']} {one['status']}" for one in applied),
    }
    print(json.dumps(found))


def _pages(wanted: Any, page: int = 50) -> int:
    """How many pages hold what is there: of groups, of each kind in each group, of all machines and of all that is ours
    at once."""
    from corelib.azure.resource import TYPES  # noqa: PLC0415

    groups = {one.group for one in wanted}
    held = Counter((one.group, one.kind) for one in wanted)
    # A machine of ours brings a disk of its own, for its system.
    held.update({(group, "disk"): held[group, "machine"] for group in groups})
    machines = sum(held[group, "machine"] for group in groups)
    counts = [
        len(groups),
        machines,
        len(wanted) - len(groups),
        *(held[group, kind] for group in groups for kind in TYPES),
    ]
    return sum(max(1, -(-count // page)) for count in counts)


def _lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        asyncio.run(_serve(Path(sys.argv[2]), float(sys.argv[3])))
    else:
        _apply(int(sys.argv[2]), Path(sys.argv[3]), json.loads(sys.argv[4]))
