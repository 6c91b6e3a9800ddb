"""Wake-on-LAN: a machine that is off boots, one that runs does not care; asked by the product's own client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from corelib.hetzner.errors import NotFound, RateLimited
from corelib.hetzner.robot import Robot
from tests.lab.robot.client import Client
from tests.lab.robot.standin import StandIn, running


def robot(standin: StandIn) -> Robot:
    return Robot(standin.url, *standin.login, standin.ca, queue=0)


@pytest.fixture(scope="module")
def woken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A machine that was off, with its rescue system armed, and was woken: nobody has ever reset it."""
    with running(tmp_path_factory.mktemp("robot")) as standin:
        client = Client(standin)
        asks = robot(standin)
        asks.arm_rescue(321, asks.add_key("test", client.public))
        assert not client.answers()
        assert asks.wakes(321)
        asks.wake(321)
        client.wait(client.answers)
        yield client


def test_a_machine_that_is_off_wakes_into_what_is_armed(woken: Client) -> None:
    assert woken.run("hostname") == (0, "rescue\n")
    assert not robot(woken.standin).rescue(321).active
    assert woken.standin.requests("/reset") == []
    assert woken.call("GET", "/server/321").json()["server"]["wol"] is True


def test_a_machine_that_runs_does_not_care(woken: Client) -> None:
    """What it had in memory is still there."""
    woken.run("touch ~/mine")
    place = woken.call("POST", "/wol/321").json()["wol"]
    assert (place["server_ip"], place["server_number"]) == (woken.standin.address, 321)
    assert woken.call("GET", "/wol/321").json()["wol"] == place
    assert woken.run("sleep 0.5; ls ~") == (0, "mine\n")


def test_ten_packets_in_an_hour(woken: Client) -> None:
    asks = robot(woken.standin)
    with suppress(RateLimited):
        for _ in range(20):
            asks.wake(321)
    with pytest.raises(RateLimited, match="the limit of 10 requests"):
        asks.wake(321)
    assert len([one for one in woken.standin.requests("/wol") if (one[0], one[2]) == ("POST", 200)]) == 10
    assert asks.wakes(321)


def test_a_machine_that_listens_to_none(tmp_path: Path) -> None:
    with running(tmp_path / "robot", faults={"wol": False}) as standin:
        asks = robot(standin)
        assert not asks.wakes(321)
        with pytest.raises(NotFound, match="WOL_NOT_AVAILABLE"):
            asks.wake(321)
        with pytest.raises(NotFound, match="SERVER_NOT_FOUND"):
            asks.wake(1)
        assert Client(standin).call("GET", "/server/321").json()["server"]["wol"] is False
