"""SSH signatures: good ones, forged ones, keys in files and in an agent, and ssh-keygen's own opinion of them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import asyncssh
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corelib.cli import main
from corelib.errors import BadInput
from corelib.record import Journal, signing

NAMESPACE = signing.RECORD
WITHOUT = shutil.which("ssh-keygen") is None


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("key") / "id"
    key = asyncssh.generate_private_key("ssh-ed25519", "op@example")
    key.write_private_key(str(path))
    path.chmod(0o600)  # ssh-keygen asks for that
    key.write_public_key(f"{path}.pub")
    return path


@pytest.fixture(scope="module")
def key(private: Path) -> signing.Key:
    return signing.load(private)


def test_what_was_signed_is_good_and_nothing_else(key: signing.Key) -> None:
    armour = key.sign(b"content", NAMESPACE)
    good = signing.check(b"content", armour, NAMESPACE)
    assert good == signing.Signature(key.public, key.fingerprint, good=True)
    other = signing.check(b"contents", armour, NAMESPACE)
    assert other is not None
    assert not other.good
    assert signing.check(b"content", armour, signing.APPROVAL) is None, "a signature for one purpose is not another's"


@given(st.data())
def test_no_byte_of_a_signature_is_free(key: signing.Key, data: st.DataObject) -> None:
    armour = key.sign(b"content", NAMESPACE)
    place = data.draw(st.integers(0, len(armour) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != armour[place]))
    changed = armour[:place] + bytes([byte]) + armour[place + 1 :]
    found = signing.check(b"content", changed, NAMESPACE)
    assert found is None or not found.good
    assert signing.check(b"content", armour + b"\n", NAMESPACE) is None


@given(st.binary())
def test_anything_else_is_no_signature(content: bytes) -> None:
    assert signing.check(b"content", content, NAMESPACE) is None


def test_allowed_signers_are_read_as_ssh_keygen_reads_them(key: signing.Key) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    lines = f'# comment\n\nanna@example.org {other}\nop@example,root namespaces="{NAMESPACE}" {key.public} comment\n'
    assert signing.allowed(key.public, NAMESPACE, lines) == "op@example"
    assert signing.allowed(key.public, signing.APPROVAL, lines) == ""
    assert signing.allowed(key.public, NAMESPACE, f"anna@example.org {other}") == ""
    assert signing.allowed(key.public, NAMESPACE, f'op valid-before="20200101" {key.public}') == ""
    assert signing.allowed(key.public, NAMESPACE, "") == ""


@pytest.mark.parametrize(
    "line", ["anna", "anna@example.org ssh-ed25519 AAAA", "anna nonsense", 'op valid-before="x" {key}']
)
def test_a_file_of_allowed_signers_that_is_none_is_named_with_its_line(
    key: signing.Key, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"# ours\nop {key.public}\n{line.format(key=key.public)}\n"
    with pytest.raises(BadInput, match="reading allowed signers:3: "):
        signing.allowed(key.public, NAMESPACE, text)
    (tmp_path / "signers").write_text(text)
    Journal(tmp_path / "lab" / "r1").close()
    assert main(["verify-record", str(tmp_path / "lab" / "r1"), "--allowed-signers", str(tmp_path / "signers")]) == 2
    assert f"reading {tmp_path / 'signers'}:3: " in capsys.readouterr().err


@pytest.mark.skipif(WITHOUT, reason="OpenSSH's client is not installed")
def test_ssh_keygen_accepts_it_and_we_accept_its(key: signing.Key, private: Path, tmp_path: Path) -> None:
    (tmp_path / "signers").write_text(f"op@example {key.public}\n")
    (tmp_path / "ours.sig").write_bytes(key.sign(b"content", NAMESPACE))
    verify = ["ssh-keygen", "-Y", "verify", "-f", str(tmp_path / "signers"), "-I", "op@example", "-n", NAMESPACE]
    ours = subprocess.run(
        [*verify, "-s", str(tmp_path / "ours.sig")], input=b"content", capture_output=True, check=False
    )
    assert (ours.returncode, b"Good" in ours.stdout) == (0, True)
    (tmp_path / "file").write_bytes(b"content")
    subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-f", private, "-n", NAMESPACE, tmp_path / "file"], check=True)
    theirs = signing.check(b"content", (tmp_path / "file.sig").read_bytes(), NAMESPACE)
    assert theirs is not None
    assert theirs.good


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    socket = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL) as process:
        while not socket.exists():
            assert process.poll() is None
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        yield socket
        process.terminate()


@pytest.mark.skipif(WITHOUT, reason="OpenSSH's client is not installed")
def test_a_public_file_means_the_agent(agent: Path, private: Path) -> None:
    public = Path(f"{private}.pub")
    with pytest.raises(BadInput, match="the agent does not hold"):
        signing.load(public)
    subprocess.run(["ssh-add", "-q", private], check=True, env=os.environ)
    armour = signing.load(public).sign(b"content", NAMESPACE)
    found = signing.check(b"content", armour, NAMESPACE)
    assert found is not None
    assert found.good


def test_keys_that_cannot_sign_are_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    ed25519, rsa = asyncssh.generate_private_key("ssh-ed25519"), asyncssh.generate_private_key("ssh-rsa", key_size=2048)
    ed25519.write_private_key(str(tmp_path / "locked"), "pkcs8-pem", passphrase="x")
    ed25519.write_public_key(str(tmp_path / "public"))
    rsa.write_private_key(str(tmp_path / "rsa"))
    (tmp_path / "nonsense").write_text("nonsense")
    for name, words in (
        ("locked", "protected by a passphrase"),
        ("public", "no agent answers"),
        ("rsa", "name an Ed25519 key"),
        ("nonsense", "name an Ed25519 key"),
        ("absent", "No such file"),
    ):
        with pytest.raises(BadInput, match=words):
            signing.configured({signing.KEY: str(tmp_path / name)})
    assert signing.configured({}) is None
