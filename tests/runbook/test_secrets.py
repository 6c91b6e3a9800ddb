"""Canaries: secrets of awkward form, put through every way out of a kernel; no file and no terminal has one of them."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from corelib import parameters
from corelib.cli import main
from corelib.record.verify import verify
from tests.project import ROOT, lay_out

from . import papermill
from .jupyter import opened

SECRETS = [
    "hunter2hunter2",
    "with a blank",
    'quo"ted',
    "back\\slash\\n",
    "per%cent%20",
    "ünïcödé-schlüssel",
    "日本語の秘密",
    "emoji-🔑-key",
    "regex.*[a-z]+(x|y)$^",
    "<b>markup</b>&amp;",
    "{json: [1, 2]}",
    "=====padding==",
    "a+b/c=d_e-f",
    "tab\tinside",
    "sh -c 'rm -rf'",
    "first line of two\nsecond line of two",
    "-----BEGIN PRIVATE KEY-----\nMIIBVgIBADANBgkqh\nkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----",
    "0123456789" * 300,
    "abcd",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
]

# Each way out, with `value` as what must not get out.
SINKS = r"""
import base64, json, logging, os, subprocess, sys, threading, time, warnings
from urllib.parse import quote
from IPython.display import HTML, JSON, Markdown, Pretty, display, publish_display_data
import ipywidgets
values = [run.secret(f"file:secrets/{n}") for n in range(COUNT)]
for value in values:
    print(value)
    print("x" + value + "y", file=sys.stderr)
    half = len(value) // 2
    sys.stdout.write(value[:half]); sys.stdout.flush(); time.sleep(0.002); sys.stdout.write(value[half:] + "\n")
    print(repr(value), json.dumps({"a": value}), json.dumps(json.dumps(value)))
    print(quote(value, safe=""), quote(value))
    for before in ("", "u", "us", "user:"):
        print(base64.b64encode((before + value + ":more").encode()).decode(), "and", base64.urlsafe_b64encode((before + value).encode()).decode())
    print("\r" + value + "\b.")
    os.write(1, value.encode()); os.write(2, value.encode())
    subprocess.run([sys.executable, "-c", "import sys; print(sys.argv[1]); print(sys.argv[1], file=sys.stderr)", value])
    logging.getLogger("x").warning("log %s", value)
    warnings.warn(value)
    display(HTML(f"<p>{value}</p>"), Markdown(value), JSON({"k": [value], value: 1}), Pretty(value))
    publish_display_data({"text/plain": value}, metadata={"note": value})
    shown = display(Pretty("…"), display_id=True); shown.update(Pretty(value))
    display(ipywidgets.HTML(value=value, description=value[:64]))
    display(ipywidgets.Image(value=b"\xc3\xff" + value.encode(), format="png"))
    thread = threading.Thread(target=lambda: print("thread", value)); thread.start(); thread.join()
    get_ipython().display_pub.publish({"text/html": value})
get_ipython().set_next_input(values[0])
run._journal.write("note", text=values, **{"k": {values[1]: values[2]}})
"""
FAIL = "raise RuntimeError(' and '.join(values))"
STAGE = """
with run._stage("leak") as stage:
    stage.result = values[3]
    raise ValueError(values[5])
"""
RESULT = "values"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = lay_out(tmp_path / "project", "127.0.45")
    (folder / "secrets").mkdir()
    for n, value in enumerate(SECRETS):
        (folder / "secrets" / str(n)).write_text(value + "\n")
    return folder


def _cells(root: Path, *sources: str) -> None:
    notebook = json.loads((root / "runbooks" / "render.ipynb").read_text())
    for n, source in enumerate(reversed(sources)):
        cell = {"cell_type": "code", "id": f"leak-{n}", "metadata": {}, "outputs": [], "execution_count": None}
        tags = {"tags": ["raises-exception"]}
        notebook["cells"].insert(6, cell | {"source": source.replace("COUNT", str(len(SECRETS))), "metadata": tags})
    (root / "runbooks").unlink()
    (root / "runbooks").mkdir()
    (root / "runbooks" / "render.ipynb").write_text(json.dumps(notebook))


def _forms() -> dict[bytes, str]:
    """What must not be found: each line of each secret, as it is and as it is often written."""
    found: dict[bytes, str] = {}
    for value in SECRETS:
        for part in {value, *value.splitlines()}:
            raw = part.encode()
            for form in (
                part,
                quote(part, safe=""),
                json.dumps(part)[1:-1],
                json.dumps(part, ensure_ascii=False)[1:-1],
            ):
                found[form.encode()] = part
            if len(part) >= 8:
                found[base64.b64encode(raw)[: len(raw) // 3 * 4]] = part
    return {form: part for form, part in found.items() if len(form) >= 4 and form != b"abcd"} | {b"abcd": "abcd"}


def _search(root: Path, terminal: bytes) -> list[str]:
    places = [path for path in root.rglob("*") if path.is_file() and path.parent.name not in ("secrets", "runbooks")]
    texts = {str(path.relative_to(root)): path.read_bytes() for path in places} | {"the terminal": terminal}
    hex_digits = set(b"0123456789abcdef")
    leaks = []
    for where, text in texts.items():
        for form, part in _forms().items():
            start = text.find(form)
            # "abcd" stands in a digest now and then: only hex digits around it are nobody's secret.
            while start >= 0 and form == b"abcd" and {text[start - 1], text[start + 4]} <= hex_digits:
                start = text.find(form, start + 1)
            if start >= 0:
                leaks.append(f"{where}: {part[:30]!r} in {text[max(0, start - 60) : start + 60]!r}")
    return leaks


@pytest.mark.parametrize("front_end", ["papermill", "runbooks", "jupyter"])
def test_no_canary_gets_out(root: Path, front_end: str) -> None:
    _cells(root, SINKS, FAIL, STAGE, RESULT)
    environment = {**os.environ, "RUNBOOKS_ROOT": str(root)}
    terminal = b""
    if front_end == "jupyter":
        with opened(root, "render") as lab:
            states = [lab.run(cell) for cell in lab.code()]
            lab.save(root / "out.ipynb")
        terminal = b"\n".join(lab.widgets)
        assert states == ["ok", "ok", "ok", "ok", "error", "error", "ok", "ok", "ok"]
    else:
        command = {
            "papermill": ["papermill", str(root / "runbooks" / "render.ipynb"), "out.ipynb", "--log-output"],
            "runbooks": ["corelib.cli", "run", "render"],
        }[front_end]
        done = subprocess.run(
            [sys.executable, "-m", *command, "-f", "parameters/lab.yaml"],
            cwd=root, env=environment, capture_output=True, timeout=120, check=False,
        )  # fmt: skip
        terminal = done.stdout + done.stderr
    (folder,) = (path for path in (root / "records" / "lab").iterdir() if path.is_dir())
    assert verify(folder).intact
    saved = (root / "out.ipynb" if front_end != "runbooks" else folder / "notebook.ipynb").read_text()
    assert saved.count("[secret ") > 20 * len(SECRETS)
    assert "RuntimeError" in saved
    assert _search(root, terminal) == []


def test_the_search_itself_finds_what_is_there(root: Path) -> None:
    (root / "leak").write_bytes(b"xx" + base64.b64encode(b"with a blank") + b"yy")
    assert len(_search(root, json.dumps(SECRETS[2]).encode())) == 2


LONG = """
for n in range(30000):
    print("line", n, "ERROR here" if n == 17000 else "")
print("z" * 100000)
"""


def test_long_output_keeps_head_findings_and_tail_and_all_of_it_lies_beside(root: Path) -> None:
    _cells(root, LONG)
    with opened(root, "render") as lab:
        assert {lab.run(cell) for cell in lab.code()} == {"ok"}
        saved = lab.save(root / "out.ipynb")
    text = "".join(lab.code()[3]["outputs"][0]["text"])
    assert len(text) < 100_000
    assert text.startswith("line 0 \nline 1 ")
    assert "line 17000 ERROR here" in text
    assert "line 29999" in text
    (folder,) = (path for path in (root / "records" / "lab").iterdir() if path.is_dir())
    log = folder / "output-4.log"
    assert log.read_text().count("\n") == 30_001
    assert f"All 30,001 are in {log.name} beside the journal" in text
    assert hashlib.sha256(log.read_bytes()).hexdigest() in text
    found = verify(folder)
    assert (found.intact, found.sealed) == (True, True)
    assert not [one for one in found.findings if one.kind != "note"]
    log.write_text("nothing happened\n")
    assert "output-4.log" in str(verify(folder).findings)
    assert saved.exists()


def test_a_secret_in_the_parameters_file_is_refused_before_anything_is_written(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """papermill saves whatever it injects: only before it begins is there a way out."""
    monkeypatch.setenv("RUNBOOKS_ROOT", str(root))
    file = root / "parameters" / "lab.yaml"
    text = file.read_text()
    file.write_text(text.replace("owner: ", 'owner: "https://bob:hunter2hunter2@x/" # ', 1))
    before = sorted(root.rglob("*"))
    assert main(["run", "render", "-f", str(file)]) == 2
    assert sorted(root.rglob("*")) == before
    said = "".join(capsys.readouterr())
    assert "holds what looks like a secret" in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("old", "new", "values"),
    [
        ("fleet:\n", "fleet:\n  password: hunter2hunter2\n", ("hunter2hunter2",)),
        ("fleet:\n", "fleet:\n  db_Token: 12345678\n", ("12345678",)),
        ("fleet:\n", "password: hunter2hunter2\nfleet:\n", ("hunter2hunter2",)),
        ("fleet:\n", "fleet:\n  robot: {secret: [abcdefgh, {id: hunter3}]}\n", ("abcdefgh", "hunter3")),
        ("fleet:\n", "fleet:\n  password: env:PASSWORD\n  keyring: x\n  ssh_key: ssh-ed25519 AAAA\n", ()),
    ],
)
def test_an_unknown_key_that_is_named_like_a_secret_holds_one(old: str, new: str, values: tuple[str, ...]) -> None:
    text = (ROOT / "parameters" / "lab.yaml").read_text().replace(old, new, 1)
    with pytest.raises(parameters.ParametersError, match="unknown key") as caught:
        parameters.load(text, "lab.yaml")
    assert caught.value.secrets == values
    assert not [value for value in values if value in str(caught.value)]


def test_plain_papermill_tells_that_a_password_is_saved_already(root: Path) -> None:
    file = root / "parameters" / "lab.yaml"
    file.write_text(file.read_text().replace("fleet:\n", "fleet:\n  password: hunter2hunter2\n", 1))
    done = papermill.run(root, "render", "-f", "parameters/lab.yaml")
    assert done.record.outcome == "failed"
    assert "It is saved already, in the notebook's parameters cell and its metadata" in done.shown
    assert "hunter2" not in (Path(done.record.path) / "journal.jsonl").read_text()
