"""Faults of the install script, of where its image comes from, and of what boots afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from corelib.errors import ServiceFailed, TimedOut
from corelib.hetzner.errors import NoAnswer
from corelib.hetzner.plan import looks
from corelib.hetzner.robot import Robot
from corelib.plan import Progress
from tests.faults.hetzner.trial import WWN, in_rescue, posted, trial
from tests.faults.tables import InstallTable
from tests.hetzner.rig import Rig

pytestmark = pytest.mark.faults

SAYS = f"echo 'Success! It is installed on /dev/disk/by-id/{WWN}'"


def script(text: str) -> bytes:
    return f"#!/bin/bash\n{text}\n".encode()


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("the script ends well without its line", "echo done", "exit code 0: done"),
        ("the script names another disk", "echo 'Success! X is installed on /dev/sdz'", "exit code 0: Success!"),
        (
            "the script fails after writing a part",
            f"dd if=/dev/urandom of=/dev/disk/by-id/{WWN} bs=1M count=4 conv=notrunc status=none; echo no more; exit 1",
            "exit code 1: no more",
        ),
        ("the script fails after its line", f"{SAYS}; exit 3", "exit code 3: Success!"),
        ("the script is killed", "kill -9 $$", "exit code 137"),
        ("the script and its shell are killed", "kill -9 0", "exit code 255"),
        ("the script writes no partitions", SAYS, "no partition is labelled EFI-SYSTEM or USR-A or OEM or ROOT"),
    ],
)
def test_hetzner_script_fails_once_and_is_not_begun_again(
    name: str, text: str, says: str, install_matrix: InstallTable, tmp_path: Path
) -> None:
    with trial(name, install_matrix, tmp_path) as one:
        one.stops(says, written=True, act=lambda rig: rig.install(installer=script(text)), kind=ServiceFailed)
        assert posted(one.standin, "/reset/") == 1, "it stays in its rescue system"
        assert in_rescue(one.rig, "ls /run/coreos-runbooks") == "1\n", "one attempt, and no more"


def test_hetzner_failed_attempt_needs_another_approval(install_matrix: InstallTable, tmp_path: Path) -> None:
    """The same content, and still not the same plan; under that it goes well."""
    with trial("a failed attempt, approved again", install_matrix, tmp_path) as one:
        flaky = one.standin.installer.replace(
            b"umask 077\n", b"umask 077\n[ -e /tmp/2 ] || { touch /tmp/2; exit 1; }\n"
        )
        one.rig.inspect()
        first = one.rig.step(installer=flaky)
        with pytest.raises(ServiceFailed):
            one.rig.write(first, installer=flaky)
        with pytest.raises(Exception, match="another attempt at writing than the 2"):
            one.rig.write(first, installer=flaky)
        second = one.rig.step(installer=flaky)
        assert (second.digest != first.digest, second.desired["attempt"]) == (True, 2)
        assert second.why == "the last attempt at writing has failed, and its disk is not bootable"
        one.rig.write(second, installer=flaky)
        one.matrix.row(one.name, "verified", second.why, untouched=one.untouched(written=True), seconds=0)


def test_hetzner_another_script_than_the_approved_one(install_matrix: InstallTable, tmp_path: Path) -> None:
    def write(rig: Rig) -> None:
        rig.inspect()
        rig.write(rig.step(), installer=script(SAYS))

    with trial("another script than the approved one", install_matrix, tmp_path) as one:
        one.stops("installer_sha256 is", act=write)


def test_hetzner_script_leaves_a_child_that_holds_its_output(install_matrix: InstallTable, tmp_path: Path) -> None:
    with trial("the script leaves a child that holds its output", install_matrix, tmp_path) as one:
        child = b"umask 077\n(sleep 6; echo late) &\n"
        one.well(act=lambda rig: rig.install(installer=rig.standin.installer.replace(b"umask 077\n", child)))


def test_hetzner_script_hangs(install_matrix: InstallTable, tmp_path: Path) -> None:
    """It is given up by the run, not by the machine: run again, and it is followed, not begun again."""
    with trial("the script hangs", install_matrix, tmp_path) as one:
        slow = one.standin.installer.replace(
            b"umask 077\n", b"umask 077\n[ ! -e /tmp/2 ] || exit 9\ntouch /tmp/2; sleep 4\n"
        )
        one.rig.deadlines = replace(one.rig.deadlines, write=2)
        one.stops("it may still run", written=True, act=lambda rig: rig.install(installer=slow), kind=TimedOut)
        one.rig.deadlines = replace(one.rig.deadlines, write=20)
        one.rig.write(one.rig.step(installer=slow), installer=slow)


@pytest.mark.parametrize(
    ("kind", "says"),
    [("slow", ""), ("truncated", "the connection was closed"), ("wrong-signature", "BAD signature")],
)
def test_hetzner_image_server(kind: str, says: str, install_matrix: InstallTable, tmp_path: Path) -> None:
    with trial(f"the image server is {kind}", install_matrix, tmp_path) as one:
        hetzner = one.rig.fleet.hetzner
        assert hetzner is not None
        mirror = hetzner.model_copy(update={"mirror": f"https://mirror.example.org/{kind}"})
        one.rig.fleet = one.rig.fleet.model_copy(update={"hetzner": mirror})
        if not says:
            one.well()
            return
        one.stops(says, written=True, kind=ServiceFailed)
        assert in_rescue(one.rig, f"wipefs /dev/disk/by-id/{WWN}") == "", "the script has wiped what it wrote"


def test_hetzner_other_user_data_on_the_disk(install_matrix: InstallTable, tmp_path: Path) -> None:
    with trial("other user-data on the disk", install_matrix, tmp_path) as one:
        altered = one.standin.installer.replace(
            b"umask 077\n", b'umask 077\necho "# more" >>/run/coreos-runbooks/1/user_data\n'
        )
        one.stops("it would boot with other user-data", written=True, act=lambda rig: rig.install(installer=altered))
        assert posted(one.standin, "/reset/") == 1
        one.again("has failed: its SHA-256 is ", look=False, installer=altered)


def test_hetzner_no_partitions_on_the_disk(install_matrix: InstallTable, tmp_path: Path) -> None:
    with trial("no partitions on the disk", install_matrix, tmp_path) as one:
        first = f"umask 077\n[ -e /tmp/2 ] || {{ touch /tmp/2; {SAYS}; exit 0; }}\n".encode()
        hasty = one.standin.installer.replace(b"umask 077\n", first)
        error = one.stops("no partition is labelled", written=True, act=lambda rig: rig.install(installer=hasty))
        assert "plan again, and approve another attempt" in error.remedy
        one.again("has failed: no partition is labelled", look=False, installer=hasty)


def test_hetzner_uefi(install_matrix: InstallTable, tmp_path: Path) -> None:
    with trial("firmware: UEFI", install_matrix, tmp_path, firmware="UEFI") as one:
        one.well("Boot0001* Flatcar Container Linux beta")
        assert "-u" in one.rig.facts("installed")["command"]


def test_hetzner_uefi_without_an_entry(install_matrix: InstallTable, tmp_path: Path) -> None:
    with trial("firmware: UEFI, and no boot entry", install_matrix, tmp_path, firmware="UEFI") as one:
        without = one.standin.installer.replace(b"    efibootmgr -c", b"    : -c")
        error = one.stops("its firmware has no entry", written=True, act=lambda rig: rig.install(installer=without))
        in_rescue(one.rig, error.remedy.partition("run again: ")[2])
        step = one.rig.step(installer=without)
        assert step.desired["attempt"] == 1, "made by hand, it goes on"
        one.rig.write(step, installer=without)


def test_hetzner_uefi_with_an_entry_of_something_else(install_matrix: InstallTable, tmp_path: Path) -> None:
    with trial(
        "firmware: UEFI, and the entry boots another partition", install_matrix, tmp_path, firmware="UEFI"
    ) as one:
        stale = one.standin.installer.replace(b'efibootmgr -c -d "$DEVICE" -p 1', b'efibootmgr -c -d "$DEVICE" -p 3')
        error = one.stops("its firmware has no entry", written=True, act=lambda rig: rig.install(installer=stale))
        assert "Container Linux" in error.found
        in_rescue(one.rig, error.remedy.partition("run again: ")[2])
        one.rig.install(installer=stale)  # what it says to do, and run again: nothing is written a second time
        assert one.rig.phases("begin").count("wiped") == 1


def test_hetzner_uefi_is_wanted_and_the_rescue_system_has_none(install_matrix: InstallTable, tmp_path: Path) -> None:
    with trial("firmware: uefi, and a BIOS", install_matrix, tmp_path, {"firmware": "uefi"}) as one:
        one.stops("booted by a BIOS, from which no boot entry can be made")


def test_hetzner_bios_is_wanted_where_the_rescue_system_has_uefi(install_matrix: InstallTable, tmp_path: Path) -> None:
    with trial("firmware: bios, and UEFI", install_matrix, tmp_path, {"firmware": "bios"}, firmware="UEFI") as one:
        one.well()
        assert "-u" not in one.rig.facts("installed")["command"]


def test_hetzner_comes_back_as_rescue(install_matrix: InstallTable, tmp_path: Path) -> None:
    with trial("it comes back as its rescue system", install_matrix, tmp_path, unarmed=("rescue",)) as one:
        one.well("disarming it and resetting once")


def test_hetzner_comes_back_as_the_old_system(install_matrix: InstallTable, tmp_path: Path) -> None:
    with trial("it comes back as the old system", install_matrix, tmp_path, unarmed=("old",)) as one:
        error = one.stops("pinned is", written=True, kind=ServiceFailed)
        assert error.found.count("SHA256:") == 2
        assert "It is in its rescue system again, and nothing was written" in error.found
        assert "ROOT" in one.rig.facts("collected")["disks"]
        one.again("has failed: it answers with the host key SHA256:", look=False)


def test_hetzner_comes_back_as_the_old_system_and_robot_is_away(install_matrix: InstallTable, tmp_path: Path) -> None:
    """Its rescue system cannot be asked then, and the next plan takes it there: the one that answers is known."""
    with trial("the old system, and Robot is away", install_matrix, tmp_path, unarmed=("old",)) as one:

        def install(rig: Rig) -> None:
            rig.inspect()
            rig.write(rig.step(), robot=rig.robot(Away))

        error = one.stops("could not be asked either", written=True, act=install, kind=ServiceFailed)
        assert error.remedy.endswith("Then plan again, and approve another attempt")
        one.again("has failed: it answers with the host key SHA256:", look=True)


class Away(Robot):
    """Arms no rescue system."""

    def arm_rescue(self, number: int, key: str) -> None:
        raise NoAnswer("arming the rescue system", "no connection")


def test_hetzner_never_comes_back(install_matrix: InstallTable, tmp_path: Path) -> None:
    """It is taken into its rescue system again and asked there; nothing is written a second time."""
    with trial("it never comes back", install_matrix, tmp_path, unarmed=("dark",)) as one:
        one.rig.deadlines = replace(one.rig.deadlines, boot=2)
        one.stops("It is in its rescue system again, and nothing was written", written=True, kind=TimedOut)
        left = one.rig.facts("collected")
        assert "ROOT" in left["disks"]
        assert "booted by a BIOS" in left["boot_entries"]
        assert left["journal"] == "its ROOT has no journal: the new system never ran, or not as far as writing one"
        assert in_rescue(one.rig, "ls -d /run/coreos-runbooks 2>/dev/null || echo none") == "none\n"
        step = one.rig.step()
        assert not looks(step)
        assert step.desired["attempt"] == 2, "only under another approval"


def test_hetzner_never_comes_back_and_its_journal_cannot_be_read(install_matrix: InstallTable, tmp_path: Path) -> None:
    """That is said, and what else it has left is told all the same."""
    with trial("it never comes back, no journalctl", install_matrix, tmp_path, unarmed=("dark",)) as one:
        one.rig.deadlines = replace(one.rig.deadlines, boot=2)
        broken = (
            f"mount $(readlink -f /dev/disk/by-id/{WWN})9 /mnt; mkdir -p /mnt/var/log/journal; umount /mnt; "
            "printf '#!/bin/sh\\necho it is not there >&2; exit 127\\n' >/opt/lab/bin/journalctl; "
            "chmod +x /opt/lab/bin/journalctl"
        )

        def install(rig: Rig) -> None:
            rig.install(watch=lambda event: _at(event, "collected", lambda: in_rescue(rig, broken)))

        one.stops("Its journal: it cannot be read: exit code 127: it is not there", written=True, act=install)
        assert "ROOT" in one.rig.facts("collected")["disks"]
        assert "tmp." not in in_rescue(one.rig, "cat /proc/self/mounts; ls /tmp")


def _at(event: Progress, state: str, act: Callable[[], object]) -> None:
    """Do something when a state begins."""
    if event.phase == "begin" and event.target.endswith(f"/{state}"):
        act()


def test_hetzner_the_old_install_goes_on_while_its_plan_has_changed(
    install_matrix: InstallTable, tmp_path: Path
) -> None:
    """Other user-data is planned while a script runs: that is not begun beside it."""
    with trial("a script of another plan runs", install_matrix, tmp_path) as one:
        slow = one.standin.installer.replace(b"umask 077\n", b"umask 077\nsleep 5\n")
        ended: list[Any] = []
        first = threading.Thread(target=lambda: ended.append(one.rig.install(installer=slow)))
        first.start()
        while not any(event.target.endswith("/installed") and event.phase == "wait" for event in list(one.rig.events)):
            first.join(0.05)
        one.stops("the install script of another plan runs on it", written=True, act=lambda rig: rig.step())
        first.join(60)
        assert ended
