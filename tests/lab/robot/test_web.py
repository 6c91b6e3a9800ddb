"""Robot's web service: the shapes and errors of its reference."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.lab.robot.client import Client
from tests.lab.robot.standin import running


def test_the_list_of_servers(client: Client) -> None:
    (one,) = client.call("GET", "/server").json()
    server = one["server"]
    assert (server["server_number"], server["server_name"]) == (321, "ded-lab-01")
    assert server["server_ip"] == client.standin.address
    assert (server["product"], server["dc"], server["status"], server["cancelled"]) == (
        "EX44",
        "FSN1-DC14",
        "ready",
        False,
    )
    assert client.call("GET", "/server/321").json()["server"]["rescue"] is True


@pytest.mark.parametrize(
    "path", ["/server/1", "/boot/1", "/boot/1/rescue", "/boot/1/rescue/last", "/reset/1", "/wol/1"]
)
def test_a_server_that_is_not_there(client: Client, path: str) -> None:
    assert client.error("GET", path) == (404, "SERVER_NOT_FOUND")


def test_a_path_that_is_not_there(client: Client) -> None:
    assert client.error("GET", "/nothing") == (404, "NOT_FOUND")


def test_keys_come_and_go(client: Client) -> None:
    answer = client.call("POST", "/key", name="mine", data=client.public)
    assert answer.status_code == 201
    key = answer.json()["key"]
    assert (key["fingerprint"], key["name"], key["type"], key["size"]) == (client.md5, "mine", "ED25519", 256)
    assert client.error("POST", "/key", name="again", data=client.public) == (409, "KEY_ALREADY_EXISTS")
    assert client.call("POST", f"/key/{client.md5}", name="renamed").json()["key"]["name"] == "renamed"
    assert client.call("GET", "/key").json() == [client.call("GET", f"/key/{client.md5}").json()]
    assert client.call("DELETE", f"/key/{client.md5}").content == b""
    assert client.error("DELETE", f"/key/{client.md5}") == (404, "NOT_FOUND")
    assert client.call("GET", "/key").json() == []


def test_forms_are_checked(client: Client) -> None:
    assert client.error("POST", "/key", name="x") == (400, "INVALID_INPUT")
    assert client.call("POST", "/key", name="x").json()["error"]["missing"] == ["data"]
    assert client.error("POST", "/key", name="x", data="no key") == (400, "INVALID_INPUT")
    assert client.error("POST", "/boot/321/rescue") == (400, "INVALID_INPUT")
    assert client.error("POST", "/boot/321/rescue", os="dos") == (400, "INVALID_INPUT")
    assert client.error("POST", "/boot/321/rescue", os="linux", authorized_key="aa:bb") == (400, "INVALID_INPUT")
    assert client.error("POST", "/reset/321", type="kick") == (400, "INVALID_INPUT")


@pytest.mark.parametrize("spelling", ["authorized_key", "authorized_key[]"])
def test_rescue_is_armed_and_disarmed(client: Client, spelling: str) -> None:
    client.call("POST", "/key", name="mine", data=client.public)
    assert client.call("GET", "/boot/321/rescue").json()["rescue"]["os"] == ["linux", "vkvm"]
    armed = client.call("POST", "/boot/321/rescue", **{"os": "linux", spelling: client.md5}).json()["rescue"]
    assert (armed["active"], armed["os"], armed["host_key"]) == (True, "linux", [])
    assert armed["password"]
    assert [one["key"]["fingerprint"] for one in armed["authorized_key"]] == [client.md5]
    assert client.error("POST", "/boot/321/rescue", os="linux") == (409, "BOOT_ALREADY_ENABLED")
    assert client.call("GET", "/boot/321").json()["boot"]["rescue"]["active"] is True
    assert client.call("DELETE", "/boot/321/rescue").json()["rescue"]["active"] is False
    assert client.last()["host_key"] == []
    client.call("DELETE", f"/key/{client.md5}")


def test_three_failed_logins_block_the_address_for_a_while(tmp_path: Path) -> None:
    with running(tmp_path / "robot") as standin:
        client, wrong = Client(standin), (standin.login[0], "wrong")
        assert [client.call("GET", "/server", auth=wrong).status_code for _ in range(3)] == [401] * 3
        assert client.error("GET", "/server") == (401, "UNAUTHORIZED")
        time.sleep(2.1)
        assert client.call("GET", "/server").ok


def test_secrets_are_for_their_owner_only(client: Client) -> None:
    for name in ("robot-password", "operator_ed25519"):
        assert (client.standin.folder / name).stat().st_mode & 0o777 == 0o600
    assert (client.standin.folder / "flatcar-install").stat().st_mode & 0o777 == 0o755
    assert "PASSWORD" not in (client.standin.folder / "robot.log").read_text().upper()


def test_a_login_that_is_no_text_is_refused(tmp_path: Path) -> None:
    with running(tmp_path / "robot") as standin:
        assert Client(standin).call("GET", "/server", auth=("lab", "pässwort")).status_code == 401
