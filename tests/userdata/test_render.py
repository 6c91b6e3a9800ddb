from __future__ import annotations

import re
import subprocess
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from corelib import parameters, userdata
from corelib.fleet import Fleet, Host, Updates, Window
from corelib.userdata import cloudconfig, disk, etcd

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "tests" / "reference"


# The reserved addresses of the clusters of prd.yaml (RFC 5737's, for examples).
ADDRESSES = {"azure-prd-a": "203.0.113.5", "azure-prd-b": "203.0.113.6"}


def fleet(name: str) -> Fleet:
    return parameters.load((ROOT / "parameters" / f"{name}.yaml").read_text(), name).fleet


def owner(name: str) -> Any:
    """One of the owner's documents, scalars as text, hyphens of keys as underscores."""
    return _underscored(yaml.load((REFERENCE / f"{name}.cloud-config.yaml").read_text(), Loader=yaml.BaseLoader))


def ours(text: str) -> Any:
    return yaml.load(text, Loader=yaml.BaseLoader)


def _underscored(value: Any) -> Any:
    if isinstance(value, dict):
        return {key.replace("-", "_"): _underscored(item) for key, item in value.items()}
    return [_underscored(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("host", "reference"),
    [
        ("azure-prd-01", "cluster-01-02"),
        ("azure-prd-02", "cluster-01-02"),
        ("azure-prd-03", "cluster-03-04"),
        ("azure-prd-04", "cluster-03-04"),
    ],
)
def test_as_written_means_what_the_owner_wrote(host: str, reference: str) -> None:
    assert ours(userdata.render(fleet("prd"), "as-written")[host].text) == owner(reference)


def test_the_dedicated_machine_means_what_the_owner_wrote_but_for_the_key() -> None:
    theirs, text = owner("ded-prd-01"), userdata.render(fleet("prd"), "as-written")["ded-prd-01"].text
    assert theirs.pop("ssh_authorized_keys") == ["ssh-rsa"]  # "###KEY###" is a comment to YAML: nobody could log in
    mine = ours(text)
    assert mine.pop("ssh_authorized_keys") == list(fleet("prd").ssh_keys)
    assert mine == theirs


@pytest.mark.parametrize("name", ["prd", "lab"])
@pytest.mark.parametrize("profile", ["bootable", "as-written"])
def test_words_that_yaml_would_change_are_quoted_and_keys_have_underscores(name: str, profile: str) -> None:
    for one in userdata.render(fleet(name), profile, ADDRESSES).values():
        assert one.text.startswith("#cloud-config\n")
        assert 'reboot_strategy: "off"' in one.text
        assert not re.search(r"permissions: [^\"]", one.text)
        # What each generation's parser reads is what is meant, YAML 1.1 included.
        assert yaml.safe_load(one.text)["coreos"]["update"]["reboot_strategy"] == "off"
        assert not re.search(r"^\s*-?\s*[a-z]+-[a-z-]+:", one.text, re.MULTILINE), "a hyphenated key"


def test_bootable_starts_todays_service_ordered_on_the_overlay() -> None:
    document = cloudconfig.read(userdata.render(fleet("prd"))["azure-prd-03"].text)
    *_, unit = document["coreos"]["units"]
    assert (unit["name"], unit["enable"], unit["command"]) == ("etcd-member.service", True, "start")
    drop_in = unit["drop_ins"][0]["content"]
    assert "After=network-online.target weave.service weave-create-bridge.service\n" in drop_in
    assert "Requires=weave-create-bridge.service\n" in drop_in
    assert "EnvironmentFile=/etc/etcd-member.%H.env\n" in drop_in
    files = {file["path"]: file["content"] for file in document["write_files"]}
    assert 'ETCD_ELECTION_TIMEOUT="2500"\n' in files["/etc/etcd-member.env"]
    assert files["/etc/etcd-member.azure-prd-03.env"].splitlines() == [
        'ETCD_INITIAL_ADVERTISE_PEER_URLS="http://10.1.0.3:2380"',
        'ETCD_LISTEN_PEER_URLS="http://10.1.0.3:2380,http://10.1.0.3:7001"',
        'ETCD_LISTEN_CLIENT_URLS="http://10.1.0.3:2379,http://10.1.0.3:4001,http://127.0.0.1:2379"',
        'ETCD_ADVERTISE_CLIENT_URLS="http://10.1.0.3:2379"',
        'ETCD_LISTEN_METRICS_URLS="http://10.1.0.3:2381"',
    ]
    assert (
        'ETCD_AUTO_COMPACTION_RETENTION="1h"\nETCD_QUOTA_BACKEND_BYTES="2147483648"\n' in files["/etc/etcd-member.env"]
    )


def test_bootable_on_coreos_starts_etcd2() -> None:
    old = fleet("prd").model_copy(
        update={"release": fleet("prd").release.model_copy(update={"distribution": "coreos"})}
    )
    *_, unit = cloudconfig.read(userdata.render(old)["azure-prd-01"].text)["coreos"]["units"]
    assert (unit["name"], unit["command"]) == ("etcd2.service", "start")
    assert "ETCD_DATA_DIR=/var/lib/etcd2" in unit["drop_ins"][0]["content"]


@pytest.mark.parametrize("distribution", ["flatcar", "coreos"])
def test_etcds_data_lies_on_its_disk_which_is_formatted_only_if_blank(distribution: str) -> None:
    release = fleet("prd").release.model_copy(update={"distribution": distribution})
    rendered = userdata.render(fleet("prd").model_copy(update={"release": release}))["azure-prd-01"].text
    *_, formatting, mount, etcd = cloudconfig.read(rendered)["coreos"]["units"]
    where = {"flatcar": "/var/lib/etcd", "coreos": "/var/lib/etcd2"}[distribution]
    assert mount["name"] == where.strip("/").replace("/", "-") + ".mount"
    assert f"Where={where}\n" in mount["content"]
    assert "What=/dev/disk/azure/scsi1/lun0\n" in mount["content"]
    assert f"Requires={formatting['name']}\n" in mount["content"]
    assert f"RequiresMountsFor={where}\n" in etcd["drop_ins"][0]["content"]
    assert f"Environment=ETCD_DATA_DIR={where}\n" in etcd["drop_ins"][0]["content"]
    script = formatting["content"].split("/bin/sh -c '")[1].split("'")[0].replace("$$", "$")
    assert script.index("blkid --probe") < script.index("mkfs.ext4")
    for known, tried in ((0, False), (2, True), (4, False), (8, False)):
        # The very script, with stand-ins of the two programs that say what blkid says of a disk.
        shell = f"blkid() {{ return {known}; }}; mkfs.ext4() {{ echo made; }}; {script}"
        done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)
        assert (done.stdout == "made\n", done.returncode == 0) == (tried, known in (0, 2))


def test_a_path_becomes_a_units_name_as_systemd_escapes_it() -> None:
    assert disk.mount_unit("/var/lib/etcd") == "var-lib-etcd.mount"
    assert disk.mount_unit("/var/lib/my-etcd/") == r"var-lib-my\x2detcd.mount"


def test_the_dedicated_machine_runs_no_etcd() -> None:
    assert "etcd" not in userdata.render(fleet("prd"))["ded-prd-01"].text


def test_as_written_is_said_to_start_nothing() -> None:
    report = userdata.findings(userdata.render(fleet("lab"), "as-written"))
    started = {finding.where.split(":")[0] for finding in report if "nothing starts etcd2.service" in finding.message}
    shipped = {finding.where.split(":")[0] for finding in report if "there is no etcd2.service" in finding.message}
    assert started == shipped == {f"azure-lab-0{n}" for n in (1, 2, 3, 4)}


def test_the_same_fleet_gives_the_same_bytes() -> None:
    assert userdata.render(fleet("prd")) == userdata.render(fleet("prd"))


# Any text at all, and often such as YAML would take for something else, or as the contents of a file.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    [
        "off",
        "0644",
        "1e3",
        "~",
        "null",
        "2026-11-24",
        "1:30",
        "- a",
        "a: b",
        "a #b",
        "*a",
        "&a",
        "!a",
        "|",
        "%a",
        "@a",
        "=",
        "<<",
        "...",
    ]
)
LINES = st.lists(st.text("ab :#\t\"'-\u00e9\u2028", max_size=8), max_size=5).map("\n".join)
DOCUMENTS = st.dictionaries(
    TEXT,
    st.recursive(
        TEXT | LINES | st.integers(0, 99999) | st.booleans(),
        lambda inner: (
            st.lists(inner.filter(lambda item: not isinstance(item, list)), max_size=4)
            | st.dictionaries(TEXT, inner, max_size=4)
        ),
        max_leaves=8,
    ),
    max_size=5,
)


@given(
    token=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True),
    heartbeat=st.integers(10, 900),
    address=st.integers(1, 250),
)
def test_what_is_rendered_is_read_back_as_meant(token: str, heartbeat: int, address: int) -> None:
    base = fleet("lab")
    etcd = base.etcd.model_copy(
        update={
            "token": token,
            "heartbeat_ms": heartbeat,
            "bootstrap": {"azure-lab-01": IPv4Address(f"127.0.2.{address}")},
        }
    )
    text = userdata.render(base.model_copy(update={"etcd": etcd}))["azure-lab-01"].text
    shared = yaml.load(text, Loader=yaml.BaseLoader)["write_files"][0]["content"]
    assert f'ETCD_INITIAL_CLUSTER_TOKEN="{token}"\n' in shared
    assert f'ETCD_INITIAL_CLUSTER="azure-lab-01=http://127.0.2.{address}:2380"\n' in shared
    assert f'ETCD_HEARTBEAT_INTERVAL="{heartbeat}"\n' in shared


@given(DOCUMENTS)
def test_any_document_is_written_so_that_every_reader_reads_it_back(document: dict[str, Any]) -> None:
    text = cloudconfig.emit(document)
    assert cloudconfig.read(text) == document
    assert yaml.load(text, Loader=yaml.SafeLoader) == document  # YAML 1.1, in Python
    assert yaml.load(text, Loader=yaml.CSafeLoader) == document  # and in C


def changed(base: Fleet, **etcd: Any) -> Fleet:
    """The fleet with a fifth host, and other values of etcd."""
    host = Host(name="azure-prd-05", address=IPv4Address("10.1.0.5"))
    cluster = base.clusters[0].model_copy(update={"hosts": (*base.clusters[0].hosts, host)})
    clusters = (cluster, *base.clusters[1:])
    return base.model_copy(update={"clusters": clusters, "etcd": base.etcd.model_copy(update=etcd)})


def shared(text: str) -> dict[str, str]:
    files = cloudconfig.read(text)["write_files"]
    content = next(file["content"] for file in files if file["path"] == "/etc/etcd-member.env")
    return dict(line.replace('"', "").split("=", 1) for line in content.splitlines())


def test_a_member_that_is_added_finds_the_others_and_founders_keep_their_list() -> None:
    before, address = userdata.render(fleet("prd")), IPv4Address("10.1.0.5")
    after = userdata.render(changed(fleet("prd"), added={"azure-prd-05": address}, removed=("azure-prd-02",)))
    assert all(after[name].text == before[name].text for name in before), "nothing of a running member changes"
    new = shared(after["azure-prd-05"].text)
    assert new["ETCD_INITIAL_CLUSTER_STATE"] == "existing"
    assert new["ETCD_INITIAL_CLUSTER"].split(",") == [f"azure-prd-0{n}=http://10.1.0.{n}:2380" for n in (1, 3, 4, 5)]
    assert shared(after["azure-prd-01"].text)["ETCD_INITIAL_CLUSTER_STATE"] == "new"


def test_who_was_added_earlier_does_not_name_who_comes_later() -> None:
    both = {"azure-prd-05": IPv4Address("10.1.0.5"), "azure-prd-06": IPv4Address("10.1.0.6")}
    text = userdata.render(changed(fleet("prd"), added=both))["azure-prd-05"].text
    assert "azure-prd-06" not in text


def test_a_host_without_etcd_has_neither_its_files_nor_its_disk() -> None:
    base = fleet("prd")
    host = Host(name="node-1", address=IPv4Address("10.1.0.9"), etcd="none")
    cluster = base.clusters[0].model_copy(update={"hosts": (*base.clusters[0].hosts, host)})
    text = userdata.render(base.model_copy(update={"clusters": (cluster,)}))["node-1"].text
    assert "etcd" not in text
    assert cloudconfig.read(text)["hostname"] == "node-1"


def test_the_window_of_reboots_is_locksmiths() -> None:
    window = Window(start="Sun 02:00", length="1h30m")
    base = fleet("prd").model_copy(update={"updates": Updates(reboot_strategy="reboot", window=window)})
    for one in userdata.render(base).values():
        assert '  locksmith:\n    window_start: "Sun 02:00"\n    window_length: "1h30m"\n' in one.text
        assert not [f for f in one.report if "window" in f.message]


def test_a_version_of_etcd_is_that_of_its_image_and_no_setting_of_etcds_own() -> None:
    base = fleet("prd")
    of = base.model_copy(update={"etcd": base.etcd.model_copy(update={"version": "3.6.1"})})
    name = base.hosts[0].name
    assert 'ETCD_IMAGE_TAG="v3.6.1"\n' in userdata.render(of)[name].text.replace("\n      ", "\n")
    assert "ETCD_IMAGE_TAG" not in userdata.render(base)[name].text
    service = etcd.SERVICES["flatcar"]
    assert etcd.environment(service, of.etcd, of.hosts[0], complete=True) == etcd.environment(
        service, base.etcd, base.hosts[0], complete=True
    )
