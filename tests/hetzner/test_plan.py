"""Golden cases: fleet and observation → step."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from corelib import parameters
from corelib.fleet import Image
from corelib.hetzner.facts import Disk, Installed, Note, Observation, Pin, Server, Standing
from corelib.hetzner.loopback import is_loopback
from corelib.hetzner.memory import Memory
from corelib.hetzner.plan import anew_in, host_of, lasts, looks, plan, queue, tidies, wanted
from corelib.plan import Plan, examples
from tests.hetzner.rig import PARAMETERS, fleet, with_host

LAB = fleet()
USER_DATA = b"#cloud-config\n"
DIGEST = hashlib.sha256(USER_DATA).hexdigest()
WWN = "wwn-0x5000c500a1b2c3d4"
SERVER = Server(321, "ded-lab-01", "127.0.2.200", "EX44", "FSN1-DC14", "ready", cancelled=False)
PIN = Pin("127.0.2.200", 2222, "SHA256:pinned", WWN)
RUNNING = Installed("ded-lab-01", "flatcar", "4757.1.0", DIGEST)
ENDPOINT = "https://127.0.2.250:8445"


def make(observed: Observation | None, endpoint: str = ENDPOINT, **more: Any) -> Plan:
    observations = {"ded-lab-01": observed} if observed else {}
    return plan(more.pop("of", LAB), observations, {"ded-lab-01": USER_DATA}, "ab" * 32, "code", endpoint, **more)


FREE: dict[str, Any] = {"size": 8 * 10**9, "writable": True, "removable": False}
DISKS = (
    Disk("/dev/sda", WWN, "S1", "M", names=frozenset((WWN,)), holds=("the whole disk: ext4, 8.0 GB",), **FREE),
    Disk("/dev/sdb", "wwn-0x1", "S2", "M", names=frozenset(("wwn-0x1",)), **FREE),
)
RESCUE = Standing("rescue", DISKS)
PLACE = {"environment": "lab", "server": 321, "address": "127.0.2.200", "ssh_port": 2222, "installs": 0}
BASE = {
    **PLACE,
    "disk": WWN,
    "release": {"distribution": "flatcar", "channel": "beta", "version": "4757.1.0"},
    "user_data_sha256": DIGEST,
    "installer_sha256": "ab" * 32,
}
TARGET = {"serial": "S1", "model": "M", "size": 8 * 10**9, "holds": ["the whole disk: ext4, 8.0 GB"]}
PINNED = Note(state="inventoried", salt="00", host_keys=("SHA256:r",))
BEGUN = replace(PINNED, open=True, attempt=1, wanted=wanted(BASE), target=TARGET)
ON_DISK = replace(BEGUN, host_key="k", host_key_fingerprint="SHA256:n")


def test_a_machine_that_was_never_installed_is_looked_at_first() -> None:
    made = make(Observation(SERVER))
    (step,) = made.steps
    assert made.target == {"robot": ENDPOINT}
    assert (step.target, step.action, step.consent) == ("ded-lab-01/server/321/rescue", "change", "")
    assert step.why.startswith("never installed by this project")
    assert "server 321 ded-lab-01 at 127.0.2.200 (EX44, FSN1-DC14); nothing is written" in step.what
    assert step.interrupts == "ded-lab-01 is reset at once, and stays in its rescue system"
    assert looks(step)


def test_then_the_very_disk_is_to_be_wiped() -> None:
    (step,) = make(Observation(SERVER, note=PINNED, standing=RESCUE)).steps
    assert (step.target, step.action) == ("ded-lab-01/server/321", "create")
    assert step.consent == f"wipe {WWN} of ded-lab-01"
    assert step.interrupts == f"all data on {WWN} is lost: the whole disk: ext4, 8.0 GB"
    assert step.desired == {**BASE, "target": TARGET, "attempt": 1}


@pytest.mark.parametrize(
    ("note", "standing", "attempt", "why"),
    [
        (BEGUN, RESCUE, 1, "its script was not begun"),
        (BEGUN, replace(RESCUE, script="running"), 1, "is not begun again"),
        (BEGUN, replace(RESCUE, script="good"), 1, "is not begun again"),
        (BEGUN, replace(RESCUE, script="bad"), 2, "the last attempt at writing has failed"),
        (replace(BEGUN, wanted="other"), replace(RESCUE, script="good"), 2, "never installed"),
        (ON_DISK, RESCUE, 1, "it is on the disk, and checked"),
        (ON_DISK, Standing("installed"), 1, "the new system is waited for"),
        (ON_DISK, Standing(), 1, "the new system is waited for"),
    ],
)
def test_an_interrupted_install_goes_on_where_the_machine_is(
    note: Note, standing: Standing, attempt: int, why: str
) -> None:
    (step,) = make(Observation(SERVER, note=note, standing=standing)).steps
    assert not looks(step)
    assert step.desired["attempt"] == attempt
    assert why in step.why


@pytest.mark.parametrize("note", [PINNED, replace(BEGUN, open=False)])
def test_a_rescue_system_that_is_gone_is_booted_again(note: Note) -> None:
    assert looks(make(Observation(SERVER, note=note)).steps[0])


def test_a_write_of_which_nothing_is_known_is_looked_at_and_never_repeated() -> None:
    (step,) = make(Observation(SERVER, note=BEGUN)).steps
    assert looks(step)
    assert step.why.startswith("a write was begun, and what became of it is not known")
    again = make(Observation(SERVER, note=replace(BEGUN, open=False), standing=RESCUE))
    first = make(Observation(SERVER, note=PINNED, standing=RESCUE))
    assert again.digest != first.digest, "another attempt needs another approval"


@pytest.mark.parametrize(
    ("said", "booted", "words"),
    [
        (None, "UEFI", "booted by UEFI, as its rescue system was"),
        (None, "BIOS", "booted by a BIOS, as its rescue system was, which proves nothing"),
        ("uefi", "UEFI", "booted by UEFI, as the parameters say"),
        ("bios", "UEFI", "booted by a BIOS, as the parameters say"),
    ],
)
def test_by_which_firmware_it_boots_is_shown(said: str | None, booted: Any, words: str) -> None:
    seen = Observation(SERVER, note=PINNED, standing=replace(RESCUE, firmware=booted))
    (step,) = make(seen, of=with_host(LAB, firmware=said)).steps
    assert step.what.partition("; ")[2].startswith(words)
    assert step.desired.get("firmware") == said


def test_a_boot_entry_that_cannot_be_made_blocks() -> None:
    seen = Observation(SERVER, note=PINNED, standing=replace(RESCUE, firmware="BIOS"))
    (step,) = make(seen, of=with_host(LAB, firmware="uefi")).steps
    assert (step.action, "booted by a BIOS" in step.why) == ("blocked", True)


def test_what_an_install_has_left_at_robot_is_a_step_of_its_own() -> None:
    keep, tidy = make(Observation(SERVER, replace(PIN, left="07:03"), RUNNING)).steps
    assert (keep.action, tidy.action, tidy.consent) == ("keep", "change", "")
    assert "07:03" in tidy.what
    assert (tidies(tidy), looks(tidy), host_of(tidy)) == (True, False, host_of(keep))
    (look,) = make(Observation(SERVER, replace(PIN, left="07:03"), silence="no route to host")).steps
    assert looks(look), "an install takes it away by itself"


def test_an_approval_of_a_wipe_does_not_outlive_the_install(tmp_path: Path) -> None:
    """The machine falls silent afterwards: the same disk, holding the same, in its rescue system again."""
    memory = Memory(tmp_path / "ded-lab-01.json")
    memory.keep(host_keys=("SHA256:r",))
    first = make(Observation(SERVER, PIN, note=memory.note, standing=RESCUE))
    memory.keep(open=True, attempt=1, wanted=wanted(first.steps[0].desired))
    memory.end()
    assert memory.note == Memory(tmp_path / "ded-lab-01.json").note == Note(installs=1)
    silent = make(Observation(SERVER, PIN, note=memory.note, silence="no route to host"))
    assert looks(silent.steps[0])
    memory.keep(host_keys=("SHA256:r",))
    second = make(Observation(SERVER, PIN, note=memory.note, standing=RESCUE))
    assert second.steps[0].consent == first.steps[0].consent
    assert second.digest != first.digest


CHANGED = Observation(SERVER, PIN, Installed("ded-lab-01", "flatcar", "1", "00"))
SILENT = Observation(SERVER, PIN, silence="no route to host")


@pytest.mark.parametrize(
    "other",
    [
        SILENT,
        Observation(SERVER),
        replace(CHANGED, installed=Installed("ded-lab-01", "flatcar", "1", "11")),
        replace(CHANGED, installed=Installed("localhost", "flatcar", "1", "00")),
        replace(CHANGED, pin=replace(PIN, host_key_fingerprint="SHA256:of the next install")),
        replace(CHANGED, note=Note(installs=1)),
        replace(CHANGED, note=Note(attempt=1)),
    ],
)
def test_an_approval_of_a_look_is_of_what_it_interrupts_and_why(other: Observation) -> None:
    first, second = make(CHANGED), make(other)
    assert looks(first.steps[0])
    assert looks(second.steps[0])
    assert first.digest != second.digest
    elsewhere = make(CHANGED, of=LAB.model_copy(update={"environment": "other"}))
    assert first.digest != elsewhere.digest


def test_a_look_that_was_cut_off_goes_on_under_its_approval_while_nothing_answers() -> None:
    (first,) = make(CHANGED).steps
    begun = Note(state="resetting", salt="00", look=first.desired)
    assert make(replace(SILENT, note=begun)).steps[0].digest == first.digest
    ended = replace(begun, look={})
    assert make(replace(SILENT, note=ended)).steps[0].digest != first.digest
    back = replace(CHANGED, installed=Installed("ded-lab-01", "flatcar", "1", "22"), note=begun)
    assert make(back).steps[0].digest != first.digest, "it answers again, and otherwise"
    assert make(SILENT).digest == make(replace(SILENT, silence="it timed out")).digest


@pytest.mark.parametrize("standing", [Standing("installed"), Standing(silence="another system answers"), RESCUE])
def test_what_was_written_and_is_bad_is_another_attempt(standing: Standing) -> None:
    """Also where the system of before answers instead of it, which is no impostor then."""
    note, pin = replace(ON_DISK, failed="it follows the channel alpha"), replace(PIN, pending=True, replaces=True)
    seen = Observation(SERVER, pin, note=note, standing=standing, impostor="SHA256:old")
    (step,) = make(seen).steps
    assert looks(step) == (standing != RESCUE)
    assert step.desired["attempt"] == 2
    assert step.why.startswith("the last attempt at writing has failed: it follows the channel alpha")
    otherwise = replace(seen, note=replace(note, failed="etcd runs on it"))
    assert (make(otherwise).digest != make(seen).digest) == looks(step), "a look is approved for its cause"


def test_the_script_of_another_plan_blocks() -> None:
    running = replace(RESCUE, script="running")
    (step,) = make(Observation(SERVER, note=replace(BEGUN, wanted="other"), standing=running)).steps
    assert step.action == "blocked"


@pytest.mark.parametrize(
    ("disks", "why"),
    [
        (DISKS[1:], "no disk has the name wwn-0x5000c500a1b2c3d4; disks seen: wwn-0x1"),
        ((DISKS[0], DISKS[0]), "several disks have the name"),
        ((replace(DISKS[0], writable=False),), "it is read-only"),
        ((replace(DISKS[0], uses=("/dev/sda at /mnt",)),), "it is in use: /dev/sda at /mnt"),
        ((replace(DISKS[0], shares=("volume group vg0",)),), "one of several disks of volume group vg0"),
    ],
)
def test_a_disk_that_must_not_be_written_blocks(disks: tuple[Disk, ...], why: str) -> None:
    (step,) = make(Observation(SERVER, note=PINNED, standing=Standing("rescue", disks))).steps
    assert step.action == "blocked"
    assert why in step.why


@pytest.mark.parametrize(
    ("observed", "action", "why"),
    [
        (Observation(SERVER, PIN, RUNNING), "keep", "answers with its pinned host key"),
        (
            Observation(SERVER, PIN, Installed("ded-lab-01", "flatcar", "9999.9.9", DIGEST)),
            "keep",
            "flatcar 9999.9.9",  # its own updater's affair
        ),
        (
            Observation(SERVER, PIN, Installed("ded-lab-01", "flatcar", "1", "")),
            "change",
            "user-data (SHA-256) differs",
        ),
        (Observation(SERVER, PIN, Installed("localhost", "flatcar", "1", DIGEST)), "change", "host name differs"),
        (Observation(SERVER, PIN, Installed("ded-lab-01", "debian", "12", DIGEST)), "change", "distribution differs"),
        (Observation(SERVER, PIN, silence="no route to host"), "change", "no route to host"),
        (
            Observation(SERVER, PIN, silence="another", impostor="SHA256:other"),
            "blocked",
            "SHA256:other, pinned is SHA256:pinned",
        ),
        (Observation(SERVER, PIN, note=PINNED, standing=RESCUE), "replace", "it was installed by this project"),
        (Observation(SERVER, replace(PIN, pending=True), note=ON_DISK, standing=RESCUE), "create", "goes on"),
        (
            Observation(SERVER, replace(PIN, pending=True, replaces=True), note=ON_DISK, standing=RESCUE),
            "replace",
            "goes on",
        ),
        (
            Observation(SERVER, replace(PIN, pending=True), note=ON_DISK, silence="another", impostor="SHA256:other"),
            "create",
            "the new system is waited for",
        ),
        (Observation(None), "blocked", "Robot knows no server 321"),
        (None, "blocked", "Robot knows no server 321"),
    ],
)
def test_what_is_observed_decides(observed: Observation | None, action: str, why: str) -> None:
    (step,) = make(observed).steps
    assert step.action == action
    assert why in step.why
    assert bool(step.consent) == (action in ("create", "replace"))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"address": "127.0.2.201"}, "the address '127.0.2.201', expected '127.0.2.200'"),
        ({"name": "ded-lab-02"}, "the name 'ded-lab-02', expected 'ded-lab-01'"),
        ({"status": "in process"}, "the state 'in process', expected 'ready'"),
        ({"cancelled": True}, "the state 'cancelled'"),
    ],
)
def test_what_robot_says_otherwise_blocks(changes: dict[str, Any], why: str) -> None:
    server = Server(**{**{name: getattr(SERVER, name) for name in SERVER.__slots__}, **changes})
    (step,) = make(Observation(server)).steps
    assert step.action == "blocked"
    assert why in step.why


def test_another_disk_than_the_installed_one_is_a_replacement() -> None:
    other = with_host(LAB, disk="wwn-0x1")
    (step,) = make(Observation(SERVER, PIN, note=PINNED, standing=RESCUE), of=other).steps
    assert (step.action, step.consent) == ("replace", "wipe wwn-0x1 of ded-lab-01")


def test_a_machine_that_is_well_is_installed_anew_where_that_is_asked_for() -> None:
    well = Observation(SERVER, PIN, RUNNING, note=Note(installs=3))
    assert make(well).empty
    look = make(replace(well, anew=True)).steps[0]
    assert (looks(look), host_of(look), look.target) == (True, "ded-lab-01", "ded-lab-01/server/321@3/rescue")
    assert look.why.startswith("it is to be installed anew, as was asked for (replace)")
    seen = replace(well, installed=None, note=replace(PINNED, installs=3), standing=RESCUE)
    write, unasked = make(replace(seen, anew=True)).steps[0], make(seen).steps[0]
    assert (write.action, write.consent) == ("replace", f"wipe {WWN} of ded-lab-01")
    assert write.digest != unasked.digest
    assert anew_in([look.target]) == anew_in([write.target]) == {"ded-lab-01": 3}
    assert anew_in([unasked.target, "ded-lab-02/server/322/rescue"]) == {}


def test_what_is_taken_down_stands_in_the_plan() -> None:
    plain = Observation(SERVER, note=PINNED, standing=RESCUE)
    held = ("the whole disk: linux_raid_member, 8.0 GB", "built on it: /dev/md0 (raid1)")
    seen = replace(plain, standing=Standing("rescue", (replace(DISKS[0], holds=held), DISKS[1])))
    (step,) = make(seen).steps
    lost = f"all data on {WWN} is lost, and what is built on it is taken down: {'; '.join(held)}"
    assert step.interrupts == lost
    assert step.desired["target"]["holds"] == list(held)


def test_robots_own_endpoint_is_planned_for() -> None:
    (step,) = make(Observation(SERVER), "https://robot-ws.your-server.de").steps
    assert looks(step)


def test_the_digest_covers_what_is_desired_and_the_disk_as_it_was_shown() -> None:
    seen = Observation(SERVER, note=PINNED, standing=RESCUE)
    first = make(seen)
    assert first.digest == make(replace(seen, silence="whatever")).digest
    assert first.digest != make(seen, "https://127.0.2.251:8445").digest
    for change in ({"serial": "S9"}, {"size": 9 * 10**9}, {"holds": ()}):
        other = (replace(DISKS[0], **change), DISKS[1])
        assert first.digest != make(replace(seen, standing=Standing("rescue", other))).digest


@pytest.mark.parametrize(
    ("looked", "installs", "hours", "says"),
    [
        (1, 0, 0, ""),
        (50, 0, 0, ""),
        (51, 0, 1, "Robot allows 50 POST /reset in an hour: 51 machines take at least 1 h"),
        (120, 0, 2, "120 machines take at least 2 h"),
        (0, 167, 1, "Robot allows 500 GET /key in an hour: 167 machines take at least 1 h"),
        (0, 201, 1, "Robot allows 200 POST /key in an hour: 201 machines take at least 1 h"),
        (10, 200, 1, "Robot allows 200 POST /key in an hour: 210 machines take at least 1 h"),
    ],
)
def test_how_long_robots_limits_make_it_last(looked: int, installs: int, hours: int, says: str) -> None:
    (look,) = make(Observation(SERVER)).steps
    (write,) = make(Observation(SERVER, note=PINNED, standing=RESCUE)).steps
    whole = Plan("install-hetzner", "lab", {}, "", (look,) * looked + (write,) * installs)
    said = lasts(whole)
    assert said.endswith(says)
    assert bool(said) == bool(says)
    assert queue(whole) >= (hours + 1) * 3600, "nobody gives up before it is his turn"


def test_an_image_and_a_mirror_are_part_of_what_is_approved() -> None:
    assert LAB.hetzner is not None
    image = LAB.hetzner.model_copy(update={"image": Image(file="image.bin", sha256="cd" * 32)})
    mirror = LAB.hetzner.model_copy(update={"mirror": "https://mirror.example.org/flatcar"})
    seen = Observation(SERVER, note=PINNED, standing=RESCUE)
    (with_image,), (with_mirror,) = (
        make(seen, of=LAB.model_copy(update={"hetzner": one})).steps for one in (image, mirror)
    )
    assert with_image.desired["image_sha256"] == "cd" * 32
    assert "no signature is checked, its SHA-256 is" in with_image.what
    assert with_mirror.desired["mirror"] == "https://mirror.example.org/flatcar"


def test_marked_examples_are_named_on_a_real_target() -> None:
    loaded = parameters.load((PARAMETERS / "prd.yaml").read_text(), "prd.yaml")
    marked = examples([(one.path, one.where) for one in loaded.examples], apart_from=("fleet.azure", "fleet.clusters"))
    made = plan(loaded.fleet, {}, {"ded-prd-01": USER_DATA}, "", "code", "https://robot-ws.your-server.de", marked)
    named = {step.target.removeprefix("parameters/fleet.") for step in made.blocked}
    assert {"dedicated[0].server", "dedicated[0].address", "dedicated[0].disk", "ssh_keys[0]"} <= named
    assert not any("azure" in name or "clusters" in name for name in named)
    assert not made.pending


@pytest.mark.parametrize("text", ["127.0.0.1", "127.255.0.1", "https://127.0.2.250:8445", "http://127.0.0.1/x"])
def test_loopback(text: str) -> None:
    assert is_loopback(text)


@pytest.mark.parametrize(
    "text", ["localhost", "", "128.0.0.1", "https://127.0.0.1@example.org", "https://[::1]/", "127.0.0.1.org"]
)
def test_not_loopback(text: str) -> None:
    assert not is_loopback(text)
