"""Files for a machine in its rescue system, each with the SHA-256 that it has to have there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import BinaryIO

from ..errors import Refused, ServiceFailed
from ..ssh import Shell
from .pinned import Pinned

WORK = "/run/coreos-runbooks"  # in the rescue system's memory: it is new at every boot

_PIECE = 1 << 18  # bytes of an image that are held at once
_UPLOAD = 'umask 077; mkdir -p "$1" && cat >"$1/$2" && chmod "$3" "$1/$2"'


def upload(shell: Shell, attempt: int, name: str, content: bytes, mode: str = "600") -> str:
    """Put a file into the attempt's folder, for root only; its SHA-256 is checked there. Returns its path.

    The script copies the user-data with its mode, so that what is executable here would be so on the new system.
    """
    folder = f"{WORK}/{attempt}"
    path = f"{folder}/{name}"
    shell.read("sh", "-c", _UPLOAD, "sh", folder, name, mode, stdin=content, timeout=600)
    expect(shell, path, hashlib.sha256(content).hexdigest(), "the upload was damaged: run again")
    return path


def room(shell: Shell, image: Pinned) -> None:
    """A local image must fit in the rescue system's memory. Raises Refused, to be asked before anything is wiped."""
    size, free = image.path.stat().st_size, int(shell.read("df", "--output=avail", "-B1", "/run").split()[-1])
    if size > free:
        found = f"it has {size / 10**6:.0f} MB, and /run there has room for {free / 10**6:.0f} MB"
        remedy = "give it packed (.bz2), or leave it out: the script then fetches the image itself"
        raise Refused(f"sending the local image to {shell.address}", found, remedy)


def send(shell: Shell, attempt: int, image: Pinned, say: Callable[[str], None], timeout: float) -> str:
    """Put a local image beside the attempt's other files, piece by piece. Returns its path.

    The script unpacks what is named `.bz2`, and writes anything else as it is. Raises ServiceFailed where what arrives
    is not the image that was pinned.
    """
    folder, name = f"{WORK}/{attempt}", "image.bz2" if image.path.suffix == ".bz2" else "image"
    size = max(image.path.stat().st_size, 1)

    def pour(out: BinaryIO) -> None:
        sent = told = 0
        with image.path.open("rb") as source:
            while piece := source.read(_PIECE):
                out.write(piece)
                sent += len(piece)
                if (percent := 100 * sent // size) >= told:
                    told = percent + 5
                    say(f"the local image: {percent} % of {size / 10**6:.0f} MB sent")

    shell.feed(pour, "sh", "-c", _UPLOAD, "sh", folder, name, "600", timeout=timeout)
    expect(shell, f"{folder}/{name}", image.sha256, "the image was changed or damaged on its way: run again")
    return f"{folder}/{name}"


def expect(shell: Shell, path: str, digest: str, remedy: str) -> None:
    """A file on the machine has that SHA-256. Raises ServiceFailed."""
    found = shell.read("sha256sum", path, timeout=120).split()[0]
    if found != digest:
        raise ServiceFailed(f"checking {path} on {shell.address}", f"its SHA-256 is {found}, expected {digest}", remedy)
