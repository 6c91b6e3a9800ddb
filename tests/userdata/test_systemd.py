"""What systemd itself says of a whole host: the golden documents' units laid out together, in no order of ours."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from corelib.lab import cloudconfig

from .test_golden import GOLDEN

# What the distributions ship and ours refer to; what they run does not matter here.
SHIPPED = ("docker.service", "etcd-member.service", "etcd2.service", "systemd-networkd.service")
STUB = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"
BOOTABLE = sorted(folder for folder in GOLDEN.iterdir() if "-bootable" in folder.name)


def lay_out(document: Path, folder: Path) -> list[str]:
    """The units of a document as they stand on a host at its second boot: every one is there, those enabled are wanted."""
    for name in SHIPPED:
        (folder / name).write_text(STUB)
    wants = folder / "multi-user.target.wants"
    wants.mkdir()
    started = []
    for unit in cloudconfig.read(document.read_bytes(), document.parent.name.split("-")[0], {}).units:
        if unit.content:
            (folder / unit.name).write_text(unit.content)
        for name, text in unit.drop_ins:
            (folder / f"{unit.name}.d").mkdir(exist_ok=True)
            (folder / f"{unit.name}.d" / name).write_text(text)
        if unit.enable:
            (wants / unit.name).symlink_to(folder / unit.name)
            started.append(unit.name)
    return started


@pytest.mark.parametrize("folder", BOOTABLE, ids=lambda folder: folder.name)
def test_no_unit_waits_for_itself_at_any_boot(folder: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    for document in sorted(folder.glob("*.yaml")):
        units = tmp_path / document.stem
        units.mkdir()
        started = lay_out(document, units)
        verified = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", *started],
            capture_output=True, text=True, check=False, timeout=60, cwd=units,
            env={**os.environ, "SYSTEMD_UNIT_PATH": f"{units}:"},
        )  # fmt: skip
        assert "ordering cycle" not in verified.stderr, verified.stderr
        assert "Failed to parse" not in verified.stderr, verified.stderr
        assert "Unknown key" not in verified.stderr, verified.stderr
