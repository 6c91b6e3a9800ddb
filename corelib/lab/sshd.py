"""A machine's SSH server, for one boot: its host key, who may log in, what commands do, where it forwards to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncssh

Run = Callable[[Any], Awaitable[int]]
"""Do what a session's process (asyncssh's) asks for; its exit code."""
Forwards = Callable[[str, int], bool]
"""Whether it opens connections to an address and port."""


def to_nowhere(_address: str, _port: int) -> bool:
    """Forward nothing."""
    return False


@dataclass(frozen=True, slots=True)
class Door:
    """Who gets in: one user, by any of these public keys or, unless it is empty, this password."""

    user: str
    keys: tuple[str, ...]
    password: str = ""


@dataclass
class Sshd:
    """The server of one boot."""

    door: Door
    run: Run
    forwards: Forwards = to_nowhere
    _listener: Any = None
    _connections: set[Any] = field(default_factory=set)

    async def listen(self, address: str, port: int, host_keys: Sequence[Any]) -> None:
        """Answer on `address`. Raises OSError when it is taken."""
        listening = asyncssh.listen(
            address,
            port,
            server_factory=lambda: _Visitor(self.door, self.forwards, self._connections),
            server_host_keys=list(host_keys),
            process_factory=self._session,
            encoding=None,
            config=None,
            reuse_address=True,
            login_timeout=20,
            allow_scp=False,
        )
        opening = asyncio.ensure_future(listening)
        try:
            self._listener = await asyncio.shield(opening)
        except asyncio.CancelledError:  # the power went meanwhile: a listener that nobody knows would answer for ever
            (await opening).close()
            raise

    def drop(self) -> None:
        """Stop answering, and drop who is connected, as when the power is cut."""
        if self._listener is None:
            return
        self._listener.close()
        for connection in tuple(self._connections):
            connection.abort()

    async def close(self) -> None:
        """As `drop`, and wait until it is done."""
        self.drop()
        if self._listener is not None:
            await self._listener.wait_closed()  # from Python 3.12 on that waits for the connections too

    async def _session(self, process: Any) -> None:
        process.exit(await self.run(process))
        await process.wait_closed()


class _Visitor(asyncssh.SSHServer):
    """One connection: who may log in, and where it may go from here."""

    def __init__(self, door: Door, forwards: Forwards, connections: set[Any]) -> None:
        self._door, self._forwards = door, forwards
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

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:  # noqa: ARG002 - asyncssh's
        if self._forwards(dest_host, dest_port):
            return True
        raise asyncssh.ChannelOpenError(asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "open failed")  # OpenSSH's words
