"""A snapshot of etcd's data: off one member as a stream, checked against the digest at its end, encrypted as it comes.

It is never on a disk unencrypted. It is encrypted with age to SSH keys (age-encryption.org/v1, ssh-ed25519 and
ssh-rsa), so that whoever may log in to the hosts can open it: `age -d -i KEY FILE`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

from ..errors import BadInput, RunbookError, ServiceFailed, TimedOut
from . import http1

STALL_S = 30.0  # without a byte
_CHECKSUM = 32  # bytes of SHA-256 that etcd appends (server/etcdserver/api/v3rpc/maintenance.go)
_PAGE = 512  # etcd's backend is a whole number of these; what is more is the checksum (etcdutl's snapshot restore)
_BOLT = (0xED0CDAED).to_bytes(4, "little")  # bbolt's magic number, 0xED0CDAED, in its first page (bbolt, db.go)
_AGE_KEYS = ("ssh-ed25519 ", "ssh-rsa ")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was kept: the file, and of etcd's data without their checksum the size in bytes and the SHA-256."""

    file: Path
    size: int
    sha256: str


def recipients(keys: Sequence[str]) -> tuple[str, ...]:
    """Those of the SSH keys that age can encrypt to."""
    return tuple(key for key in keys if key.startswith(_AGE_KEYS))


def opened(file: Path, key: str, out: Any) -> None:
    """Decrypt a snapshot onto a stream with an SSH private key, the text of one. Raises BadInput."""
    import pyrage  # noqa: PLC0415 - as below

    doing = f"opening the snapshot {file.name}"
    try:
        identity = pyrage.ssh.Identity.from_buffer(key.encode())
        with file.open("rb") as encrypted:
            pyrage.decrypt_io(encrypted, out, [identity])
    except (pyrage.IdentityError, pyrage.DecryptError) as problem:
        remedy = "it was encrypted to fleet.ssh_keys as they were then: name one of those in fleet.azure.login_key"
        raise BadInput(doing, f"it is no snapshot that this key opens: {problem}", remedy) from None
    except OSError as problem:  # age's own words for what was altered or cut off have no number
        found = problem.strerror or f"it is damaged or cut off: {problem}"
        raise BadInput(doing, found, "name another snapshot") from None


def look(file: Path, key: str) -> Snapshot:
    """What is in a snapshot's file: all of it is decrypted, and kept nowhere. Raises BadInput."""
    sink = _Sink()
    opened(file, key, sink)
    if sink.size < 2 * _PAGE or sink.size % _PAGE or _BOLT not in sink.head:
        raise BadInput(f"opening the snapshot {file.name}", "what is in it are no data of etcd", "name another file")
    return Snapshot(file, sink.size, sink.digest.hexdigest())


class _Sink:
    """Counts what is written to it, and remembers the beginning."""

    def __init__(self) -> None:
        self.size, self.head, self.digest = 0, b"", hashlib.sha256()

    def write(self, content: bytes) -> int:
        self.head += content[: _PAGE - len(self.head)] if len(self.head) < _PAGE else b""
        self.digest.update(content)
        self.size += len(content)
        return len(content)

    def flush(self) -> None:
        """Nothing is held back."""


def take(sock: socket.socket, host: str, authorization: str, keys: Sequence[str], file: Path) -> Snapshot:
    """Stream a snapshot off a connected member into `file`, which is there only if it is whole and was checked.

    Raises BadInput where no key can be encrypted to, ServiceFailed, TimedOut.
    """
    doing = f"taking a snapshot of etcd from {host}"
    draft = file.with_name(f".{file.name}.draft")
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        stream = _Stream(_blobs(sock, host, authorization))
        _encrypt(stream, keys, draft)
        size, digest = stream.checked()
        os.replace(draft, file)  # noqa: PTH105 - of two paths, as the standard library's own words have it
    except (OSError, HTTPException, ValueError) as problem:
        kind = TimedOut if isinstance(problem, TimeoutError) else ServiceFailed
        raise kind(doing, str(problem) or type(problem).__name__, "verify etcd and its disks, then run again") from None
    finally:
        draft.unlink(missing_ok=True)
    return Snapshot(file, size, digest)


def _encrypt(stream: _Stream, keys: Sequence[str], draft: Path) -> None:
    import pyrage  # noqa: PLC0415 - only where a snapshot is taken

    try:
        to = [pyrage.ssh.Recipient.from_str(key) for key in recipients(keys)]
    except pyrage.RecipientError as problem:
        remedy = "correct fleet.ssh_keys: a snapshot is encrypted to its ssh-ed25519 and ssh-rsa keys"
        raise BadInput("encrypting a snapshot of etcd", f"age does not take one of them: {problem}", remedy) from None
    if not to:
        remedy = "name an ssh-ed25519 or ssh-rsa key in fleet.ssh_keys: a snapshot is encrypted to those"
        raise BadInput("encrypting a snapshot of etcd", "age can encrypt to none of fleet.ssh_keys", remedy)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:  # noqa: PTH123 - with a mode
        try:
            pyrage.encrypt_io(stream, out, to)
        except pyrage.EncryptError as problem:
            raise ValueError(f"it could not be encrypted: {problem}") from None
        out.flush()
        os.fsync(out.fileno())


class _Stream:
    """What is read off etcd, as a file: all but the checksum at the end, which it must have."""

    def __init__(self, blobs: Iterator[bytes]) -> None:
        self._blobs = blobs
        self._held = b""
        self._digest = hashlib.sha256()
        self._size = 0
        self._problem: Exception | None = None

    def read(self, size: int = -1) -> bytes:
        """At most so many bytes; none at the end."""
        wanted = size if size >= 0 else 1 << 62
        while len(self._held) <= _CHECKSUM:
            blob = self._next()
            if blob is None:
                return b""
            self._held += blob
        count = min(wanted, len(self._held) - _CHECKSUM)
        content, self._held = self._held[:count], self._held[count:]
        self._digest.update(content)
        self._size += count
        return content

    def checked(self) -> tuple[int, str]:
        """Size and digest. Raises what the stream ended with, and ValueError if it is not what etcd sent."""
        if self._problem is not None:
            raise self._problem
        if not self._size or self._size % _PAGE or len(self._held) != _CHECKSUM:
            raise ValueError(f"it ended after {self._size} bytes, which is no whole snapshot")
        if self._digest.digest() != self._held:
            raise ValueError("its content has not the SHA-256 that etcd sent with it")
        return self._size, self._digest.hexdigest()

    def _next(self) -> bytes | None:
        """The next blob; a failure is kept for the end, as no exception comes back out of the encryption's own code."""
        try:
            return next(self._blobs, None)
        except (OSError, HTTPException, ValueError, RunbookError) as problem:
            self._problem = problem
            return None


def _blobs(sock: socket.socket, host: str, authorization: str) -> Iterator[bytes]:
    """The parts of `/v3/maintenance/snapshot`: a JSON object a line, each with a part in base64."""
    fields = {"User-Agent": "runbooks", "Content-Type": "application/json", "Connection": "close"}
    if authorization:
        fields["Authorization"] = authorization
    sock.settimeout(STALL_S)  # for each read: as long as something comes, it may take its time
    sock.sendall(http1.request("POST", host, "/v3/maintenance/snapshot", b"{}", fields))
    response = HTTPResponse(sock, method="POST")
    response.begin()
    while line := response.readline():
        yield _blob(line, response.status)


def _blob(line: bytes, status: int) -> bytes:
    try:
        content = json.loads(line)
        if status != 200 or "result" not in content:
            said = content.get("error", content)
            raise ValueError(f"etcd says {said.get('message', said) if isinstance(said, dict) else said}")
        return base64.b64decode(content["result"].get("blob", ""), validate=True)
    except (json.JSONDecodeError, binascii.Error, AttributeError) as problem:
        raise ValueError(f"its answer is not etcd's: {problem}") from None
