"""install-hetzner for 1, 10 and 50 servers at once, on the stand-in's fast clock: wall time beside the slowest server.

The stand-in is as slow as the real thing, in minutes of its own: a boot into the rescue system, Robot's limits by the
hour. Everything that computes is this machine's: at a high speed it would count as minutes of the stand-in's.
"""

from __future__ import annotations

import hashlib
import resource
import tempfile
import time
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from corelib import userdata
from corelib.fleet import Dedicated
from corelib.hetzner import install
from corelib.hetzner.clock import Clock
from corelib.hetzner.job import Job
from corelib.hetzner.memory import Memory
from corelib.hetzner.observe import observe
from corelib.hetzner.plan import plan, target
from corelib.hetzner.robot import Robot
from corelib.hetzner.stages import Deadlines
from corelib.hetzner.together import together
from tests.hetzner.rig import fleet
from tests.lab.robot.standin import StandIn, running

from .figure import report

COUNTS = (1, 10, 50)
SPEED = 12.0
# As measured on real hardware: host keys 80 s after the reset, SSH 10 s later; the disk's system answers within 90 s.
TIMING = {"power": 20.0, "announce": 60.0, "rescue": 10.0, "boot": 90.0, "speed": SPEED}
MOST_MB = 300


def main() -> None:
    """Print `install-1`, `install-10`, `install-50`: seconds of the wall against those of the slowest server."""
    for count in COUNTS:
        with (
            tempfile.TemporaryDirectory() as name,
            running(Path(name) / "robot", timing=TIMING, servers=count) as standin,
        ):
            took: dict[str, float] = {}
            begun = time.perf_counter()
            _install(standin, count, took)
            report(f"install-{count}", [time.perf_counter() - begun], [max(took.values())])
            asked = _asked(standin)
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"# {count} at once: {used:.0f} MB at most; Robot was asked {asked}", flush=True)
        assert used < MOST_MB, f"{used:.0f} MB"


def _install(standin: StandIn, count: int, took: dict[str, float]) -> None:
    """Look at all disks, then write, as the runbook does: each server on its own, in both plans."""
    clock = Clock(SPEED)
    whole = fleet().model_copy(update={"dedicated": _hosts(standin.address, count)})
    robot = Robot(standin.url, *standin.login, standin.ca, clock=clock)
    content = {host.name: userdata.render(whole)[host.name].content for host in whole.dedicated}
    script = standin.installer
    memories = {host.name: Memory(standin.folder / f"{host.name}.json") for host in whole.dedicated}
    deadlines = Deadlines(rescue=3600, ssh=1800, write=7200, boot=3600, settle=1800, stuck=600)

    def job(host: Dedicated, **more: Any) -> Job:
        fixed = (whole, host, robot, standin.operator, lambda _: None, memories[host.name])
        return Job(*fixed, deadlines=deadlines, clock=clock, **more)

    def timed(name: str, work: Any) -> Any:
        def do() -> Any:
            begun = time.perf_counter()
            try:
                return work()
            finally:
                took[name] = took.get(name, 0.0) + time.perf_counter() - begun

        return do

    looks = {host.name: timed(host.name, lambda host=host: install.inspect(job(host))) for host in whole.dedicated}
    together(looks, "looking")
    notes = {name: memory.note for name, memory in memories.items()}
    seen = observe(whole, robot, {}, standin.operator, notes)
    made = plan(whole, seen, content, _sha256(script), "bench", standin.url)
    steps = {step.target: step for step in made.pending}
    writes = {
        host.name: timed(
            host.name,
            lambda host=host: install.install(
                job(host, user_data=content[host.name], installer=script, desired=steps[target(host)].desired)
            ),
        )
        for host in whole.dedicated
    }
    together(writes, "installing")


def _hosts(first: str, count: int) -> tuple[Dedicated, ...]:
    """The servers of the stand-in, as it numbers and names them."""
    host = fleet().dedicated[0]
    return tuple(
        host.model_copy(
            update={
                "name": f"ded-lab-{one + 1:02}",
                "server": 321 + one,
                "address": IPv4Address(first) + one,
                "disk": host.disk if one == 0 else f"wwn-0x5000c50{321 + one:05x}c3d4",
            }
        )
        for one in range(count)
    )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _asked(standin: StandIn) -> str:
    requests = standin.requests()
    limited = sum(status == 403 for _, _, status in requests)
    resets = sum(method == "POST" and path.startswith("/reset/") for method, path, _ in requests)
    return f"{len(requests)} times, {resets} of them resets; {limited} were beyond a limit, and waited for"
