"""A command on a lab machine never reaches a device of the computer that the lab runs on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from corelib.ssh import CommandFailed
from tests.hetzner.rig import Rig
from tests.lab.robot.client import Client
from tests.lab.robot.standin import ROOT, running

# Looks at every path that can be named in the machine, as stat(2) sees it; directory entries do not tell of mounts.
WALK = """
import os, stat
found, seen = [], 0
for top, folders, files in os.walk("/", followlinks=False):
    folders[:] = [one for one in folders if not (top.startswith("/usr/") and "/" in top[5:])]
    for name in folders + files:
        seen += 1
        try:
            about = os.stat(os.path.join(top, name))
        except OSError:
            continue
        if stat.S_ISBLK(about.st_mode):
            found.append(os.path.join(top, name))
        if stat.S_ISCHR(about.st_mode) and os.path.dirname(os.path.realpath(os.path.join(top, name))) == "/dev":
            found.append(os.path.basename(name))
print(seen > 500, sorted(set(found)))
"""
HARMLESS = ["full", "null", "random", "tty", "urandom", "zero"]


def test_no_path_is_a_block_device_and_the_character_devices_are_harmless(rescue: Client) -> None:
    code, said = rescue.run(f"lsblk -n -d -o PATH; exec {_python()} -c '{WALK}'")
    assert code == 0, said
    assert said.splitlines()[-1] == f"True {HARMLESS}"
    assert said.splitlines()[:2] == ["/dev/sda", "/dev/sdb"]


@pytest.mark.parametrize("kind", ["b 254 0", "b 8 0", "b 7 0", "c 1 1", "c 10 237"])
def test_no_device_can_be_made(rescue: Client, kind: str) -> None:
    assert "Operation not permitted" in rescue.run(f"mknod /tmp/device {kind}")[1]


@pytest.mark.parametrize("kind", ["devtmpfs", "sysfs", "proc", "debugfs", "ext4 -o loop"])
def test_no_view_of_this_computer_can_be_mounted(rescue: Client, kind: str) -> None:
    code, said = rescue.run(f"mkdir -p /tmp/view; /bin/mount -t {kind} /dev/sda /tmp/view; ls /tmp/view")
    assert said.startswith("mount: "), said
    assert rescue.run("find /tmp/view -mindepth 1")[1] == ""
    assert code == 0


def test_there_is_no_sys_and_only_the_machines_own_proc(rescue: Client) -> None:
    assert rescue.run("ls -d /sys")[0] != 0
    _, said = rescue.run("ls /proc")
    assert all(name.isdigit() or name in ("self", "thread-self") for name in said.split())
    assert "/sys" not in said
    assert rescue.run("cat /proc/partitions")[0] != 0
    assert rescue.run("ls /proc/*/root/dev | sort -u")[1].count("vda") == 0


@pytest.mark.parametrize(
    "command",
    [
        "touch /usr/x",
        "/bin/mount -o remount,rw /usr",
        "/bin/mount -o remount,bind,rw /usr",
        "/bin/umount /dev/sda",
        "/bin/umount -l /proc",
        "unshare --user --map-root-user true",
        "unshare --pid true",
        "echo b >/proc/sysrq-trigger",
    ],
)
def test_what_is_borrowed_stays_locked(rescue: Client, command: str) -> None:
    assert rescue.run(command)[0] != 0


def test_nothing_of_this_computers_files_is_there(rescue: Client) -> None:
    marker = rescue.standin.folder / "robot-password"
    assert marker.exists()
    for path in (marker, ROOT / "README.md", Path("/etc/shadow"), Path("/etc/hosts"), Path("/var/log"), Path("/home")):
        assert rescue.run(f"ls -d '{path}'")[0] != 0, path


def test_there_is_no_network(rescue: Client) -> None:
    probe = f"import socket; socket.create_connection(('{rescue.standin.address}', 2222), 2)"
    assert "unreachable" in rescue.run(f'{_python()} -c "{probe}"')[1]


def test_a_disk_of_this_computer_named_by_path_is_not_reached(rescue: Client) -> None:
    names = [Path("/dev", one) for one in subprocess.check_output(["ls", "/dev"], text=True).split()]
    disks = [name for name in names if name.is_block_device()]
    for name in disks:
        assert rescue.run(f"head -c1 {name}")[0] != 0


def test_without_user_namespaces_no_command_is_run(tmp_path: Path) -> None:
    """The stand-in in a user namespace that allows no further one: it says so, and its disks stay as they are."""
    wrapper = [
        "unshare",
        "--user",
        "--map-root-user",
        "sh",
        "-c",
        'echo 0 >/proc/sys/user/max_user_namespaces; exec "$@"',
        "sh",
    ]
    if subprocess.run([*wrapper, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("this computer allows no user namespace to begin with")
    with running(tmp_path / "robot", wrapper) as standin:
        client = Client(standin)
        before = standin.digest("c3d4")
        client.call("POST", "/key", name="test", data=client.public)
        client.call("POST", "/boot/321/rescue", os="linux", authorized_key=client.md5)
        client.call("POST", "/reset/321", type="hw")
        client.wait(lambda: _says(client) == 126)
        code, said = client.run("dd if=/dev/zero of=/dev/sda count=1")
        assert code == 126
        assert "runs no command on this machine" in said
        assert "user.max_user_namespaces" in said
        with pytest.raises(CommandFailed, match="runs no command on this machine"):
            Rig.on(standin).install()
        assert standin.digest("c3d4") == before


def _says(client: Client) -> int:
    try:
        return client.run("true")[0]
    except Exception:  # noqa: BLE001 - whatever keeps it from answering: asked again until the deadline
        return -1


def _python() -> str:
    return str(Path(sys.executable).resolve())
