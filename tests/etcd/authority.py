"""A certificate authority for the tests, and the PEM texts of what it signs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


@dataclass(frozen=True)
class Pair:
    certificate: str
    key: str


class Authority:
    def __init__(self, name: str = "the tests' CA") -> None:
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.ca = self._sign(self._name, self._key, (-1, 3650), None)[0]

    def pair(self, *addresses: str, days: tuple[float, float] = (-1, 365)) -> Pair:
        """A certificate for a member's addresses, valid between these days from now; for a client without any."""
        key = ec.generate_private_key(ec.SECP256R1())
        # No common name: with both of its authentications on, etcd would take it for a user.
        certificate, _ = self._sign(x509.Name([]), key, days, addresses)
        form = serialization.PrivateFormat.PKCS8
        text = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()
        return Pair(certificate, text)

    def _sign(
        self,
        name: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        days: tuple[float, float],
        addresses: tuple[str, ...] | None,
    ) -> tuple[str, ec.EllipticCurvePrivateKey]:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=days[0]))
            .not_valid_after(now + timedelta(days=days[1]))
            .add_extension(x509.BasicConstraints(ca=addresses is None, path_length=None), critical=True)
        )
        if addresses is not None:
            both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            builder = builder.add_extension(x509.ExtendedKeyUsage(both), critical=False)
        if addresses:
            names = [x509.IPAddress(IPv4Address(address)) for address in addresses]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        signed = builder.sign(self._key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM).decode(), key
