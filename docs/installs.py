"""Writes docs/install-hetzner/*.html: the runbook's saved output of one good install, and of three bad ones.

Run by `make docs`: installs on a stand-in of its own, which does what a bad night does.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pages

HERE = Path(__file__).parent
ROOT = HERE.parent
NETWORK = "127.0.93"


class Operator:
    """Somebody who plans and approves, on a project of his own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.said = ""

    def run(self, *more: str) -> Path:
        """Run the runbook as an operator would; the folder of its record."""
        command = [sys.executable, "-m", "corelib.cli", "run", "install-hetzner", "-f", "parameters/lab.yaml", *more]
        environment = {**os.environ, "RUNBOOKS_ROOT": str(self.root)}
        subprocess.run(command, cwd=self.root, env=environment, check=False, capture_output=True, timeout=300)
        newest = max((self.root / "records" / "lab").glob("*-install-hetzner-*"))
        self.said = (newest / "record.html").read_text()
        return newest

    def approve(self) -> Path:
        """Plan, and apply exactly that, with the consent that it asks for."""
        self.run()
        digest = re.findall(r"Digest: (plan-[0-9a-f]{16})", self.said)[0]
        consents = sorted(set(re.findall(r"own consent: (?:&#x27;|')(wipe [^&'<]*)", self.said)))
        return self.run("--approved-plan", digest, *[word for one in consents for word in ("--consent", one)])

    def pin(self, script: bytes) -> None:
        """Another install script, and its digest in the parameters."""
        (self.root / "flatcar-install").write_bytes(script)
        file = self.root / "parameters" / "lab.yaml"
        text = re.sub(r"installer: \S+", "installer: flatcar-install", file.read_text())
        digest = hashlib.sha256(script).hexdigest()
        file.write_text(re.sub(r'installer_sha256: "[0-9a-f]{64}"', f'installer_sha256: "{digest}"', text))


def main() -> None:
    """Install well, on a wrong disk, from a broken server, and on a machine that does not come back."""
    sys.path.insert(0, str(ROOT))
    from corelib import lab  # noqa: PLC0415 - after the path

    (HERE / "install-hetzner").mkdir(exist_ok=True)
    script = (ROOT / "corelib/lab/files/flatcar-install").read_bytes()
    for name, act, outcome in (
        ("good", good, "succeeded"),
        ("wrong-disk", wrong_disk, "refused"),
        ("image-server", image_server, "failed"),
        ("other-user-data", other_user_data, "failed"),
    ):
        with tempfile.TemporaryDirectory() as folder:
            root = pages.checkout(Path(folder) / "project", NETWORK)
            lab.start(root, f"{NETWORK}.0/24")
            try:
                operator = Operator(root)
                act(operator, script)
                keep(operator, name, outcome)
            finally:
                lab.stop(root, f"{NETWORK}.0/24")
                shutil.rmtree(root / "state", ignore_errors=True)


def good(operator: Operator, _script: bytes) -> None:
    """As it should be."""
    operator.approve()
    operator.approve()


def wrong_disk(operator: Operator, _script: bytes) -> None:
    """A WWN that no disk of the machine has."""
    file = operator.root / "parameters" / "lab.yaml"
    file.write_text(file.read_text().replace("wwn-0x5000c500a1b2c3d4", "wwn-0x5000c500a1b2c3d9"))
    operator.approve()
    operator.run()


def image_server(operator: Operator, script: bytes) -> None:
    """The image ends half way."""
    operator.pin(script.replace(b"BASE='' CHECK", b"BASE=https://mirror.example.org/truncated CHECK"))
    operator.approve()
    operator.approve()


def other_user_data(operator: Operator, script: bytes) -> None:
    """It is written, and what boots is not what was written: the user-data was altered on its way."""
    operator.pin(script.replace(b"umask 077\n", b'umask 077\necho "# altered" >>/run/coreos-runbooks/1/user_data\n'))
    operator.approve()
    operator.approve()


def keep(operator: Operator, name: str, outcome: str) -> None:
    """Keep the page without what is this machine's own, if it shows what it is kept for."""
    page = operator.said
    if f"install-hetzner in lab: {outcome}<" not in page:
        raise SystemExit(f"{name}: the run has another outcome than {outcome}")
    own = {str(operator.root): "/project", f"{getpass.getuser()}@{socket.gethostname()}": "operator@workstation"}
    for found, shown in own.items():
        page = page.replace(found, shown)
    (HERE / "install-hetzner" / f"{name}.html").write_text(page)
    print(f"docs/install-hetzner/{name}.html")


if __name__ == "__main__":
    main()
