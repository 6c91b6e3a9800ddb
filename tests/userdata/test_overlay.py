"""What the user-data says of the overlay: who asks whom, what waits for what, and what a draft is."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from corelib import parameters, userdata
from corelib.fleet import Fleet
from corelib.parameters import ParametersError
from corelib.userdata import cloudconfig
from corelib.userdata.lint import lint

PRD = (Path(__file__).parents[2] / "parameters" / "prd.yaml").read_text()
ADDRESSES = {"azure-prd-a": "203.0.113.5", "azure-prd-b": "203.0.113.6"}  # RFC 5737's, for examples
HOSTS = [f"azure-prd-0{n}" for n in (1, 2, 3, 4)]
KEYS = {name: base64.b64encode(hashlib.sha256(name.encode()).digest()).decode() for name in HOSTS}
WEAVE = PRD[PRD.index("  overlay:") : PRD.index("  etcd:")]


def fleet(text: str) -> Fleet:
    return parameters.load(text, "p.yaml").fleet


def wireguard(keys: dict[str, str] = KEYS, more: str = "") -> str:
    overlay = f"  overlay: {{kind: wireguard, network: 10.1.0.0/24, keys: {json.dumps(keys)}{more}}}\n\n"
    return PRD.replace(WEAVE, overlay)


def files(text: str) -> dict[str, Any]:
    return {file["path"]: file for file in cloudconfig.read(text)["write_files"]}


def units(text: str) -> dict[str, Any]:
    return {unit["name"]: unit for unit in cloudconfig.read(text)["coreos"]["units"]}


def test_a_host_asks_those_before_it_in_its_cluster_and_every_other_cluster() -> None:
    rendered = userdata.render(fleet(PRD), addresses=ADDRESSES)
    peers = {}
    for name in HOSTS:
        file = files(rendered[name].text)[f"/etc/weave.{name}.env"]
        assert file["permissions"] == "0600"
        peers[name] = re.findall(r'WEAVE_PEERS="(.*)"', file["content"])[0].split()
    assert peers == {
        "azure-prd-01": ["203.0.113.6"],
        "azure-prd-02": ["azure-prd-01", "203.0.113.6"],
        "azure-prd-03": ["203.0.113.5"],
        "azure-prd-04": ["azure-prd-03", "203.0.113.5"],
    }
    assert "10.1.129.0/24" in units(rendered["azure-prd-01"].text)["docker.service"]["drop_ins"][0]["content"]
    assert "10.1.132.0/24" in units(rendered["azure-prd-04"].text)["docker.service"]["drop_ins"][0]["content"]


def test_the_bridge_comes_before_docker_the_router_and_etcd() -> None:
    of = units(userdata.render(fleet(PRD), addresses=ADDRESSES)["azure-prd-01"].text)
    bridge = "weave-create-bridge.service"
    assert "Before=docker.service weave.service etcd-member.service\n" in of[bridge]["content"]
    for name in ("docker.service", "etcd-member.service"):
        assert f"Requires={bridge}\n" in of[name]["drop_ins"][0]["content"]
    assert f"Requires=docker.service {bridge}\n" in of["weave.service"]["content"]


@pytest.mark.parametrize("text", [PRD, wireguard()])
def test_no_secret_is_in_user_data_and_the_units_wait_for_it(text: str) -> None:
    for name in HOSTS:
        one = userdata.render(fleet(text), addresses=ADDRESSES)[name]
        path = re.findall(r"PathExists=(/etc/\S+)", one.text)[0]
        assert path not in files(one.text)
        assert "WEAVE_PASSWORD" not in one.text
        assert "PrivateKey=" not in one.text
        waits = [finding for finding in one.report if path in finding.message]
        assert [finding.severity for finding in waits] == ["info"]
        assert not [trap for trap in lint(one.content) if trap.rule == "never-started"]


@pytest.mark.parametrize("text", [PRD, wireguard()])
def test_before_the_addresses_are_known_it_is_a_draft_that_no_host_takes(text: str) -> None:
    before = userdata.render(fleet(text))
    for name, other in zip(HOSTS, ("b", "b", "a", "a"), strict=True):
        assert before[name].unknown == (f"azure-prd-{other}",)
        assert before[name].text.startswith("#draft, not to be deployed: ")
        assert [trap for trap in lint(before[name].content) if trap.rule == "header"]
    half = userdata.render(fleet(text), addresses={"azure-prd-a": ADDRESSES["azure-prd-a"]})
    assert [name for name in HOSTS if half[name].text != before[name].text] == ["azure-prd-03", "azure-prd-04"]
    assert [name for name in HOSTS if half[name].unknown] == ["azure-prd-01", "azure-prd-02"]
    moved = userdata.render(fleet(text), addresses={**ADDRESSES, "azure-prd-b": "203.0.113.9"})
    whole = userdata.render(fleet(text), addresses=ADDRESSES)
    assert [name for name in whole if moved[name].text != whole[name].text] == ["azure-prd-01", "azure-prd-02"]


def test_as_written_names_no_address_and_is_no_draft() -> None:
    assert not any(one.unknown for one in userdata.render(fleet(PRD), "as-written").values())


def test_wireguard_has_a_peer_for_each_other_host_and_the_same_addresses() -> None:
    rendered = userdata.render(fleet(wireguard()), addresses=ADDRESSES)
    netdev = units(rendered["azure-prd-02"].text)["wg0.netdev"]["content"]
    peers = [dict(line.split("=", 1) for line in part.splitlines() if "=" in line) for part in netdev.split("\n\n")[2:]]
    assert [peer["Endpoint"] for peer in peers] == ["azure-prd-01:51820", "203.0.113.6:51822", "203.0.113.6:51823"]
    assert [peer["AllowedIPs"] for peer in peers] == ["10.1.0.1/32", "10.1.0.3/32", "10.1.0.4/32"]
    assert [peer["PublicKey"] for peer in peers] == [KEYS[name] for name in HOSTS if name != "azure-prd-02"]
    assert "ListenPort=51821\n" in netdev
    of = units(rendered["azure-prd-02"].text)
    assert "Address=10.1.0.2/24\n" in of["wg0.network"]["content"]
    etcd = of["etcd-member.service"]
    assert "After=network-online.target systemd-networkd-wait-online@wg0.service\n" in etcd["drop_ins"][0]["content"]
    assert "command" not in etcd
    assert "etcd-member.service" in of["wireguard-key.service"]["content"]
    written = files(userdata.render(fleet(PRD), addresses=ADDRESSES)["azure-prd-02"].text)
    name = "/etc/etcd-member.azure-prd-02.env"
    assert files(rendered["azure-prd-02"].text)[name] == written[name], "etcd's addresses stay the same"


def test_a_dedicated_machine_is_on_the_overlay_by_choice_and_never_runs_etcd() -> None:
    disk = "disk: wwn-0x5000c500a1b2c3d4"
    text = PRD.replace(disk, f"{disk}\n      overlay_address: 10.1.0.9")
    one = userdata.render(fleet(text), addresses=ADDRESSES)["ded-prd-01"]
    assert 'WEAVE_PEERS="203.0.113.5 203.0.113.6"' in one.text
    assert "etcd" not in one.text
    assert "weave" not in userdata.render(fleet(PRD), addresses=ADDRESSES)["ded-prd-01"].text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PRD.replace("kind: weave", "kind: none"), "install is for weave; the overlay is none"),
        (re.sub(r"    install:.*(\n      .*)+", "", PRD), "overlay weave needs `install`"),
        (PRD.replace("kind: weave", "kind: weave\n    unit: x.service"), "unit is for provided; the overlay is weave"),
        (
            PRD.replace("      disk: wwn", "      overlay_address: 10.9.0.9\n      disk: wwn"),
            "address 10.9.0.9 is not in the",
        ),
        (PRD.replace("10.1.128.0/17", "10.9.0.0/17"), "is not a part of the overlay's 10.1.0.0/16"),
        (PRD.replace("10.1.128.0/17", "10.1.0.0/17"), "address 10.1.0.1 is among the containers'"),
        (PRD.replace("10.1.128.0/17", "10.1.8.0/22"), "host number 4 on the overlay has no /24 left"),
        (PRD.replace("services: 10.32.0.0/16", "services: 10.1.0.0/24"), "services 10.1.0.0/24 overlaps the overlay's"),
        (
            PRD.replace("services: 10.32.0.0/16", "services: 10.20.9.0/24"),
            "network 10.20.0.0/16 overlaps services 10.20.9.0/24",
        ),
        (PRD.replace("version: 2.9.0", "version: latest"), "overlay.install.version"),
        (PRD.replace('sha256: "00', 'sha256: "0'), "overlay.install.sha256"),
        (PRD.replace("https://github.com/rajch", "http://github.com/rajch"), "overlay.install.url"),
        (wireguard({name: KEYS[name] for name in HOSTS[:3]}), "the public key of azure-prd-04 is missing"),
        (wireguard({**KEYS, "azure-prd-04": KEYS["azure-prd-01"]}), "is used twice"),
        (wireguard({**KEYS, "azure-prd-04": "too/short="}), "as `wg pubkey` prints it"),
        (wireguard({**KEYS, "nobody": KEYS["azure-prd-01"][::-1].strip("=") + "="}), "overlay"),
        (wireguard(more=", containers: 10.1.0.128/25"), "containers is for weave; the overlay is wireguard"),
        (wireguard().replace("distribution: flatcar", "distribution: coreos"), "coreos has no WireGuard"),
    ],
)
def test_every_contradiction_of_an_overlay_is_told_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ParametersError) as caught:
        fleet(text)
    found = [str(finding) for finding in caught.value.report.errors]
    assert any(message in one and re.match(r"p\.yaml:\d+: ", one) for one in found), found


def script(path: str) -> str:
    text: str = files(userdata.render(fleet(PRD), addresses=ADDRESSES)["azure-prd-01"].text)[path]["content"]
    return text


@pytest.mark.parametrize(("content", "code"), [(b"the script", 0), (b"another", 1)])
def test_weaves_script_is_taken_only_with_its_checksum(tmp_path: Path, content: bytes, code: int) -> None:
    source, target = tmp_path / "download", tmp_path / "bin"
    source.write_bytes(content)
    target.mkdir()
    text = script("/opt/bin/install-weave").replace("0" * 64, hashlib.sha256(b"the script").hexdigest())
    text = re.sub(r"https://\S+weave", source.as_uri(), text).replace("/opt/bin", str(target))
    curl = shutil.which("curl") or pytest.skip("no curl here")
    for _ in range(2):  # a second start finds it there
        done = subprocess.run(
            ["sh", "-c", text],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": f"{Path(curl).parent}:/usr/bin:/bin"},
        )
        assert done.returncode == code, done.stderr
    assert (target / "weave").exists() == (code == 0)
    assert ("another checksum" in done.stderr) == (code == 1)
