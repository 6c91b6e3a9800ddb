"""The whole way, from a plan to a verified machine, against the stand-in; and every way in which it stops."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import asyncssh
import pytest
import requests

from corelib.errors import Refused, ServiceFailed, TimedOut
from corelib.hetzner import install, rescue
from corelib.hetzner.errors import LeftBehind, LoginRefused, NoAnswer, ResetUnknown
from corelib.hetzner.facts import Note, Pin, Rescue
from corelib.hetzner.observe import observe
from corelib.hetzner.robot import Robot
from corelib.plan import Progress, approve, permit
from corelib.ssh import HostKeyMismatch, KeyPair
from tests.hetzner.relay import Relay
from tests.hetzner.rig import QUICK, Rig
from tests.lab.robot.standin import StandIn, running

WWN = "wwn-0x5000c500a1b2c3d4"
LOOK = ["planned", "rescue armed", "resetting", "rescue pinned", "inventoried", "tidied"]
WRITE = [
    *("confirmed", "inventoried", "guarded", "wiped", "installed", "verified on disk"),
    *("rebooting", "up", "verified", "tidied"),
]
STATES = [*LOOK, *WRITE]
Installed = tuple[Rig, dict[str, Any], dict[str, str]]


class TestInstalled:
    """One install, looked at from all sides."""

    def test_every_state_begins_and_is_done_in_order(self, installed: Installed) -> None:
        rig, _, _ = installed
        assert rig.phases("begin")[: len(STATES)] == STATES
        assert rig.phases("done")[: len(STATES)] == STATES
        assert not rig.phases("failed")

    def test_it_returns_what_the_inventory_keeps(self, installed: Installed) -> None:
        rig, entry, _ = installed
        assert entry == {
            "server": 321,
            "address": rig.standin.address,
            "ssh_port": 2222,
            "host_key": rig.standin.files()["etc/ssh/ssh_host_ed25519_key.pub"].decode().strip(),
            "host_key_fingerprint": asyncssh.import_public_key(entry["host_key"]).get_fingerprint(),
            "disk": WWN,
            "user_data_sha256": hashlib.sha256(rig.user_data).hexdigest(),
            "version": "4757.1.0",
        }

    def test_the_user_data_is_where_the_distribution_reads_it(self, installed: Installed) -> None:
        rig, _, _ = installed
        assert rig.standin.files()["var/lib/flatcar-install/user_data"] == rig.user_data

    def test_the_other_disk_was_not_touched(self, installed: Installed) -> None:
        rig, _, before = installed
        assert rig.standin.digest("c3ff") == before["c3ff"]
        assert rig.standin.digest("c3d4") != before["c3d4"]

    def test_robot_keeps_no_key_and_no_rescue(self, installed: Installed) -> None:
        rig, _, _ = installed
        assert rig.robot().key_names() == {}
        assert not rig.robot().rescue(321).active

    def test_only_that_it_was_is_remembered(self, installed: Installed) -> None:
        rig, _, _ = installed
        assert rig.memory.note == Note(installs=1)

    def test_the_second_plan_keeps_it(self, installed: Installed) -> None:
        rig, entry, _ = installed
        plan = rig.plan(entry)
        assert [step.action for step in plan.steps] == ["keep"]
        assert plan.empty

    def test_other_user_data_would_begin_with_a_look_at_its_disks(self, installed: Installed) -> None:
        rig, entry, _ = installed
        plan = rig.plan(entry, rig.user_data + b"# more\n")
        assert [(step.action, step.consent) for step in plan.steps] == [("change", "")]
        assert plan.steps[0].why.startswith("user-data (SHA-256) differs")

    def test_observing_works_where_a_loop_is_running(self, installed: Installed) -> None:
        rig, entry, _ = installed

        async def in_jupyter() -> bool:
            return rig.plan(entry).empty

        assert asyncio.run(in_jupyter())

    def test_a_key_that_is_not_let_in_is_said(self, installed: Installed) -> None:
        rig, entry, _ = installed
        stranger = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
        found = observe(rig.fleet, rig.robot(), {rig.host.name: Pin.of(entry)}, stranger)[rig.host.name]
        assert found.installed is None
        assert "does not let core in with the key SHA256:" in found.silence


def test_the_letters_swap_and_the_same_disk_is_written_again(installed: Installed) -> None:
    """Last in its module: it installs a second time, by which every host key changes."""
    rig, entry, before = installed
    first = rig.facts("guarded")
    rig.events.clear()
    rig.entry = {}  # an inventory that was lost: what answers there is not known any more
    again = rig.install()
    second = rig.facts("guarded")
    assert {first["path"], second["path"]} == {"/dev/sda", "/dev/sdb"}
    assert first["serial"] == second["serial"] == "LAB0C3D4"
    assert "gpt" in second["signatures"]
    assert rig.standin.digest("c3ff") == before["c3ff"]
    assert again["host_key_fingerprint"] != entry["host_key_fingerprint"]
    blocked = rig.plan(entry).blocked
    assert len(blocked) == 1
    assert entry["host_key_fingerprint"] in blocked[0].why
    assert again["host_key_fingerprint"] in blocked[0].why


def test_an_absent_wwn_lists_the_disks_seen_and_stops(standin: StandIn) -> None:
    rig = Rig.on(standin, disk="wwn-0x5000c500deadbeef")
    before = standin.digest("c3d4"), standin.digest("c3ff")
    with pytest.raises(Refused, match="no disk has") as caught:
        rig.install()
    assert WWN in caught.value.found
    assert "wwn-0x5000c500a1b2c3ff" in caught.value.found
    assert rig.phases("done") == LOOK
    assert (standin.digest("c3d4"), standin.digest("c3ff")) == before
    assert rig.robot().key_names() == {}


@pytest.mark.parametrize(
    ("script", "found"),
    [
        (b"#!/bin/sh\necho no image; exit 3\n", "exit code 3: no image"),
        (b"#!/bin/sh\necho all done\n", "exit code 0: all done"),
        (b"#!/bin/sh\necho Success! Something is installed on /dev/sdz\n", "exit code 0: Success!"),
    ],
)
def test_a_script_that_does_not_succeed_is_a_failure(rig: Rig, script: bytes, found: str) -> None:
    with pytest.raises(ServiceFailed, match=re.escape(found)):
        rig.install(installer=script)
    assert rig.phases("failed") == ["installed"]
    assert rig.robot().key_names() == {}
    assert rig.facts("installed")["log"]


def test_nothing_is_written_if_the_wwn_moved_before_the_write(rig: Rig) -> None:
    """The shell that writes resolves the WWN again: here it was moved after the guard looked."""
    before = rig.standin.digest("c3ff")

    def move(event: Progress) -> None:
        if event.target.endswith("/wiped") and event.phase == "done":
            other = "/dev/disk/by-id/wwn-0x5000c500a1b2c3ff"
            asyncio.run(_in_rescue(rig, f"ln -sf $(readlink -f {other}) /dev/disk/by-id/{WWN}"))

    said = r"the install script was not begun: wwn-0x5000c500a1b2c3d4 is /dev/sd. now, and was /dev/sd."
    with pytest.raises(Refused, match=said) as caught:
        rig.install(watch=move)
    assert "exit code" not in str(caught.value)
    assert rig.standin.digest("c3ff") == before


def test_an_interrupt_tidies_up(rig: Rig) -> None:
    def interrupt(event: Progress) -> None:
        if event.target.endswith("/rescue pinned") and event.phase == "wait":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rig.install(watch=interrupt)
    assert rig.phases("done")[-1] == "tidied"
    assert rig.robot().key_names() == {}


def test_nothing_is_asked_for_that_cannot_be_journaled(rig: Rig) -> None:
    posted = [one for one in rig.standin.requests() if one[0] != "GET"]

    def refuse(event: Progress) -> None:
        if event.target.endswith("/planned") and event.phase == "begin":
            raise OSError("the disk of the journal is full")

    with pytest.raises(OSError, match="journal"):
        rig.install(watch=refuse)
    assert [one for one in rig.standin.requests() if one[0] != "GET"] == posted


def test_an_address_that_robot_does_not_agree_with(standin: StandIn) -> None:
    rig = Rig.on(standin, address=IPv4Address("127.0.13.99"))
    (step,) = rig.plan().steps
    assert step.action == "blocked"
    assert standin.address in step.why
    assert "127.0.13.99" in step.why
    posted = [one for one in standin.requests() if one[0] != "GET"]
    with pytest.raises(Refused, match="plan again"):
        rig.inspect()
    assert [one for one in standin.requests() if one[0] != "GET"] == posted


def test_robots_own_endpoint_is_not_refused_and_the_tests_do_not_reach_it(rig: Rig) -> None:
    far = Robot("https://robot-ws.your-server.de", "user", "password", patience=0)
    with pytest.raises(AssertionError, match=r"a test asks for robot-ws\.your-server\.de"):
        rig.inspect(robot=far)
    assert rig.phases("failed")[0] == "planned"


def test_a_plan_is_approved_by_digest_and_consent(rig: Rig) -> None:
    rig.inspect()
    plan, now = rig.plan(), datetime.now(UTC)
    assert plan.consents == (f"wipe {WWN} of ded-lab-01",)
    with pytest.raises(Refused, match="its own consent"):
        permit(plan, approve(plan, now, "me"), now)
    permit(plan, approve(plan, now, "me"), now, plan.consents)


def test_a_wrong_login_is_tried_exactly_once(tmp_path: Path) -> None:
    with running(tmp_path / "robot") as standin:
        wrong = Robot(standin.url, standin.login[0], "not the password", standin.ca)
        with pytest.raises(LoginRefused, match="10 minutes"):
            wrong.servers()
        assert standin.requests() == [("GET", "/server", 401)]


def test_another_host_key_than_the_announced_one_stops_it(tmp_path: Path) -> None:
    with running(tmp_path / "robot", faults={"announces_another_key": True}) as standin:
        rig, before = Rig.on(standin), standin.digest("c3d4")
        with pytest.raises(HostKeyMismatch) as caught:
            rig.install()
        assert len(set(re.findall(r"SHA256:[A-Za-z0-9+/]{43}", caught.value.found))) == 2
        assert rig.phases("failed") == ["rescue pinned"]
        assert standin.digest("c3d4") == before
        assert rig.robot().key_names() == {}


def test_a_machine_that_never_comes_up_is_a_time_out(tmp_path: Path) -> None:
    with running(tmp_path / "robot", faults={"never_up": True}) as standin:
        rig = Rig.on(standin)
        rig.deadlines = replace(QUICK, rescue=1, ssh=1)
        with pytest.raises(TimedOut, match="not within 1 s"):
            rig.install()
        assert rig.phases("failed") == ["rescue pinned", "rescue pinned"], "after a gentle reset, and after a hard one"
        assert rig.robot().key_names() == {}


class Forgetful(Robot):
    """Resets, and loses the answer; at the end it cannot be reached any more."""

    def reset(self, number: int, kind: Any = "hw", *more: Any) -> None:
        super().reset(number, kind, *more)
        raise ResetUnknown("resetting", "no answer in time")

    def delete_key(self, fingerprint: str) -> None:
        raise NoAnswer("deleting the key", "no connection")


@pytest.fixture
def relay(standin: StandIn) -> Iterator[Relay]:
    with Relay((standin.address, 2222), (standin.address, 2223)) as one:
        yield one


def test_lost_answers_and_lost_connections_do_not_start_anything_twice(standin: StandIn, relay: Relay) -> None:
    rig = Rig.on(standin, ssh_port=2223)
    runs = b"#!/bin/bash\necho run >>/tmp/runs; [ $(wc -l </tmp/runs) = 1 ] || exit 9\necho begun\nsleep 1\n"
    resets = [one for one in standin.requests("/reset/321") if one[0] == "POST"]

    def cut(event: Progress) -> None:
        if event.detail == "begun":
            relay.cut()

    entry = rig.install(installer=runs + standin.installer.partition(b"\n")[2], robot=rig.robot(Forgetful), watch=cut)
    waits = [event.detail for event in rig.events if event.phase == "wait"]
    assert any("connection lost, the install goes on without it" in text for text in waits)
    assert any("not sent again" in text for text in waits)
    assert len([one for one in standin.requests("/reset/321") if one[0] == "POST"]) == len(resets) + 1
    assert rig.phases("failed") == ["tidied", "tidied"]
    assert f"our temporary key {entry['left_key']} may still be there (no connection)" in entry["left_behind"]
    assert set(rig.robot().key_names()) == {entry["left_key"]}
    assert [step.action for step in rig.plan(entry).steps] == ["keep", "change"]
    install.tidy(rig.job(left=entry["left_key"]))
    assert rig.robot().key_names() == {}


def test_what_was_left_at_robot_is_known_again_and_taken_away(standin: StandIn) -> None:
    """It bears the name of this server's installs, so that any other would be refused because of it."""
    rig = Rig.on(standin)
    left = rig.robot().add_key("coreos-runbooks ded-lab-01 (temporary)", KeyPair.new("left").public)
    with pytest.raises(Refused, match="somebody else installs it"):
        rig.inspect()
    rig.inspect(left=left)
    assert rig.robot().key_names() == {}
    left = rig.robot().add_key("coreos-runbooks ded-lab-01 (temporary)", KeyPair.new("left").public)
    rig.robot().arm_rescue(321, left)
    install.tidy(rig.job(left=left))
    assert rig.robot().key_names() == {}
    assert not rig.robot().rescue(321).active


class Gone(Robot):
    """It cannot be reached when it comes to tidying up."""

    def disarm_rescue(self, number: int) -> None:
        raise NoAnswer("disarming", "no connection")

    def delete_key(self, fingerprint: str) -> None:
        raise NoAnswer("deleting the key", "no connection")


def test_all_that_is_left_at_robot_is_named(rig: Rig) -> None:
    def interrupt(event: Progress) -> None:
        if event.target.endswith("/resetting") and event.phase == "begin":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        rig.inspect(robot=rig.robot(Gone), watch=interrupt)
    (note,) = caught.value.__notes__
    assert "the next boot then goes there, and not to the disk (no connection)" in note
    assert f"our temporary key {rig.job().key.md5} may still be there (no connection)" in note
    install.tidy(rig.job(left=rig.job().key.md5))
    assert not rig.robot().rescue(321).active


def test_one_part_of_tidying_up_does_not_wait_for_the_other(rig: Rig) -> None:
    class Half(Robot):
        def rescue(self, number: int) -> Rescue:
            raise NoAnswer("looking", "503 MAINTENANCE")

    key = rig.job().key
    rig.robot().add_key("coreos-runbooks ded-lab-01 (temporary)", key.public)
    with pytest.raises(LeftBehind, match=f"may still be armed.*503.*{key.md5} is not at Robot any more"):
        rescue.tidy(rig.job(robot=rig.robot(Half)))
    assert rig.robot().key_names() == {}


async def _in_rescue(rig: Rig, command: str) -> None:
    """Do something in the rescue system behind the client's back, with its root password."""
    url = f"{rig.standin.url}/boot/321/rescue/last"
    with requests.Session() as session:
        session.trust_env = False
        password = session.get(url, auth=rig.standin.login, verify=rig.standin.ca, timeout=5).json()["rescue"][
            "password"
        ]
    where = {"username": "root", "password": password, "known_hosts": None, "config": None, "client_keys": None}
    async with asyncssh.connect(rig.standin.address, 2222, **where) as connection:
        await connection.run(command, check=True)
