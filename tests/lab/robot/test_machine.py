"""The machine: power, two systems, disks whose letters swap."""

from __future__ import annotations

import asyncssh
import pytest
import yaml

from corelib.lab.robot.credentials import _operator
from tests.lab.robot.client import Client
from tests.lab.robot.standin import ROOT

USER_DATA = "#cloud-config\nhostname: ded-lab-01\nssh_authorized_keys:\n  - {key}\n"
WWN = "wwn-0x5000c500a1b2c3d4"
INSTALL = f"/tmp/install -d /dev/disk/by-id/{WWN} -C beta -V 4757.1.0 -c /tmp/user_data"  # noqa: S108 - on a lab machine


def _letters(client: Client) -> list[str]:
    return client.run("lsblk -n -d -o NAME,WWN")[1].splitlines()


def test_the_operators_key_is_the_one_that_the_labs_parameters_let_in() -> None:
    (public,) = yaml.safe_load((ROOT / "parameters/lab.yaml").read_text())["fleet"]["ssh_keys"]
    assert asyncssh.import_private_key(_operator()).public_data == asyncssh.import_public_key(public).public_data


def test_it_is_dark_before_anything_is_installed(client: Client) -> None:
    assert not client.answers()
    client.call("POST", "/reset/321", type="hw")
    assert not client.answers()


def test_every_boot_has_fresh_host_keys_announced_by_robot_and_swapped_letters(client: Client) -> None:
    client.boot_rescue()
    first, letters, key = client.last(), _letters(client), client.host_key()
    assert key == f"SHA256:{first['host_key'][0]['key']['fingerprint']}"
    assert first["boot_time"]
    assert client.call("GET", "/boot/321/rescue").json()["rescue"]["active"] is False
    client.call("DELETE", f"/key/{client.md5}")
    client.boot_rescue()
    second = client.last()
    assert second["host_key"] != first["host_key"]
    assert client.host_key() == f"SHA256:{second['host_key'][0]['key']['fingerprint']}"
    assert sorted(line[4:] for line in letters) == sorted(line[4:] for line in _letters(client))
    assert letters != _letters(client)


def test_only_the_armed_key_and_the_password_are_let_in(rescue: Client) -> None:
    stranger = asyncssh.generate_private_key("ssh-ed25519")
    assert not rescue.answers(key=stranger)
    assert not rescue.answers(user="core")
    password = rescue.last()["password"]
    assert rescue.run("hostname", client_keys=None, password=password) == (0, "rescue\n")


def test_a_session_lasts_until_its_output_is_closed(rescue: Client) -> None:
    assert rescue.run("(sleep 0.3; echo late) & echo early") == (0, "early\nlate\n")
    assert rescue.run("(sleep 0.3; echo late) >/dev/null 2>&1 & echo early") == (0, "early\n")


def test_exit_codes_signals_and_both_outputs_arrive(rescue: Client) -> None:
    assert rescue.run("echo out; echo err >&2; exit 7") == (7, "out\nerr\n")
    assert rescue.run("kill -9 $$")[0] == 137
    assert rescue.run("exit 0", input="never read" * 100_000)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ("-C beta", "No target block device provided"),
        ("-d /dev/null", "not a block device"),
        ("-d /dev/sda -c /nowhere", "does not exist"),
        ("-s", "illegal option"),
    ],
)
def test_the_install_script_checks_its_arguments(rescue: Client, arguments: str, found: str) -> None:
    _upload(rescue, "install", (rescue.standin.folder / "flatcar-install").read_text())
    code, said = rescue.run(f"chmod +x /tmp/install; /tmp/install {arguments}")
    assert code != 0
    assert found in said


def test_an_installed_disk_boots_as_its_user_data_says(rescue: Client) -> None:
    """By hand, as an operator would: install, reset, log in; then the disk's label is wiped and it is dark again."""
    text = USER_DATA.format(key=rescue.public.strip())
    _upload(rescue, "install", (rescue.standin.folder / "flatcar-install").read_text())
    _upload(rescue, "user_data", text)
    code, said = rescue.run(f"chmod +x /tmp/install; {INSTALL}")
    assert code == 0, said
    assert f"Success! Flatcar Container Linux beta 4757.1.0 is installed on /dev/disk/by-id/{WWN}\n" in said
    rescue.run("reboot")
    rescue.wait(lambda: rescue.answers("core"))
    assert rescue.run("hostname", user="core") == (0, "ded-lab-01\n")
    assert rescue.run(". /etc/os-release; echo $ID $VERSION_ID", user="core") == (0, "flatcar 4757.1.0\n")
    assert rescue.run("sudo -n cat /var/lib/flatcar-install/user_data", user="core") == (0, text)
    assert not rescue.answers("root")
    rescue.call("DELETE", f"/key/{rescue.md5}")
    rescue.boot_rescue()
    assert "gpt" in rescue.run(f"wipefs --all /dev/disk/by-id/{WWN}")[1]
    rescue.call("POST", "/reset/321", type="sw")
    rescue.wait(lambda: not rescue.answers())
    assert not rescue.answers("core")


def _upload(client: Client, name: str, text: str) -> None:
    assert client.run(f"cat >/tmp/{name}", input=text)[0] == 0
