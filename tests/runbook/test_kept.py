"""What is kept of a parameters file is what it says, or it is not used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from corelib import cli, parameters
from corelib.cli import verify as cli_verify
from corelib.errors import BadInput
from corelib.parameters import ParametersError
from corelib.project import Project
from corelib.runbook import inputs, kept
from corelib.runbook.subject import Subject
from tests.project import lay_out

PRD = (Path(__file__).parents[2] / "parameters" / "prd.yaml").read_text()
LINE = "    bootstrap:"
TLS = "    tls: {ca: file:ca.pem, certificate: env:CERTIFICATE, key: file:key.pem}"
LOGIN = "    login: {user: verifier, password: env:PASSWORD}"
FOURTH = "- {name: azure-prd-04, address: 10.1.0.4}"
PARAMETERS = {
    "as it is": PRD,
    "direct": PRD.replace("access: ssh", "access: direct"),
    "tls": PRD.replace(LINE, f"{TLS}\n{LINE}"),
    "login": PRD.replace(LINE, f"{LOGIN}\n{LINE}"),
    "no key": PRD.replace("    login_key: file", "    # file", 1).replace("access: ssh", "access: direct"),
    "as written": PRD.replace("  owner: ", "  profile: as-written\n  owner: "),
    "one came": PRD.replace(LINE, f"    added: {{azure-prd-05: 10.1.0.5}}\n{LINE}").replace(
        FOURTH, f"{FOURTH}\n        - {{name: azure-prd-05, address: 10.1.0.5}}"
    ),
    "one went": PRD.replace(LINE, f"    removed: [azure-prd-04]\n{LINE}").replace(
        FOURTH, FOURTH.replace("}", ", etcd: none}")
    ),
}


@pytest.mark.parametrize("text", PARAMETERS.values(), ids=PARAMETERS)
def test_what_is_written_is_what_is_read(text: str) -> None:
    assert text == PRD or text not in [other for other in PARAMETERS.values() if other is not text]
    found = Subject.of(parameters.load(text, "prd.yaml").fleet)
    again = Subject.read(found.text())
    assert again == found
    assert _kinds(again) == _kinds(found)


def _kinds(value: Any) -> Any:
    """The types of a value, all the way down: equal values may be of others."""
    if isinstance(value, Mapping):
        return {name: _kinds(item) for name, item in value.items()}
    return (type(value), *map(_kinds, value)) if isinstance(value, tuple) else type(value)


@pytest.fixture
def at(tmp_path: Path) -> Project:
    return Project(lay_out(tmp_path / "project", "127.0.51"))


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read in earnest."""
    read: list[Path] = []

    def load(file: Path, at: Project) -> Any:
        read.append(file)
        return real(file, at)

    real = inputs.load
    monkeypatch.setattr(inputs, "load", load)
    return read


def test_the_same_file_is_understood_once(at: Project, loads: list[Path]) -> None:
    file = at.parameters("lab")
    first, second = kept.subject(file, at), kept.subject(file, at)
    assert first == second == Subject.of(inputs.load(file, at).fleet)
    assert first.network == "127.0.51.0/24"
    assert loads == [file, file], "the second time is this test's own"


def test_another_text_is_read_anew(at: Project, loads: list[Path]) -> None:
    file = at.parameters("lab")
    kept.subject(file, at)
    file.write_text(file.read_text().replace("heartbeat_ms: 500", "heartbeat_ms: 400"))
    assert kept.subject(file, at).intended.heartbeat_ms == 400
    file.write_text(file.read_text() + "\n# nothing but a remark\n")
    kept.subject(file, at)
    assert len(loads) == 3


def test_other_code_and_other_libraries_read_it_anew(
    at: Project, loads: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, library = tmp_path / "code" / "deep" / "one.py", tmp_path / "packages" / "pydantic" / "__init__.py"
    for file in (code, library):
        file.parent.mkdir(parents=True)
        file.write_text("1")
    monkeypatch.setattr(kept, "_CODE", tmp_path / "code")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "packages"), *sys.path])
    parameters_file = at.parameters("lab")

    def anew() -> bool:
        before = len(loads)
        kept.subject(parameters_file, at)
        return len(loads) > before

    assert [anew(), anew()] == [True, False]
    for change in (
        lambda: code.write_text("2 "),
        lambda: os.utime(code, (1, 1)),
        lambda: (code.parent / "two.py").write_text(""),
        lambda: os.utime(library, (1, 1)),
        (tmp_path / "packages" / "pydantic-9.dist-info").mkdir,
        lambda: monkeypatch.setattr(sys, "version", "another"),
    ):
        change()
        assert [anew(), anew()] == [True, False]


@pytest.mark.parametrize("spoil", ["", "heartbeat", "body", "truncated", "folder"])
def test_what_was_spoilt_is_as_good_as_nothing(at: Project, loads: list[Path], spoil: str) -> None:
    file, place = at.parameters("lab"), at.kept("lab")
    right = kept.subject(file, at)
    head, _, body = place.read_text().partition("\n")
    if spoil == "folder":
        place.unlink()
        place.mkdir()
    else:
        content = json.loads(body)
        content["intended"]["heartbeat_ms"] = 60_000
        spoilt = {
            "": "",
            "heartbeat": f"{head}\n{json.dumps(content)}",
            "body": f"{head}\n[]",
            "truncated": f"{head}\n{body[:90]}",
        }
        place.write_text(spoilt[spoil])
    assert kept.subject(file, at) == right
    assert len(loads) == 2
    assert not list(place.parent.glob(".*")) or spoil == "folder", "no draft is left"


def test_nothing_is_kept_outside_of_a_project(tmp_path: Path, at: Project) -> None:
    alone = tmp_path / "lab.yaml"
    alone.write_text(at.parameters("lab").read_text())
    assert kept.subject(alone, Project(tmp_path)).environment == "lab"
    assert not (tmp_path / ".cache").exists()


def test_where_nothing_can_be_written_it_is_read_as_ever(at: Project, loads: list[Path]) -> None:
    (at.root / ".cache").write_text("a file is in the way")
    assert kept.subject(at.parameters("lab"), at) == kept.subject(at.parameters("lab"), at)
    assert len(loads) == 2


def test_a_wrong_or_missing_file_is_told_as_ever(at: Project) -> None:
    with pytest.raises(BadInput, match="No such file"):
        kept.subject(at.parameters("none"), at)
    at.parameters("lab").write_text("environment: lab\n")
    for _ in range(2):
        with pytest.raises(ParametersError, match="'fleet' is missing"):
            kept.subject(at.parameters("lab"), at)


# What takes longer to be loaded than etcd to be asked; each was on this way once.
SLOW = (
    *("pydantic", "yaml", "dataclasses", "inspect", "asyncio", "asyncssh", "ssl", "logging", "concurrent.futures"),
    *("http.client", "urllib.request", "subprocess", "tempfile", "corelib.fleet", "corelib.userdata", "corelib.kernel"),
    *("argparse", "gettext", "locale", "shutil", "hashlib"),
)


TYPED = (
    ["-f", "it.yaml"],
    ["--file", "it.yaml", "--json"],
    ["--file=it.yaml", "--json"],
    ["-fit.yaml"],
    ["--json", "-f", "it.yaml"],
    ["-f", "it.yaml", "--js"],
)


@pytest.mark.parametrize("typed", TYPED, ids=" ".join)
def test_what_is_typed_means_the_same_with_and_without_argparse(
    typed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, bool]] = []

    def look(file: str, *, as_json: bool) -> int:
        asked.append((file, as_json))
        return 7

    monkeypatch.setattr(cli_verify, "verify", look)
    assert cli.main(["verify", *typed]) == 7
    assert asked == [("it.yaml", any(word.startswith("--j") for word in typed))]


@pytest.mark.parametrize("typed", [["-f"], ["-f", "--json"], ["-f", "it.yaml", "more"], []], ids=" ".join)
def test_what_is_typed_wrong_is_told_as_ever(typed: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["verify", *typed])
    assert ended.value.code == 2
    assert "usage: runbooks" in capsys.readouterr().err


def test_a_look_at_a_file_that_is_understood_loads_nothing_slow() -> None:
    loaded = "import corelib.cli.verify, corelib.views.verdict, corelib.lab, sys"
    said = subprocess.run(
        [sys.executable, "-c", f"{loaded}; print([name for name in {SLOW!r} if name in sys.modules])"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert said.stdout.strip() == "[]"
