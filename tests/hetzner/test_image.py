"""A local image: it goes from its file to the machine piece by piece, and is what was pinned when it is there."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from corelib.errors import BadInput, ServiceFailed
from corelib.fleet import Image
from corelib.hetzner.pinned import Pinned
from corelib.lab.robot.inside import image
from corelib.plan import Progress
from corelib.ssh import NoSsh
from tests.hetzner.relay import Relay
from tests.hetzner.rig import Rig

SIZE = 300 * 10**6


def mb(field: str) -> float:
    """A line of this process's /proc/self/status, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1000


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Pinned:
    """The lab's image, made long: behind ROOT's files come noise, and a hole."""
    file = tmp_path_factory.mktemp("image") / "image.bin"
    with file.open("wb") as made:
        image.write(made, "flatcar", "beta", "4757.1.0")
        made.write(hashlib.shake_256(b"noise").digest(4 * 10**6))
        made.truncate(SIZE)
    with file.open("rb") as made:
        return Pinned("the local image", file, hashlib.file_digest(made, "sha256").hexdigest(), "give the right one")


def given(rig: Rig, one: Pinned) -> Rig:
    """The same rig, with this image in its parameters."""
    assert rig.fleet.hetzner is not None
    hetzner = rig.fleet.hetzner.model_copy(update={"image": Image(file=str(one.path), sha256=one.sha256)})
    rig.fleet = rig.fleet.model_copy(update={"hetzner": hetzner})
    return rig


def test_a_large_image_is_installed_and_never_held_whole(rig: Rig, large: Pinned) -> None:
    given(rig, large)
    step = rig.step()
    if step.target.endswith("/rescue"):
        rig.inspect()
        step = rig.step()
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted anew (proc(5))
    before = mb("VmRSS")
    entry = rig.write(step, image=large)
    assert mb("VmHWM") - before < SIZE / 10**6 / 8
    assert rig.plan(entry).empty, "it runs, as planned"
    assert "-f" in rig.facts("installed")["command"]
    assert "(from /run/coreos-runbooks/" in rig.facts("installed")["log"]
    said = [event.detail for event in rig.events if "the local image" in event.detail]
    assert said[0] == "the local image: 0 % of 300 MB sent"
    assert said[-1] == "the local image: 100 % of 300 MB sent"
    with rig.standin.disk("c3d4").open("rb") as disk:
        disk.seek(large.path.stat().st_size - 512)
        assert disk.read(512) == bytes(512)


def test_an_image_that_was_changed_after_the_plan_is_not_begun_with(rig: Rig, large: Pinned, tmp_path: Path) -> None:
    """Nothing is wiped for it."""
    file = tmp_path / "image.bin"
    file.write_bytes(b"one image")
    pinned = replace(large, path=file, sha256=hashlib.sha256(b"one image").hexdigest()).check()
    given(rig, pinned).inspect()
    step, before = rig.step(), rig.standin.digest("c3d4")
    file.write_bytes(b"another image")
    with pytest.raises(BadInput, match="the parameters say"):
        rig.write(step, image=pinned)
    assert rig.standin.digest("c3d4") == before


def test_an_image_that_changes_while_it_is_sent_is_not_written(rig: Rig, large: Pinned, tmp_path: Path) -> None:
    file = tmp_path / "image.bin"
    file.write_bytes(b"one image")
    pinned = replace(large, path=file, sha256=hashlib.sha256(b"one image").hexdigest())

    def change(event: Progress) -> None:
        if event.target.endswith("/wiped") and event.phase == "done":
            file.write_bytes(b"another image")

    with pytest.raises(ServiceFailed, match="its SHA-256 is"):
        given(rig, pinned).install(image=pinned, watch=change)
    assert rig.phases("failed") == ["installed"]
    assert rig.memory.note.open, "its script was not begun"


@pytest.mark.faults
def test_a_connection_that_is_cut_while_it_is_sent_is_gone_on_after(rig: Rig, large: Pinned) -> None:
    """Its script was not begun: so it is sent again under the same approval, and written once."""
    with Relay((rig.standin.address, 2222), (rig.standin.address, 2226)) as relay:
        rig = given(Rig.on(rig.standin, ssh_port=2226), large)
        rig.inspect()
        step, cut = rig.step(), iter([relay.cut])

        def heard(event: Progress) -> None:
            if event.detail.startswith("the local image: 2"):
                for one in cut:
                    one()

        with pytest.raises(NoSsh, match="connection"):
            rig.write(step, image=large, watch=heard)
        assert rig.phases("failed") == ["installed"]
        again = rig.step()
        assert again.digest == step.digest
        assert rig.plan(rig.write(again, image=large)).empty


def test_an_image_that_is_not_there(large: Pinned) -> None:
    with pytest.raises(BadInput, match="No such file"):
        replace(large, path=Path("/nowhere/image.bin")).check()
