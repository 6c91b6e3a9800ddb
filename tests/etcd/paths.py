"""The ways between members, on loopback: slow, or cut, and only between the members that are meant.

A relay stands at each member's peer address and passes on to where that member listens. Who asks is in the request's
head: etcd's members name themselves there (X-Server-From); whoever does not is passed on as it comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address

from corelib.member import PEER_PORT, Member

_FROM = re.compile(rb"^X-Server-From: ([0-9a-f]+)\r$", re.IGNORECASE | re.MULTILINE)
Way = frozenset[str]  # two members' names


class Paths:
    """All ways between some members; `delay` and `cut` take hold at once, on connections that are open too."""

    def __init__(self, members: Sequence[Member], ids: Mapping[int, str], behind: Mapping[str, str]) -> None:
        """`ids` are the members' names by id, `behind` the addresses at which they really listen."""
        self._members, self._ids, self._behind = members, ids, behind
        self._delays: dict[Way, float] = {}
        self._cut: set[Way] = set()
        self._open: set[tuple[Way, asyncio.StreamWriter]] = set()
        self._servers: list[asyncio.Server] = []  # whoever comes after listens there too: they are not left to chance
        self._loop = asyncio.new_event_loop()

    @contextlib.contextmanager
    def up(self) -> Iterator[Paths]:
        """Pass on until the block ends."""
        thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        thread.start()
        try:
            for member in self._members:
                asyncio.run_coroutine_threadsafe(self._serve(member), self._loop).result(5)
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(5)
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join(5)
            self._loop.close()

    def delay(self, one: Member, seconds: float) -> None:
        """Whatever goes from or to this member takes so much longer, each way."""
        self._delays = {Way((one.name, m.name)): seconds for m in self._members if m != one}

    def cut(self, side: Sequence[Member]) -> None:
        """Nothing passes any more between these members and the others."""
        names = {member.name for member in side}
        self._cut = {Way((a, m.name)) for a in names for m in self._members if m.name not in names}
        self._loop.call_soon_threadsafe(self._drop)

    def mend(self) -> None:
        """As fast as it goes, and everywhere."""
        self._delays, self._cut = {}, set()

    async def _serve(self, member: Member) -> None:
        async def passing(near: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                await self._pass(member, near, answers)
            answers.close()

        self._servers.append(await asyncio.start_server(passing, str(member.address), PEER_PORT))

    async def _pass(self, member: Member, near: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        head = await near.readuntil(b"\r\n\r\n")
        asking = _FROM.search(head)
        way = Way((member.name, self._ids.get(int(asking[1], 16), "") if asking else ""))
        if way in self._cut:
            return
        if head.startswith(b"GET /raft/probing"):
            # Members probe each other without their name, and would use that connection for messages afterwards.
            head = head.removesuffix(b"\r\n") + b"Connection: close\r\n\r\n"
        far, questions = await asyncio.open_connection(self._behind[member.name], PEER_PORT)
        both = {(way, answers), (way, questions)}
        self._open |= both
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pump(way, near, questions, head))
                tasks.create_task(self._pump(way, far, answers, b""))
        except* OSError:  # one side went away, or the way was cut
            pass
        finally:
            self._open -= both
            questions.close()

    async def _pump(self, way: Way, source: asyncio.StreamReader, to: asyncio.StreamWriter, first: bytes) -> None:
        """Each piece is sent when its time has come; meanwhile later ones are read."""
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def send() -> None:
            while True:
                due, piece = await pieces.get()
                await asyncio.sleep(max(0.0, due - self._loop.time()))
                if not piece:
                    raise ConnectionResetError
                to.write(piece)
                await to.drain()

        sending = asyncio.create_task(send())
        try:
            piece = first or await source.read(1 << 16)
            while piece and not sending.done():
                pieces.put_nowait((self._due(way), piece))
                piece = await source.read(1 << 16)
            pieces.put_nowait((self._due(way), b""))
            await sending
        finally:
            sending.cancel()

    def _due(self, way: Way) -> float:
        return self._loop.time() + self._delays.get(way, 0.0)

    def _drop(self) -> None:
        for way, writer in self._open:
            if way in self._cut:
                writer.transport.abort()

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


def behind(members: Sequence[Member]) -> dict[str, str]:
    """Where each listens: the same number on the next network."""
    return {member.name: str(IPv4Address(int(member.address) + 256)) for member in members}
