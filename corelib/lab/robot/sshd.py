"""A machine's SSH server, for one boot: its host key, who may log in, and commands that run in the machine."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncssh

from .isolation import Chamber


@dataclass(frozen=True, slots=True)
class Door:
    """Who gets in: one user, by any of these public keys or, unless it is empty, this password."""

    user: str
    keys: tuple[str, ...]
    password: str = ""


@dataclass
class Sshd:
    """The server of one boot. Without a chamber it answers, and refuses every command, saying why."""

    door: Door
    chamber: Chamber | None
    refusal: str = ""
    _listener: Any = None
    _connections: set[Any] = field(default_factory=set)

    async def listen(self, address: str, port: int, host_keys: Sequence[Any]) -> None:
        """Answer on `address`. Raises OSError when it is taken."""
        self._listener = await asyncssh.listen(
            address,
            port,
            server_factory=lambda: _Visitor(self.door, self._connections),
            server_host_keys=list(host_keys),
            process_factory=self._run,
            encoding=None,
            config=None,
            reuse_address=True,
            login_timeout=20,
            allow_scp=False,
        )

    async def close(self) -> None:
        """Stop answering, and drop who is connected, as when the power is cut."""
        if self._listener is None:
            return
        self._listener.close()
        for connection in tuple(self._connections):
            connection.abort()
        await self._listener.wait_closed()  # from Python 3.12 on that waits for the connections too

    async def _run(self, process: Any) -> None:
        if self.chamber is None:
            process.stderr.write(f"the lab runs no command on this machine: {self.refusal}\n".encode())
            process.exit(126)
        else:
            process.exit(await _pass_on(self.chamber, process, self.door.user))
        await process.wait_closed()


class _Visitor(asyncssh.SSHServer):
    """One connection's authentication."""

    def __init__(self, door: Door, connections: set[Any]) -> None:
        self._door = door
        self._keys = {asyncssh.import_public_key(key).public_data for key in door.keys}
        self._connections = connections

    def connection_made(self, conn: Any) -> None:
        self._connection = conn
        self._connections.add(conn)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._connections.discard(self._connection)

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: Any) -> bool:
        return username == self._door.user and key.public_data in self._keys

    def password_auth_supported(self) -> bool:
        return bool(self._door.password)

    def validate_password(self, username: str, password: str) -> bool:
        return username == self._door.user and password == self._door.password


async def _pass_on(chamber: Chamber, process: Any, user: str) -> int:
    """Run a session's command in the machine; as with OpenSSH the session lasts until its output is closed."""
    (stdin, feed), (drain, stdout), (errors, stderr) = os.pipe(), os.pipe(), os.pipe()
    running = asyncio.ensure_future(chamber.run(process.command or "", user, (stdin, stdout, stderr)))
    await asyncio.sleep(0)  # the descriptors are sent by now
    for inner in (stdin, stdout, stderr):
        os.close(inner)
    await process.redirect(stdin=feed, stdout=drain, stderr=errors)
    code = await running
    await process.stdout.drain()
    await process.stderr.drain()
    return code if code >= 0 else 128 - code
