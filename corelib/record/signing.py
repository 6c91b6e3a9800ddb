"""SSH signatures (OpenSSH's PROTOCOL.sshsig), so that `ssh-keygen -Y verify` checks them too.

The key is the operator's own: RUNBOOKS_SIGNING_KEY names its private file, or the public one if an agent holds the
private half. Nothing signs unless that is set. To import this module takes 0.3 s: only who signs or checks does.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from collections.abc import Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import asyncssh
from asyncssh.packet import PacketDecodeError, SSHPacket, String, UInt32
from asyncssh.public_key import decode_ssh_public_key
from asyncssh.sshsig import import_allowed_signers

from ..errors import BadInput, RunbookError

T = TypeVar("T")

KEY = "RUNBOOKS_SIGNING_KEY"
RECORD, FILES, APPROVAL, COUNTERSIGN, TOMBSTONE = (
    f"coreos-runbooks-{what}" for what in ("record", "files", "approval", "countersign", "tombstone")
)
"""Namespaces: a signature for one purpose is never taken for another's."""


class SigningError(RunbookError):
    """A signature could not be made."""


@dataclass(frozen=True)
class Key:
    """Something that signs: a key from a file, or one that an agent holds. `public` is one line of OpenSSH's form."""

    public: str
    fingerprint: str
    _private: Any  # asyncssh.SSHKey, or None: ask the agent

    def sign(self, content: bytes, namespace: str) -> bytes:
        """An armoured signature of the content. Raises SigningError if the agent does not sign."""
        if self._private is not None:
            return armoured(
                _blob(self.public, namespace, self._private.sign(_message(content, namespace), b"ssh-ed25519"))
            )
        try:
            signature = _outside(_by_agent(self.public, _message(content, namespace)))
        except (OSError, ValueError) as problem:
            raise SigningError(
                f"signing with {self.fingerprint}", f"the SSH agent did not: {problem}", "ssh-add the key, then seal"
            ) from None
        return armoured(_blob(self.public, namespace, signature))


@dataclass(frozen=True, slots=True)
class Signature:
    """Who signed: the key's OpenSSH line (without comment) and fingerprint, and whether the signature is good."""

    public: str
    fingerprint: str
    good: bool


def configured(environment: Mapping[str, str] = os.environ) -> Key | None:
    """The operator's key; None if none is named. Raises BadInput if the named one cannot be used."""
    named = environment.get(KEY, "")
    return load(Path(named).expanduser()) if named else None


def load(path: Path) -> Key:
    """The key in a file, private or public. Raises BadInput if it is not an Ed25519 key that can sign."""
    doing = f"reading the signing key {path}"
    try:
        content = path.read_text()
        if "PRIVATE KEY" in content:
            private = asyncssh.import_private_key(content)
            return _checked(private, private, doing)
        public = asyncssh.import_public_key(content)
    except (OSError, ValueError) as problem:
        if "encrypt" in str(problem):  # asyncssh has no error of its own for a missing passphrase
            remedy = "ssh-add it, and name its public file: the agent signs then"
            raise BadInput(doing, "it is protected by a passphrase, which nobody can type here", remedy) from None
        raise BadInput(doing, str(problem), "name an Ed25519 key in OpenSSH's form") from None
    key = _checked(public, None, doing)
    try:
        held = _outside(_held())
    except (OSError, ValueError) as problem:
        raise BadInput(doing, f"it is a public key, and no agent answers: {problem}", "start one, ssh-add") from None
    if key.public not in held:
        raise BadInput(doing, f"the agent does not hold {key.fingerprint}", "ssh-add it")
    return key


def check(content: bytes, armour: bytes, namespace: str) -> Signature | None:
    """What a signature says of a content; None if it is no signature for this namespace in its one written form."""
    try:
        packet = SSHPacket(_unarmoured(armour))
        if packet.get_bytes(6) != b"SSHSIG" or packet.get_uint32() != 1:
            return None
        public_data, found = packet.get_string(), packet.get_string().decode()
        reserved, hash_name, signature = (packet.get_string() for _ in range(3))
        packet.check_end()
        key = decode_ssh_public_key(public_data)
    except (PacketDecodeError, asyncssh.KeyImportError, ValueError):
        return None
    if (found, reserved, hash_name) != (namespace, b"", b"sha512"):
        return None
    good = key.get_algorithm() == "ssh-ed25519" and key.verify(_message(content, namespace), signature)
    return Signature(_line(key), key.get_fingerprint(), good)


def allowed(public: str, namespace: str, signers: str, name: str = "allowed signers") -> str:
    """The principal for which a file of allowed signers (ssh-keygen(1)) admits a key; empty if for none.

    Every line is read: raises BadInput, with the file's `name` and the line, for one that is none of such a file.
    """
    key, found = asyncssh.import_public_key(public), ""
    for number, line in enumerate(signers.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            entry = import_allowed_signers(line)
        except ValueError as problem:
            remedy = "write it as ssh-keygen(1) has it: anna@example.org ssh-ed25519 AAAA…"
            raise BadInput(f"reading {name}:{number}", str(problem), remedy) from None
        admits = (principal for principal in line.split()[0].split(",") if entry.validate(key, principal, namespace))
        found = found or next(admits, "")
    return found


def check_signers(signers: str, name: str) -> None:
    """Raise BadInput if a text is no file of allowed signers; `name` is the file's."""
    nobody = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    allowed(nobody, RECORD, signers, name)


def same_key(one: str, other: str) -> bool:
    """True if two OpenSSH lines hold the same key, whatever their comments."""
    return one.split()[:2] == other.split()[:2]


def armoured(blob: bytes) -> bytes:
    """A signature's written form, as ssh-keygen writes it: lines of 70 characters."""
    text = base64.b64encode(blob).decode()
    lines = [text[n : n + 70] for n in range(0, len(text), 70)]
    return "\n".join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""]).encode()


def _unarmoured(armour: bytes) -> bytes:
    """The blob; ValueError for any writing of it but the one, so that no byte of a signature is free."""
    blob = base64.b64decode(b"".join(armour.split(b"\n")[1:-2]), validate=True)
    if armoured(blob) != armour:
        raise ValueError("not in its one written form")
    return blob


def _message(content: bytes, namespace: str) -> bytes:
    """What is signed for a content (PROTOCOL.sshsig, section 2)."""
    parts = (String(namespace), String(b""), String("sha512"), String(hashlib.sha512(content).digest()))
    return b"SSHSIG" + b"".join(parts)


def _blob(public: str, namespace: str, signature: bytes) -> bytes:
    """The signature's blob (PROTOCOL.sshsig, section 1)."""
    data = asyncssh.import_public_key(public).public_data
    parts = (String(data), String(namespace), String(b""), String("sha512"), String(signature))
    return b"SSHSIG" + UInt32(1) + b"".join(parts)


def _checked(key: Any, private: Any, doing: str) -> Key:
    if key.get_algorithm() != "ssh-ed25519":
        raise BadInput(doing, f"it is of the kind {key.get_algorithm()}", "name an Ed25519 key")
    return Key(_line(key), key.get_fingerprint(), private)


def _line(key: Any) -> str:
    """Kind and key, without the comment."""
    return " ".join(key.export_public_key().decode().split()[:2])


def _outside(work: Coroutine[Any, Any, T]) -> T:
    """Run it on a thread of its own: a kernel's main thread has an event loop already."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


async def _held() -> set[str]:
    """The public halves of the keys that the agent holds."""
    async with await asyncssh.connect_agent() as agent:
        pairs = await agent.get_keys()
    return {_line(decode_ssh_public_key(pair.public_data)) for pair in pairs}


async def _by_agent(public: str, message: bytes) -> bytes:
    async with await asyncssh.connect_agent() as agent:
        signature: bytes = await agent.sign(asyncssh.import_public_key(public).public_data, message)
    return signature
