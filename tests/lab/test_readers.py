"""The lab's own readers of cloud-config and of systemd's units."""

from __future__ import annotations

import base64
import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corelib.lab import systemd
from corelib.lab.cloudconfig import CloudConfig, CloudConfigError, read
from corelib.lab.systemd import UnitError


def config(text: str, distribution: str = "flatcar", **variables: str) -> CloudConfig:
    return read(f"#cloud-config\n{text}".encode(), distribution, variables)


def refusal(text: str, distribution: str = "flatcar") -> str:
    with pytest.raises(CloudConfigError) as caught:
        config(text, distribution)
    return str(caught.value)


HYPHENS = "coreos:\n  update: {reboot-strategy: off}\n  etcd2: {heartbeat-interval: 500}\n  units:\n  - name: etcd2.service\n    drop-ins:\n    - {name: a.conf, content: x}\n"


def test_hyphens_are_dropped_by_todays_distribution_and_taken_by_the_old_one() -> None:
    today, old = config(HYPHENS), config(HYPHENS, "coreos")
    assert (today.update, today.etcd2, today.units[0].drop_ins) == ({}, {}, ())
    assert len([note for note in today.notes if "hyphenated" in note]) == 3
    assert (old.update, old.etcd2) == ({"reboot_strategy": "off"}, {"heartbeat_interval": "500"})
    assert old.units[0].drop_ins == (("a.conf", "x"),)


@pytest.mark.parametrize("first", ["", "\n#cloud-config", " #cloud-config", "#cloud-config-x", "#!/bin/sh"])
def test_the_first_line_is_exact(first: str) -> None:
    with pytest.raises(CloudConfigError, match="first line"):
        read(first.encode(), "flatcar", {})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("coreos: {update: {reboot_strategy: false}}", "reboot_strategy is 'false'"),
        ("write_files: [{path: /usr/x}]", "read-only"),
        ("write_files: [{path: relative}]", "not an absolute path"),
        ("write_files: [{path: /../x}]", "not an absolute path"),
        ('write_files: [{path: /x, permissions: "0999"}]', "permissions"),
        ("write_files: [{path: /x, encoding: b64, content: '***'}]", "is not b64"),
        ("write_files: [{path: /x, encoding: rot13}]", "unknown encoding"),
        ("coreos: {units: [{name: a/b.service}]}", "not a unit's name"),
        ("coreos: {units: [{name: a.service, command: run}]}", "command of a.service"),
        ('coreos: {etcd2: {heartbeat_interval: "500"}}', "cannot unmarshal"),
        ("hostname: [", "not YAML"),
        ("- a", "not a mapping"),
        ("coreos: {units: a}", "not a list"),
    ],
)
def test_what_the_consumer_refuses_is_refused_whole(text: str, words: str) -> None:
    assert words in refusal(text)


def test_modes_and_encodings() -> None:
    packed = base64.b64encode(gzip.compress(b"zipped")).decode()
    found = config(
        f"write_files:\n- {{path: /a, permissions: 0644, content: a}}\n- {{path: /b, permissions: 420}}\n"
        f"- {{path: /c, permissions: '0600', encoding: gzip+base64, content: {packed}}}\n"
    )
    assert [(file.path, file.mode) for file in found.files] == [("/a", 0o644), ("/b", 0o420), ("/c", 0o600)]
    assert found.files[2].content == b"zipped"


def test_addresses_are_put_in_before_parsing() -> None:
    found = config(
        "hostname: h-$private_ipv4\nwrite_files: [{path: /a, content: '\\$private_ipv4 $public_ipv4.'}]",
        private_ipv4="10.1.0.1",
    )
    assert (found.host_name, found.files[0].content) == ("h-10.1.0.1", b"$private_ipv4 .")


def test_unknown_keys_are_noted_and_passed_over() -> None:
    found = config("runcmd: [x]\nhostname: h\n")
    assert (found.host_name, found.notes) == ("h", ("ignored: unrecognized key runcmd",))


@given(st.binary())
def test_any_bytes_are_answered(content: bytes) -> None:
    for distribution in ("flatcar", "coreos"):
        try:
            read(b"#cloud-config\n" + content, distribution, {})
        except CloudConfigError:
            continue


SPECIFIERS = {"H": "azure-lab-01", "m": "0123456789abcdef", "n": "etcd-member.service", "i": ""}


def environment(*files: str, **on_disk: str) -> dict[str, str]:
    paths = {f"/{name}": text for name, text in on_disk.items()}
    return systemd.environment([f"[Service]\n{text}" for text in files], SPECIFIERS, paths.get)


def test_later_assignments_win_and_files_win_over_them() -> None:
    found = environment(
        "Environment=A=1 B=2\nEnvironmentFile=/f", "Environment=B=3", f='A="9"\n# no\nnonsense\nC = 4\n'
    )
    assert found == {"A": "9", "B": "3", "C": "4"}


def test_quotes_specifiers_and_continuations() -> None:
    found = environment("Environment=\"A=x y\" 'B=%H' C=a\\\n D=100%%\n# Environment=E=1\n; Environment=F=1\n")
    assert found == {"A": "x y", "B": "azure-lab-01", "C": "a", "D": "100%"}


def test_an_empty_assignment_resets() -> None:
    assert environment("Environment=A=1\nEnvironment=\nEnvironment=B=2") == {"B": "2"}
    assert environment("EnvironmentFile=/f\nEnvironmentFile=", f="A=1") == {}


def test_a_missing_file_matters_unless_it_may_be_missing() -> None:
    assert environment("EnvironmentFile=-/gone") == {}
    with pytest.raises(UnitError, match="azure-lab-01"):
        environment("EnvironmentFile=/etc/x.%H.env")


def test_other_sections_and_unknown_specifiers() -> None:
    assert systemd.environment(["[Unit]\nEnvironment=A=1\n"], SPECIFIERS, {}.get) == {}
    assert systemd.required(["[Unit]\nRequires=a.service b.service\n[Service]\nRequires=c\n"]) == [
        "a.service",
        "b.service",
    ]
    with pytest.raises(UnitError, match="unknown specifier %Z"):
        environment("Environment=A=%Z")


@given(
    st.dictionaries(
        st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True),
        st.text(st.characters(codec="ascii", exclude_characters='"\\\n\r%'), max_size=12),
    )
)
def test_a_file_of_quoted_values_is_read_as_meant(variables: dict[str, str]) -> None:
    text = "".join(f'{name}="{value}"\n' for name, value in variables.items())
    assert environment("EnvironmentFile=/f", f=text) == variables
