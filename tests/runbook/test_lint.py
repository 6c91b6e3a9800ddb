"""`runbooks lint` as a user runs it: exit codes, JSON, correcting in place, and systemd's own opinion."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from corelib.cli import main

REFERENCE = Path(__file__).parents[1] / "reference" / "cluster-01-02.cloud-config.yaml"


def test_it_names_file_line_and_rule_and_says_so_by_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", str(REFERENCE)]) == 1
    said = capsys.readouterr().out
    assert f"{REFERENCE}:41: error on flatcar: 'drop-ins' is dropped without a word" in said
    assert "[hyphens]" in said
    assert main(["lint", "--release", "coreos", str(REFERENCE)]) == 0
    assert "dropped" not in capsys.readouterr().out


def test_json_has_every_finding_of_every_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    good = tmp_path / "good.yaml"
    good.write_text("#cloud-config\nhostname: a\n")
    assert main(["lint", "--json", str(REFERENCE), str(good)]) == 1
    said = json.loads(capsys.readouterr().out)
    assert [trap["rule"] for trap in said["files"][str(good)]] == ["every-boot"]
    hyphens = [one for one in said["files"][str(REFERENCE)] if one["rule"] == "hyphens"]
    assert [(one["line"], one["releases"]) for one in hyphens] == [(n, ["flatcar"]) for n in (33, 36, 37, 41)]


def test_fix_corrects_in_place_and_keeps_the_rest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = Path(shutil.copy(REFERENCE, tmp_path / "mine.yaml"))
    file.chmod(0o640)
    main(["lint", "--fix", str(file)])
    assert f"{file}: corrected" in capsys.readouterr().out
    assert file.stat().st_mode & 0o777 == 0o640
    assert file.read_text().count("\n") == REFERENCE.read_text().count("\n")
    main(["lint", "--fix", str(file)])
    assert "corrected" not in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == [file]


def test_what_cannot_be_read_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", str(tmp_path / "absent")]) == 2
    assert "No such file" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_checks_units_that_are_written_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unit = "[Unit]\nAfer=a.target\n[Service]\nExecStart=/opt/nothing\n".replace("\n", "\n        ")
    text = f"#cloud-config\ncoreos:\n  units:\n    - name: a.service\n      command: start\n      content: |\n        {unit}"
    (tmp_path / "a.yaml").write_text(text)
    assert main(["lint", str(tmp_path / "a.yaml")]) == 0
    said = capsys.readouterr().out
    assert "a.yaml:8: warning: systemd says of a.service: Unknown key 'Afer' in section [Unit]" in said
    assert "/opt/nothing" not in said, "what is executable here says nothing of the host"
