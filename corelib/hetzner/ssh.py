"""A shell on a machine, over SSH, to exactly the host key that is pinned.

The connection lives on an event loop in a thread of its own, so that it works where a loop is running already, as in
Jupyter. Commands are argument lists, quoted here and nowhere else.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import shlex
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar

import asyncssh

from ..errors import BadInput
from .errors import CommandFailed, CommandTimedOut, HostKeyMismatch, NoSsh, NotLetIn

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
class KeyPair:
    """A key pair: the private key's text, the public key in OpenSSH format, its MD5 fingerprint as Robot writes it."""

    private: str = field(repr=False)
    public: str
    md5: str

    @classmethod
    def new(cls, comment: str) -> KeyPair:
        """A new Ed25519 pair."""
        key = asyncssh.generate_private_key("ssh-ed25519", comment=comment)
        md5 = key.get_fingerprint("md5").removeprefix("MD5:")
        return cls(key.export_private_key().decode(), key.export_public_key().decode().strip(), md5)


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

    def run(self, *command: str, stdin: bytes = b"", timeout: float = 30.0) -> Done:
        """Run a command given as arguments; its exit code is the caller's to judge. Raises SshError."""
        doing = f"running {command[0]} on {self.address}"
        return self._wait(self._run(shlex.join(command), stdin, doing, timeout), timeout + 5, doing)

    def read(self, *command: str, stdin: bytes = b"", timeout: float = 30.0) -> str:
        """As `run`, but anything other than exit code 0 raises CommandFailed; returns standard output, stripped."""
        done = self.run(*command, stdin=stdin, timeout=timeout)
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
        self._connection.abort()
        await self._connection.wait_closed()

    async def _run(self, command: str, stdin: bytes, doing: str, timeout: float) -> Done:
        try:
            done = await self._connection.run(command, input=stdin, encoding=None, timeout=timeout)
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


def private_key(text: str) -> Any:
    """Read a private key. Raises BadInput, which does not repeat it."""
    try:
        return asyncssh.import_private_key(text)
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as problem:
        remedy = "give a private key in OpenSSH format, without a passphrase"
        raise BadInput("reading the operator's SSH key", str(problem), remedy) from None


def fingerprint(key: Any) -> str:
    """SHA-256 of a key, or of a public key's text, as OpenSSH shows it."""
    found = asyncssh.import_public_key(key) if isinstance(key, str) else key
    return str(found.get_fingerprint())


def _words(problem: Exception) -> str:
    """What went wrong; asyncio's own text for a failed connection names a system call."""
    if isinstance(problem, OSError) and problem.errno:
        return os.strerror(problem.errno)
    return str(problem) or type(problem).__name__
