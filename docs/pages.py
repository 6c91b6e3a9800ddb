"""What the examples share: running a runbook as an operator would, and keeping its page without this machine's own."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent


def checkout(folder: Path, network: str) -> Path:
    """A checkout of this project's last commit, so that pages name it; only its lab is on `network`.0/24 instead."""
    subprocess.run(["git", "clone", "--quiet", "--shared", str(ROOT), str(folder)], check=True, timeout=60)
    for name in ("lab", "prd"):
        file = folder / "parameters" / f"{name}.yaml"
        file.write_text(file.read_text().replace("127.0.2", network))
    return folder


def run(root: Path, runbook: str, *options: str) -> Path:
    """Run a runbook on the lab; the folder of its record. How it ends is what the page shows."""
    command = [sys.executable, "-m", "corelib.cli", "run", runbook, "-f", "parameters/lab.yaml", *options]
    environment = {**os.environ, "RUNBOOKS_ROOT": str(root)}
    subprocess.run(command, cwd=root, env=environment, check=False, capture_output=True, timeout=180)
    return max((root / "records" / "lab").glob(f"*-{runbook}-*"))


def keep(root: Path, record: Path, name: str) -> None:
    """Keep a record's page as docs/NAME.html."""
    page = (record / "record.html").read_text()
    own = {str(root): "/project", f"{getpass.getuser()}@{socket.gethostname()}": "operator@workstation"}
    for found, shown in own.items():
        page = page.replace(found, shown)
    file = HERE / f"{name}.html"
    file.parent.mkdir(exist_ok=True)
    file.write_text(page)
    print(f"docs/{name}.html")
