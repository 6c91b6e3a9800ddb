"""Files that are wrong in every way that files are: a sentence with the line, and never half a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from corelib.cli import main

PRD = (Path(__file__).parents[2] / "parameters" / "prd.yaml").read_text()
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKD3ipLrzQswqlr9vrbsVDb6btx7RXx8WYEdIVVZs5QJ operator"


def changed(old: str, new: str) -> str:
    assert old in PRD
    return PRD.replace(old, new)


LAUGHS = "x0: &a0 [x, x]\n" + "".join(f"x{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
BAD: dict[str, tuple[str | bytes, str]] = {
    "a merge": (changed("  etcd:\n", "  etcd:\n    <<: {a: b}\n"), ":28: error: unknown key '<<'"),
    "an alias for itself": (changed("  owner: operations", "  owner: &a [*a]"), ":10: error: this is not YAML: it is nested"),
    "an alias for nothing": (changed("  owner: operations", "  owner: *a"), ":10: error: this is not YAML: found undefined alias"),
    "a tab": (changed("  owner:", "\towner:"), ":10: error: this is not YAML: found character"),
    "a key twice": (changed("    token: etcd", "    token: a\n    token: etcd"), ":29: error: the key 'token' stands here again; first in line 28"),
    "not UTF-8": (PRD.encode() + b"# \xff\n", f"line {PRD.count(chr(10)) + 1} is not UTF-8"),
    "a NUL": (PRD + "\0", "this is not YAML"),
    "deep nesting": (PRD + "x: " + "[" * 200_000 + "]" * 200_000, "this is not YAML: it is nested too deeply"),
    "nesting by aliases": (PRD + "a0: &a0 []\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 400)), ": error: it is nested too deeply through aliases"),
    "a billion laughs": (PRD + LAUGHS, "this is not YAML: it is nested too deeply, or expands too far"),
    "a number of 5000 digits": (changed("heartbeat_ms: 500", "heartbeat_ms: " + "9" * 5000), ":29: error: fleet.etcd.heartbeat_ms: must be a whole number"),
    "a key that is a list": (changed("  owner: operations", "  owner: operations\n  ? [a, b]\n  : c"), ":11: error: a key must be a word"),
    "a control character": (changed("owner: operations", 'owner: "a\\0b"'), ":10: error: fleet.owner"),
    "docker's own range": (changed("    containers: 10.1.128.0/17     # a /24 for each host's docker\n", "").replace("10.20.0.0/16", "172.17.0.0/16").replace("10.20.1.0/24", "172.17.1.0/24"), "network 172.17.0.0/16 overlaps docker's own range 172.17.0.0/16"),
    "a unit with a slash": (changed("kind: weave", "kind: provided\n    unit: net/a.service"), ":19: error: fleet.overlay.unit: a unit is named such as"),
    "a long name": (changed("azure-prd-02", "a" * 64), ":38: error: fleet.etcd.bootstrap." + "a" * 64 + ": a host name is 1 to 63"),
    "a name with a dot": (changed("azure-prd-02", "azure.prd-02"), ":59: error: fleet.clusters[0].hosts[1].name: a host name is 1 to 63"),
    "IPv6": (changed("10.1.0.2}", "'fe80::2'}"), ":59: error: fleet.clusters[0].hosts[1].address: must be an IPv4 address or network; found 'fe80::2'"),
    "a key with options": (changed("- ssh-ed25519", '- from="10.0.0.0/8" ssh-ed25519'), ":15: error: fleet.ssh_keys[0]: options before the key are not taken by Azure"),
    "too much for a provider": (changed("  ssh_keys:\n", "  ssh_keys:\n" + "".join(f"    - {KEY}-{n}\n" for n in range(800))), "and on 4 more hosts:"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_what_is_wrong_is_told_and_the_last_rendering_stays(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, words = BAD[what]
    (tmp_path / "good.yaml").write_text(PRD)
    (tmp_path / "bad.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    out = tmp_path / "out"
    assert main(["render", "-f", str(tmp_path / "good.yaml"), "--out", str(out)]) == 0
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    capsys.readouterr()
    assert main(["render", "-f", str(tmp_path / "bad.yaml"), "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.yaml", "good.yaml", "out"]


@pytest.mark.parametrize(
    "content", ["\ufeff" + PRD, PRD.replace("\n", "\r\n"), PRD.replace("10.1.0.2}", "&b 10.1.0.2}")]
)
def test_what_only_looks_strange_is_taken(content: str, tmp_path: Path) -> None:
    (tmp_path / "plain.yaml").write_text(PRD)
    (tmp_path / "strange.yaml").write_bytes(content.encode())
    for name in ("plain", "strange"):
        assert main(["render", "-f", str(tmp_path / f"{name}.yaml"), "--out", str(tmp_path / name)]) == 0
    plain, strange = (
        {file.name: file.read_text() for file in (tmp_path / name).iterdir()} for name in ("plain", "strange")
    )
    assert plain == strange


@pytest.mark.parametrize("what", ["deep nesting", "a billion laughs", "not UTF-8", "a NUL"])
def test_lint_answers_the_same_files(what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = BAD[what][0]
    raw = content if isinstance(content, bytes) else content.encode()
    (tmp_path / "user.yaml").write_bytes(b"#cloud-config\n" + raw)
    assert main(["lint", str(tmp_path / "user.yaml")]) == 1
    assert "error" in capsys.readouterr().out
    assert main(["lint", "--fix", str(tmp_path / "user.yaml")]) == 1
    assert (tmp_path / "user.yaml").read_bytes() == b"#cloud-config\n" + raw, "nothing that it cannot read is written"
