"""What a stranger would use: requests and asyncssh as they come."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

import asyncssh
import requests

from tests.lab.robot.standin import StandIn


@dataclass
class Client:
    standin: StandIn
    key: Any = field(default_factory=lambda: asyncssh.generate_private_key("ssh-ed25519"))

    def call(self, method: str, path: str, auth: Any = None, **form: Any) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            where = f"{self.standin.url}{path}"
            login = auth or self.standin.login
            return session.request(method, where, data=form, auth=login, verify=self.standin.ca, timeout=10)

    def error(self, method: str, path: str, **form: Any) -> tuple[int, str]:
        answer = self.call(method, path, **form)
        assert answer.json()["error"]["status"] == answer.status_code
        return answer.status_code, answer.json()["error"]["code"]

    @property
    def public(self) -> str:
        return str(self.key.export_public_key().decode())

    @property
    def md5(self) -> str:
        return str(self.key.get_fingerprint("md5").removeprefix("MD5:"))

    def last(self) -> dict[str, Any]:
        return dict(self.call("GET", "/boot/321/rescue/last").json()["rescue"])

    def boot_rescue(self) -> None:
        self.call("POST", "/key", name="test", data=self.public)
        assert self.call("POST", "/boot/321/rescue", **{"os": "linux", "authorized_key[]": self.md5}).ok
        assert self.call("POST", "/reset/321", type="hw").ok
        self.wait(lambda: bool(self.last()["host_key"]))
        self.wait(self.answers)

    def wait(self, done: Any) -> None:
        deadline = time.monotonic() + 10
        while not done():
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.02)

    def answers(self, user: str = "root", key: Any = None) -> bool:
        try:
            return self.run("true", user=user, key=key)[0] == 0
        except (OSError, asyncssh.Error):
            return False

    def run(self, command: str, user: str = "root", key: Any = None, input: str = "", **more: Any) -> tuple[int, str]:  # noqa: A002 - asyncssh's own word
        """A command's exit code, -1 if the machine went down under it, and what it said on both outputs."""
        return asyncio.run(self._run(command, user, input, {"client_keys": [key or self.key], **more}))

    async def _run(self, command: str, user: str, text: str, more: dict[str, Any]) -> tuple[int, str]:
        where = {"username": user, "known_hosts": None, "config": None, "agent_path": None, **more}
        async with asyncssh.connect(self.standin.address, 2222, **where) as connection:
            done = await asyncio.wait_for(connection.run(command, input=text), 20)
        return -1 if done.exit_status is None else int(done.exit_status), str(done.stdout) + str(done.stderr)

    def host_key(self) -> str:
        """The fingerprint of the host key that answers."""

        async def ask() -> str:
            key = await asyncssh.get_server_host_key(self.standin.address, 2222, config=None)
            return str(key.get_fingerprint())

        return asyncio.run(ask())
