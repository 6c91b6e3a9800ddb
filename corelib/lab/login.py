"""The SSH of one booted host: its own fresh host key, who its user-data lets in, and connections to itself only."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh

from .console import reads
from .sshd import Door, Sshd

Answer = Callable[[str, bytes], tuple[int, bytes, bytes]]
"""What a host says to a command with its standard input: exit code, standard output, standard error."""


@dataclass
class Login:
    """A server that listens, or soon does; `problem` says why it never will."""

    at: tuple[str, int]
    sshd: Sshd
    starting: asyncio.Task[None] | None = None
    problem: str = ""

    @classmethod
    def open(cls, at: tuple[str, int], root: Path, answer: Answer, environment: Mapping[str, str]) -> Login:
        """Listen at `at` on the running loop; the keys are those of `root`, the addresses those of etcd's environment.

        What is forwarded goes to the host's own addresses only, which are those that its etcd listens on: on loopback
        every address could be reached, and on a real network it could not.
        """
        own = set(re.findall(r"//([0-9.]+):", " ".join(v for k, v in environment.items() if "LISTEN" in k)))
        login = cls(at, Sshd(Door("core", _keys(root)), _run(answer), lambda address, _: address in own))
        login.starting = asyncio.get_running_loop().create_task(login._start())
        return login

    def close(self) -> None:
        """Stop answering at once."""
        if self.starting is not None:
            self.starting.cancel()
        self.sshd.drop()

    @property
    def shown(self) -> str:
        """How to log in, or why one cannot."""
        return self.problem or f"core@{self.at[0]}:{self.at[1]}"

    async def _start(self) -> None:
        try:
            await self.sshd.listen(*self.at, [asyncssh.generate_private_key("ssh-ed25519")])
        except OSError as problem:
            why = (
                os.strerror(problem.errno) if problem.errno else str(problem)
            )  # asyncio's own text repeats the address
            self.problem = f"no SSH at {self.at[0]}:{self.at[1]}: {why}"


def _keys(root: Path) -> tuple[str, ...]:
    """The lines of authorized_keys that are keys; the others let nobody in."""
    file = root / "home/core/.ssh/authorized_keys"
    lines = file.read_text().splitlines() if file.is_file() else []
    return tuple(line for line in lines if _is_key(line))


def _is_key(line: str) -> bool:
    try:
        asyncssh.import_public_key(line)
    except asyncssh.KeyImportError:
        return False
    return True


def _run(answer: Answer) -> Callable[[Any], Any]:
    async def run(process: Any) -> int:
        command = process.command or ""
        # Only what reads its standard input waits for the end of that, as from somebody's terminal there is none.
        given = await process.stdin.read() if reads(command) else b""
        code, out, err = answer(command, given)
        process.stdout.write(out)
        process.stderr.write(err)
        return code

    return run
