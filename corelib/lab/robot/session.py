"""What a session on the machine does: its command runs in the machine, or is refused where the lab cannot run any."""

from __future__ import annotations

import asyncio
import os
from typing import Any

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
    await process.redirect(stdin=feed, stdout=drain, stderr=errors)
    code = await running
    await process.stdout.drain()
    await process.stderr.drain()
    return code if code >= 0 else 128 - code
