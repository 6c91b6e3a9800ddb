"""Nothing in a machine can reach a disk of the computer that it runs on, and nothing of it is left behind.

The wall is against mistakes of the product and of install scripts, with all that root may do in a rescue system. It
is none against who attacks the kernel, which is this computer's.
"""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from corelib.ssh import Done, Shell

from . import loops, wall
from . import machine as machines
from .contents import Templates
from .image import Mirror
from .loops import Disk
from .rig import Rig, rig
from .table import HardTable

pytestmark = pytest.mark.faults

ROOT = Path(__file__).parents[3]
DENIED = "Operation not permitted"


def real_disks(hard: Rig) -> dict[str, tuple[int, int]]:
    """Every disk of this computer, and every partition, that is not the machine's: major and minor by name."""
    own = {name for disk in hard.machine.disks for name in (disk.name, *disk.partitions)}
    found = {}
    for one in Path("/sys/class/block").iterdir():
        if one.name not in own and int((one / "size").read_text()):
            major, minor = (one / "dev").read_text().split(":")
            found[one.name] = (int(major), int(minor))
    return found


@pytest.fixture
def bystander(_able: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    """One more disk of this computer, which can be read here: what cannot be read anywhere would prove nothing."""
    disk = Disk(loops.blank(tmp_path_factory.mktemp("bystander") / "disk", 8), "0x5000000000000001", "BYSTANDER")
    disk.attach()
    yield disk
    disk.detach()


def test_hetzner_hard_no_real_disk_is_there(hard: Rig, bystander: Disk) -> None:
    """Nor can a node be made."""
    with hard.rescue() as shell:
        blocks = shell.read("find", "/dev", "-type", "b").split()
        own = {f"/dev/{name}" for disk in hard.machine.disks for name in (disk.name, *disk.partitions)}
        assert set(blocks) == own
        assert set(shell.read("ls", "/sys/block").split()) == {disk.name for disk in hard.machine.disks}
        real = real_disks(hard)
        assert bystander.name in real
        for name, (major, minor) in real.items():
            assert "No such file" in _peek(shell, f"/dev/{name}").err
            made = shell.run("mknod", f"/root/{name}", "b", str(major), str(minor))
            assert (made.code, DENIED in made.err) == (1, True)
        assert DENIED in shell.run("mknod", "/root/null", "c", "1", "3").err


def test_hetzner_hard_no_real_disk_can_be_opened(hard: Rig, bystander: Disk) -> None:
    """Even where a node leads to one: from here one is put into the machine, and a `devtmpfs` has them all."""
    with hard.rescue() as shell:
        assert hard.machine.running is not None
        inside = hard.machine.running.root / "root"
        assert shell.run("mount", "-t", "devtmpfs", "all", "/mnt").code == 0
        for name, number in real_disks(hard).items():
            os.mknod(inside / name, stat.S_IFBLK | 0o600, os.makedev(*number))
            for path in (f"/root/{name}", f"/mnt/{name}"):
                assert DENIED in _peek(shell, path).err, path
                assert shell.run("mount", "-o", "ro", path, "/opt").code != 0, path
        assert (
            shell.read("cat", "/proc/self/cgroup").splitlines()[-1] == "0::/"
        )  # nor is the group with the wall in reach
        shell.read("mount", "-t", "cgroup2", "groups", "/srv")
        assert "1" in shell.read("cat", "/srv/cgroup.procs").split()
        with (inside / bystander.name).open("rb") as disk:
            assert disk.read(1) == b"\0"  # the very node that could not be opened from inside
        assert _peek(shell, f"/mnt/{hard.machine.disks[0].name}").code == 0  # and its own disk can


def test_hetzner_hard_its_root_is_bounded(hard: Rig) -> None:
    """Of this computer's files only /usr is there, and cannot be written; no capability leads past that."""
    with hard.rescue() as shell:
        bounding = int(shell.read("sed", "-n", "s/^CapBnd:\\s*//p", "/proc/self/status"), 16)
        granted = {number for number in range(64) if bounding >> number & 1}
        assert granted == {0, 1, 3, 4, 5, 6, 7, 10, 18, 21}  # linux/capability.h; 17 and 27 are RAWIO and MKNOD
        for path in ("/home", "/old", str(ROOT), str(hard.machine.disks[0].file)):
            assert shell.run("test", "-e", path).code == 1, path
        assert shell.run("touch", "/usr/by-the-lab").code != 0
        assert shell.run("mount", "-o", "remount,rw", "/usr").code != 0
        assert shell.read("ip", "-o", "link").count("\n") == 0  # a loopback of its own
        assert shell.read("hostname") == "rescue"
        processes = shell.read("ls", "/proc").split()
        assert len([one for one in processes if one.isdigit()]) < 10


def test_hetzner_hard_leaves_nothing_behind(tmp_path: Path, mirror: Mirror, templates: Templates) -> None:
    """Twice over."""
    for turn in range(2):
        folder = tmp_path / str(turn)
        folder.mkdir()
        one = machines.Machine(folder, templates.disks(folder), mirror)
        with rig(one, folder / "robot.log", HardTable()) as found:
            found.rescue()
            found.command("mount", f"{one.disks[0].loop}p1", "/mnt")
            assert len(traces(folder)) == 4
        assert traces(folder) == []


def test_hetzner_hard_killed_leaves_nothing_behind(tmp_path: Path, templates: Templates) -> None:
    """Kill -9 of whoever made it, while it runs and a disk is mounted."""
    program = f"""
import sys, time
from pathlib import Path
from tests.faults.hetzner_hard import contents, machine, rig
from tests.faults.hetzner_hard.image import Mirror
from tests.faults.hetzner_hard.table import HardTable
folder = Path({str(tmp_path)!r})
templates = contents.Templates(Path({str(templates.old)!r}), Path({str(templates.other)!r}), Path({str(templates.rival)!r}))
one = machine.Machine(folder, templates.disks(folder), Mirror("", "", {{}}))
with rig.rig(one, folder / "robot.log", HardTable()) as hard:
    hard.rescue()
    hard.command("mount", f"{{one.disks[0].loop}}p1", "/mnt")
    print("up", flush=True)
    time.sleep(60)
"""
    made = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert made.stdout is not None
    assert made.stdout.readline() == "up\n"
    assert len(traces(tmp_path, made.pid)) == 4  # three loop devices and a control group
    made.send_signal(signal.SIGKILL)
    made.wait(10)
    deadline = time.monotonic() + 10
    while (left := traces(tmp_path, made.pid)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []


def traces(folder: Path, maker: int = os.getpid()) -> list[str]:
    """What there is of a machine: its loop devices, mounts, and control groups (in which all of its processes are)."""
    loops = subprocess.run(["losetup", "-n", "-l", "-O", "NAME,BACK-FILE"], capture_output=True, text=True, check=True)
    lines = [*loops.stdout.splitlines(), *Path("/proc/self/mounts").read_text().splitlines()]
    groups = wall.group(".").glob(f"runbooks-{maker}-*")
    return [*(line for line in lines if f" {folder}/" in line), *map(str, groups)]


def _peek(shell: Shell, path: str) -> Done:
    """Try to read one byte."""
    return shell.run("head", "-c", "1", path)
