"""A machine in namespaces of its own, with Debian's SSH server and real tools, behind the lab's stand-in of Robot.

Real are: sshd, bash, lsblk, wipefs, blkid, partx, mount, dd, gpg, wget and whatever else of /usr a session runs; the
kernel's loop devices, partitions and file systems. Put on are: udevd (`udev.py`); two words (`inside/`: a loop device
is called a disk, and its table is read by partx); the kernel, which is this computer's, and reboots with nobody.
A reset ends whatever runs there, and boots the rescue system if Robot has one armed, else leaves the machine dark:
the installed system is looked at on its disk, and not booted.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import socketserver
import subprocess
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import asyncssh

from corelib.lab.robot.account import Activation, booted
from corelib.ssh import Address, KeyPair, Shell, fingerprint
from tests.hetzner.relay import Relay

from . import loops, udev, wall
from .image import Mirror
from .loops import Disk

T = TypeVar("T")

HERE = Path(__file__).parent
ADDRESS = "127.0.37.200"
_NAMESPACES = ("--mount", "--pid", "--fork", "--kill-child", "--uts", "--ipc", "--net", "--cgroup")
_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)
_FILES = {
    "etc/hostname": "rescue\n",
    "etc/passwd": "root:x:0:0:root:/root:/bin/bash\nsshd:x:101:65534::/run/sshd:/usr/sbin/nologin\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/shadow": "root:*:19000:0:99999:7:::\n",
    "etc/ssh/sshd_config": (
        "ListenAddress 127.0.0.1\nHostKey /etc/ssh/host_key\nPermitRootLogin prohibit-password\n"
        "PasswordAuthentication no\nUsePAM no\nPidFile none\n"
        "SetEnv PATH=/opt/lab/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin\n"
    ),
}


def unable() -> str:
    """Why there can be none here; empty if there can."""
    if why := loops.unable() or wall.unable():
        return why
    needed = {"ip": "iproute2", "sshd": "openssh-server", "udevadm": "udev"}
    needed |= {tool: tool for tool in ("wget", "gpg", "gpg-agent", "bzip2")}
    if why := loops.missing(needed):
        return why
    tried = subprocess.run(["unshare", *_NAMESPACES, "true"], capture_output=True, text=True, check=False)
    return f"no namespaces here: {tried.stderr.strip()}" if tried.returncode else ""


class Running:
    """One boot of the rescue system, from its first process to its end."""

    def __init__(self, group: Path, folder: Path, disks: Sequence[Disk], mirror: Mirror) -> None:
        self._group, self._disks, self._settling = group, disks, threading.Lock()
        (group / "machine").mkdir(parents=True)  # each boot's is new: the wall of the one before lets no node be made
        (folder / "root").mkdir(exist_ok=True)
        nodes = "\n".join(f"{name} {major} {minor}" for name, (_, major, minor) in wall.HARMLESS.items())
        enter = ["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', str(group / "machine")]
        self._log = (folder / "console").open("ab")
        self._process = subprocess.Popen(
            [*enter, "unshare", *_NAMESPACES, "bash", str(HERE / "boot.sh"), str(folder / "root")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin", "NODES": nodes},
        )
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        assert said == b"ready\n", f"the machine did not boot: {(folder / 'console').read_text()}"
        (self.pid,) = {*self.processes()} - {self._process.pid}
        self._servers = [self.inside(mirror.listen), self.inside(self._listen)]
        for one in self._servers:
            threading.Thread(target=one.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def root(self) -> Path:
        """Its root directory, as seen from here."""
        return Path(f"/proc/{self.pid}/root")

    def processes(self) -> list[int]:
        """All that runs in it, by the numbers of this computer."""
        return [int(line) for line in (self._group / "machine/cgroup.procs").read_text().split()]

    def begin(self, key: str, host_key: bytes) -> None:
        """Let the SSH server start: `key` may log in."""
        for path, text in _FILES.items():
            (self.root / path).write_text(text)
        for path, secret in {"root/.ssh/authorized_keys": key.encode(), "etc/ssh/host_key": host_key}.items():
            (self.root / path).write_bytes(secret)
            (self.root / path).chmod(0o600)
        shutil.copytree(HERE / "inside", self.root / "opt/lab/bin")
        self.settle()
        assert self._process.stdin is not None
        self._process.stdin.write(b"go\n")
        self._process.stdin.flush()

    def settle(self) -> None:
        """What udevd does when something has changed; the wall is moved to the partitions that there are now."""
        with self._settling:
            udev.refresh(self.root, self._disks)
            wall.build(self._group, [*wall.HARMLESS.values(), *udev.numbers(self._disks)])

    def enter(self) -> None:
        """Bring the calling thread, which should be one for this alone, into its network."""
        with Path(f"/proc/{self.pid}/ns/net").open() as space:
            assert _LIBC.setns(space.fileno(), _CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())

    def inside(self, act: Callable[[], T]) -> T:
        """Do something in its network; a socket that is made there stays there."""
        with ThreadPoolExecutor(1, initializer=self.enter) as thread:
            return thread.submit(act).result(10)

    def hang_up(self) -> None:
        """End every SSH session's own process; what the sessions have started goes on."""
        for one in self.processes():
            if one != self.pid and Path(f"/proc/{one}/comm").read_text() == "sshd\n":
                os.kill(one, signal.SIGKILL)

    def end(self) -> None:
        """Cut its power."""
        for one in self._servers:
            one.shutdown()
            one.server_close()
        (self._group / "cgroup.kill").write_text("1")
        self._process.wait(10)
        self._log.close()
        deadline = time.monotonic() + 10
        while (self._group / "machine").exists():
            try:
                (self._group / "machine").rmdir()
            except OSError:  # what was killed has not ended yet
                assert time.monotonic() < deadline, "a process outlives its machine"
                time.sleep(0.02)
        self._group.rmdir()

    def _listen(self) -> socketserver.ThreadingTCPServer:
        """Whom `udevadm settle` asks."""
        settle = self.settle

        class Answer(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                settle()
                self.request.sendall(b"settled\n")

        return socketserver.ThreadingTCPServer(("127.0.0.1", 9), Answer)


class Machine:
    """Off until its first reset. Its SSH is reached through a relay at `at`, once the context is entered."""

    def __init__(self, folder: Path, disks: Sequence[Disk], mirror: Mirror) -> None:
        self.take_rescue: Callable[[], Activation | None] = lambda: None
        self.disks, self.mirror, self.at = disks, mirror, (ADDRESS, 0)
        self.key = KeyPair.new("who tests")  # let in beside Robot's, to act behind the client's back
        self.pin = ""
        self.running: Running | None = None
        self._folder, self._group = folder, wall.group(f"runbooks-{os.getpid()}-{id(self):x}")
        self._boots = ThreadPoolExecutor(1)

    def __enter__(self) -> Self:
        command = [str(HERE / "janitor"), str(self._group), str(self._folder)]
        with ExitStack() as stack:
            stack.callback(self._undo, subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True))
            for disk in self.disks:
                disk.attach()
            self.at = stack.enter_context(_Door(self)).at
            stack.callback(self._power_off)
            self._undone = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undone.close()

    def reset(self) -> None:
        """Press the button."""
        self._boots.submit(self._boot).add_done_callback(_raised)

    def shell(self) -> Shell:
        """A session of who tests, to be used in a `with`; the machine must be up."""
        return Shell(Address(*self.at, "root", frozenset((self.pin,))), self.key.private)

    def _boot(self) -> None:
        self._off()
        activation = self.take_rescue()
        if activation is None:
            return
        host_key = asyncssh.generate_private_key("ssh-ed25519")
        self.running = Running(self._group, self._folder, self.disks, self.mirror)
        booted(activation, [host_key])
        keys = [self.key.public, *(key["data"] for key in activation.keys)]
        self.running.begin("".join(f"{key}\n" for key in keys), host_key.export_private_key())
        self.pin = fingerprint(host_key)

    def _off(self) -> None:
        running, self.running = self.running, None
        if running is not None:
            running.end()

    def _power_off(self) -> None:
        self._boots.submit(self._off).result(30)
        self._boots.shutdown()

    def _undo(self, janitor: subprocess.Popen[bytes]) -> None:
        janitor.communicate(timeout=30)
        assert janitor.returncode == 0, "the machine could not be undone: see `losetup --list`"


class _Door(Relay):
    """The way to a machine's SSH, whichever boot of it runs."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(("127.0.0.1", 22), machine.at)
        self._machine, self.at = machine, self._socket.getsockname()

    def __enter__(self) -> Self:
        super().__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)  # else whoever waits in `accept` keeps the address
        super().__exit__(kind, error, trace)

    def _pass(self, near: socket.socket) -> None:
        """Each connection has a thread: it goes on in the machine's network, if there is one."""
        with near:
            if (running := self._machine.running) is not None:
                running.enter()
                super()._pass(near)


def _raised(boot: Future[None]) -> None:
    """A boot that failed is not waited for by anybody: say it."""
    if error := boot.exception():
        traceback.print_exception(error)
