"""The SSH of the test cluster's hosts: real servers, one for each member, that forward to its own address only.

What a host says to commands is what the lab's hosts say, of the cluster's real processes and logs.
"""

from __future__ import annotations

import asyncio
import subprocess
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh

from corelib.etcd.intended import OnHost
from corelib.etcd.reach import Hosts, Login
from corelib.lab.console import Console, Said
from corelib.lab.sshd import Door, Sshd
from corelib.member import Member
from corelib.ssh import KeyPair, fingerprint

from .clusters import Running

AT = "127.0.32.60"
UNIT = "etcd-member.service"


@dataclass
class _Host:
    """A member's host, as the lab's console wants one."""

    running: Running
    member: Member
    unit: str = UNIT
    masked: bool = False

    @property
    def root(self) -> Path:
        return self.running.folder

    @property
    def folder(self) -> Path:
        return self.running.folder / f"{self.member.name}.host"

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        return self.running.processes.get(self.member.name)

    @property
    def variables(self) -> dict[str, str]:
        options = self.running.options(self.member)
        return {f"ETCD_{name.upper().replace('-', '_')}": value for name, value in options.items()}

    assigned, environment_files = variables, ()

    def stop_etcd(self) -> None:
        self.running.kill(self.member)

    def start_etcd(self) -> None:
        self.running.start(self.member)


@dataclass
class Doors:
    """All doors of a cluster; `asked` are the commands that a host has heard."""

    running: Running
    key: KeyPair = field(default_factory=lambda: KeyPair.new("test"))
    asked: list[str] = field(default_factory=list)
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _open: dict[str, Sshd] = field(default_factory=dict)
    _ports: dict[str, int] = field(default_factory=dict)
    _keys: dict[str, Any] = field(default_factory=dict)

    def __enter__(self) -> Doors:
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        for number, member in enumerate(self.running.members):
            self._ports[member.name] = 2201 + number
            self._keys[member.name] = asyncssh.generate_private_key("ssh-ed25519")
            self.open(member)
        return self

    def __exit__(self, *_: object) -> None:
        for member in self.running.members:
            self.close(member)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def open(self, member: Member, *, key: Any = None, user: str = "core", forwards: bool = True) -> None:
        """Open a member's door, with another host key if one is given."""
        self._keys[member.name] = key or self._keys[member.name]
        host = _Host(self.running, member)
        host.folder.mkdir(exist_ok=True)
        log = host.folder / "etcd.log"
        if not log.is_symlink():
            log.symlink_to(self.running.folder / f"{member.name}.log")
        console = Console(host)

        async def run(process: Any) -> int:
            self.asked.append(process.command)
            code, out, err = self.answer(console, process.command)
            process.stdout.write(out)
            process.stderr.write(err)
            return code

        door = Sshd(Door(user, (self.key.public,)), run, lambda to, _: forwards and to == str(member.address))
        self._do(door.listen(AT, self._ports[member.name], [self._keys[member.name]]))
        self._open[member.name] = door

    def answer(self, console: Console, command: str) -> Said:
        return console.answer(command)

    def close(self, member: Member) -> None:
        """The host's SSH is gone, and with it whoever is logged in."""
        if (door := self._open.pop(member.name, None)) is not None:
            self._do(door.close())

    def fingerprint(self, member: Member) -> str:
        return fingerprint(self._keys[member.name])

    def port(self, member: Member) -> int:
        return self._ports[member.name]

    def logins(self) -> dict[str, Login]:
        return {m.name: Login(AT, self._ports[m.name], self.fingerprint(m)) for m in self.running.members}

    def visitors(self, member: Member) -> int:
        """How many connections a host has now."""
        return len(self._open[member.name]._connections)

    def left(self, member: Member) -> None:
        """Wait until nobody is connected any more: a server hears of a connection's end a moment after it."""
        until = time.monotonic() + 5
        while self.visitors(member):
            assert time.monotonic() < until, "somebody stays who was sent away"
            time.sleep(0.01)

    @contextmanager
    def hosts(self, logins: dict[str, Login] | None = None, timeout: float = 3.0) -> Iterator[Hosts]:
        with Hosts(logins or self.logins(), self.key.private, timeout) as hosts:
            yield hosts

    def on(self) -> dict[str, OnHost]:
        return {m.name: OnHost(UNIT, f"/{m.name}") for m in self.running.members}

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)
