"""The ssh_config of an environment: its text by values, OpenSSH's own reading of it, and a login on a lab."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import asyncssh
import pytest

from corelib import lab
from corelib.runbook.ssh_config import Entry, config, known_hosts
from tests.project import lay_out

from .test_plan_command import planned, runbooks

NETWORK = "127.0.23.0/24"
LAB = ("-f", "parameters/lab.yaml")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN6WSvWgS9Imn34sSUs4ERvLfKV4cVHT+aHYyGYuO1JX"
ODD = Path('/ho me/50% "x"/id')
HOSTS = [
    Entry("azure-prd-01", "192.0.2.1", 2201, ODD, KEY),
    Entry("azure-prd-02", "192.0.2.1", 2202, None),
    Entry("ded-prd-01", "192.0.2.9", 22, None, KEY),
]


def test_host_keys_stand_where_ssh_looks_for_them() -> None:
    assert known_hosts(HOSTS) == f"[192.0.2.1]:2201 {KEY}\n192.0.2.9 {KEY}\n"


def test_a_host_without_a_pin_says_so_and_stays_strict() -> None:
    blocks = config(HOSTS, Path("/known")).split("Host ")[1:]
    assert [block.split()[0] for block in blocks] == ["azure-prd-01", "azure-prd-02", "ded-prd-01"]
    assert all("StrictHostKeyChecking yes" in block for block in blocks)
    assert ["nobody has pinned" in block for block in blocks] == [False, True, False]
    assert ["IdentityFile" in block for block in blocks] == [True, False, False]


@pytest.mark.skipif(shutil.which("ssh") is None, reason="OpenSSH's client is not installed")
def test_openssh_reads_what_was_meant(tmp_path: Path) -> None:
    file = tmp_path / "ssh_config"
    file.write_text(config(HOSTS, ODD))
    done = subprocess.run(["ssh", "-G", "-F", file, "azure-prd-01"], capture_output=True, text=True, check=True)
    read = dict(line.partition(" ")[::2] for line in done.stdout.splitlines())
    assert (read["hostname"], read["port"], read["user"]) == ("192.0.2.1", "2201", "core")
    assert (read["stricthostkeychecking"], read["identitiesonly"]) == ("true", "yes")
    for name in ("identityfile", "userknownhostsfile"):
        assert read[name].replace("%%", "%").replace('\\"', '"').strip('"') == str(ODD), name


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    folder = lay_out(tmp_path / "a project", "127.0.23")
    lab.start(folder, NETWORK)
    try:
        yield folder
    finally:
        lab.stop(folder, NETWORK)


def log_in(file: Path, host: str) -> tuple[int, str]:
    """`ssh -F FILE HOST pgrep -x etcd`, by OpenSSH where it is installed: exit code and what was said."""
    if shutil.which("ssh"):
        command = ["ssh", "-F", str(file), "-o", "BatchMode=yes", host, "pgrep", "-x", "etcd"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        return done.returncode, done.stdout + done.stderr

    async def by_asyncssh() -> tuple[int, str]:
        try:
            async with asyncssh.connect(host, config=[str(file)]) as connection:
                done = await connection.run("pgrep -x etcd")
                return int(done.exit_status or 0), str(done.stdout)
        except asyncssh.HostKeyNotVerifiable as problem:
            return 255, f"Host key verification failed: {problem}"

    return asyncio.run(by_asyncssh())


def test_after_an_apply_a_person_logs_in_and_what_is_lost_is_written_again(root: Path) -> None:
    _, plan = planned(root, "deploy-azure", *LAB)
    code, said = runbooks(root, "run", "deploy-azure", *LAB, "--approved-plan", plan["digest"])
    assert code == 0, said
    file, inventory = root / "state/lab/ssh_config", root / "state/lab/inventory.json"
    hosts = {host.name: host for host in lab.status(root, NETWORK).hosts}
    for name, host in hosts.items():
        assert log_in(file, name) == (0, f"{host.etcd_pid}\n")

    # The inventory is lost: a run that has nothing to do writes it anew from what it observes.
    before = json.loads(inventory.read_text())
    inventory.unlink()
    file.unlink()
    code, said = runbooks(root, "run", "deploy-azure", *LAB)
    assert (code, "no change" in said) == (0, True), said
    assert json.loads(inventory.read_text())["azure"] == before["azure"]
    code, said = log_in(file, "azure-lab-03")
    assert (code, "verification failed" in said) == (255, True), "pins are not observed: they are made again, and said"
    code, said = runbooks(root, "verify", *LAB)
    assert (code, said.count("was seen for the first time")) == (0, 4)
    assert log_in(file, "azure-lab-03")[0] == 0

    # Another machine in that place is not logged in to: each host's key is given to the next one.
    known = root / "state/lab/known_hosts"
    places, keys = zip(*(line.split(" ", 1) for line in known.read_text().splitlines()), strict=True)
    known.write_text("".join(f"{place} {key}\n" for place, key in zip(places, keys[1:] + keys[:1], strict=True)))
    assert log_in(file, "azure-lab-03")[0] == 255
