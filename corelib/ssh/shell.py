"""A shell on a machine, over SSH, to exactly the host key that is pinned, and the connections that go through it.

The connection lives on an event loop in a thread of its own, so that it works where a loop is running already, as in
Jupyter. Commands are argument lists, quoted here and nowhere else.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import shlex
import socket
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeVar

import asyncssh

from . import channel
from .errors import CommandFailed, CommandTimedOut, HostKeyMismatch, NoSsh, NotLetIn
from .keys import fingerprint, private_key

T = TypeVar("T")

_KEEP_ALIVE = 15  # seconds
_NOTHING_KNOWN: tuple[list[Any], list[Any], list[Any]] = ([], [], [])  # no known_hosts: the pin alone decides


@dataclass(frozen=True, slots=True)
class Address:
    """Where and as whom to log in, and the host keys (SHA-256, `SHA256:…`) of which the machine must have one."""

    host: str
    port: int
    user: str
    pinned: frozenset[str]

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Done:
    """A command that ended: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


class Shell:
    """A connection, to be used in a `with`. Raises SshError; `key` is a private key's text."""

    def __init__(self, address: Address, key: str, timeout: float = 20.0) -> None:
        self.address = address
        self._key = private_key(key)
        self._timeout = timeout
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"ssh {address}", daemon=True)
        self._connection: Any = None
        self._pumps: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._connection = self._wait(self._connect(), self._timeout + 5, f"connecting to {self.address}")
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._wait(self._close(), 5, f"leaving {self.address}")
        finally:
            self._stop()

    @property
    def host_key(self) -> str:
        """The public host key that the machine has shown, as a line of OpenSSH's without a comment."""
        return " ".join(self._connection.get_server_host_key().export_public_key().decode().split()[:2])

    def run(self, *command: str, stdin: bytes = b"", timeout: float = 30.0) -> Done:
        """Run a command given as arguments; its exit code is the caller's to judge. Raises SshError."""
        return self._ended(command, timeout, input=stdin)

    def read(self, *command: str, stdin: bytes = b"", timeout: float = 30.0) -> str:
        """As `run`, but anything other than exit code 0 raises CommandFailed; returns standard output, stripped."""
        return self._judged(self.run(*command, stdin=stdin, timeout=timeout), command)

    def feed(self, write: Callable[[BinaryIO], object], *command: str, timeout: float = 30.0) -> str:
        """As `read`; `write` is given a stream, and what it writes there is the command's standard input, as it comes.

        Raises what `write` raises: what the command made of the rest is worth nothing then.
        """
        ends, problems = os.pipe(), list[Exception]()

        def pour() -> None:
            try:
                with os.fdopen(ends[1], "wb") as out, contextlib.suppress(BrokenPipeError):  # its exit code tells
                    write(out)
            except Exception as problem:  # noqa: BLE001 - raised below, in the thread that asked
                problems.append(problem)

        thread = threading.Thread(target=pour)
        with os.fdopen(ends[0], "rb", buffering=0) as pipe:
            thread.start()
            try:
                done = self._judged(self._ended(command, timeout, stdin=pipe), command)
            finally:
                pipe.close()  # whoever writes to it still hears that nobody reads
                thread.join()
        for problem in problems:
            raise problem
        return done

    def connect(self, host: str, port: int, timeout: float) -> socket.socket:
        """A connection from the machine to `host`:`port`. Raises OSError of the kinds that `socket.connect` has."""
        try:
            work = channel.connect(self._connection, host, port, self._pumps)
            return self._wait(work, timeout, f"connecting to {host}:{port}")
        except CommandTimedOut:
            raise TimeoutError from None

    def _ended(self, command: Sequence[str], timeout: float, **source: Any) -> Done:
        doing = f"running {command[0]} on {self.address}"
        return self._wait(self._run(shlex.join(command), doing, timeout, source), timeout + 5, doing)

    def _judged(self, done: Done, command: Sequence[str]) -> str:
        if done.code != 0:
            said = (done.err or done.out).strip()[-500:] or "it said nothing"
            raise CommandFailed(f"running {command[0]} on {self.address}", f"exit code {done.code}: {said}")
        return done.out.strip()

    async def _connect(self) -> Any:
        doing, pin = f"connecting to {self.address}", _Pin(self.address.pinned)
        try:
            return await asyncssh.connect(
                self.address.host,
                self.address.port,
                username=self.address.user,
                client_factory=lambda: pin,
                client_keys=[self._key],
                known_hosts=_NOTHING_KNOWN,
                agent_path=None,
                config=None,
                preferred_auth="publickey",
                connect_timeout=self._timeout,
                login_timeout=self._timeout,
                keepalive_interval=_KEEP_ALIVE,
            )
        except asyncssh.HostKeyNotVerifiable as problem:
            pinned = ", ".join(sorted(self.address.pinned)) or "none"
            remedy = "another system answers there, or someone is in between: nothing was sent; find out which"
            raise HostKeyMismatch(doing, pinned, pin.refused or str(problem), remedy) from None
        except asyncssh.PermissionDenied:
            found = f"it does not let {self.address.user} in with the key {fingerprint(self._key)}"
            raise NotLetIn(doing, found, "check that its user-data lists this key") from None
        except (OSError, asyncssh.Error) as problem:
            raise NoSsh(doing, _words(problem), "is the machine up, and SSH let through?") from None

    async def _close(self) -> None:
        pumps = tuple(self._pumps)
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        self._connection.abort()
        await self._connection.wait_closed()

    async def _run(self, command: str, doing: str, timeout: float, source: dict[str, Any]) -> Done:
        try:
            done = await self._connection.run(command, encoding=None, timeout=timeout, **source)
        except asyncssh.TimeoutError:
            raise CommandTimedOut(doing, f"it did not end within {timeout:.0f} s; it may still run") from None
        except (OSError, asyncssh.Error) as problem:
            raise NoSsh(doing, f"the connection was lost: {_words(problem)}") from None
        if done.exit_status is None:
            raise NoSsh(doing, "the connection was lost before the command ended")
        return Done(done.exit_status, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))

    def _wait(self, work: Coroutine[Any, Any, T], timeout: float, doing: str) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout)
        except concurrent.futures.TimeoutError:
            raise CommandTimedOut(doing, f"no answer within {timeout:.0f} s") from None
        finally:
            future.cancel()  # has no effect on one that is done

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()


class _Pin(asyncssh.SSHClient):
    """Accepts exactly the pinned host keys; `refused` is the fingerprint of one that was not."""

    def __init__(self, pinned: frozenset[str]) -> None:
        self._pinned = pinned
        self.refused = ""

    def validate_host_public_key(self, host: str, addr: str, port: int, key: Any) -> bool:  # noqa: ARG002 - asyncssh's
        """Asyncssh's hook: called for every key, as no host is known to it."""
        if fingerprint(key) in self._pinned:
            return True
        self.refused = fingerprint(key)
        return False


def host_key(host: str, port: int, timeout: float) -> str:
    """The fingerprint of the host key that a machine shows to whoever comes; nobody logs in. Raises NoSsh.

    It is the key that `Shell` will meet: both offer the same algorithms in the same order.
    """
    doing = f"asking {host}:{port} for its host key"
    try:
        found = _alone(asyncssh.get_server_host_key(host, port, config=None), timeout)
    except (OSError, asyncssh.Error, TimeoutError) as problem:
        raise NoSsh(doing, _words(problem), "is the machine up, and SSH let through?") from None
    if found is None:
        raise NoSsh(doing, "it showed none", "look at what listens there")
    return fingerprint(found)


def _alone(work: Coroutine[Any, Any, T], timeout: float) -> T:
    """Run a coroutine on a loop in a thread of its own, as one may be running here already."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, asyncio.wait_for(work, timeout)).result()


def _words(problem: Exception) -> str:
    """What went wrong; asyncio's own text for a failed connection names a system call."""
    if isinstance(problem, OSError) and problem.errno:
        return os.strerror(problem.errno)
    if isinstance(problem, TimeoutError):
        return "no answer in time"
    return str(problem) or type(problem).__name__
