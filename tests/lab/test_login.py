"""A lab's host over SSH: who gets in, where it leads, what it says, and that it goes when the host goes."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import TypeVar

import pytest

from corelib.etcd.intended import OnHost
from corelib.etcd.restoring import look
from corelib.lab.console import Console
from corelib.lab.host import Fleet, Host
from corelib.lab.site import Machine, Site
from corelib.ssh import Address, Done, KeyPair, NoSsh, NotLetIn, Shell, host_key

from .test_lab import ALONE, ONE, until, user_data, with_disk

T = TypeVar("T")

AT = ("127.0.31.150", 2201)
KEY = KeyPair.new("operator")
CONTENT = with_disk(user_data(1, ALONE)) + f"ssh_authorized_keys:\n- {KEY.public}\n- not a key\n".encode()
MACHINE = Machine("h1", "h1", CONTENT, "flatcar", ("d1",), AT)


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(Site("a test's own", IPv4Network(ONE), tmp_path, None, tmp_path / "ca.pem"))  # type: ignore[arg-type]  # no TLS here


def within(fleet: Fleet, act: Callable[[], T], machine: Machine = MACHINE) -> T:
    """Boot a host on a loop in this thread, as the supervisor does, and act from another meanwhile."""

    async def run() -> T:
        fleet.boot(machine)
        try:
            return await asyncio.to_thread(act)
        finally:
            fleet.destroy(machine.name)

    return asyncio.run(run())


def key() -> str:
    until(answers)
    return host_key(*AT, 5)


def answers() -> bool:
    try:
        socket.create_connection(AT, 1).close()
    except ConnectionRefusedError:
        return False
    return True


def address(user: str = "core") -> Address:
    return Address(*AT, user, frozenset({key()}))


def said(*command: str) -> Done:
    with Shell(address(), KEY.private) as shell:
        return shell.run(*command)


def test_its_user_datas_keys_let_core_in_and_nobody_else(fleet: Fleet) -> None:
    def act() -> None:
        assert said("date", "+%s.%N").code == 0
        for user, pair in (("core", KeyPair.new("other")), ("root", KEY)):
            with pytest.raises(NotLetIn), Shell(address(user), pair.private):
                raise AssertionError("let in")

    within(fleet, act)


def test_each_boot_is_another_machine_with_another_key(fleet: Fleet) -> None:
    assert within(fleet, key) != within(fleet, key)
    assert not answers(), "its server has gone with it"


def test_it_is_gone_with_its_host_and_whoever_is_connected_is_dropped(fleet: Fleet) -> None:
    async def run() -> None:
        fleet.boot(MACHINE)
        shell = await asyncio.to_thread(lambda: Shell(address(), KEY.private).__enter__())
        fleet.destroy("h1")
        try:
            with pytest.raises(NoSsh, match="the connection was lost"):
                await asyncio.to_thread(shell.run, "date", "+%s.%N")
        finally:
            await asyncio.to_thread(shell.__exit__, None, None, None)
        assert not answers()
        fleet.boot(MACHINE)  # at the same address, at once
        assert await asyncio.to_thread(key)
        fleet.destroy("h1")

    asyncio.run(run())


def test_it_leads_to_its_own_addresses_and_nowhere_else(fleet: Fleet) -> None:
    def act() -> None:
        with Shell(address(), KEY.private) as shell:
            until(lambda: fleet.status()[0]["state"] == "etcd runs")
            with pytest.raises(ConnectionRefusedError):
                shell.connect("127.0.31.1", 2378, 5)
            for other in ("127.0.31.2", "127.0.0.1"):
                with pytest.raises(PermissionError, match="forwards no connection"):
                    shell.connect(other, 2379, 5)
            until(lambda: _version(shell))

    within(fleet, act)


def _version(shell: Shell) -> bool:
    try:
        sock = shell.connect("127.0.31.1", 2379, 5)
    except ConnectionRefusedError:  # it is only starting
        return False
    with sock:
        sock.sendall(b"GET /version HTTP/1.0\r\n\r\n")
        return b"etcdserver" in b"".join(iter(lambda: sock.recv(4096), b""))


def test_what_it_does_not_know_is_not_found(fleet: Fleet) -> None:
    def act() -> None:
        assert said("reboot") == Done(127, "", "bash: line 1: reboot: command not found\n")
        assert said("journalctl", "--vacuum-size=1").code == 2

    within(fleet, act)


def test_etcds_data_and_nothing_else_can_be_moved_about(fleet: Fleet) -> None:
    def act() -> None:
        with Shell(address(), KEY.private) as shell:
            root = fleet._hosts["h1"].root
            for place in ("/", "/var/lib", "/var/lib/etcd/../..", "/var/lib/etcd-other", "/etc/hostname"):
                assert "the lab leaves it alone" in shell.run("sudo", "-n", "rm", "-rf", place).err
            assert (root / "etc/hostname").exists()
            assert shell.run("ls", "-1A", "/var/lib/etcd").err == "ls: Permission denied\n"
            until(lambda: shell.read("sudo", "-n", "ls", "-1A", "/var/lib/etcd") == "member")
            assert "Environment=" in shell.read("systemctl", "show", "etcd-member.service", "--property=Environment")
            assert "Access denied" in shell.run("systemctl", "stop", "etcd-member.service").err
            shell.read("sudo", "-n", "systemctl", "stop", "etcd-member.service")
            assert fleet.status()[0]["state"] == "no etcd"
            shell.read("sudo", "-n", "systemctl", "mask", "etcd-member.service")
            masked = shell.run("sudo", "-n", "systemctl", "start", "--no-block", "etcd-member.service")
            assert masked.err == "Failed to start etcd-member.service: Unit etcd-member.service is masked.\n"
            of_it = "--property=LoadState,Environment"
            assert shell.read("systemctl", "show", "etcd-member.service", of_it) == "LoadState=masked"
            shell.read("sudo", "-n", "systemctl", "unmask", "etcd-member.service")
            shell.read("sudo", "-n", "mkdir", "-p", "/var/lib/etcd/a")
            shell.read("sudo", "-n", "mv", "-n", "-T", "/var/lib/etcd/member", "/var/lib/etcd/a/member")
            shell.read("sudo", "-n", "mkdir", "-p", "/var/lib/etcd/b")
            shell.read("sudo", "-n", "mv", "-n", "-T", "/var/lib/etcd/b", "/var/lib/etcd/a")
            assert shell.read("sudo", "-n", "ls", "-1A", "/var/lib/etcd").split() == ["a", "b"], "nothing is replaced"
            content = os.urandom(3 << 20)
            shell.feed(
                lambda out: out.write(content), *["sudo", "-n", "dd", "of=/var/lib/etcd/c", "bs=1M", "status=none"]
            )
            digest = hashlib.sha256(content).hexdigest()
            assert shell.read("sudo", "-n", "sha256sum", "/var/lib/etcd/c") == f"{digest}  /var/lib/etcd/c"
            shell.read("sudo", "-n", "systemctl", "start", "--no-block", "etcd-member.service")
            assert fleet.status()[0]["state"] == "etcd runs"
            assert "No such file" in shell.run("sudo", "-n", "rmdir", "/var/lib/etcd/none").err

    within(fleet, act)


def test_a_data_disk_that_is_not_mounted_is_no_empty_host(fleet: Fleet) -> None:
    """What were restored onto the root disk would give way to the data of before as soon as that disk is there."""

    def act() -> None:
        with Shell(address(), KEY.private) as shell:
            until(lambda: "member" in look(shell, OnHost("etcd-member.service", "/var/lib/etcd", data_disk=True)).names)
            found = look(shell, OnHost("etcd-member.service", "/var/lib/etcd", data_disk=True))
            assert (found.problem, found.running, found.process, found.masked) == ("", True, True, False)
            assert found.image == "quay.io/coreos/etcd:v3.5.16"
            (fleet._hosts["h1"].root / "var/lib/etcd").rename(fleet._hosts["h1"].root / "var/lib/before")
            (fleet._hosts["h1"].root / "var/lib/etcd").mkdir()
            beside = look(shell, OnHost("etcd-member.service", "/var/lib/etcd", data_disk=True))
            assert "not on its data disk" in beside.problem
            assert look(shell, OnHost("etcd-member.service", "/var/lib/etcd")).problem == ""

    within(fleet, act)


def test_etcds_tool_runs_as_its_image_has_it(fleet: Fleet) -> None:
    def act() -> None:
        mounted, tool = "--volume=/var/lib/etcd:/var/lib/etcd", "--entrypoint=/usr/local/bin/etcdutl"
        docker = ("sudo", "-n", "docker", "run", "--rm", "--name=restoring-etcd", "--network=none", mounted, tool)
        other = said(*docker, "quay.io/coreos/etcd:v3.9.0", "version")
        assert (other.code, other.err) == (125, "docker: Unable to find image 'quay.io/coreos/etcd:v3.9.0' locally.\n")
        image = "quay.io/coreos/etcd:v3.5.16"
        assert "etcdutl version" in said(*docker, image, "version").out
        none = said(*docker, image, "snapshot", "restore", "/var/lib/etcd/none.db", "--data-dir=/var/lib/etcd/x")
        assert none.code == 1
        assert "no such file" in none.err

    within(fleet, act)


def test_an_address_that_is_taken_is_said_and_the_host_runs(fleet: Fleet) -> None:
    with socket.create_server(AT):
        within(
            fleet, lambda: until(lambda: fleet.status()[0]["ssh"].startswith("no SSH at 127.0.31.150:2201: Address"))
        )


def test_without_a_way_in_there_is_no_ssh(fleet: Fleet) -> None:
    fleet.boot(replace(MACHINE, ssh=None))
    assert fleet.status()[0]["ssh"] == ""
    fleet.destroy("h1")


# What it says, without a server around it.


@pytest.fixture
def host(fleet: Fleet) -> Iterator[Host]:
    fleet.boot(replace(MACHINE, ssh=None))
    yield fleet._hosts["h1"]
    fleet.destroy("h1")


def ask(host: Host, command: str) -> tuple[int, str]:
    code, out, err = Console(host).answer(command)
    return code, (out + err).decode()


def pid(host: Host) -> int:
    assert host.process is not None
    return host.process.pid


SHOW = "systemctl show etcd-member.service --property=ActiveState,SubState,MainPID,Result,ExecMainStatus"


def test_a_unit_is_shown_as_it_is_and_as_it_ended(host: Host) -> None:
    running = f"ActiveState=active\nSubState=running\nMainPID={pid(host)}\nResult=success\nExecMainStatus=0\n"
    assert ask(host, SHOW) == (0, running)
    assert ask(host, "pgrep -x etcd") == (0, f"{pid(host)}\n")
    os.kill(pid(host), signal.SIGKILL)
    until(lambda: host.process is not None and host.process.poll() is not None)
    ended = "ActiveState=failed\nSubState=failed\nMainPID=0\nResult=signal\nExecMainStatus=9\n"
    assert ask(host, SHOW) == (0, ended)
    assert ask(host, "pgrep -x etcd") == (1, "")
    assert ask(host, SHOW.replace("etcd-member", "other"))[1].startswith("ActiveState=inactive\nSubState=dead\n")


def test_the_environment_is_that_of_the_process_in_the_hosts_own_world(host: Host) -> None:
    path = f"/proc/{pid(host)}/environ"
    code, text = ask(host, f"sudo -n cat {path}")
    variables = dict(entry.split("=", 1) for entry in text.split("\0") if entry)
    assert (code, variables["ETCD_DATA_DIR"], variables["ETCD_NAME"]) == (0, "/var/lib/etcd", "h1")
    assert not {name for name in variables if "RUNBOOKS" in name}
    assert str(host.root) not in text
    assert ask(host, f"cat {path}") == (1, f"cat: {path}: Permission denied\n")
    assert ask(host, "sudo -n cat /etc/shadow")[0] == 1


def test_the_data_disk_is_a_mount_of_its_own(host: Host) -> None:
    find = "findmnt -n -o SOURCE,TARGET,FSTYPE -T"
    assert ask(host, f"{find} /var/lib/etcd") == (0, "/dev/sdc /var/lib/etcd ext4\n")
    assert ask(host, f"{find} /etc") == (0, "/dev/sda9 / ext4\n")
    assert ask(host, f"{find} /nowhere") == (1, "")


def test_space_is_that_of_the_real_file_system(host: Host) -> None:
    code, text = ask(host, "df -B1 --output=size,avail /var/lib/etcd")
    size, free = (int(word) for word in text.splitlines()[-1].split())
    real = os.statvfs(host.root)
    assert (code, size) == (0, real.f_blocks * real.f_frsize)
    assert abs(free - real.f_bavail * real.f_frsize) < 2**32, "others write on it, too"
    assert ask(host, "df -B1 --output=size,avail /nowhere") == (1, "df: /nowhere: No such file or directory\n")


def test_the_journal_is_etcds_own_log(host: Host) -> None:
    until(lambda: "Running: " in ask(host, "journalctl -u etcd-member.service -n 400 --no-pager -o cat")[1])
    assert len(ask(host, "journalctl -u etcd-member.service -n 1 --no-pager -o cat")[1].splitlines()) == 1
    assert ask(host, "journalctl -u other.service -n 9 --no-pager -o cat") == (0, "-- No entries --\n")


def test_a_line_that_no_shell_reads_is_said_to_be_one(host: Host) -> None:
    assert ask(host, "date 'x")[0] == 2
    assert ask(host, "")[0] == 0
