from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.hetzner.rig import Rig
from tests.lab.robot.standin import StandIn, running


@pytest.fixture(autouse=True)
def _nothing_but_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real endpoints are allowed by the code; the tests never get to one: what is elsewhere cannot even be looked up."""
    look_up, connect = socket.getaddrinfo, socket.socket.connect

    def only_here(host: Any, *more: Any, **named: Any) -> Any:
        text = host.decode() if isinstance(host, bytes) else str(host)
        assert text.startswith("127."), f"a test asks for {text}"
        return look_up(host, *more, **named)

    def connect_here(self: socket.socket, address: Any) -> None:
        assert not isinstance(address, tuple) or str(address[0]).startswith("127."), f"a test connects to {address}"
        connect(self, address)

    monkeypatch.setattr(socket, "getaddrinfo", only_here)
    monkeypatch.setattr(socket.socket, "connect", connect_here)


@pytest.fixture(scope="module")
def standin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """One stand-in for a module's tests, which leave its machine in any state."""
    with running(tmp_path_factory.mktemp("robot")) as one:
        yield one


@pytest.fixture
def rig(standin: StandIn) -> Rig:
    return Rig.on(standin)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Rig, dict[str, Any], dict[str, str]]]:
    """A machine on which the whole install ran once: the rig, what it returned, and its disks' digests before."""
    with running(tmp_path_factory.mktemp("robot")) as one:
        rig, before = Rig.on(one), {last: one.digest(last) for last in ("c3d4", "c3ff")}
        yield rig, rig.install(), before
