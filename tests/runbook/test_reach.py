"""verify-etcd on a deployed lab, both ways: host keys pinned on first contact, and what becomes of them."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from corelib import lab, parameters
from corelib.azure import client
from corelib.errors import BadInput
from corelib.project import Project
from corelib.references import resolve
from corelib.runbook import pins
from corelib.runbook.inventory import Inventory
from corelib.runbook.reaching import meet, reach
from corelib.runbook.subject import Subject
from corelib.runbook.verification import Verification, verify
from corelib.ssh import KeyPair
from tests.project import lay_out

from . import papermill
from .test_deploy import LAB, _digest

NETWORK = "127.0.51.0/24"
KEY = KeyPair.new("operator")
HOSTS = {"a": {"vm_id": "1", "public_address": "192.0.2.1", "ssh_port": 2201}}


# Pinning, by values.


def test_a_key_holds_for_as_long_as_the_machine_is_the_same() -> None:
    kept = pins.remembered(HOSTS, {}, {"a": "SHA256:A"}, {"a": "ssh-ed25519 A"})
    assert kept == {"a": {"fingerprint": "SHA256:A", "key": "ssh-ed25519 A", "vm_id": "1"}}
    assert pins.pinned(HOSTS, kept) == {"a": "SHA256:A"}
    replaced = {"a": {**HOSTS["a"], "vm_id": "2"}}
    assert pins.pinned(replaced, kept) == {}
    again = pins.remembered(replaced, kept, {"a": "SHA256:B"}, {"a": "ssh-ed25519 B"})["a"]
    assert again == {"fingerprint": "SHA256:B", "key": "ssh-ed25519 B", "vm_id": "2"}


def test_a_pin_that_was_kept_without_its_key_gets_it_when_the_host_is_met_again() -> None:
    kept = {"a": {"fingerprint": "SHA256:A", "vm_id": "1"}}
    assert pins.remembered(HOSTS, kept, {}, {"a": "ssh-ed25519 A"})["a"]["key"] == "ssh-ed25519 A"
    assert pins.remembered(HOSTS, kept, {}, {})["a"] == kept["a"]


def test_what_is_taken_on_trust_is_said() -> None:
    (first,) = pins.said(HOSTS, {}, {"a": "SHA256:A"})
    assert (first.severity, first.where) == ("info", "a")
    assert first.message == "its host key SHA256:A was seen for the first time and is pinned from now on"
    kept = {"a": {"fingerprint": "SHA256:A", "vm_id": "0"}}
    (again,) = pins.said(HOSTS, kept, {"a": "SHA256:B"})
    assert "its machine was replaced (VM id 0 → 1)" in again.message
    assert "SHA256:B is pinned in place of SHA256:A" in again.message


def test_parts_of_the_inventory_do_not_disturb_each_other(tmp_path: Path) -> None:
    inventory = Inventory(tmp_path / "state" / "inventory.json")
    inventory.write("azure", {"hosts": HOSTS})
    inventory.write(pins.PART, {"a": {}})
    assert (inventory.read("azure"), inventory.read(pins.PART)) == ({"hosts": HOSTS}, {"a": {}})


# What can be had without any host.


def fleet(root: Path, access: str) -> Any:
    text = (root / "parameters" / "lab.yaml").read_text().replace("access: direct", f"access: {access}")
    return parameters.load(text, "lab.yaml").fleet


def subject(root: Path, access: str) -> Subject:
    return Subject.of(fleet(root, access))


def secret_of(text: str) -> Any:
    def secret(_: str) -> str:
        if not text:
            raise BadInput("reading the secret", "it is not there")
        return text

    return secret


def test_hosts_that_nobody_knows_are_asked_for(tmp_path: Path) -> None:
    root = lay_out(tmp_path / "project", "127.0.51")
    inventory = Inventory(tmp_path / "inventory.json")
    through = subject(root, "ssh")

    with pytest.raises(BadInput, match=r"inventory\.json knows no host"):
        with reach(through, through.intended, inventory, secret_of("x")):
            raise AssertionError("reached")
    direct = subject(root, "direct")
    with reach(direct, direct.intended, inventory, secret_of("x")) as reached:
        assert (reached.hosts, reached.said, reached.looked) == ({}, (), "from this machine, at the rendered addresses")


@pytest.mark.parametrize("text", ["", "no key"])
def test_without_a_key_that_works_it_is_refused_or_said(tmp_path: Path, text: str) -> None:

    root = lay_out(tmp_path / "project", "127.0.51")
    inventory = Inventory(tmp_path / "inventory.json")
    inventory.write("azure", {"hosts": {"azure-lab-01": HOSTS["a"]}})
    through, direct = subject(root, "ssh"), subject(root, "direct")
    with pytest.raises(BadInput), reach(through, through.intended, inventory, secret_of(text)):
        raise AssertionError("reached")
    with reach(direct, direct.intended, inventory, secret_of(text)) as reached:
        assert [finding.severity for finding in reached.said] == ["warning"]


@pytest.mark.parametrize(
    ("text", "severity", "says"),
    [
        (KEY.private, "info", "do not answer yet: azure-lab-01 (Connection refused); their host keys are not pinned"),
        ("no key", "warning", "were not"),
    ],
)
def test_new_machines_that_cannot_be_met_stop_nothing(tmp_path: Path, text: str, severity: str, says: str) -> None:
    root = lay_out(tmp_path / "project", "127.0.51")
    inventory = Inventory(tmp_path / "inventory.json")
    nobody = {"vm_id": "1", "public_address": "127.0.51.77", "ssh_port": 2201}
    inventory.write("azure", {"hosts": {"azure-lab-01": nobody}})
    for access in ("ssh", "direct"):
        (said,) = meet(subject(root, access), inventory, secret_of(text), 0.0)
        assert (said.severity, says in said.message) == (severity, True), said
    inventory.write(pins.PART, {"azure-lab-01": {"vm_id": "1", "fingerprint": "SHA256:A", "key": "ssh-ed25519 A"}})
    assert meet(subject(root, "ssh"), inventory, secret_of(text), 0.0) == (), "it was met before: nobody is asked"


# On a lab.


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    folder = lay_out(tmp_path / "project", "127.0.51")
    lab.start(folder, NETWORK)
    try:
        deploy(folder)
        yield folder
    finally:
        lab.stop(folder, NETWORK)


def deploy(root: Path) -> None:
    digest = _digest(papermill.run(root, "deploy-azure", *LAB).shown)
    done = papermill.run(root, "deploy-azure", *LAB, "-p", "approved_plan", digest)
    assert done.record.outcome == "succeeded", done.shown[-2000:]


def look(root: Path, access: str) -> Verification:
    with closing(lab.ensure(root, NETWORK)):
        return verify(subject(root, access), lambda reference: resolve(reference, root), Project(root))


def messages(found: Verification) -> list[str]:
    return [f"{finding.where} {finding.message}" for finding in found.verdict.findings]


def machines(root: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Somebody else's client, as of the portal."""
    endpoints, account = lab.status(root, NETWORK).endpoints, fleet(root, "direct").azure
    assert endpoints is not None
    monkeypatch.setenv("IDENTITY_ENDPOINT", endpoints.identity)
    monkeypatch.setenv("IDENTITY_HEADER", endpoints.identity_header)
    monkeypatch.setenv("NO_PROXY", "127.0.0.0/8")
    credential = client.credential_of("managed-identity")
    cloud = client.connect(account, endpoint=endpoints.arm, verify=endpoints.ca, credential=credential)
    return cloud.compute.virtual_machines


@pytest.mark.faults
def test_both_ways_on_a_deployed_lab_and_a_machine_that_comes_and_goes(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = look(root, "ssh")
    assert first.verdict.healthy, first.verdict.sentence
    assert first.looked == "from this machine over SSH, at each member through its own host"
    pinned = Inventory(Project(root).inventory("lab")).read(pins.PART)
    assert set(pinned) == {f"azure-lab-0{n}" for n in (1, 2, 3, 4)}
    for access in ("ssh", "direct"):
        again = look(root, access)
        assert again.verdict.healthy, again.verdict.sentence
        assert not [message for message in messages(again) if "host key" in message]
        assert {row.check for row in again.verdict.rows} >= {"process", "space", "data disk", "environment"}

    killed = next(host for host in lab.status(root, NETWORK).hosts if host.name == "azure-lab-03")
    assert killed.etcd_pid is not None
    assert killed.ssh.startswith("core@127.0.51.1")
    os.kill(killed.etcd_pid, signal.SIGKILL)
    sentences = {access: look(root, access).verdict.sentence for access in ("ssh", "direct")}
    assert sentences["ssh"] == sentences["direct"]
    assert sentences["ssh"].startswith("azure-lab-03 runs no etcd, etcd-member.service is failed, ended by sig")

    # Somebody deletes its machine: its SSH is gone with it, which says nothing about an etcd.
    machines(root, monkeypatch).begin_delete("azure-lab-b", "azure-lab-03").result()
    gone = look(root, "ssh").verdict
    assert gone.kind == "unproven"
    assert gone.sentence.startswith("not proven healthy: azure-lab-03 cannot be reached by SSH (Connection refused)")

    # deploy-azure brings another one, which is said to be that, and pinned anew.
    inventory = Inventory(Project(root).inventory("lab"))
    before = inventory.read("azure")
    deploy(root)
    after = inventory.read("azure")
    assert after["hosts"]["azure-lab-03"]["vm_id"] != before["hosts"]["azure-lab-03"]["vm_id"]
    assert inventory.read(pins.PART)["azure-lab-03"] != pinned["azure-lab-03"], "who has made it has met it"
    inventory.write("azure", before)  # as if it had been replaced outside of the runbooks
    inventory.write(pins.PART, pinned)
    strange = look(root, "ssh").verdict
    assert strange.sentence.startswith("azure-lab-03 may not be itself: it answers with the host key SHA256:")
    assert f"pinned is {pinned['azure-lab-03']['fingerprint']}" in strange.sentence
    assert inventory.read(pins.PART) == pinned, "it was not taken"
    inventory.write("azure", after)
    known = look(root, "ssh")
    assert known.verdict.healthy, known.verdict.sentence
    assert any(m.startswith("azure-lab-03 its machine was replaced (VM id") for m in messages(known))
    assert json.loads(inventory.path.read_text())[pins.PART]["azure-lab-03"] != pinned["azure-lab-03"]
