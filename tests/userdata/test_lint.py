"""Lint: each trap by a document that has it, with its line; what `fix` mends, and that it harms nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from corelib import parameters, userdata
from corelib.lab import cloudconfig as lab
from corelib.userdata.lint import RELEASES, Trap, fix, lint

ROOT = Path(__file__).parents[2]
REFERENCE = sorted((ROOT / "tests" / "reference").glob("*.yaml"))
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN6WSvWgS9Imn34sSUs4ERvLfKV4cVHT+aHYyGYuO1JX me"
HEAD = "#cloud-config\n"
ETCD_UNIT = f"{HEAD}coreos:\n  units:\n    - name: etcd-member.service\n      content: |\n        [Service]\n"


def told(text: str | bytes, release: str = "flatcar") -> set[tuple[int, str, str]]:
    content = text if isinstance(text, bytes) else text.encode()
    return {(trap.line, trap.rule, trap.severity) for trap in lint(content, (RELEASES[release],))}


def traps(name: str) -> tuple[Trap, ...]:
    return lint((ROOT / "tests" / "reference" / name).read_bytes())


@pytest.mark.parametrize("name", ["cluster-01-02.cloud-config.yaml", "cluster-03-04.cloud-config.yaml"])
def test_each_trap_of_the_owners_cluster_files_is_told_with_its_line(name: str) -> None:
    found = {(trap.line, trap.rule) for trap in traps(name) if trap.severity != "info"}
    assert found == {
        *((line, "unquoted") for line in (5, 13, 22, 33)),
        (9, "even-voters"),
        *((line, "plaintext") for line in (17, 18, 26, 27)),
        *((line, "hyphens") for line in (33, 36, 37, 41)),
        (35, "gone"),
        (40, "not-shipped"),
        (40, "never-started"),
        (40, "unordered"),
        *((line, "optional-file") for line in (47, 48)),
    }
    concerned = {trap.rule: trap.releases for trap in traps(name)}
    assert concerned["hyphens"] == ("flatcar",), "the generation that it was written for reads both spellings"
    assert concerned["never-started"] == ("coreos", "flatcar")


def test_the_dedicated_machines_file_lets_nobody_in() -> None:
    found = [(trap.line, trap.rule, trap.severity) for trap in traps("ded-prd-01.cloud-config.yaml")]
    assert found == [(3, "key", "error"), (5, "every-boot", "info"), (10, "hyphens", "error")]


@pytest.mark.parametrize("file", REFERENCE, ids=lambda file: file.name)
def test_after_a_fix_only_what_needs_a_decision_is_left_and_nothing_else_was_touched(file: Path) -> None:
    before, after = file.read_bytes(), fix(file.read_bytes())
    assert {trap.rule for trap in lint(after)} <= {
        *("even-voters", "plaintext", "legacy-port", "gone", "not-shipped", "never-started", "unordered"),
        *("optional-file", "key", "every-boot"),
    }
    assert fix(after) == after
    assert yaml.load(_underscored(before.decode()), yaml.BaseLoader) == yaml.load(after, yaml.BaseLoader)
    # The other reader, which shares nothing with this one: Flatcar now does with it what CoreOS does.
    coreos, flatcar = (lab.read(after, release, {}) for release in ("coreos", "flatcar"))
    assert (coreos.files, coreos.units) == (flatcar.files, flatcar.units)
    assert lab.read(before, "coreos", {}).units == coreos.units


def _underscored(text: str) -> str:
    for key in ("reboot-strategy", "heartbeat-interval", "election-timeout", "drop-ins"):
        text = text.replace(f"{key}:", f"{key.replace('-', '_')}:")
    return text


@pytest.mark.parametrize("name", ["lab", "prd"])
def test_what_we_render_has_no_trap_but_what_its_owner_decides(name: str) -> None:
    fleet = parameters.load((ROOT / "parameters" / f"{name}.yaml").read_text(), name).fleet
    addresses = {cluster.name: "203.0.113.5" for cluster in fleet.clusters}
    for one in userdata.render(fleet, addresses=addresses).values():
        found = {trap.rule for trap in lint(one.content, (RELEASES["flatcar"],))}
        assert found <= {"even-voters", "plaintext", "legacy-port", "every-boot"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\n#cloud-config\nhostname: a\n", (1, "header", "error")),
        ("#!/bin/sh\n", (1, "header", "error")),
        (f"\ufeff{HEAD}hostname: a\n", (1, "bom", "error")),
        (f"{HEAD}hostname: a\r\n", (1, "crlf", "warning")),
        (b"#cloud-config\nhostname: \xff\n", (2, "encoding", "error")),
        (f"{HEAD}hostname: [a\n", (3, "yaml", "error")),
        (f"{HEAD}coreos:\n\tunits: []\n", (3, "yaml", "error")),
        (f"{HEAD}{'a: {' * 60}{'}' * 60}\n", (2, "yaml", "error")),
        (f"{HEAD}- a\n", (2, "type", "error")),
        (f"{HEAD}runcmd: [ls]\n", (2, "unknown", "warning")),
        (f"{HEAD}hostname: a\nhostname: b\n", (3, "duplicate", "error")),
        (f"{HEAD}hostname: {'a' * 64}\n", (2, "host-name", "error")),
        (f"{HEAD}hostname: a.example.org\n", (2, "host-name", "warning")),
        (f"{HEAD}ssh_authorized_keys: {KEY}\n", (2, "type", "error")),
        (f"{HEAD}ssh_authorized_keys:\n  - ssh-rsa ###KEY###\n", (3, "key", "error")),
        (f"{HEAD}ssh_authorized_keys:\n  - {KEY[:60]}\n", (3, "key", "error")),
        (f"{HEAD}write_files:\n  - path: etc/a\n", (3, "path", "error")),
        (f"{HEAD}write_files:\n  - path: /etc/../usr/a\n", (3, "path", "error")),
        (f"{HEAD}write_files:\n  - path: /a\n  - path: /a\n", (4, "path", "warning")),
        (f'{HEAD}write_files:\n  - path: /a\n    permissions: "rw"\n', (4, "value", "error")),
        (f"{HEAD}write_files:\n  - path: /a\n    permissions: 420\n", (4, "mode-in-decimal", "warning")),
        (f"{HEAD}write_files:\n  - path: /a\n    encoding: rot13\n", (4, "value", "error")),
        (f"{HEAD}coreos:\n  update:\n    reboot_strategy: never\n", (4, "value", "error")),
        (f"{HEAD}coreos:\n  update:\n    group: nightly\n", (4, "group", "warning")),
        (f'{HEAD}coreos:\n  etcd2:\n    heartbeat_interval: "500"\n', (4, "number-as-text", "error")),
        (f"{HEAD}coreos:\n  etcd2:\n    heartbeat_interval: fast\n", (4, "type", "error")),
        (f"{HEAD}coreos:\n  etcd2:\n    proxy: maybe\n", (4, "value", "error")),
        (f"{HEAD}coreos:\n  fleet: {{}}\n", (3, "gone", "error")),
        (f"{HEAD}coreos:\n  units:\n    - name: a/b.service\n", (4, "unit-name", "error")),
        (f"{HEAD}coreos:\n  units:\n    - name: a\n", (4, "unit-name", "error")),
        (f"{HEAD}coreos:\n  units:\n    - name: a.service\n      command: begin\n", (5, "value", "error")),
        (f'{HEAD}coreos:\n  units:\n    - name: a.service\n      enable: "true"\n', (5, "type", "error")),
        (f"{HEAD}coreos:\n  units:\n    - name: a.service\n      content: x\n", (4, "never-started", "warning")),
        (
            f"{HEAD}coreos:\n  units:\n    - name: a.service\n      enable: true\n      drop_ins: [{{name: a}}]\n",
            (6, "drop-in", "error"),
        ),
        (f"{HEAD}coreos:\n  etcd2: {{heartbeat_interval: 500, election_timeout: 2000}}\n", (3, "timing", "error")),
        (f"{HEAD}coreos:\n  etcd2: {{heartbeat_interval: 500}}\n", (3, "timing", "error")),
        (f"{HEAD}coreos:\n  etcd2: {{election_timeout: 60000}}\n", (3, "timing", "error")),
        (f"{HEAD}coreos:\n  etcd2: {{ca_file: /a}}\n", (3, "deprecated", "warning")),
        (f"{HEAD}coreos:\n  etcd2:\n    <<: {{hartbeat: 1}}\n", (4, "unknown", "warning")),
        (f"{HEAD}users:\n  - name: a\n    ssh_authorized_keys:\n      - ssh-rsa ###KEY###\n", (5, "key", "error")),
        (f"{HEAD}write_files:\n  - path: //usr/x\n", (3, "path", "error")),
        (f"{HEAD}write_files:\n  - {{path: /a, encoding: b64, content: '?'}}\n", (3, "content", "error")),
        (f"{HEAD}write_files:\n  - {{path: /a, encoding: gz+b64, content: YQ==}}\n", (3, "content", "error")),
        (f"{HEAD}write_files:\n  - {{path: /a, content: 'at $private_ipv4'}}\n", (3, "substituted", "info")),
        (f"{HEAD}hostname: a\n", (2, "every-boot", "info")),
        (
            ETCD_UNIT + '        Environment="A=1" "ETCD_LISTEN_CLIENT_URLS=http://10.0.0.1:2379"\n',
            (7, "plaintext", "warning"),
        ),
        (
            ETCD_UNIT + "        ExecStart=/usr/bin/etcd --listen-client-urls http://10.0.0.1:2379\n",
            (7, "plaintext", "warning"),
        ),
        (f"{HEAD}write_files:\n  - path: /a\n    content: {'x' * 70_000}\n", (1, "size", "error")),
    ],
)
def test_a_document_with_one_trap_has_it_told(text: str | bytes, expected: tuple[int, str, str]) -> None:
    assert expected in told(text)


@pytest.mark.parametrize(
    "text",
    [
        f'{HEAD}ssh_authorized_keys:\n  - {KEY}\n  - from="10.0.0.0/8" {KEY}\n',
        f"{HEAD}coreos:\n  units:\n    - {{name: a.network, content: x}}\n    - {{name: b.service, mask: true}}\n",
        f'{HEAD}coreos:\n  update: {{group: stable, reboot_strategy: "off"}}\n  locksmith: {{window_start: "Sun 04:00"}}\n',
        f"{HEAD}coreos:\n  units:\n    - {{name: a@.service, content: x}}\n    - {{name: a@1.service, enable: yes}}\n",
        f"{HEAD}users:\n  - &a {{name: a, ssh_authorized_keys: [{KEY}]}}\n  - {{<<: *a, name: b}}\n",
        HEAD,
    ],
)
def test_a_good_document_has_none(text: str) -> None:
    assert told(text) == set()


def test_the_older_generation_reads_what_it_was_written_for() -> None:
    text = f'{HEAD}coreos:\n  etcd2:\n    heartbeat-interval: "100"\n  update: {{reboot-strategy: best-effort}}\n'
    assert told(text, "coreos") == set()
    assert {rule for _, rule, _ in told(text)} == {"hyphens", "gone", "number-as-text", "value"}


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_anything_is_answered_and_mended_for_good(content: bytes) -> None:
    for trap in lint(content):
        assert (
            1
            <= trap.line
            <= content.count(b"\n")
            + content.count(b"\r")
            + 2
            + content.decode(errors="replace").count("\u2028") * 2
            + 10
        )
    assert fix(fix(content)) == fix(content)


def test_billion_laughs_end() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)]
    assert {rule for _, rule, _ in told(HEAD + "\n".join(lines))} == {"yaml"}
