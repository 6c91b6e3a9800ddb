"""The supervisor: one process per lab. It serves the stand-ins, owns every child, and ends with its last user.

Run as `python -m corelib.lab.supervisor ROOT NETWORK IDLE SPEED` by the lab's client. Everything runs on one event
loop in the main thread: children get their parent-death signal from the thread that spawns them.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import signal
import sys
from datetime import UTC, datetime
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import tornado.httpserver
import tornado.netutil
import tornado.web

from . import arm, marks, pki, places, robot
from .host import Fleet
from .places import CONTROL, CONTROL_PORT, MARK
from .site import Site

_LOOK = 0.5  # seconds between two looks for users


class Status(tornado.web.RequestHandler):
    """GET /status: since when, and every host."""

    def initialize(self, fleet: Fleet, since: str) -> None:
        """Take what is shown."""
        self._fleet, self._since = fleet, since

    def get(self) -> None:
        """Answer as JSON."""
        self.write({"since": self._since, "hosts": self._fleet.status()})


async def serve(root: Path, network: IPv4Network, idle: float, speed: float) -> None:
    """Serve until SIGTERM, or until nobody has used the lab for `idle` seconds (0: until SIGTERM).

    `speed` is that of the clock of its Azure.
    """
    lab, folder = os.environ[MARK], places.folder(root, network)
    tls, ca = pki.issue(folder, str(network.network_address + CONTROL))
    site = Site(lab, network, folder, tls, ca)
    fleet = Fleet(site)
    azure = await arm.start(site, fleet, arm.Timing(speed=speed))
    facts = {**azure.endpoints, **await robot.serve(site)}
    facts["control"] = _control(site, fleet, azure)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    _announce(site, facts)
    await _until_left(stop, root, network, idle)
    marks.end(lab)


def _control(site: Site, fleet: Fleet, azure: arm.StandIn) -> str:
    status = ("/status", Status, {"fleet": fleet, "since": datetime.now(UTC).isoformat(timespec="seconds")})
    told = arm.control.routes(azure.cloud, azure.faults)
    application = tornado.web.Application([status, *told], log_function=lambda _: None)
    tornado.httpserver.HTTPServer(application).add_sockets(
        tornado.netutil.bind_sockets(CONTROL_PORT, site.address(CONTROL))
    )
    return f"http://{site.address(CONTROL)}:{CONTROL_PORT}"


def _announce(site: Site, facts: dict[str, Any]) -> None:
    """Write what clients need, as a whole: its presence means that the lab is ready."""
    content = {"id": site.id, "network": str(site.network), "pid": os.getpid(), "ca": str(site.ca), **facts}
    draft = site.folder / ".lab.json"
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(content, indent=1))
    draft.rename(site.folder / places.ENDPOINTS)


async def _until_left(stop: asyncio.Event, root: Path, network: IPv4Network, idle: float) -> None:
    """Wait for the end; a user holds a shared lock, so that a user who dies is seen to have left."""
    loop, folder = asyncio.get_running_loop(), places.folder(root, network)
    last = loop.time()
    with (folder / places.USERS).open("a") as users, places.lock_file(root, network).open("a") as starting:
        while not stop.is_set():
            if not idle or (folder / places.KEEP).exists() or not _nobody(users):
                last = loop.time()
            elif loop.time() - last > idle and _locked(starting):
                # Nobody can begin to use it now: whoever starts a lab takes the same lock first.
                shutil.rmtree(folder, ignore_errors=True)
                return
            try:
                await asyncio.wait_for(stop.wait(), _LOOK)
            except TimeoutError:
                continue


def _nobody(users: Any) -> bool:
    """True if no process holds the users' lock."""
    if not _locked(users):
        return False
    fcntl.flock(users, fcntl.LOCK_UN)
    return True


def _locked(file: Any) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def main(arguments: list[str]) -> int:
    """Serve one lab; a foreseeable fault at the start is one line on standard error."""
    root, network, idle, speed = Path(arguments[0]), IPv4Network(arguments[1]), *map(float, arguments[2:4])
    try:
        asyncio.run(serve(root, network, idle, speed))
    except OSError as problem:
        print(f"its addresses could not be used: {problem.strerror or problem}{_whose(problem)}", file=sys.stderr)
        return 1
    return 0


def _whose(problem: OSError) -> str:
    return f" ({problem.filename})" if problem.filename else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
