"""What changed, by meaning: golden cases over the lab's fleet, and that it misses nothing."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corelib import parameters, userdata
from corelib.cli import main
from corelib.fleet import Fleet
from corelib.userdata import cloudconfig, differences

PRD = Path(__file__).parents[2] / "parameters" / "prd.yaml"
LAB = parameters.load((Path(__file__).parents[2] / "parameters" / "lab.yaml").read_text(), "lab").fleet


def text(fleet: Fleet, host: str = "azure-lab-01") -> str:
    return userdata.render(fleet)[host].text


def told(fleet: Fleet, host: str = "azure-lab-01") -> list[str]:
    return [str(one) for one in differences(text(LAB, host), text(fleet, host))]


def test_a_setting_is_named_with_its_file() -> None:
    slower = LAB.model_copy(update={"etcd": LAB.etcd.model_copy(update={"heartbeat_ms": 400})})
    assert told(slower) == ["file /etc/etcd-member.env, ETCD_HEARTBEAT_INTERVAL: '500' → '400' (with the next boot)"]
    assert told(slower, "ded-lab-01") == []


def test_what_only_a_new_member_reads_is_said_to_be_that() -> None:
    grown = {**LAB.etcd.bootstrap, "azure-lab-05": IPv4Address("127.0.2.5")}
    (one,) = told(LAB.model_copy(update={"etcd": LAB.etcd.model_copy(update={"bootstrap": grown})}))
    assert one.startswith("file /etc/etcd-member.env, ETCD_INITIAL_CLUSTER: 'azure-lab-01=")
    assert one.endswith("(only where etcd starts without data)")


def test_units_and_keys_are_named() -> None:
    overlay = LAB.overlay.model_copy(update={"unit": "weave.service"})
    found = told(LAB.model_copy(update={"overlay": overlay, "ssh_keys": (*LAB.ssh_keys, LAB.ssh_keys[0] + "2")}))
    assert any(one.startswith("ssh_authorized_keys: ") for one in found)
    assert any("unit etcd-member.service, drop_ins" not in one and "[Unit] After" in one for one in found)
    assert all(one.endswith("(with the next boot)") for one in found)


def test_a_thing_that_comes_or_goes_is_absent_on_one_side() -> None:
    plain = LAB.model_copy(update={"etcd": LAB.etcd.model_copy(update={"loopback_listener": True})})
    assert len(told(plain)) == 1
    document = cloudconfig.read(text(LAB))
    document["write_files"].append({"path": "/etc/new", "permissions": "0644", "content": "a=1\n"})
    (one,) = differences(text(LAB), cloudconfig.emit(document))
    assert str(one) == "file /etc/new: absent → 'there' (with the next boot)"


@pytest.mark.parametrize("broken", ["units: [", "- a", "write_files: [{content: x}]", "coreos: {units: 7}", "a"])
def test_what_is_no_rendering_is_said_to_be_none(broken: str) -> None:
    with pytest.raises(ValueError, match="it is no rendering"):
        differences(broken, text(LAB))


@given(st.integers(100, 1000), st.integers(5000, 9000), st.booleans(), st.booleans())
def test_two_documents_without_a_difference_mean_the_same(
    heartbeat: int, election: int, legacy: bool, loopback: bool
) -> None:
    etcd = LAB.etcd.model_copy(
        update={
            "heartbeat_ms": heartbeat,
            "election_ms": election,
            "legacy_ports": legacy,
            "loopback_listener": loopback,
        }
    )
    before, after = text(LAB), text(LAB.model_copy(update={"etcd": etcd}))
    assert (differences(before, after) == ()) == (before == after)
    assert len(differences(before, after)) == len(differences(after, before))


def test_each_peer_of_wireguard_is_told_by_its_key() -> None:
    peers = "\n".join(
        f"[WireGuardPeer]\nPublicKey={key}=\nEndpoint={at}:51820\n" for key, at in (("a", "x"), ("b", "y"))
    )
    before = cloudconfig.emit({"coreos": {"units": [{"name": "wg0.netdev", "content": peers}]}})
    (found,) = differences(before, before.replace("y:51820", "z:51820"))
    assert (found.where, found.old, found.new) == (
        "unit wg0.netdev, [WireGuardPeer b=] Endpoint",
        "y:51820",
        "z:51820",
    )


def test_the_command_says_what_changed_since_the_folder_was_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "prd.yaml", str(tmp_path / "out")
    file.write_text(PRD.read_text())
    assert main(["render", "-f", str(file), "--out", out]) == 0
    assert "What changed" not in capsys.readouterr().out
    file.write_text(PRD.read_text().replace("auto_compaction: 1h", "auto_compaction: 2h"))
    assert main(["render", "-f", str(file), "--out", out]) == 0
    said = capsys.readouterr().out
    assert "What changed on azure-prd-01, azure-prd-02, azure-prd-03, azure-prd-04" in said
    assert "ETCD_AUTO_COMPACTION_RETENTION  1h   2h  with the next boot" in said
