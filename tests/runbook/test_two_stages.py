"""deploy-azure where hosts name each other by reserved addresses: the addresses first, then the machines."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from corelib import lab
from tests.project import lay_out

from . import papermill
from .test_plan_command import planned

NETWORK = "127.0.16.0/24"
LAB = ("-f", "parameters/lab.yaml")
HOSTS = [f"azure-lab-0{n}" for n in (1, 2, 3, 4)]
KEYS = {name: base64.b64encode(hashlib.sha256(name.encode()).digest()).decode() for name in HOSTS}
FIFTH = base64.b64encode(hashlib.sha256(b"azure-lab-05").digest()).decode()


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    folder = lay_out(tmp_path / "project", "127.0.16")
    file = folder / "parameters" / "lab.yaml"
    text = file.read_text()
    assert "kind: none, " in text
    file.write_text(text.replace("kind: none, ", f"kind: wireguard, keys: {json.dumps(KEYS)}, "))
    lab.start(folder, NETWORK)
    try:
        yield folder
    finally:
        lab.stop(folder, NETWORK)


def _digest(shown: str) -> str:
    return re.findall(r"Digest: (plan-[0-9a-f]{16})", shown)[0]


def test_machines_follow_once_the_addresses_that_they_name_are_reserved(root: Path) -> None:
    drafts = papermill.run(root, "render", *LAB)
    assert "this is a draft: the reserved address of azure-lab-b is not known yet" in drafts.shown

    first = papermill.run(root, "deploy-azure", *LAB)
    assert "4 machines: their user-data names addresses that this plan reserves" in first.shown
    assert "/machine/" not in first.shown
    done = papermill.run(root, "deploy-azure", *LAB, "-p", "approved_plan", _digest(first.shown))
    assert done.record.outcome == "succeeded", done.shown[-2000:]
    assert "4 to create can be planned now: run again." in done.shown
    assert lab.status(root, NETWORK).hosts == ()

    rendered = papermill.run(root, "render", *LAB)
    assert "draft" not in rendered.shown
    inventory = json.loads((root / "state" / "lab" / "inventory.json").read_text())["azure"]
    addresses = {name: one["address"] for name, one in inventory["clusters"].items()}
    text = (root / "state" / "lab" / "rendered" / "azure-lab-01.yaml").read_text()
    assert f"Endpoint={addresses['azure-lab-b']}:51823\n" in text, "azure-lab-04's port is by its own number"

    second = papermill.run(root, "deploy-azure", *LAB)
    assert "4 to create" in second.shown
    assert "they follow in the next plan" not in second.shown
    machines = papermill.run(root, "deploy-azure", *LAB, "-p", "approved_plan", _digest(second.shown))
    assert machines.record.outcome == "succeeded", machines.shown[-2000:]
    assert {host.name for host in lab.status(root, NETWORK).hosts} == set(HOSTS)
    kept = papermill.run(root, "deploy-azure", *LAB)
    assert "no change" in kept.record.outcome or "0 to create" in kept.shown or "Nothing to do" in kept.shown


def test_nobody_joins_etcd_in_the_stage_in_which_no_machine_comes(root: Path) -> None:
    file = root / "parameters" / "lab.yaml"
    text, host = file.read_text(), "        - {name: azure-lab-04, address: 127.0.16.4}\n"
    last = "      azure-lab-04: 127.0.16.4\n"
    text = text.replace(json.dumps(KEYS), json.dumps({**KEYS, "azure-lab-05": FIFTH}))
    for old, more in (
        (last, "    added: {azure-lab-05: 127.0.16.5}\n"),
        (host, "        - {name: azure-lab-05, address: 127.0.16.5}\n"),
    ):
        assert old in text
        text = text.replace(old, old + more)
    file.write_text(text)
    code, plan = planned(root, "deploy-azure", *LAB)
    assert (code, plan["blocked"]) == (6, [])
    kinds = {target.split("/")[1] for target in plan["order"]}
    assert "azure-lab-b/disk/azure-lab-05-etcd" in plan["order"]
    assert not kinds & {"machine", "member", "ready"}
