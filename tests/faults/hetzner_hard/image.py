"""A made-up image with the distribution's partition layout, and a mirror that serves it with its signature.

Numbers, labels and types: the distribution's `disk_layout.json` (github.com/flatcar/scripts), where 5 (ROOT-C) and 8
are not made. Sizes are small, OEM and ROOT are ext4 (OEM is btrfs there), /usr is left out.
"""

from __future__ import annotations

import hashlib
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from .loops import Partition, blank, ext4, part, run

LAYOUT = (
    Partition(1, "EFI-SYSTEM", "efi", 16),
    Partition(2, "BIOS-BOOT", "bios", 2),
    Partition(3, "USR-A", "usr", 16),
    Partition(4, "USR-B", "usr", 16),
    Partition(6, "OEM", "linux", 16),
    Partition(7, "OEM-CONFIG", "reserved", 2),
    Partition(9, "ROOT", "resize", 64),
)
SIZE = sum(one.size for one in LAYOUT) + 2  # MiB
URL = "http://127.0.0.1"
_NAME = "flatcar_production_image.bin.bz2"


@dataclass
class Mirror:
    """What is served, by path, and the public key of who signed it; `hold`, while not set, stops an image halfway."""

    key: str
    version: str
    files: dict[str, bytes]
    asked: list[str] = field(default_factory=list)
    begun: threading.Event = field(default_factory=threading.Event)
    hold: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.hold.set()

    @classmethod
    def make(cls, folder: Path, version: str) -> Mirror:
        """Make and sign a release."""
        image = build(folder)
        key, signature = _sign(folder, image)
        files = {
            "/current/version.txt": f"FLATCAR_VERSION={version}\n".encode(),
            f"/{version}/{_NAME}": image.read_bytes(),
            f"/{version}/{_NAME}.sig": signature,
        }
        return cls(key, version, files)

    def changed(self, *, image: bytes | None = None, signature: bytes | None = None) -> Mirror:
        """Another mirror, of which the image or its signature is another."""
        path = f"/{self.version}/{_NAME}"
        new = {path: image, f"{path}.sig": signature}
        return Mirror(
            self.key, self.version, self.files | {name: value for name, value in new.items() if value is not None}
        )

    @property
    def image(self) -> bytes:
        return self.files[f"/{self.version}/{_NAME}"]

    @property
    def installer(self) -> bytes:
        """The stand-in of the install script, which trusts this key and asks this mirror."""
        text = Path(__file__).with_name("flatcar-install").read_text()
        return text.replace("@KEY@", self.key).replace("@MIRROR@", URL).encode()

    def listen(self) -> ThreadingHTTPServer:
        """A server in whatever network namespace the calling thread is in."""
        return ThreadingHTTPServer(("127.0.0.1", 80), partial(_Handler, self))


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, mirror: Mirror, *arguments: object) -> None:
        self._mirror = mirror
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        content = self._mirror.files.get(self.path)
        self._mirror.asked.append(self.path)
        self.send_response(200 if content is not None else 404)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        half = len(content or b"") // 2 if self.path.endswith(".bz2") else 0
        self.wfile.write((content or b"")[:half])
        if half:
            self._mirror.begun.set()
            self._mirror.hold.wait(60)
        self.wfile.write((content or b"")[half:])

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's
        """Say nothing."""


def build(folder: Path) -> Path:
    """Make the image, packed as the distribution packs it."""
    raw = blank(folder / "image", SIZE)
    starts = part(raw, LAYOUT)
    root = folder / "files"
    for path in ("etc/flatcar", "etc/systemd/network", "home/core", "usr", "var/lib"):
        (root / path).mkdir(parents=True)
    (root / "etc/flatcar/update.conf").write_text("GROUP=stable\n")
    (root / "usr/noise").write_bytes(
        hashlib.shake_256().digest(2**20)
    )  # does not pack: the mirror sends more than once
    run("mkfs.vfat", "-n", "EFI-SYSTEM", "--offset", str(starts[1] // 512), str(raw), str(LAYOUT[0].size * 1024))
    ext4(raw, starts[6], 16, "OEM")
    ext4(raw, starts[9], 64, "ROOT", root)
    run("bzip2", "-1", str(raw))
    return raw.with_suffix(".bz2")


def _sign(folder: Path, image: Path) -> tuple[str, bytes]:
    """A new key, as text, and its signature of the image."""
    with _keys(folder / "keys") as gpg:
        gpg("--passphrase", "", "--quick-generate-key", "The Lab <lab@example.org>", "ed25519", "sign")
        gpg("--output", f"{image}.sig", "--detach-sign", str(image))
        return gpg("--armor", "--export"), Path(f"{image}.sig").read_bytes()


@contextmanager
def _keys(folder: Path) -> Iterator[partial[str]]:
    """The real gpg on a key ring of its own; its agent ends with it."""
    folder.mkdir(mode=0o700)
    try:
        yield partial(run, "gpg", "--homedir", str(folder), "--batch", "--quiet", "--pinentry-mode", "loopback")
    finally:
        subprocess.run(["gpgconf", "--homedir", str(folder), "--kill", "all"], check=True)
