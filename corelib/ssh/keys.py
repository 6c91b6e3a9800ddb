"""Keys: pairs, private ones as they are given, fingerprints as OpenSSH shows them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import asyncssh
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ..errors import BadInput


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A key pair: the private key's text, the public key in OpenSSH format, its MD5 fingerprint as Robot writes it."""

    private: str = field(repr=False)
    public: str
    md5: str

    @classmethod
    def new(cls, comment: str) -> KeyPair:
        """A new Ed25519 pair."""
        key = asyncssh.generate_private_key("ssh-ed25519", comment=comment)
        return cls.of(key)

    @classmethod
    def derived(cls, private: str, salt: str, comment: str) -> KeyPair:
        """An Ed25519 pair that who has this private key can make again from the salt, and nobody else (RFC 5869)."""
        secret = private_key(private).export_private_key("pkcs8-der")
        seed = HKDF(SHA256(), 32, bytes.fromhex(salt), comment.encode()).derive(secret)
        made = Ed25519PrivateKey.from_private_bytes(seed)
        text = made.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        return cls.of(asyncssh.import_private_key(text), comment)

    @classmethod
    def of(cls, key: Any, comment: str = "") -> KeyPair:
        """The pair of one of asyncssh's private keys."""
        if comment:
            key.set_comment(comment)
        return cls(key.export_private_key().decode(), key.export_public_key().decode().strip(), md5(key))


def private_key(text: str) -> Any:
    """Read a private key. Raises BadInput, which does not repeat it."""
    try:
        return asyncssh.import_private_key(text)
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as problem:
        remedy = "give a private key in OpenSSH format, without a passphrase"
        raise BadInput("reading the operator's SSH key", str(problem), remedy) from None


def fingerprint(key: Any) -> str:
    """SHA-256 of a key, or of a public key's text, as OpenSSH shows it."""
    found = asyncssh.import_public_key(key) if isinstance(key, str) else key
    return str(found.get_fingerprint())


def md5(key: Any) -> str:
    """MD5 of a key, or of a public key's text, as Robot names it: without a prefix."""
    found = asyncssh.import_public_key(key) if isinstance(key, str) else key
    return str(found.get_fingerprint("md5")).removeprefix("MD5:")
