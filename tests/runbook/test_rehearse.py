"""`runbooks rehearse`: what is mapped and what is not, by values; and production's parameters on a lab of their own."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from corelib import lab, parameters, userdata
from corelib.errors import BadInput
from corelib.lab import marks, places
from corelib.record import records
from corelib.runbook.rehearsal import Rehearsal, rehearsal
from tests.project import ROOT, lay_out

from .test_plan_command import runbooks

NETWORK = "127.0.24.0/24"
HERE = ("--network", NETWORK)


def text_of(name: str) -> str:
    return (ROOT / "parameters" / f"{name}.yaml").read_text()


# The digest of the lab's own script, as parameters/lab.yaml says it.
INSTALLER = parameters.load((ROOT / "parameters" / "lab.yaml").read_text(), "lab.yaml").fleet.hetzner.installer_sha256  # type: ignore[union-attr]


def mapped(text: str, network: str = NETWORK) -> Rehearsal:
    return rehearsal(parameters.load(text, "prd.yaml"), IPv4Network(network), INSTALLER)


def test_production_keeps_its_shape() -> None:
    before, made = parameters.load(text_of("prd"), "prd.yaml").fleet, mapped(text_of("prd"))
    after = parameters.load(made.text, "mapped.yaml")
    assert (after.examples, after.report.errors) == ((), ())
    fleet = after.fleet
    assert (fleet.environment, fleet.target, fleet.access) == ("prd-rehearsal", "lab", "ssh")
    assert [host.name for host in fleet.hosts] == [host.name for host in before.hosts]
    assert all(host.address in IPv4Network(NETWORK) for host in fleet.hosts)
    assert [one.name for one in fleet.dedicated] == ["ded-prd-01"]
    for one, other in zip(before.clusters, fleet.clusters, strict=True):
        same = ("name", "location", "size", "network", "subnet", "data_disk_gb", "zones")
        assert [getattr(one, name) for name in same] == [getattr(other, name) for name in same]
    for name in ("token", "heartbeat_ms", "election_ms", "legacy_ports", "quota_mb", "metrics_port"):
        assert getattr(fleet.etcd, name) == getattr(before.etcd, name)
    assert (fleet.release, fleet.updates, fleet.owner) == (before.release, before.updates, before.owner)
    same = ("kind", "install", "services", "unit")
    assert [getattr(fleet.overlay, name) for name in same] == [getattr(before.overlay, name) for name in same]


WEAVE = text_of("prd")[text_of("prd").index("    kind: weave\n") : text_of("prd").index("  etcd:\n")]
KEYS = {
    name: base64.b64encode(name.encode().ljust(32)).decode()
    for name in (*(f"azure-prd-0{n}" for n in range(1, 5)), "ded-prd-01", "ded-prd-02")
}


@pytest.mark.parametrize("network", [NETWORK, "127.5.6.0/24"])
@pytest.mark.parametrize("kind", ["weave", "wireguard"])
def test_an_overlay_stays_and_so_do_the_two_stages_of_a_deployment(kind: str, network: str) -> None:
    """Hosts name the other site's reserved address, so they are drafts until it is known."""
    text = text_of("prd")
    if kind == "wireguard":
        text = text.replace(WEAVE, f"    kind: wireguard\n    network: 10.1.0.0/16\n    keys: {json.dumps(KEYS)}\n\n")
        on_it = "disk: wwn-0x5000c500a1b2c3d4\n      overlay_address: 10.1.0.9\n"
        text = text.replace("disk: wwn-0x5000c500a1b2c3d4  # example\n", on_it)
        text += (
            text[text.index("    - name: ded-prd-01") :]
            .replace("-01", "-02")
            .replace("321", "322")
            .replace("0.9", "0.10")
            .replace("20 ", "21 ")
            .replace("c3d4", "c3d5")
        )
    fleet = parameters.load(mapped(text, network).text, "mapped").fleet
    drafts, known = (
        userdata.render(fleet),
        userdata.render(fleet, addresses=dict.fromkeys(("azure-prd-a", "azure-prd-b"), "192.0.2.7")),
    )
    assert all(drafts[host.name].unknown and not known[host.name].unknown for host in fleet.hosts)
    for one, host in zip((known[host.name] for host in fleet.hosts), fleet.hosts, strict=True):
        assert str(host.address) in one.text
        assert f"{kind}" in one.text


def test_a_unit_that_somebody_else_brings_stays_named() -> None:
    text = text_of("prd").replace(WEAVE, "    kind: provided\n    network: 10.1.0.0/16\n    unit: vpn.service\n\n")
    fleet = parameters.load(mapped(text).text, "mapped").fleet
    assert "vpn.service" in userdata.render(fleet)["azure-prd-01"].text


def test_all_that_was_changed_is_listed() -> None:
    names = {one.name.partition("[")[0].partition(".")[0] for one in mapped(text_of("prd")).changes}
    assert names == {
        *("environment", "target", "lab", "ssh_keys", "overlay", "etcd"),
        *("azure", "clusters", "hetzner", "dedicated"),
    }
    etcd = {one.name for one in mapped(text_of("prd")).changes if one.name.startswith("etcd.")}
    assert etcd == {"etcd.loopback_listener", *(f"etcd.bootstrap.azure-prd-0{n}" for n in (1, 2, 3, 4))}


@pytest.mark.parametrize("left", [["azure-prd-04"], [f"azure-prd-0{n}" for n in (1, 2, 3, 4)]])
def test_who_has_left_etcd_does_not_found_what_is_rehearsed(left: list[str]) -> None:
    text = text_of("prd").replace(
        "      azure-prd-04: 10.1.0.4\n",
        f"      azure-prd-04: 10.1.0.4\n    added: {{azure-prd-05: 10.1.0.5}}\n    removed: [{', '.join(left)}]\n",
    )
    for name in left:
        host = f"        - {{name: {name}, address: 10.1.0.{name[-1]}}}\n"
        assert host in text
        text = text.replace(host, host.replace("}", ", etcd: none}") if name != "azure-prd-04" else "")
    last = "        - {name: azure-prd-03, address: 10.1.0.3"
    text = text.replace(last, f"        - {{name: azure-prd-05, address: 10.1.0.5}}\n{last}")
    assert not parameters.load(text, "prd.yaml").report.errors
    after = parameters.load(mapped(text).text, "mapped.yaml")
    assert not after.report.errors
    stay = [name for name in (*(f"azure-prd-0{n}" for n in (1, 2, 3, 4)), "azure-prd-05") if name not in left]
    assert ([one.name for one in after.fleet.etcd.members], after.fleet.etcd.removed) == (stay, ())
    assert len(after.fleet.etcd.bootstrap) == max(1, len(stay) - 1)


def test_a_lab_is_mapped_onto_itself() -> None:
    """What a lab offers is known in one more place than parameters/lab.yaml; both say the same."""
    names = {one.name for one in mapped(text_of("lab"), "127.0.2.0/24").changes}
    assert names == {"environment", "ssh_keys[1]"}


def test_only_what_is_an_example_or_must_be_is_mapped() -> None:
    text = text_of("prd").replace("ssh_from: [203.0.113.0/24]  # example", "ssh_from: [198.51.100.0/24]")
    fleet = parameters.load(mapped(text).text, "mapped").fleet
    assert {str(one) for cluster in fleet.clusters for one in cluster.ssh_from} == {"198.51.100.0/24"}


def test_addresses_stay_in_their_order_and_a_lab_has_an_end() -> None:
    counted = "        - {name: azure-prd-04, address: 10.1.0.4}\n"
    more = counted + "        - {count: COUNT, name: node-###, first: 10.1.0.20, etcd: none}\n"
    fleet = parameters.load(mapped(text_of("prd").replace(counted, more.replace("COUNT", "95"))).text, "mapped").fleet
    assert [host.address for host in fleet.hosts] == [IPv4Address("127.0.24.0") + n for n in range(1, 100)]
    with pytest.raises(BadInput, match="it has 100 addresses on its overlay, and a lab has room for 99"):
        mapped(text_of("prd").replace(counted, more.replace("COUNT", "96")))


def test_what_a_lab_cannot_show_is_said() -> None:
    tls = "    token: etcd-cluster\n    tls: {ca: file:ca.pem, certificate: file:me.pem, key: file:me-key.pem}\n"
    second = (
        "    - name: ded-prd-02\n      server: 322\n      address: 203.0.113.21\n      disk: wwn-0x5000c500a1b2c3d5\n"
    )
    made = mapped(text_of("prd").replace("    token: etcd-cluster\n", tls) + second)
    said = "\n".join(made.unproven)
    for words in (
        "the overlay: a lab's hosts run no weave",
        "installation of ded-prd-02",
        "etcd's TLS",
        "127.0.0.1",
        "your logins",
    ):
        assert words in said
    assert parameters.load(made.text, "mapped").fleet.etcd.tls is None
    assert "overlay" not in "\n".join(mapped(text_of("lab")).unproven)


def test_a_given_group_stays_an_address_for_each_host_does_not_and_both_are_said() -> None:
    line = "    - name: azure-prd-b\n"
    made = mapped(text_of("prd").replace(line, f"{line}      resource_group: books\n      public_address: host\n"))
    (_, second) = parameters.load(made.text, "mapped").fleet.clusters
    assert (second.resource_group, second.public_address) == ("books", "cluster")
    assert "clusters[1].public_address" in {one.name for one in made.changes}
    for words in ("resource groups that are given", "an address for each host"):
        assert words in "\n".join(made.unproven)


def test_it_is_refused_in_a_sentence_where_it_could_harm(root: Path) -> None:
    code, said = runbooks(root, "rehearse", "-f", "parameters/prd.yaml", "--network", "10.0.0.0/24")
    assert (code, "a lab lives on loopback only" in said) == (2, True), said
    (root / "parameters/prd-rehearsal.yaml").write_text("")
    (root / "state/prd-rehearsal").mkdir(parents=True)
    code, said = runbooks(root, "rehearse", "-f", "parameters/prd.yaml", *HERE)
    assert (code, "its state would be replaced" in said) == (3, True), said
    assert (root / "state/prd-rehearsal").exists()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return lay_out(tmp_path / "project")


def left(root: Path) -> bool:
    """Whether anything of the rehearsal's lab still runs."""
    at = IPv4Network(NETWORK)
    return lab.status(root, NETWORK).running or marks.end(places.identity(root, at)) > 0


@pytest.mark.faults  # a minute, and each of its runbooks is run by tests of its own
def test_production_is_rehearsed_from_nothing_twice(root: Path) -> None:
    file = root / "parameters/prd.yaml"
    for group in ("", "      resource_group: books\n"):  # nothing of the first one is in the way of the second
        line = "    - name: azure-prd-b\n"
        file.write_text(file.read_text().replace(line, f"{line}{group}"))
        code, said = runbooks(root, "rehearse", "-f", "parameters/prd.yaml", *HERE)
        assert code == 0, said
        lines = [line.split() for line in said.splitlines() if line.startswith(("✔", "✘"))]
        assert "in 2 stages" in next(line for line in said.splitlines() if line.startswith("✔ deploy-azure")), said
        assert [line[1] for line in lines[1:]] == ["render", "deploy-azure", "install-hetzner", "verify-etcd"]
        assert "does not prove" in said
        assert not left(root)
    outcomes = {one.outcome for one in records(root, "prd-rehearsal")}
    assert outcomes == {"succeeded", "no change", "awaiting approval"}
    assert records(root, "prd") == []
    assert not (root / "state/prd").exists(), "production's own state is not touched"


def test_what_goes_wrong_is_told_and_the_rest_is_not_run(root: Path) -> None:
    file = root / "parameters/prd.yaml"
    file.write_text(file.read_text().replace("Standard_B2s_v2", "Standard_Nope_v2"))
    code, said = runbooks(root, "rehearse", "-f", "parameters/prd.yaml", *HERE)
    assert code == 1
    assert "Standard_Nope_v2" in said
    assert "✘ deploy-azure" in said
    assert "verify-etcd" not in said
    assert not left(root)


def test_an_interrupted_rehearsal_leaves_nothing_running(root: Path) -> None:
    command = [sys.executable, "-m", "corelib.cli", "rehearse", "-f", "parameters/prd.yaml", *HERE]
    environment = {**os.environ, "RUNBOOKS_ROOT": str(root)}
    process = subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if "render" in line and "succeeded" in line:
            break
    time.sleep(1)  # somewhere in deploy-azure: wherever it is met, the same must hold
    process.send_signal(signal.SIGINT)
    assert process.wait(150) == 5
    assert not left(root)
