"""The new system answers under its pinned key, and is not what was planned: each check after the reboot sees that."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from corelib.errors import RunbookError, ServiceFailed, TimedOut
from corelib.plan import Progress
from corelib.ssh import Address, Shell
from tests.faults.hetzner.trial import HASTY, OTHER, WWN, in_rescue, trial
from tests.faults.tables import InstallTable
from tests.hetzner.rig import Rig
from tests.lab.robot.standin import StandIn, running

pytestmark = pytest.mark.faults

UPDATES = "/etc/flatcar/update.conf"
WRONG = [
    ("another channel", f"echo GROUP=alpha >>{UPDATES}", "it follows the channel alpha, expected beta"),
    ("another way of rebooting", f"echo REBOOT_STRATEGY=reboot >>{UPDATES}", "it reboots reboot, expected"),
    ("another root disk", "sed -i s/LAB0C3D4/LAB0C3D5/ /run/lab/disks.json", "its root is on the disk LAB0C3D5"),
    ("etcd runs", "cp /bin/sleep ~/etcd && (setsid ~/etcd 60 >/dev/null 2>&1 &)", "etcd runs on it: etcd"),
    (
        "another version",
        "sed -i s/^VERSION_ID=.*/VERSION_ID=1.2.3/ /etc/os-release",
        "its version is 1.2.3, expected 4757.1.0",
    ),
    ("other user-data", "echo '# more' >>/var/lib/flatcar-install/user_data", "its user-data's SHA-256 is "),
]


@pytest.fixture(scope="module")
def standin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with running(tmp_path_factory.mktemp("robot")) as one:
        yield one


@pytest.mark.parametrize(("name", "command", "says"), WRONG)
def test_hetzner_new_system_is_not_as_planned(
    name: str, command: str, says: str, standin: StandIn, install_matrix: InstallTable
) -> None:
    def change(rig: Rig) -> None:
        at = Address(standin.address, 2222, "core", frozenset((rig.memory.note.host_key_fingerprint,)))
        with Shell(at, standin.operator) as shell:
            shell.read("sh", "-c", command)

    _stops(f"the new system: {name}", says, change, standin, install_matrix)


def test_hetzner_new_system_is_bad_and_is_made_again(install_matrix: InstallTable, tmp_path: Path) -> None:
    """It answers: its disks are looked at again, under an approval, and written again, under another."""
    with trial("the new system is bad, and made again", install_matrix, tmp_path) as one:

        def heard(event: Progress) -> None:
            if event.target.endswith("/up") and event.phase == "done":
                at = Address(one.standin.address, 2222, "core", frozenset((one.rig.memory.note.host_key_fingerprint,)))
                with Shell(at, one.standin.operator) as shell:
                    shell.read("sh", "-c", f"echo GROUP=alpha >>{UPDATES}")

        says = "it follows the channel alpha"
        error = one.stops(says, written=True, act=lambda rig: rig.install(watch=heard), kind=ServiceFailed)
        assert error.remedy == "look at it. To install it anew, plan again, and approve another attempt"
        one.again(f"has failed: {says}", look=True)


def test_hetzner_new_system_has_another_time(
    standin: StandIn, install_matrix: InstallTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time

    def change(_rig: Rig) -> None:
        monkeypatch.setattr("corelib.hetzner.arrival.time.time", lambda: now() + 600)

    _stops("the new system: another time", "its clock is off by -", change, standin, install_matrix)


def _on_root(command: str) -> Callable[[Rig], None]:
    """A change of what the machine will boot from, made where it was written."""
    whole = f"mount $(readlink -f /dev/disk/by-id/{WWN})9 /mnt && {command} && umount /mnt"

    def change(rig: Rig) -> None:
        in_rescue(rig, whole)

    return change


def test_hetzner_new_system_has_another_name(standin: StandIn, install_matrix: InstallTable) -> None:
    """It did not take the user-data that was checked on its disk."""
    change = _on_root("sed -i s/ded-lab-01/another/ /mnt/var/lib/flatcar-install/user_data")
    says = "its host name still is 'another'"
    _stops("the new system: another host name", says, change, standin, install_matrix, at=("rebooting", "begin"))


def test_hetzner_new_system_does_not_let_the_operator_in(install_matrix: InstallTable, tmp_path: Path) -> None:
    """A time-out that says what answered, and the machine is in its rescue system again."""
    with trial("the new system: the operator's key is not let in", install_matrix, tmp_path) as one:
        change = _on_root("sed -i '/ssh-ed25519/d' /mnt/var/lib/flatcar-install/user_data")
        one.rig.deadlines = replace(HASTY, boot=2)

        def heard(event: Progress) -> None:
            if event.target.endswith("/rebooting") and event.phase == "begin":
                change(one.rig)

        says = "at last: it does not let core in with the key"
        one.stops(says, written=True, act=lambda rig: rig.install(watch=heard), kind=TimedOut)
        assert "ROOT" in one.rig.facts("collected")["disks"]


def _stops(
    name: str,
    says: str,
    change: Callable[[Rig], None],
    standin: StandIn,
    install_matrix: InstallTable,
    at: tuple[str, str] = ("up", "done"),
) -> None:
    """Change something, when the new system has answered or before: that is told, and the entry stays a pending one."""
    rig, before, begun = Rig.on(standin), standin.digest(OTHER), time.monotonic()
    rig.deadlines = HASTY

    def heard(event: Progress) -> None:
        if (event.target.partition("/")[2], event.phase) == at:
            change(rig)

    with pytest.raises(ServiceFailed) as caught:
        rig.install(watch=heard)
    error: RunbookError = caught.value
    untouched = standin.digest(OTHER) == before
    install_matrix.row(name, "verified", error.found, untouched=untouched, seconds=time.monotonic() - begun)
    assert says in error.found
    assert rig.phases("failed") == ["verified"]
    assert rig.entry["pending"]
    assert untouched
    assert rig.robot().key_names() == {}
