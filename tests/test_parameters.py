from __future__ import annotations

import json
import re
from ipaddress import IPv4Address
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from corelib import parameters
from corelib.fleet import Counted
from corelib.parameters import ParametersError

FOLDER = Path(__file__).parents[1] / "parameters"
LAB = (FOLDER / "lab.yaml").read_text()
PRD = (FOLDER / "prd.yaml").read_text()


def problems(text: str) -> list[str]:
    with pytest.raises(ParametersError) as caught:
        parameters.load(text, "p.yaml")
    return [str(finding) for finding in caught.value.report.errors]


def line_of(text: str, part: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if part in line)


@pytest.mark.parametrize("name", ["lab", "prd"])
def test_the_committed_files_load(name: str) -> None:
    loaded = parameters.load((FOLDER / f"{name}.yaml").read_text(), name)
    assert loaded.report.ok
    assert loaded.fleet.environment == name


def test_production_is_the_reference_deployment() -> None:
    fleet = parameters.load((FOLDER / "prd.yaml").read_text(), "prd").fleet
    members = [(m.name, str(m.address)) for m in fleet.etcd.members]
    assert members == [(f"azure-prd-0{n}", f"10.1.0.{n}") for n in (1, 2, 3, 4)]
    assert [[h.name for h in c.hosts] for c in fleet.clusters] == [
        ["azure-prd-01", "azure-prd-02"],
        ["azure-prd-03", "azure-prd-04"],
    ]
    assert (fleet.etcd.token, fleet.etcd.heartbeat_ms, fleet.etcd.election_ms) == ("etcd-cluster", 500, 2500)
    assert (fleet.release.distribution, fleet.release.channel) == ("flatcar", "beta")
    assert (fleet.updates.reboot_strategy, fleet.target) == ("off", "real")
    assert [d.name for d in fleet.dedicated] == ["ded-prd-01"]


def test_what_only_the_owner_knows_is_marked() -> None:
    loaded = parameters.load((FOLDER / "prd.yaml").read_text(), "prd.yaml")
    assert {example.path for example in loaded.examples} >= {
        "fleet.azure.tenant",
        "fleet.azure.subscription",
        "fleet.dedicated[0].server",
        "fleet.dedicated[0].address",
        "fleet.dedicated[0].disk",
        "fleet.ssh_keys[0]",
    }
    assert parameters.load(LAB, "lab.yaml").examples == ()


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("token: etcd", "tokn: etcd", "tokn", "unknown key 'tokn'; did you mean 'token'? allowed: token, heartbeat_ms"),
        ("election_ms: 2500", "election_ms: slow", "slow", "must be a whole number; found 'slow'"),
        ("election_ms: 2500", "election_ms: 2499", "2499", "election_ms 2499 is under five heartbeats (2500)"),
        ("legacy_ports: true", "legacy_ports: yes", "yes", "must be true or false; found 'yes'"),
        ("target: lab", "target: lba", "lba", "must be 'lab' or 'real'; found 'lba'"),
        ("azure-lab-04, address: 127.0.2.4}", "azure-lab-04}", "azure-lab-04}", "the key 'address' is missing in fleet.clusters[1].hosts[1]"),
        ("{name: azure-lab-02, address: 127.0.2.2}", "{name: azure-lab-01, address: 127.0.2.2}", "azure-lab-01, address: 127.0.2.2", "host name azure-lab-01 is used twice"),
        ("{name: azure-lab-02, address: 127.0.2.2}", "{name: azure-lab-02, address: 127.0.2.1}", "azure-lab-02, address: 127.0.2.1", "address 127.0.2.1 is used twice"),
        ("- ssh-ed25519 AAAA", "- ssh-rsa ###KEY###", "###KEY###", "the key itself is missing (a placeholder?)"),
        ("disk: wwn-0x5000c500a1b2c3d4", "disk: /dev/sda", "/dev/sda", "a disk is named by its WWN"),
        ("password: file:.lab", "password: hunter2 .lab", "hunter2", "a secret is given by reference"),
        ("name: azure-lab-03,", "name: azure_lab_03,", "azure_lab_03", "a host name is 1 to 63"),
        ("subnet: 10.20.1.0/24", "subnet: 10.99.1.0/24", "10.99.1.0", "is not inside the network 10.20.0.0/16"),
        ("network: 10.20.0.0/16", "network: 127.0.0.0/16", "network: 127.0.0.0/16", "overlaps the overlay's"),
        ("loopback_listener: false", "loopback_listener: true", "loopback_listener: true", "127.0.0.1:2379 exists once"),
        ("address: 127.0.2.200", "address: 10.0.0.200", "10.0.0.200", "is outside the lab's network"),
        ("environment: lab", "environments: lab", "environments", "unknown key 'environments'"),
        ("  target: lab\n", "  target: lab\n  target: lab\n", "access", "the key 'target' stands here again; first in line"),
        ("  access: direct", "\taccess: direct", "access", "this is not YAML"),
    ],
)  # fmt: skip
def test_each_mistake_is_named_with_its_line(old: str, new: str, line: str, words: str) -> None:
    assert old in LAB
    text = LAB.replace(old, new, 1)
    number = line_of(text, line)
    found = [one for one in problems(text) if words in one]
    assert found
    if "again" not in words:
        assert found[0].startswith(f"p.yaml:{number}: error: ")


def test_members_that_are_reached_through_their_hosts_need_a_key_for_them() -> None:
    text = PRD.replace("    login_key: file:~/.ssh/id_ed25519  #", "    #", 1)
    (found,) = problems(text)
    number = line_of(text, "  azure:")
    assert found.startswith(f"p.yaml:{number}: error: access ssh needs fleet.azure.login_key")
    parameters.load(text.replace("access: ssh", "access: direct"), "p.yaml")


def test_all_problems_at_once_in_the_order_of_their_lines() -> None:
    text = (
        LAB.replace("target: lab", "target: lba")
        .replace("token: etcd", "tokn: etcd")
        .replace("size: St", "sise: St", 1)
    )
    lines = [int(one.split(":")[1]) for one in problems(text)]
    assert len(lines) == 5  # two unknown keys, the two that are missing for it, one wrong value
    assert lines == sorted(lines)


def test_words_stay_words() -> None:
    text = LAB.replace('reboot_strategy: "off"', "reboot_strategy: off").replace("token: etcd-cluster", "token: 0755")
    fleet = parameters.load(text, "p.yaml").fleet
    assert fleet.updates.reboot_strategy == "off"
    assert fleet.etcd.token == "0755"


@pytest.mark.parametrize(
    "text",
    ["", "a", "- a", "[", "{}", "environment: x\nfleet: []\n", "? [a]\n: b\n", "a: &a [*a]\n", "a: &b {}\nb: *b\n"],
)
def test_what_is_no_parameters_file_is_refused_in_words(text: str) -> None:
    assert problems(text)


def test_a_billion_laughs_are_refused() -> None:
    text = "environment: &a0 [x, x, x, x, x, x, x, x, x]\n"
    text += "".join(f"l{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    assert "expands too far" in problems(text)[0]


@given(st.text())
def test_any_text_is_answered(text: str) -> None:
    with pytest.raises(ParametersError):
        parameters.load(text, "p.yaml")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
        max_leaves=20,
    )
)
def test_any_fleet_is_answered(fleet: object) -> None:
    with pytest.raises(ParametersError):
        parameters.load(yaml.safe_dump({"environment": "x", "fleet": fleet}), "p.yaml")


def test_the_schema_for_editors_is_current_and_takes_what_loads() -> None:
    committed = json.loads((FOLDER / "schema.json").read_text())
    assert committed == parameters.schema(), "runbooks schema > parameters/schema.json"
    validator = Draft202012Validator(committed)
    for text in (LAB, PRD):
        content = yaml.safe_load(text)
        assert list(validator.iter_errors(content)) == []
        content["fleet"]["etcd"]["tokn"] = "x"
        del content["fleet"]["release"]
        found = {error.message for error in validator.iter_errors(content)}
        assert any("'tokn'" in message for message in found)
        assert any("'release' is a required property" in message for message in found)


def counted(entry: str, etcd: str = "") -> str:
    """The lab's parameters with a further entry in the first cluster's hosts."""
    place = "        - {name: azure-lab-02, address: 127.0.2.2}\n"
    return LAB.replace(place, f"{place}        - {entry}\n").replace("    bootstrap:  ", f"{etcd}    bootstrap:  ")


def test_hosts_are_counted_beside_hosts_by_name() -> None:
    text = counted("{count: 40, name: web-###, first: 127.0.2.100, number: 7, etcd: none}")
    hosts = parameters.load(text, "p.yaml").fleet.clusters[0].hosts
    assert [host.name for host in hosts[:4]] == ["azure-lab-01", "azure-lab-02", "web-007", "web-008"]
    assert (hosts[-1].name, str(hosts[-1].address), hosts[-1].etcd) == ("web-046", "127.0.2.139", "none")
    assert len(hosts) == 42
    Draft202012Validator(parameters.schema()).validate(yaml.safe_load(text))


@given(count=st.integers(1, 300), number=st.integers(0, 600), first=st.integers(0, 2**32 - 1000))
def test_counted_hosts_are_those_that_could_have_been_written(count: int, number: int, first: int) -> None:
    hosts = Counted.model_validate_json(
        json.dumps({"count": count, "name": "n-###-x", "first": str(IPv4Address(first)), "number": number})
    ).hosts
    assert hosts == tuple(
        {"name": f"n-{number + n:03}-x", "address": str(IPv4Address(first + n)), "etcd": "member"} for n in range(count)
    )


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{count: 0, name: web-#, first: 127.0.2.100}", "clusters[0].hosts[2].count"),
        ("{count: many, name: web-#, first: 127.0.2.100}", "must be a whole number; found 'many'"),
        ("{count: 40, name: web-#, first: 127.0.2.100}", "'web-#' has 1 digits, and the last host is number 40"),
        ("{count: 4, name: web, first: 127.0.2.100}", "clusters[0].hosts[2].name"),
        ("{count: 4, name: web-#}", "the key 'first' is missing"),
        ("{count: 4, name: web-#, first: 255.255.255.254}", "there are no 4 addresses from 255.255.255.254 on"),
        ("{count: 4, name: web-#, frist: 127.0.2.9}", "unknown key 'frist'; did you mean 'first'?"),
        ("{count: 2, name: web-#, first: 127.0.2.1, etcd: none}", "address 127.0.2.1 is used twice"),
        ("{count: 1, name: azure-lab-0#, first: 127.0.2.1}", "host name azure-lab-01 is used twice"),
        ("{count: 2, name: web-#, first: 127.0.2.9}", "host web-1 is in neither list of members"),
        ("{count: 2, name: web-#, first: 127.0.2.255, etcd: none}", "address 127.0.3.0 is not in the overlay's"),
    ],
)
def test_hosts_that_are_counted_wrongly_are_told_with_their_line(entry: str, message: str) -> None:
    text = counted(entry)
    found = problems(text)
    line = line_of(text, entry)
    assert any(message in one for one in found), found
    assert all(f"p.yaml:{line}" in one for one in found), found


def test_what_stands_after_a_count_keeps_its_line() -> None:
    entry = "{count: 5, name: web-#, first: 127.0.2.100, etcd: none}"
    text = counted(f"{entry}\n        - {{name: Bad_Name, address: 127.0.2.77}}")
    (found,) = problems(text)
    assert f"p.yaml:{line_of(text, 'Bad_Name')}" in found


@pytest.mark.parametrize(
    ("etcd", "entry", "message"),
    [
        ("added: {azure-lab-05: 127.0.2.5}", "", "etcd member azure-lab-05 is no host of this fleet"),
        ("added: {azure-lab-05: 127.0.2.6}", "{name: azure-lab-05, address: 127.0.2.5}", "its host has 127.0.2.5"),
        ("added: {azure-lab-01: 127.0.2.1}", "", "azure-lab-01 founded the cluster"),
        ("removed: [azure-lab-09]", "", "azure-lab-09 was never a member"),
        ("removed: [azure-lab-01]", "", "host azure-lab-01 was removed from etcd"),
        ("metrics_port: 2379", "", "port 2379 is taken by etcd itself"),
        ("auto_compaction: often", "", "auto_compaction"),
        ("quota_mb: 9000", "", "quota_mb"),
    ],
)
def test_members_that_came_and_went_and_choices_are_checked(etcd: str, entry: str, message: str) -> None:
    name = etcd.split(":", maxsplit=1)[0]
    text = "\n".join(line for line in LAB.splitlines() if not line.startswith(f"    {name}:")) + "\n"
    place = "        - {name: azure-lab-02, address: 127.0.2.2}\n"
    text = text.replace("    bootstrap:  ", f"    {etcd}\n    bootstrap:  ")
    text = text.replace(place, f"{place}        - {entry}\n" if entry else place)
    found = problems(text)
    assert any(message in one and re.match(r".*p\.yaml:\d+", one) for one in found), found


def test_etcd2_knows_none_of_etcd_3s_choices() -> None:
    found = problems(LAB.replace("distribution: flatcar", "distribution: coreos"))
    assert [one for one in found if "coreos runs etcd2" in one] == found
    assert len(found) == 3


@pytest.mark.parametrize(
    ("updates", "severity", "message"),
    [
        ("{reboot_strategy: reboot}", "warning", "all 4 members reboot whenever an update comes, and the cluster"),
        ('{reboot_strategy: reboot, window: {start: "Sun 02:00", length: 2h}}', "warning", "in the same window"),
        ("{reboot_strategy: etcd-lock}", "warning", "no host gets it, and none ever reboots"),
        ("{reboot_strategy: best-effort}", "error", "would refuse the whole user-data"),
        ('{reboot_strategy: "off", window: {start: "02:00", length: 2h}}', "error", "a window means nothing"),
        ('{reboot_strategy: reboot, window: {start: "Sunday 2:00", length: 2h}}', "error", "updates.window.start"),
        ('{reboot_strategy: reboot, window: {start: "02:00", length: 2 hours}}', "error", "updates.window.length"),
    ],
)
def test_reboots_that_take_the_quorum_down_or_never_come_are_told(updates: str, severity: str, message: str) -> None:
    text = LAB.replace('updates: {reboot_strategy: "off"}', f"updates: {updates}")
    if severity == "error":
        found = problems(text)
    else:
        found = [str(one) for one in parameters.load(text, "p.yaml").report if one.severity == severity]
    line = line_of(text, "updates:")
    assert any(message in one and f"p.yaml:{line}" in one for one in found), found


def test_ssh_that_is_open_to_the_world_is_told_and_its_line() -> None:
    text = LAB.replace("ssh_from: [127.0.0.0/8]", "ssh_from: [127.0.0.0/8, 0.0.0.0/0]", 1)
    (found,) = [str(one) for one in parameters.load(text, "p.yaml").report if "SSH is open" in one.message]
    assert f"p.yaml:{line_of(text, '0.0.0.0/0')}: warning: SSH is open to 0.0.0.0/0: 4,294,967,296 addresses" in found
    assert not [one for one in parameters.load(LAB, "p.yaml").report if "SSH is open" in one.message]


def test_what_is_used_twice_is_told_beside_what_is_wrong_by_itself() -> None:
    text = PRD.replace("heartbeat_ms: 500", "hartbeat_ms: 500").replace(
        "- {name: azure-prd-02, address: 10.1.0.2}", "- {name: azure-prd-01, address: 10.1.0.1}"
    )
    with pytest.raises(ParametersError) as caught:
        parameters.load(text, "p.yaml")
    said = str(caught.value)
    for words in (
        "unknown key 'hartbeat_ms'",
        "host name azure-prd-01 is used twice",
        "address 10.1.0.1 is used twice",
    ):
        assert words in said
