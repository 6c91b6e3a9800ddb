"""The stand-in in a process of its own, as the lab's supervisor runs it: its children belong to its main thread.

Run as `python -m tests.lab.robot.standin FOLDER NETWORK OPTIONS`: serves until its standard input is closed, and says
in one line of JSON where. OPTIONS is JSON: `timing`, `faults`, `servers`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from corelib.lab import marks, pki, robot
from corelib.lab.places import CONTROL
from corelib.lab.robot.inside import disk
from corelib.lab.site import Site

ROOT = Path(__file__).parents[3]
QUICK = {"power": 0.05, "rescue": 0.2, "boot": 0.05}


@dataclass(frozen=True)
class StandIn:
    """A running stand-in: its URL, CA, folder, and the process that it runs in."""

    url: str
    folder: Path
    address: str
    process: subprocess.Popen[str]

    @property
    def ca(self) -> str:
        return str(self.folder / "ca.pem")

    @property
    def login(self) -> tuple[str, str]:
        return (self.folder / "robot-user").read_text(), (self.folder / "robot-password").read_text()

    @property
    def operator(self) -> str:
        return (self.folder / "operator_ed25519").read_text()

    @property
    def installer(self) -> bytes:
        return (self.folder / "flatcar-install").read_bytes()

    def requests(self, path: str = "") -> list[tuple[str, str, int]]:
        """Every request so far: method, path, status."""
        log = self.folder / "robot.log"
        lines = [json.loads(line) for line in (log.read_text() if log.exists() else "").splitlines()]
        return [(one["method"], one["path"], one["status"]) for one in lines if one["path"].startswith(path)]

    def disk(self, last: str, number: int = 321) -> Path:
        return self.folder / "machines" / str(number) / f"disk-{last}"

    def digest(self, last: str, number: int = 321) -> str:
        """SHA-256 over the extents of a disk's file and where they are: a sparse file is not read in full."""
        found, at = hashlib.sha256(), 0
        with self.disk(last, number).open("rb") as file:
            while True:
                try:
                    start = os.lseek(file.fileno(), at, os.SEEK_DATA)
                except OSError:  # no more data
                    return f"{file.seek(0, os.SEEK_END)} {found.hexdigest()}"
                at = os.lseek(file.fileno(), start, os.SEEK_HOLE)
                file.seek(start)
                found.update(f"{start} {at} ".encode() + file.read(at - start))

    def files(self) -> dict[str, bytes]:
        """Every file on the installed ROOT, `{}` where there is none; read by the lab's own reader."""
        with self.disk("c3d4").open("rb") as file:
            try:
                return disk.read(file, disk.root(file))
            except disk.DiskError:
                return {}


@contextmanager
def running(folder: Path, wrapper: Sequence[str] = (), **options: Any) -> Iterator[StandIn]:
    """A stand-in on the first free address of the range that these tests own."""
    folder.mkdir(parents=True, exist_ok=True)
    mark = f"test-{folder.parent.name}-{folder.name}-{time.monotonic_ns()}"
    arguments = [str(folder), mark, json.dumps({"timing": QUICK, **options})]
    process = subprocess.Popen(
        [*wrapper, sys.executable, "-m", "tests.lab.robot.standin", *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        yield StandIn(said["robot"], folder, said["address"], process)
    finally:
        process.kill()
        process.wait()
        deadline = time.monotonic() + 10
        while marks.marked(mark) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not marks.marked(mark), "a machine outlived its stand-in"


async def _serve(folder: Path, mark: str, options: dict[str, Any]) -> None:
    timing, faults = robot.Timing(**options["timing"]), robot.Faults(**options.get("faults", {}))
    many = options.get("servers", 1) > 1  # these need all of .200 to .249
    for last in range(1 if many else 5):  # two runs of the tests may be under way: .200 and .250 move with the network
        network = IPv4Network((f"127.0.{97 if many else 13}.{last}", 32))
        tls, ca = pki.issue(folder, str(network.network_address + CONTROL))
        site = Site(mark, network, folder, tls, ca)
        try:
            where = await robot.serve(site, timing, faults, options.get("servers", 1))
        except OSError:
            continue
        print(json.dumps({**where, "address": site.address(200)}), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        return
    raise SystemExit("no address of 127.0.13.250 to .254 is free")


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])))
