"""A cluster's whole life with real etcd behind it: deployed, drifted, grown, mended, and destroyed; and interrupted."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pyrage
import pytest

from corelib.azure import client
from corelib.record import read
from corelib.runbook.targets import Targets
from tests.faults.tables import Row

from .lives import Life, Reads, life

pytestmark = pytest.mark.faults
NETWORK = "127.0.89."
KILL_NETWORK = "127.0.90."


@pytest.fixture
def deployed(tmp_path: Path) -> Iterator[Life]:
    with life(tmp_path, NETWORK) as one:
        assert one.plan().outcome == "awaiting approval"
        assert one.hosts() == {}
        assert one.apply().outcome == "succeeded", one.said
        yield one


def pids(one: Life) -> dict[str, int | None]:
    return {name: host.etcd_pid for name, host in one.hosts().items()}


def healthy(one: Life, voters: int = 4) -> None:
    found = one.verified()
    assert found.verdict.healthy, found.verdict.sentence
    assert len(found.present.voters) == len(found.present.listed) == voters


def test_plan_apply_drift_add_replace_and_destroy(deployed: Life, azure_lives: list[Row]) -> None:
    healthy(deployed)
    assert deployed.plan().outcome == "no change"

    _open_ssh_to_everybody(deployed)
    assert deployed.plan().outcome == "awaiting approval"
    assert "'127.0.0.0/8'" in deployed.said or "* → 127.0.0.0/8" in deployed.said
    assert deployed.apply().outcome == "succeeded", deployed.said
    assert deployed.plan().outcome == "no change"

    before, machines = pids(deployed), deployed.machines()
    last = "      azure-lab-04: 127.0.89.4\n"
    host = "        - {name: azure-lab-04, address: 127.0.89.4}\n"
    deployed.edit(
        **{
            last: f"{last}    added: {{azure-lab-05: 127.0.89.5}}\n",
            host: host + host.replace("04", "05").replace(".4", ".5"),
        }
    )
    assert deployed.apply().outcome == "succeeded", deployed.said
    healthy(deployed, 5)
    assert pids(deployed).items() > before.items(), "the others run as they did"
    assert deployed.machines().items() > machines.items()

    _replaced(deployed, azure_lives, "azure-lab-02", "a live host")
    pid = pids(deployed)["azure-lab-03"]
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    _replaced(deployed, azure_lives, "azure-lab-03", "a dead host")
    assert deployed.plan(replace=["azure-lab-03"]).outcome == "awaiting approval", "asked again, it is made anew again"

    assert deployed.apply(destroy=["azure-lab-b"]).outcome == "succeeded", deployed.said
    assert set(deployed.hosts()) == {"azure-lab-01", "azure-lab-02"}
    assert deployed.plan(destroy=["azure-lab-b"]).outcome == "no change"
    for stays in ("azure-lab-b/address/azure-lab-b-ip", "azure-lab-b/disk/azure-lab-03-etcd"):
        assert f"destroy: [{stays}]" in deployed.said
    everything = ["azure-lab-a", "azure-lab-b", "azure-lab-?/*"]
    assert deployed.apply(destroy=everything).outcome == "succeeded", deployed.said
    assert deployed.hosts() == {}
    assert _groups(deployed) == []


def _replaced(one: Life, table: list[Row], name: str, what: str) -> None:
    """Made anew: the others run on, linearizable reads are answered throughout, and a snapshot can be opened."""
    before, machines = pids(one), one.machines()
    others = [host.address for host in one.fleet.hosts if host.name in ("azure-lab-01", "azure-lab-04")]
    begun = time.monotonic()
    with Reads(others).throughout() as reads:
        assert one.apply(replace=[name]).outcome == "succeeded", one.said
    took = time.monotonic() - begun
    healthy(one, len(one.fleet.etcd.members))
    after = pids(one)
    assert all(after[other] == pid for other, pid in before.items() if other != name)
    assert {host for host, number in one.machines().items() if number != machines[host]} == {name}
    assert reads.longest < 5.0, "an election at most: two election timeouts"
    assert reads.answered > 20 * took / 5
    found = f"{reads.answered} reads answered, {len(reads.failures)} tried again, longest wait {reads.longest:.2f} s"
    table.append((f"{what} is replaced", found, f"{took:.0f} s"))
    snapshot = max((one.root / "state/lab/snapshots").glob(f"*-{name}.db.age"))
    key = (one.root / f".lab/{one.network}0-24/operator_ed25519").read_bytes()
    opened = pyrage.decrypt(snapshot.read_bytes(), [pyrage.ssh.Identity.from_buffer(key)])
    assert b"azure-lab-01" in opened, "etcd's own members are in it"
    assert snapshot.stat().st_mode & 0o777 == 0o600


def cloud(one: Life) -> client.Cloud:
    """Somebody else's client, as of the portal."""
    azure = one.fleet.azure
    assert azure is not None
    endpoint, ca = Targets.of(one.fleet, one.root, lambda text: text).azure()
    return client.connect(azure, endpoint=endpoint, verify=ca, credential=client.credential_of("managed-identity"))


def _open_ssh_to_everybody(one: Life) -> None:
    groups = cloud(one).network.network_security_groups
    body = groups.get("azure-lab-a", "azure-lab-a-nsg").as_dict()
    body["properties"]["securityRules"][0]["properties"]["sourceAddressPrefix"] = "*"
    groups.begin_create_or_update("azure-lab-a", "azure-lab-a-nsg", body, polling=False)
    time.sleep(1)


def _groups(one: Life) -> list[str]:
    return [str(group.name) for group in cloud(one).resources.resource_groups.list()]


def test_killed_at_every_event_of_a_replacement_it_goes_on_under_the_same_approval(
    tmp_path: Path, azure_lives: list[Row]
) -> None:
    with life(tmp_path, KILL_NETWORK) as one:
        assert one.apply().outcome == "succeeded", one.said
        whole = one.apply(replace=["azure-lab-02"])
        events = [entry for entry in read(Path(whole.path)) if entry["kind"] == "step" and _counted(entry)]
        # A step's end and the next one's begin are the same moment here, where one comes after the other.
        positions = [n for n, event in enumerate(events, 1) if event["phase"] != "done" or n == len(events)]
        for position in positions:
            machines = one.machines()
            killed = one.apply(position, replace=["azure-lab-02"])
            assert killed.outcome == "interrupted", one.said
            resumed = one.resume(replace=["azure-lab-02"])
            assert resumed.outcome in ("succeeded", "no change"), f"{events[position - 1]}: {one.said}"
            healthy(one)
            assert {host for host, number in one.machines().items() if number != machines[host]} == {"azure-lab-02"}
        azure_lives.append(
            (
                "killed during a replacement, run again",
                f"{len(positions)} of {len(positions)} end healthy, one new machine",
                "",
            )
        )


def _counted(entry: dict[str, object]) -> bool:
    """What is on the disk before anything goes on: a wait that only says something is not."""
    return entry["phase"] != "wait" or bool(entry["facts"])
