"""What an operator of the lab is given: Robot's login, an SSH key, the install script, as files in its folder."""

from __future__ import annotations

import hashlib
import secrets
import shutil
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

# The operator's key is PUBLIC KNOWLEDGE: whoever reads this line has it, and its public half stands in
# parameters/lab.yaml. It opens lab machines on loopback and must never be let in anywhere else.
_OPERATOR = b"coreos-runbooks lab operator: public, for loopback only"
_INSTALLER = Path(__file__).parents[1] / "files" / "flatcar-install"


def write(folder: Path) -> tuple[str, str]:
    """Write `robot-user`, `robot-password`, `operator_ed25519`, `flatcar-install`; returns user and password."""
    user, password = "lab", secrets.token_urlsafe(18)
    for name, content in (("robot-user", user), ("robot-password", password), ("operator_ed25519", _operator())):
        path = folder / name
        path.touch(mode=0o600)
        path.write_text(content)
    shutil.copy(_INSTALLER, folder / "flatcar-install")
    (folder / "flatcar-install").chmod(0o755)
    return user, password


def _operator() -> str:
    key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(_OPERATOR).digest())
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())
    return key.private_bytes(*form).decode()
