"""Faults of Robot, and of the way into the rescue system."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from corelib.errors import TimedOut
from corelib.hetzner.errors import LoginRefused
from corelib.hetzner.robot import Robot
from corelib.ssh import HostKeyMismatch
from tests.faults.hetzner.trial import posted, trial
from tests.faults.tables import InstallTable
from tests.hetzner.rig import Rig

pytestmark = pytest.mark.faults

RESET, RESCUE, LAST, KEY = (
    {"method": "POST", "path": "/reset/"},
    {"method": "POST", "path": "/rescue"},
    {"method": "GET", "path": "/rescue/last"},
    {"method": "POST", "path": "/key"},
)


@pytest.mark.parametrize(
    ("name", "refusal", "says"),
    [
        (
            "the limit of resets is used up",
            {**RESET, "status": 403, "code": "RATE_LIMIT_EXCEEDED", "max_request": 50, "interval": 1},
            "the limit of 50 requests is used up for up to 1 s; waiting for that",
        ),
        ("maintenance", {**LAST, "status": 503, "code": "MAINTENANCE", "times": 2}, "(503 MAINTENANCE): asking again"),
        (
            "maintenance while arming",
            {**RESCUE, "status": 503, "code": "MAINTENANCE"},
            "(503 MAINTENANCE): asking again",
        ),
        ("arming is not answered", {**RESCUE, "silent": "after"}, "no connection: asking again"),
        ("maintenance for our key", {**KEY, "status": 503, "code": "MAINTENANCE"}, "(503 MAINTENANCE): asking again"),
        ("a GET is not answered", {**LAST, "silent": "before"}, "no connection: asking again"),
        ("a reset that happens is not answered", {**RESET, "silent": "after"}, "it is not sent again"),
        ("a reset is not done for maintenance", {**RESET, "status": 503, "code": "MAINTENANCE"}, "asking again"),
        ("a reset that is lost is not answered", {**RESET, "silent": "before"}, "armed again for a hard one"),
    ],
)
def test_hetzner_robot_goes_on(
    name: str, refusal: dict[str, Any], says: str, install_matrix: InstallTable, tmp_path: Path
) -> None:
    with trial(name, install_matrix, tmp_path, robot=(refusal,)) as one:
        one.well(says)
        answered = posted(one.standin, "/reset/")
        assert answered == (2 if refusal.get("status") and refusal["path"] == "/reset/" else 1), "no reset too many"


@pytest.mark.parametrize(
    ("name", "refusal", "says"),
    [
        ("a manual reset is under way", {**RESET, "status": 409, "code": "RESET_MANUAL_ACTIVE"}, "wait for its end"),
        ("a reset fails", {**RESET, "status": 500, "code": "RESET_FAILED"}, "500 RESET_FAILED"),
        ("another boot is active", {**RESCUE, "status": 409, "code": "BOOT_ALREADY_ENABLED"}, "deactivate it in Robot"),
        ("arming fails", {**RESCUE, "status": 500, "code": "BOOT_ACTIVATION_FAILED"}, "500 BOOT_ACTIVATION_FAILED"),
        ("no rescue system", {**RESCUE, "status": 404, "code": "BOOT_NOT_AVAILABLE"}, "404 BOOT_NOT_AVAILABLE"),
    ],
)
def test_hetzner_robot_stops(
    name: str, refusal: dict[str, Any], says: str, install_matrix: InstallTable, tmp_path: Path
) -> None:
    with trial(name, install_matrix, tmp_path, robot=(refusal,)) as one:
        one.stops(says)
        assert not one.rig.robot().rescue(321).active, "nothing is left armed"
        one.rig.install()  # and what was a moment's fault is gone with it


def test_hetzner_login_is_tried_once(install_matrix: InstallTable, tmp_path: Path) -> None:
    with trial("a wrong password", install_matrix, tmp_path) as one:
        wrong = Robot(one.standin.url, one.standin.login[0], "not the password", one.standin.ca)
        one.stops("It was not tried again", act=lambda _: wrong.servers(), kind=LoginRefused)
        assert [request for request in one.standin.requests() if request[2] == 401] == [("GET", "/server", 401)]


def test_hetzner_key_that_cannot_be_deleted_is_told(install_matrix: InstallTable, tmp_path: Path) -> None:
    refusal = {"method": "DELETE", "path": "/key/", "status": 503, "code": "MAINTENANCE", "times": 2}
    with trial("our key cannot be deleted", install_matrix, tmp_path, robot=(refusal,)) as one:
        entry = one.rig.install(robot=one.rig.robot(patience=0.2))
        assert f"our temporary key {entry['left_key']} may still be there" in entry["left_behind"]
        assert [step.action for step in one.rig.plan(entry).steps] == ["keep", "change"]
        one.matrix.row(one.name, "verified", entry["left_behind"], untouched=one.untouched(written=True), seconds=0)


@pytest.mark.parametrize(
    ("name", "hosts", "says"),
    [
        ("a wrong server number", {"server": 322}, "Robot knows no server 322"),
        ("the address of another server", {"address": "127.0.13.99"}, "expected '127.0.13.99'"),
        ("another server's name", {"name": "ded-lab-02"}, "the name 'ded-lab-01', expected 'ded-lab-02'"),
    ],
)
def test_hetzner_wrong_server(
    name: str, hosts: dict[str, Any], says: str, install_matrix: InstallTable, tmp_path: Path
) -> None:
    with trial(name, install_matrix, tmp_path, hosts) as one:
        one.stops(says)
        assert posted(one.standin, "/") == 0


def test_hetzner_gentle_reset_is_followed_by_a_hard_one(install_matrix: InstallTable, tmp_path: Path) -> None:
    with trial("Ctrl-Alt-Del is not heard", install_matrix, tmp_path, deaf=("sw",)) as one:
        one.well("armed again for a hard one")
        assert posted(one.standin, "/reset/") == 2


@pytest.mark.parametrize(
    ("name", "boots", "says"),
    [
        ("the rescue system never comes", ("dark", "dark"), "vKVM"),
        ("the old system comes instead of the rescue system", ("old", "old"), "vKVM"),
    ],
)
def test_hetzner_rescue_never_up(
    name: str, boots: tuple[str, ...], says: str, install_matrix: InstallTable, tmp_path: Path
) -> None:
    with trial(name, install_matrix, tmp_path, armed=boots, starts="old") as one:
        one.rig.deadlines = replace(one.rig.deadlines, rescue=2)
        one.stops(says, kind=TimedOut)
        assert posted(one.standin, "/reset/") == 2, "escalated once, and no more"


def test_hetzner_rescue_never_lets_in(install_matrix: InstallTable, tmp_path: Path) -> None:
    with trial("the rescue system's SSH never answers", install_matrix, tmp_path, never_up=True) as one:
        one.rig.deadlines = replace(one.rig.deadlines, rescue=2, ssh=1)
        one.stops("not within 1 s", kind=TimedOut)
        assert posted(one.standin, "/reset/") == 2, "escalated once, and no more"


def test_hetzner_a_system_that_is_no_rescue_system(install_matrix: InstallTable, tmp_path: Path) -> None:
    with trial("the rescue system has another name", install_matrix, tmp_path, host_name="old") as one:
        one.stops("its host name is 'old', not 'rescue'")


def test_hetzner_another_host_key(install_matrix: InstallTable, tmp_path: Path) -> None:
    with trial("another host key than the announced one", install_matrix, tmp_path, announces_another_key=True) as one:
        error = one.stops("pinned is SHA256:", kind=HostKeyMismatch)
        assert error.found.count("SHA256:") == 2, "both fingerprints are shown"


def test_hetzner_two_operators(install_matrix: InstallTable, tmp_path: Path) -> None:
    """The second finds the first one's key at Robot, at every state of the first."""
    with trial("two operators on one server", install_matrix, tmp_path) as one:
        other, refused = Rig(one.standin, one.rig.fleet), []

        def meanwhile(event: Any) -> None:
            if event.phase == "begin" and not event.target.endswith(("/planned", "/confirmed", "/tidied")):
                try:
                    other.inspect()
                except Exception as problem:  # noqa: BLE001 - looked at below
                    refused.append(str(problem))

        one.well(act=lambda rig: rig.install(watch=meanwhile))
        assert len(refused) == 12
        assert all("somebody else installs it, or has been cut off" in text for text in refused), refused
