"""A connection from a machine to an address and port, through SSH, as a plain socket on this side."""

from __future__ import annotations

import asyncio
import errno
import re
import socket
from contextlib import suppress
from typing import Any

import asyncssh

_PIECE = 1 << 16


async def connect(connection: Any, host: str, port: int, pumps: set[asyncio.Task[None]]) -> socket.socket:
    """A socket whose other end is a direct-tcpip channel to `host`:`port` (RFC 4254, section 7.2).

    What passes the bytes on is kept in `pumps` as long as it runs, for whoever ends the connection. Raises OSError,
    of the kinds that `socket.connect` has on the machine itself. Backpressure holds all the way:
    what nobody reads here is not read there either.
    """
    try:
        incoming, outgoing = await connection.open_connection(host, port, encoding=None)
    except asyncssh.ChannelOpenError as problem:
        raise _as_socket_error(problem) from None
    except asyncssh.Error as problem:
        raise ConnectionResetError(errno.ECONNRESET, f"the SSH connection was lost: {problem}") from None
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)  # noqa: FBT003 - the socket's own interface
    reader, writer = await asyncio.open_connection(sock=theirs)
    pump = asyncio.get_running_loop().create_task(_pass_on(incoming, outgoing, reader, writer))
    pumps.add(pump)
    pump.add_done_callback(pumps.discard)
    return ours


async def _pass_on(incoming: Any, outgoing: Any, reader: Any, writer: Any) -> None:
    """Both directions until both have ended; whatever ends one way early closes the whole."""
    try:
        await asyncio.gather(_pump(incoming, writer), _pump(reader, outgoing))
    except (OSError, asyncssh.Error):
        pass  # the other side has gone: whoever holds the socket sees it closed, which is all that a socket tells
    finally:
        writer.close()
        outgoing.channel.abort()


async def _pump(source: Any, sink: Any) -> None:
    while piece := await source.read(_PIECE):
        sink.write(piece)
        await sink.drain()
    with suppress(OSError):  # the other way may have closed it already
        sink.write_eof()


def _as_socket_error(problem: Any) -> OSError:
    """What a machine's SSH server says why it cannot connect: OpenSSH and asyncssh both quote the system's words."""
    if problem.code != asyncssh.OPEN_CONNECT_FAILED:
        return PermissionError(errno.EPERM, f"its SSH server forwards no connection: {problem.reason}")
    if re.search(r"refused|Errno 111\b", problem.reason, re.IGNORECASE):
        return ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
    if re.search(r"timed out|Errno 110\b", problem.reason, re.IGNORECASE):
        return TimeoutError()
    return OSError(errno.EHOSTUNREACH, f"its host cannot connect: {problem.reason}")
