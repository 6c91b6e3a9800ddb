"""The rendered files start etcd on the deployment's own addresses: four network namespaces, a bridge each, joined."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from corelib import parameters, userdata
from corelib.lab import cloudconfig, systemd
from corelib.lab.binary import find_etcd

PRD = (Path(__file__).parents[2] / "parameters" / "prd.yaml").read_text()
ADDRESSES = {"azure-prd-a": "203.0.113.5", "azure-prd-b": "203.0.113.6"}
HUB = f"rb-hub-{os.getpid()}"
ETCD = "etcd-member.service"


def unable() -> str:
    """Why this cannot be tried here; empty if it can."""
    if os.name != "posix" or os.geteuid() != 0:
        return "network namespaces need root on Linux"
    missing = [name for name in ("ip", "curl") if shutil.which(name) is None]
    if missing or find_etcd() is None:
        return f"not here: {', '.join(missing) or 'etcd'}"
    tried = subprocess.run(["ip", "netns", "add", HUB], capture_output=True, text=True, check=False)
    return tried.stderr.strip()


@dataclass
class Machine:
    """A host as its user-data makes it: a root folder and a namespace; the lab's own readers say what it does."""

    name: str
    text: str
    root: Path
    number: int
    begun: list[str] = field(default_factory=list)
    etcd: subprocess.Popen[bytes] | None = None

    @property
    def space(self) -> str:
        return f"rb-{os.getpid()}-{self.number}"

    def inside(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        own = {"PATH": os.environ["PATH"], **environment}
        return subprocess.run(
            ["ip", "netns", "exec", self.space, *command], capture_output=True, text=True, check=False, env=own
        )

    def lay_out(self) -> None:
        """Write the files; make the namespace with its loopback and its cable to the hub."""
        self.config = cloudconfig.read(self.text.encode(), "flatcar", {})
        for file in self.config.files:
            target = self.root / file.path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.content)
            target.chmod(file.mode)
        subprocess.run(["ip", "netns", "add", self.space], check=True)
        self.inside("ip", "link", "set", "lo", "up")
        cable = ["ip", "link", "add", "cable", "netns", self.space, "type", "veth", "peer", "name"]
        subprocess.run([*cable, f"host{self.number}", "netns", HUB], check=True)
        for command in (f"link set host{self.number} master hub", f"link set host{self.number} up"):
            subprocess.run(["ip", "-n", HUB, *command.split()], check=True)

    def units(self) -> dict[str, list[str]]:
        return {unit.name: [unit.content, *(text for _, text in unit.drop_ins)] for unit in self.config.units}

    def start(self, unit: str) -> None:
        """Start a unit after all that it wants or requires and is ordered after, as systemd does."""
        if unit in self.begun:
            return
        texts = self.units().get(unit, [])
        for before in [*self._named(texts, "Requires"), *self._named(texts, "Wants")]:
            if before in self._named(texts, "After"):
                self.start(before)
        self.begun.append(unit)
        {"weave-create-bridge.service": self.bridge, "weave.service": self.router, ETCD: self.run_etcd}.get(
            unit, lambda: None
        )()

    def bridge(self) -> None:
        """The very script that was rendered, with the environment of its unit."""
        variables = self.environment("weave-create-bridge.service")
        (command,) = (s.value for s in self._settings("weave-create-bridge.service") if s.key == "ExecStart")
        done = self.inside("sh", str(self.root / command.lstrip("/")), **variables)
        assert done.returncode == 0, done.stderr

    def router(self) -> None:
        """In place of Weave's router: a cable from the bridge to the other hosts'."""
        for command in ("link set cable master weave", "link set cable up"):
            done = self.inside("ip", *command.split())
            assert done.returncode == 0, done.stderr

    def run_etcd(self) -> None:
        variables = {k: v for k, v in self.environment(ETCD).items() if k.startswith("ETCD_")}
        data = self.root / variables["ETCD_DATA_DIR"].lstrip("/")
        data.mkdir(parents=True, exist_ok=True)
        with (self.root / "etcd.log").open("ab") as log:
            self.etcd = subprocess.Popen(
                ["ip", "netns", "exec", self.space, find_etcd() or ""],
                env={"PATH": os.environ["PATH"], **variables, "ETCD_DATA_DIR": str(data)}, stdout=log, stderr=log,
            )  # fmt: skip

    def environment(self, unit: str) -> dict[str, str]:
        return systemd.environment(self.units()[unit], {"H": self.name, "m": "0" * 32}, self._read)

    def ask(self, address: str, path: str, body: str = "{}") -> dict[str, object]:
        done = self.inside("curl", "-s", "-m", "5", f"http://{address}:2379{path}", "-d", body)
        found: dict[str, object] = json.loads(done.stdout or "{}")
        return found

    def end(self) -> None:
        if self.etcd is not None:
            self.etcd.kill()
            self.etcd.wait()
        subprocess.run(["ip", "netns", "del", self.space], check=False)

    def _settings(self, unit: str) -> Iterator[systemd.Setting]:
        return (setting for text in self.units()[unit] for setting in systemd.settings(text))

    def _named(self, texts: list[str], key: str) -> list[str]:
        return [name for text in texts for s in systemd.settings(text) if s.key == key for name in s.value.split()]

    def _read(self, path: str) -> str | None:
        file = self.root / path.lstrip("/")
        return file.read_text() if file.is_file() else None


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[list[Machine]]:
    reason = unable()
    if reason:
        pytest.skip(reason)
    rendered = userdata.render(parameters.load(PRD, "prd.yaml").fleet, addresses=ADDRESSES)
    four = [Machine(f"azure-prd-0{n}", rendered[f"azure-prd-0{n}"].text, tmp_path / str(n), n) for n in (1, 2, 3, 4)]
    try:
        for command in ("link add hub type bridge", "link set hub up"):
            subprocess.run(["ip", "-n", HUB, *command.split()], check=True)
        for one in four:
            one.lay_out()
        yield four
    finally:
        for one in four:
            one.end()
        subprocess.run(["ip", "netns", "del", HUB], check=False)


def test_four_members_run_on_the_deployments_own_addresses_after_their_overlay(machines: list[Machine]) -> None:
    first = machines[0]
    first.run_etcd()  # not after its overlay: there is no such address
    assert first.etcd is not None
    assert first.etcd.wait(timeout=30) != 0
    assert "cannot assign requested address" in (first.root / "etcd.log").read_text()
    shutil.rmtree(first.root / "var/lib/etcd")

    for one in machines:
        one.start(ETCD)
        order = [one.begun.index(name) for name in ("weave-create-bridge.service", "weave.service", ETCD)]
        assert order == sorted(order)

    until = time.monotonic() + 60
    while "header" not in first.ask("10.1.0.1", "/v3/kv/put", '{"key": "Zm9v", "value": "YmFy"}'):
        assert time.monotonic() < until, (first.root / "etcd.log").read_text()[-2000:]
        time.sleep(0.5)
    for number in (1, 2, 3, 4):
        address = f"10.1.0.{number}"
        assert first.ask(address, "/v3/kv/range", '{"key": "Zm9v"}')["kvs"][0]["value"] == "YmFy"  # type: ignore[index]
    members = first.ask("10.1.0.4", "/v3/cluster/member/list")["members"]
    assert {(m["name"], *m["peerURLs"]) for m in members} == {  # type: ignore[attr-defined]
        (f"azure-prd-0{n}", f"http://10.1.0.{n}:2380") for n in (1, 2, 3, 4)
    }
    metrics = first.inside("curl", "-s", "-m", "5", "http://10.1.0.2:2381/health").stdout
    assert json.loads(metrics)["health"] == "true"
