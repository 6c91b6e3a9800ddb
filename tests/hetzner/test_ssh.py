"""The shell alone, against an SSH server of the test's own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import asyncssh
import pytest

from corelib.errors import BadInput, Refused
from corelib.hetzner import rescue
from corelib.hetzner.job import Login
from corelib.ssh import (
    Address,
    CommandFailed,
    CommandTimedOut,
    HostKeyMismatch,
    KeyPair,
    NoSsh,
    NotLetIn,
    Shell,
    fingerprint,
    private_key,
)

AT = "127.0.13.11"


@dataclass(frozen=True)
class Server:
    port: int
    host_key: str
    key: KeyPair
    sessions: list[str]

    def address(self, *pinned: str, port: int = 0) -> Address:
        return Address(AT, port or self.port, "root", frozenset(pinned or (self.host_key,)))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server that echoes commands: `hostname` says ded-old, `sleep` sleeps, `fail` fails."""
    loop, key, host_key, sessions = (
        asyncio.new_event_loop(),
        KeyPair.new("test"),
        asyncssh.generate_private_key("ssh-ed25519"),
        [],
    )

    async def session(process: Any) -> None:
        sessions.append(process.command)
        if process.command == "sleep":
            await process.stdin.read()
            await process.wait_closed()
            return
        if process.command == "hostname":
            process.stdout.write("ded-old\n")
        elif process.command.startswith("cat /proc"):
            process.stdout.write("tmpfs / tmpfs rw 0 0\n")
        elif process.command == "count":
            process.stdout.write(str(len(await process.stdin.read())))
        elif process.command == "fail":
            process.stderr.write("it is broken\n")
        else:
            process.stdout.write(f"{process.command}|{await process.stdin.read()}")
        process.exit(4 if process.command == "fail" else 0)

    async def listen() -> int:
        keys = asyncssh.import_authorized_keys(key.public)
        acceptor = await asyncssh.listen(
            AT, 0, server_host_keys=[host_key], authorized_client_keys=keys, process_factory=session
        )
        return int(acceptor.get_port())

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    port = asyncio.run_coroutine_threadsafe(listen(), loop).result(10)
    yield Server(port, fingerprint(host_key), key, sessions)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)


def test_arguments_arrive_as_they_are(server: Server) -> None:
    with Shell(server.address(), server.key.private) as shell:
        assert shell.read("echo", "a b", "$HOME; 'x'", stdin=b"input") == "echo 'a b' '$HOME; '\"'\"'x'\"'\"''|input"


def test_another_host_key_stops_before_the_login(server: Server) -> None:
    pinned, before = f"SHA256:{'A' * 43}", list(server.sessions)
    with pytest.raises(HostKeyMismatch) as caught, Shell(server.address(pinned), server.key.private):
        raise AssertionError("let in")
    assert pinned in caught.value.found
    assert server.host_key in caught.value.found
    assert server.sessions == before


def test_no_pin_at_all_trusts_nothing(server: Server) -> None:
    nothing = Address(AT, server.port, "root", frozenset())
    with pytest.raises(HostKeyMismatch), Shell(nothing, server.key.private):
        raise AssertionError("let in")


def test_a_key_that_is_not_let_in(server: Server) -> None:
    with pytest.raises(NotLetIn, match="does not let root in"), Shell(server.address(), KeyPair.new("other").private):
        raise AssertionError("let in")


def test_nobody_answers(server: Server) -> None:
    with pytest.raises(NoSsh, match="refused"), Shell(server.address(port=1), server.key.private):
        raise AssertionError("let in")


def test_a_command_that_fails_says_why(server: Server) -> None:
    with Shell(server.address(), server.key.private) as shell:
        assert shell.run("fail").code == 4
        with pytest.raises(CommandFailed, match="exit code 4: it is broken"):
            shell.read("fail")


def test_what_is_fed_arrives_as_it_comes(server: Server) -> None:
    content = b"0123456789abcdef" * (1 << 18)  # more than a pipe or a channel's window holds

    def write(out: BinaryIO) -> None:
        for at in range(0, len(content), 1 << 16):
            out.write(content[at : at + (1 << 16)])

    with Shell(server.address(), server.key.private) as shell:
        assert shell.feed(write, "count") == str(len(content))
        assert shell.feed(lambda _: None, "count") == "0"


def test_what_fails_while_it_is_fed_is_raised_and_so_is_a_command_that_ends_early(server: Server) -> None:
    def fail(out: BinaryIO) -> None:
        out.write(b"half")
        raise BadInput("reading", "it is damaged", "")

    with Shell(server.address(), server.key.private) as shell:
        with pytest.raises(BadInput, match="it is damaged"):
            shell.feed(fail, "count")
        with pytest.raises(CommandFailed, match="exit code 4"):
            shell.feed(lambda out: out.write(b"x" * (1 << 24)), "fail")


def test_a_command_has_a_deadline(server: Server) -> None:
    with Shell(server.address(), server.key.private) as shell:
        with pytest.raises(CommandTimedOut, match="it may still run"):
            shell.run("sleep", timeout=0.2)


def test_it_works_where_a_loop_is_running(server: Server) -> None:
    async def in_jupyter() -> str:
        with Shell(server.address(), server.key.private) as shell:
            return shell.read("hostname")

    assert asyncio.run(in_jupyter()) == "ded-old"


def test_another_host_name_than_rescue_is_refused(server: Server) -> None:
    with pytest.raises(Refused, match="'ded-old', not 'rescue'"):
        rescue.let_in(Login(server.address(), server.key.private))


def test_a_damaged_key_is_not_repeated() -> None:
    with pytest.raises(BadInput) as caught:
        private_key("secret-word")
    assert "secret-word" not in str(caught.value)


def test_a_key_pair_does_not_show_its_private_half() -> None:
    assert "PRIVATE" not in repr(KeyPair.new("x"))
