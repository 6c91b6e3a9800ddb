"""The namespaces that a lab machine's commands really run in, and the line to its first process.

Commands are run there or not at all: where this computer allows no user namespaces, root or not, they are refused.
A private PATH alone would not keep `dd of=/dev/sda` from a disk of this computer.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cryptography

from ..places import MARK
from ..site import Site
from .inside.tools import COMMANDS

_NAMESPACES = ("--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child", "--uts", "--ipc", "--net")
_HERE = Path(__file__).parent
_PYTHON = str(Path(sys.executable).resolve())
_LIBRARIES = str(Path(cryptography.__file__).parents[1])  # what the stand-in for ssh-keygen needs
_PATIENCE = 10.0  # seconds in which a machine's first process has to answer


class NoIsolation(Exception):
    """This computer does not let a machine be isolated, so that nothing is run on it."""


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk of a machine: its file, and what identifies it. `size` in bytes; `like`: see `Faults.disks`."""

    file: Path
    wwn: str
    serial: str
    model: str
    size: int
    like: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class System:
    """What a machine boots: its host name, files of its own by path, and the disk that its root is read from."""

    host_name: str
    files: Mapping[str, str]
    boots_from: Path | None = None


class Chamber:
    """A running machine: commands go in, exit codes come out. `gone` is set when its first process has ended."""

    def __init__(self, process: subprocess.Popen[bytes], line: socket.socket) -> None:
        self.gone = asyncio.Event()
        self._process, self._line = process, line
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._results: dict[int, asyncio.Future[int]] = {}
        self._loop.add_reader(line, self._hear)

    @classmethod
    async def start(cls, site: Site, folder: Path, system: System, disks: Mapping[str, Disk]) -> Chamber:
        """Boot `system` with `disks` by device name; files of the boot go to `folder`. Raises NoIsolation."""
        (folder / "root").mkdir(exist_ok=True)
        spec, log = folder / "boot.json", folder / "boot.log"
        spec.write_text(json.dumps(_spec(site, folder, system, disks)))
        log.write_text("")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        program = _program("init", "sys.exit(main(json.load(open(sys.argv[1]))))", str(_HERE))
        command = ["unshare", *_NAMESPACES, "--", _PYTHON, "-IBSc", program, str(spec)]
        environment = {"PATH": os.environ.get("PATH", os.defpath)}
        try:
            with theirs:
                process = site.spawn(command, env=environment, cwd=folder, log=log, stdin=theirs.fileno())
        except OSError as problem:
            ours.close()
            raise NoIsolation(f"unshare (util-linux) could not be run: {problem}") from None
        chamber = cls(process, ours)
        try:
            await asyncio.wait_for(asyncio.shield(chamber._ready), _PATIENCE)
        except TimeoutError:
            log.write_text("its first process did not answer in time")
        except asyncio.CancelledError:  # it was reset again: this boot is over before it began
            process.kill()
            raise
        if chamber.gone.is_set() or not chamber._ready.done():
            await chamber.end()
            raise NoIsolation(" ".join(log.read_text(errors="replace").split()))
        return chamber

    async def run(self, command: str, user: str, streams: tuple[int, int, int]) -> int:
        """Run a shell command with these descriptors; its exit code, 255 if the machine went down under it."""
        number, home = next(self._numbers), "/root" if user == "root" else f"/home/{user}"
        request = {"id": number, "command": command, "environment": {"HOME": home, "USER": user, "LOGNAME": user}}
        result = self._results[number] = self._loop.create_future()
        try:
            socket.send_fds(self._line, [json.dumps(request).encode()], streams)
        except OSError:
            result.set_result(255)
        code: int = await result
        return code

    async def end(self) -> None:
        """Cut its power: every process in it ends at once."""
        self._process.kill()
        await asyncio.wait_for(self.gone.wait(), _PATIENCE)

    def _hear(self) -> None:
        message = self._line.recv(2**16)
        if not message:
            self._hang_up()
            return
        heard = json.loads(message)
        if "ready" in heard:
            self._ready.set_result(None)
        elif not (result := self._results.pop(heard["id"])).done():
            result.set_result(heard["exit"])

    def _hang_up(self) -> None:
        self._loop.remove_reader(self._line)
        self._line.close()
        self._process.kill()
        self._process.wait()
        self.gone.set()
        for waiting in self._results.values():
            if not waiting.done():
                waiting.set_result(255)
        if not self._ready.done():
            self._ready.set_result(None)


def _spec(site: Site, folder: Path, system: System, disks: Mapping[str, Disk]) -> dict[str, Any]:
    """What the first process needs to know, as plain data."""
    then = "sys.exit(main(sys.argv[1].rpartition('/')[2], sys.argv[2:]))"
    program = _program("tools", then, "/opt/lab", _LIBRARIES)
    return {
        "root": str(folder / "root"),
        "host_name": system.host_name,
        "files": dict(system.files),
        "boots_from": str(system.boots_from) if system.boots_from else "",
        "mark": {MARK: site.id},
        "borrowed": [sys.base_prefix, sys.base_exec_prefix, _LIBRARIES],
        "tools": sorted(COMMANDS),
        "launcher": f'#!/bin/sh\nexec {shlex.quote(_PYTHON)} -IBSc {shlex.quote(program)} "$0" "$@"\n',
        "disks": [{**asdict(one), "name": name, "file": str(one.file)} for name, one in disks.items()],
        "root_on": next((name for name, one in disks.items() if one.file == system.boots_from), ""),
    }


def _program(module: str, then: str, place: str, libraries: str = "") -> str:
    """A one-line program that imports `main` from a module of the package `inside`, which is at `place`."""
    paths = f"sys.path[:0] = {[place]!r}; sys.path += {[libraries]!r}"
    return f"import json, sys; {paths}; from inside.{module} import main; {then}"
