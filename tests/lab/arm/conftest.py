"""A stand-in served from a thread with a loop of its own, and the real SDK's clients on it."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
import requests
from azure.identity import ManagedIdentityCredential
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.network import NetworkManagementClient
from azure.mgmt.resource.resources import ResourceManagementClient
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from corelib.lab import arm
from corelib.lab.places import CONTROL
from corelib.lab.site import Machine, Site

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN6WSvWgS9Imn34sSUs4ERvLfKV4cVHT+aHYyGYuO1JX test"
SDK = {"virtualMachines": "2026-04-01", "network": "2026-03-01"}


@dataclass
class RecordingHosts:
    """Hosts that only remember what happened to them."""

    booted: list[Machine] = field(default_factory=list)
    destroyed: list[str] = field(default_factory=list)
    erased: list[str] = field(default_factory=list)

    def boot(self, machine: Machine) -> None:
        if machine.custom_data == b"refuse to boot":
            raise OSError("no room for another host")
        self.booted.append(machine)

    def destroy(self, name: str) -> None:
        self.destroyed.append(name)

    def erase(self, disk: str) -> None:
        self.erased.append(disk)


@dataclass
class Lab:
    """A running stand-in and what a test needs to talk to it."""

    where: dict[str, str]
    ca: Path
    log: Path
    hosts: RecordingHosts
    standin: arm.StandIn
    loop: asyncio.AbstractEventLoop
    faults: dict[str, arm.Failure] = field(default_factory=dict)

    def tell(self, *faults: arm.Fault) -> None:
        """These faults are to come, and no others."""
        self.on_loop(lambda: self.standin.faults.set(faults))

    def account(self, subscription: str, **facts: Any) -> None:
        """What a subscription is and may do."""
        self.on_loop(lambda: self.standin.cloud.accounts.update({subscription: arm.Account.of(facts)}))

    def on_loop(self, act: Callable[[], None]) -> None:
        """Do something where the stand-in lives, and wait until it is done."""

        async def done() -> None:
            act()

        asyncio.run_coroutine_threadsafe(done(), self.loop).result(5)

    @cached_property
    def session(self) -> requests.Session:
        return requests.Session()

    @cached_property
    def token(self) -> str:
        query = {"resource": "https://management.azure.com", "api-version": "2019-08-01"}
        headers = {"X-IDENTITY-HEADER": self.where["identity_header"]}
        return str(requests.get(self.where["identity"], query, headers=headers, timeout=5).json()["access_token"])

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> requests.Response:
        """One raw call with a good token; `path` may hold a query, else an api-version is added."""
        url = self.where["arm"] + path + ("" if "?" in path else "?api-version=2026-04-01")
        given = {"Authorization": f"Bearer {self.token}", **{k.replace("_", "-"): v for k, v in headers.items()}}
        return self.session.request(method, url, json=body, headers=given, verify=str(self.ca), timeout=10)

    def error(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str]:
        """The status and the code of a call that is to fail."""
        answer = self.call(method, path, body, **headers)
        return answer.status_code, answer.json()["error"]["code"]

    def lines(self) -> list[dict[str, Any]]:
        """The request log, of which the last line may be under way."""
        whole, _, _ = self.log.read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]


@dataclass
class Azure:
    """The real clients, on a subscription of a test's own, and short ways to make what most tests need."""

    lab: Lab
    subscription: str
    credential: ManagedIdentityCredential

    def client(self, kind: Callable[..., Any]) -> Any:
        options = {"base_url": self.lab.where["arm"], "connection_verify": str(self.lab.ca)}
        return kind(self.credential, self.subscription, **options)

    @cached_property
    def resources(self) -> ResourceManagementClient:
        return self.client(ResourceManagementClient)

    @cached_property
    def network(self) -> NetworkManagementClient:
        return self.client(NetworkManagementClient)

    @cached_property
    def compute(self) -> ComputeManagementClient:
        return self.client(ComputeManagementClient)

    @property
    def root(self) -> str:
        return f"/subscriptions/{self.subscription}/resourceGroups/g"

    def id(self, path: str) -> str:
        """The id of a resource in group `g`: `Network/virtualNetworks/net`."""
        return f"{self.root}/providers/Microsoft.{path}"

    def group(self) -> None:
        self.resources.resource_groups.create_or_update("g", {"location": "westeurope"})

    def put(self, path: str, **body: Any) -> Any:
        """PUT a resource in group `g` and wait until it is done; returns what a GET then answers."""
        answer = self.lab.call("PUT", self.id(path), {"location": "westeurope", **body})
        assert answer.status_code in (200, 201, 202), answer.text
        return self.settled(path)

    def settled(self, path: str) -> Any:
        for _ in range(200):
            body = self.lab.call("GET", self.id(path)).json()
            if body["properties"]["provisioningState"] in ("Succeeded", "Failed"):
                return body
            threading.Event().wait(0.02)
        raise AssertionError(f"{path} did not settle: {body}")

    def gone(self, path: str) -> None:
        """DELETE a resource and wait until it is gone."""
        answer = self.lab.call("DELETE", self.id(path))
        assert answer.status_code in (200, 202, 204), answer.text
        for _ in range(200):
            if self.lab.call("GET", self.id(path)).status_code == 404:
                return
            threading.Event().wait(0.02)
        raise AssertionError(f"{path} did not go")

    def subnet(self) -> str:
        """A group, a network and a subnet; returns the subnet's id."""
        self.group()
        subnets = [{"name": "hosts", "properties": {"addressPrefix": "10.20.1.0/24"}}]
        space = {"addressPrefixes": ["10.20.0.0/16"]}
        self.put("Network/virtualNetworks/net", properties={"addressSpace": space, "subnets": subnets})
        return self.id("Network/virtualNetworks/net/subnets/hosts")

    def interface(self, name: str, subnet: str, **more: Any) -> str:
        config = {"name": "primary", "properties": {"subnet": {"id": subnet}, **more}}
        self.put(f"Network/networkInterfaces/{name}", properties={"ipConfigurations": [config]})
        return self.id(f"Network/networkInterfaces/{name}")

    def machine(
        self, name: str, interface: str, custom_data: bytes = b"#cloud-config\n", **more: Any
    ) -> dict[str, Any]:
        """The body of a machine as one is deployed."""
        image = {"publisher": "kinvolk", "offer": "flatcar-container-linux-corevm-amd64", "sku": "beta-gen2"}
        keys = [{"path": "/home/core/.ssh/authorized_keys", "keyData": KEY}]
        profile = {
            "computerName": name,
            "adminUsername": "core",
            "customData": base64.b64encode(custom_data).decode(),
            "linuxConfiguration": {"disablePasswordAuthentication": True, "ssh": {"publicKeys": keys}},
        }
        system = {"createOption": "FromImage", "name": f"{name}-os", "deleteOption": "Delete"}
        properties = {
            "hardwareProfile": {"vmSize": "Standard_B2s_v2"},
            "osProfile": profile,
            "storageProfile": {"imageReference": {**image, "version": "4757.1.0"}, "osDisk": system},
            "networkProfile": {"networkInterfaces": [{"id": interface, "properties": {"deleteOption": "Delete"}}]},
            **more,
        }
        return {"location": "westeurope", "properties": properties}


def _certificate(folder: Path, address: str) -> tuple[ssl.SSLContext, Path]:
    """A server context for one address, and the CA that signed for it."""
    now, ca_key, key = (
        datetime.now(UTC),
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP256R1()),
    )
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test CA")])

    def build(subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        builder = x509.CertificateBuilder(name, subject, public, x509.random_serial_number())
        return builder.not_valid_before(now - timedelta(minutes=5)).not_valid_after(now + timedelta(hours=1))

    constraints = x509.BasicConstraints(ca=True, path_length=0)
    authority = build(name, ca_key.public_key()).add_extension(constraints, critical=True).sign(ca_key, hashes.SHA256())
    own = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address(address))])
    server = build(x509.Name([]), key.public_key()).add_extension(own, critical=True).sign(ca_key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    form = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.pem").write_bytes(key.private_bytes(pem, *form) + server.public_bytes(pem))
    (folder / "ca.pem").write_bytes(authority.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return context, folder / "ca.pem"


async def _start(
    folder: Path, hosts: RecordingHosts, timing: arm.Timing, outcome: arm.Outcome, **options: Any
) -> tuple[arm.StandIn, Site]:
    """Start on the first free address of the range that these tests own, so that two runs do not collide."""
    for last in range(5):
        network = IPv4Network((f"127.0.12.{last}", 32))
        context, ca = _certificate(folder, str(network.network_address + CONTROL))
        site = Site("test", network, folder, context, ca)
        try:
            return await arm.start(site, hosts, timing, outcome, **options), site
        except OSError:
            continue
    raise AssertionError("no address of 127.0.12.250 to .254 is free")


def run(folder: Path, timing: arm.Timing, **options: Any) -> Iterator[Lab]:
    """Serve from a thread until the caller is done."""
    loop, hosts, faults = asyncio.new_event_loop(), RecordingHosts(), {}
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def outcome(operation: arm.Operation) -> arm.Failure | None:
        return faults.pop(operation.subject.rsplit("/", 1)[-1], None)

    starting = asyncio.run_coroutine_threadsafe(_start(folder, hosts, timing, outcome, **options), loop)
    standin, site = starting.result(10)
    try:
        yield Lab(standin.endpoints, site.ca, folder / "arm.log", hosts, standin, loop, faults)
    finally:
        asyncio.run_coroutine_threadsafe(standin.close(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One quick stand-in for all tests; each test has a subscription of its own."""
    quick = arm.Timing(network=0.02, compute=0.05, group=0.02, poll=0.02, register=0.05)
    yield from run(tmp_path_factory.mktemp("arm"), quick)


@pytest.fixture(scope="session")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A stand-in slow enough to look at what is under way."""
    yield from run(tmp_path_factory.mktemp("slow"), arm.Timing(network=0.4, compute=0.6, group=0.4, poll=0.1))


@pytest.fixture
def azure_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[Lab], Azure]:
    """Clients with the credential that azure-identity finds in the environment."""

    def build(lab: Lab) -> Azure:
        monkeypatch.setenv("IDENTITY_ENDPOINT", lab.where["identity"])
        monkeypatch.setenv("IDENTITY_HEADER", lab.where["identity_header"])
        return Azure(lab, str(uuid.uuid4()), ManagedIdentityCredential())

    return build


@pytest.fixture
def azure(lab: Lab, azure_at: Callable[[Lab], Azure]) -> Azure:
    """The real clients on the quick stand-in."""
    return azure_at(lab)
