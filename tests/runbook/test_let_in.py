"""What verify-etcd needs to be let in: read at the last moment, hidden from then on, and missing in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from corelib import parameters, references
from corelib.errors import BadInput
from corelib.kernel.redaction import Redactor
from corelib.runbook.subject import Subject
from corelib.runbook.verification import let_in
from tests.etcd.authority import Authority

PRD = (Path(__file__).parents[2] / "parameters" / "prd.yaml").read_text()
OURS = Authority()
OPERATOR = OURS.pair()
PASSWORD = "open-sesame"


def fleet(more: str) -> Any:
    return parameters.load(PRD.replace("    bootstrap:", f"    {more}\n    bootstrap:", 1), "p.yaml").fleet


def read(root: Path, more: str, redactor: Redactor | None = None) -> dict[str, Any]:
    def secret(reference: str) -> str:
        value = references.resolve(reference, root)
        if redactor is not None:
            redactor.add(value)
        return value

    return let_in(Subject.of(fleet(more)), secret, root)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in (("ca", OURS.ca), ("operator", OPERATOR.certificate), ("operator-key", OPERATOR.key)):
        (tmp_path / f"{name}.pem").write_text(text)
    return tmp_path


TLS = "tls: {ca: file:ca.pem, certificate: file:operator.pem, key: file:operator-key.pem}"


def test_without_either_there_is_nothing_to_read(root: Path) -> None:
    assert read(root, "") == {"trust": None, "credentials": None}


def test_the_key_and_the_password_are_hidden_and_the_certificates_are_not(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSWORD_OF_ETCD", PASSWORD)
    redactor = Redactor()
    login = "login: {user: verifier, password: env:PASSWORD_OF_ETCD}"
    found = read(root, f"{TLS}\n    {login}", redactor)
    assert (found["trust"].presents, found["credentials"].user) == (True, "verifier")
    assert PASSWORD not in redactor.text(f"{PASSWORD} and {found}")
    assert OPERATOR.key.splitlines()[1] not in redactor.text(OPERATOR.key)
    assert redactor.text(OURS.ca + OPERATOR.certificate) == OURS.ca + OPERATOR.certificate


@pytest.mark.parametrize("missing", ["ca", "operator", "operator-key"])
def test_a_missing_file_is_one_sentence(root: Path, missing: str) -> None:
    (root / f"{missing}.pem").unlink()
    with pytest.raises(BadInput) as refused:
        read(root, TLS)
    doing, remedy = str(refused.value).splitlines()
    assert f"file:{missing}.pem" in doing
    assert "No such file" in doing
    assert remedy == "What to do: check the path and its permissions, then run again"


def test_a_password_that_is_not_set_is_one_sentence(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PASSWORD_OF_ETCD", raising=False)
    with pytest.raises(BadInput, match="the environment variable PASSWORD_OF_ETCD is not set"):
        read(root, "login: {user: verifier, password: env:PASSWORD_OF_ETCD}")
