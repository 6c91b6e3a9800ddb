"""The first process, once the machine is up: runs the commands that its SSH server passes on, and buries orphans."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

PATH = "/opt/lab/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TOO_LONG = 2**20


class Agent:
    """Starts what arrives on the line, and tells how it ended."""

    def __init__(self, line: socket.socket, mark: dict[str, str]) -> None:
        self._line = line
        self._environment = {"PATH": PATH, "SHELL": "/bin/sh", "LC_ALL": "C.UTF-8", **mark}
        self._running: dict[int, tuple[int, subprocess.Popen[bytes]]] = {}

    def run(self) -> None:
        """Serve until the line closes, or until a process in here asks for a reboot (SIGINT, as Ctrl-Alt-Del)."""
        waking, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
        self._say(ready=True)
        poll = select.poll()
        poll.register(self._line, select.POLLIN)
        poll.register(waking, select.POLLIN)
        while True:
            for descriptor, _ in poll.poll():
                if descriptor == waking:
                    os.read(waking, 4096)
                    self._bury()
                elif not self._take():
                    return

    def _take(self) -> bool:
        """Start one command; its three descriptors come with it. False if the line was closed."""
        message, descriptors, _, _ = socket.recv_fds(self._line, _TOO_LONG, 3)
        if not message:
            return False
        request = json.loads(message)
        environment = {**self._environment, **request["environment"]}
        Path(environment["HOME"]).mkdir(parents=True, exist_ok=True)
        command = ["/bin/sh", "-c", request["command"]] if request["command"] else ["/bin/sh"]
        stdin, stdout, stderr = descriptors
        started = subprocess.Popen(
            command,
            env=environment,
            cwd=environment["HOME"],
            start_new_session=True,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
        )
        for descriptor in descriptors:
            os.close(descriptor)
        self._running[started.pid] = (request["id"], started)
        return True

    def _bury(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            number, process = self._running.pop(pid, (None, None))
            if process is not None:
                process.returncode = os.waitstatus_to_exitcode(status)
                self._say(id=number, exit=process.returncode)

    def _say(self, **message: Any) -> None:
        self._line.send(json.dumps(message).encode())
