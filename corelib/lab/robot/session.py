"""What a session on the machine does: its command runs in the machine, or is refused where the lab cannot run any."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import asyncssh

from .isolation import Chamber


async def refuse(why: str, process: Any) -> int:
    """Run nothing, and say why."""
    process.stderr.write(f"the lab runs no command on this machine: {why}\n".encode())
    return 126


async def pass_on(chamber: Chamber, user: str, process: Any) -> int:
    """Run a session's command in the machine; as with OpenSSH the session lasts until its output is closed."""
    (stdin, feed), (drain, stdout), (errors, stderr) = os.pipe(), os.pipe(), os.pipe()
    running = asyncio.ensure_future(chamber.run(process.command or "", user, (stdin, stdout, stderr)))
    await asyncio.sleep(0)  # the descriptors are sent by now
    for inner in (stdin, stdout, stderr):
        os.close(inner)
    feeding = asyncio.ensure_future(_take(process.stdin, feed))
    try:
        # Both to their end before the exit code is sent: what came after that would be lost.
        await asyncio.gather(_forward(drain, process.stdout), _forward(errors, process.stderr))
        code = await running
    finally:
        feeding.cancel()
    return code if code >= 0 else 128 - code


async def _take(reader: Any, pipe: int) -> None:
    """Everything that comes in, to its last byte: asyncssh's own redirection was seen to lose a large input's end."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, os.fdopen(pipe, "wb", 0))
    writer = asyncio.StreamWriter(transport, protocol, None, loop)
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    except (OSError, asyncssh.Error):  # nobody reads any more, or the connection is gone
        return
    finally:
        writer.close()


async def _forward(pipe: int, writer: Any) -> None:
    """Everything that comes out of a pipe, until nobody holds its other end, or nobody listens any more."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(pipe, "rb", 0)
    )
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    except (OSError, asyncssh.Error):  # the connection is gone: the command finds a closed pipe, as with OpenSSH
        return
    finally:
        transport.close()
