"""A machine never comes back: its rescue system reads what the real journald has left on the real ROOT."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from corelib.errors import TimedOut
from corelib.plan import Progress

from .rig import QUICK, Rig

pytestmark = pytest.mark.faults

JOURNALD = Path("/usr/lib/systemd/systemd-journald")
LAST = "networkd: no carrier, and nothing to be done about it"
_MACHINE = "0123456789abcdef0123456789abcdef"  # as in journal.sh
_FOLDER = f"/mnt/var/log/journal/{_MACHINE}"
_KEEP = f'mount "$1" /mnt && mkdir -p {_FOLDER} && cat >{_FOLDER}/system.journal && umount /mnt'


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A journal's file that ends with LAST."""
    if not JOURNALD.exists():
        pytest.skip("no journald here (Debian's systemd), which the journal is written by")
    file = tmp_path_factory.mktemp("journal") / "system.journal"
    apart = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
    script = ("sh", str(Path(__file__).with_name("journal.sh")), str(JOURNALD), str(file), "it boots", LAST)
    subprocess.run([*apart, *script], check=True, timeout=30)
    return file.read_bytes()


@pytest.fixture
def gone(hard: Rig) -> Rig:
    """It is rebooted, and stays dark."""
    hard.reboots, hard.deadlines = True, replace(QUICK, boot=4, stuck=0.5)
    return hard


def test_hetzner_hard_never_comes_back(gone: Rig, journal: bytes) -> None:
    """The journal's last lines are told, and reading them has changed nothing on the disk that they are on."""
    digests = []

    def heard(event: Progress) -> None:
        state = event.target.partition("/")[2]
        if (state, event.phase) == ("rebooting", "begin"):  # as if the new system had run for a while
            with gone.machine.shell() as shell:
                shell.read("sh", "-c", _KEEP, "sh", f"{gone.machine.disks[0].loop}p9", stdin=journal)
        if state == "collected":
            digests.append(gone.machine.disks[0].digest())

    problem = gone.tried("it never comes back", heard)
    assert isinstance(problem, TimedOut)
    assert "nothing was written" in problem.found
    assert problem.found.endswith(LAST)
    left = gone.facts("collected")
    assert "it boots" in left["journal"]
    assert "ROOT" in left["disks"]
    assert len(digests) == 2
    assert digests[0] == digests[1]
    assert "tmp." not in gone.command("sh", "-c", "cat /proc/self/mounts; ls /tmp")


def test_hetzner_hard_never_ran(gone: Rig) -> None:
    """Where there is no journal, that is what is told."""
    problem = gone.tried("it never comes back, and never ran")
    assert isinstance(problem, TimedOut)
    assert problem.found.endswith("the new system never ran, or not as far as writing one")
    assert "ROOT" in gone.facts("collected")["disks"]
