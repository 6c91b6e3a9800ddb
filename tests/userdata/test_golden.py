"""What is rendered, whole: a folder for each release, profile and overlay; `UPDATE_GOLDEN=1` writes them anew.

The parameters are those of production, so that a change of either shows what it means for each host.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from corelib import parameters, userdata
from corelib.lab import cloudconfig as lab

from .test_overlay import ADDRESSES, PRD, WEAVE, wireguard

GOLDEN = Path(__file__).parent / "golden"
_THREE = ("    auto_compaction:", "    quota_mb:", "    metrics_port:")  # etcd 3's
COREOS = "".join(line for line in PRD.splitlines(keepends=True) if not line.startswith(_THREE)).replace(
    "{distribution: flatcar, channel: beta, version: 4757.1.0}",
    "{distribution: coreos, channel: stable, version: 2512.3.0}",
)
TLS = PRD.replace(
    "    bootstrap:",
    "    tls: {ca: file:ca.pem, certificate: file:operator.pem, key: file:operator-key.pem}\n    bootstrap:",
    1,
)
FOLDERS = {
    "flatcar-bootable": (PRD, "bootable"),
    "flatcar-bootable-wireguard": (wireguard(), "bootable"),
    "flatcar-bootable-no-overlay": (
        PRD.replace(WEAVE, "  overlay: {kind: none, network: 10.1.0.0/24}\n\n"),
        "bootable",
    ),
    "flatcar-as-written": (PRD, "as-written"),
    "flatcar-bootable-tls": (TLS, "bootable"),
    "coreos-bootable": (COREOS, "bootable"),
    "coreos-as-written": (COREOS, "as-written"),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_the_documents_are_the_golden_ones(name: str) -> None:
    text, profile = FOLDERS[name]
    rendered = userdata.render(parameters.load(text, "prd.yaml").fleet, profile, ADDRESSES)
    folder = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        folder.mkdir(parents=True, exist_ok=True)
        for file in folder.iterdir():
            file.unlink()
        for host, one in rendered.items():
            (folder / f"{host}.yaml").write_text(one.text)
            (folder / f"{host}.findings.txt").write_text("".join(f"{finding}\n" for finding in one.report))
    expected = {file.name: file.read_text() for file in folder.iterdir()}
    shown = {f"{host}.yaml": one.text for host, one in rendered.items()}
    shown |= {f"{host}.findings.txt": "".join(f"{f}\n" for f in one.report) for host, one in rendered.items()}
    assert shown == expected


@pytest.mark.parametrize("name", FOLDERS)
def test_a_host_of_the_release_takes_the_golden_documents_without_a_note(name: str) -> None:
    for file in sorted((GOLDEN / name).glob("*.yaml")):
        found = lab.read(file.read_bytes(), name.split("-", maxsplit=1)[0], {})
        assert found.notes == ()
        assert (found.host_name == file.stem) == (name.split("-")[1] == "bootable" or file.stem == "ded-prd-01")
