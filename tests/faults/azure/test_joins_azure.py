"""Members that come, with real etcd: in a first deployment, where one has ended before it votes, after a kill."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .lives import Life, life
from .test_life_azure import cloud

pytestmark = pytest.mark.faults
NETWORK = "127.0.93."
ENDED_NETWORK = "127.0.94."
BACK_NETWORK = "127.0.96."
SIZE_NETWORK = "127.0.95."
_STARTS = 7  # events of a change of size: it begins; Azure is asked and accepts, for off, for the change, for on


def add_a_fifth(one: Life) -> None:
    """In the parameters: a host of the second cluster that joins etcd."""
    last = f"      azure-lab-04: {one.network}4\n"
    host = f"        - {{name: azure-lab-04, address: {one.network}4}}\n"
    changes = {last: f"{last}    added: {{azure-lab-05: {one.network}5}}\n"}
    one.edit(**changes, **{host: host + host.replace("04", "05").replace(f"{one.network}4", f"{one.network}5")})


def healthy(one: Life, voters: int) -> None:
    found = one.verified()
    assert found.verdict.healthy, found.verdict.sentence
    assert len(found.present.voters) == len(found.present.listed) == voters


def test_a_first_deployment_with_an_added_member_ends_healthy(tmp_path: Path) -> None:
    with life(tmp_path, NETWORK) as one:
        add_a_fifth(one)
        assert one.apply().outcome == "succeeded", one.said
        healthy(one, 5)
        assert one.plan().outcome == "no change", one.said

        # Another checkout, after one has left whom it had found: what the fifth was given can be made again.
        one.edit(
            **{
                f"        - {{name: azure-lab-04, address: {NETWORK}4}}\n": "",
                f"    added: {{azure-lab-05: {NETWORK}5}}\n": f"    added: {{azure-lab-05: {NETWORK}5}}\n"
                "    removed: [azure-lab-04]\n",
            }
        )
        assert one.apply().outcome == "succeeded", one.said
        healthy(one, 4)
        shutil.rmtree(one.root / "state" / "lab")
        assert one.plan().outcome == "no change", one.said
        assert "stale, and harmless: ETCD_INITIAL_CLUSTER" in one.said


def test_machines_that_come_back_to_their_disks_find_themselves_members(tmp_path: Path) -> None:
    """All were destroyed but their disks: nobody has to be added to a cluster that knows them all."""
    with life(tmp_path, BACK_NETWORK) as one:
        add_a_fifth(one)
        assert one.apply().outcome == "succeeded", one.said
        healthy(one, 5)
        before = one.verified().present.listed
        assert one.apply(destroy=["azure-lab-a", "azure-lab-b"]).outcome == "succeeded", one.said
        assert one.hosts() == {}
        assert one.apply().outcome == "succeeded", one.said
        healthy(one, 5)
        assert {entry.id for entry in one.verified().present.listed} == {entry.id for entry in before}


def test_a_learner_whose_etcd_has_ended_is_said_to_be_that_and_can_be_replaced(tmp_path: Path) -> None:
    with life(tmp_path, ENDED_NETWORK) as one:
        assert one.apply().outcome == "succeeded", one.said
        add_a_fifth(one)
        with killed_when_it_starts(one, "azure-lab-05"):
            begun = time.monotonic()
            assert one.apply().outcome != "succeeded"
        assert time.monotonic() - begun < 60, "nobody waits half an hour for it"
        why = "etcd has ended on azure-lab-05, its unit is failed, ended by signal 9"
        assert f"{why}; have it made anew: replace: [azure-lab-05]" in one.said
        assert one.apply(replace=["azure-lab-05"]).outcome == "succeeded", one.said
        healthy(one, 5)


def test_a_change_of_size_that_was_killed_goes_on_while_the_machine_boots(tmp_path: Path) -> None:
    with life(tmp_path, SIZE_NETWORK) as one:
        assert one.apply().outcome == "succeeded", one.said
        healthy(one, 4)
        one.edit(Standard_B2s_v2="Standard_D2s_v5")
        assert one.apply(_STARTS).outcome == "interrupted"
        pid = one.hosts()["azure-lab-01"].etcd_pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)  # the lab has no power switch: it is on its way up, and takes its time
        view = cloud(one).compute.virtual_machines.instance_view
        end = time.monotonic() + 20
        while not any(s.code == "PowerState/running" for s in view("azure-lab-a", "azure-lab-01").statuses):
            assert time.monotonic() < end
            time.sleep(0.2)
        timer = threading.Timer(20.0, os.kill, (pid, signal.SIGCONT))
        timer.start()
        resumed = one.resume()
        timer.join()
        assert resumed.outcome == "succeeded", one.said
        healthy(one, 4)
        assert one.plan().outcome == "no change", one.said


@contextmanager
def killed_when_it_starts(one: Life, name: str) -> Iterator[None]:
    """The first etcd of a host, as soon as there is one."""
    ends = threading.Event()

    def watch() -> None:
        while not ends.wait(0.02):
            if (host := one.hosts().get(name)) and host.etcd_pid:
                os.kill(host.etcd_pid, signal.SIGKILL)
                return

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join(10)
