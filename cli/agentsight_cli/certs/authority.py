"""A small certificate authority in a folder.

For test clusters and for sites that have none of their own; its key lies beside what it signs.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agentsight_core.errors import ConfigError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agentsight_cli.certs.files import write_private

_CA_DAYS = 3650
# Clocks of different machines differ.
_BACKDATED = timedelta(minutes=5)


class Authority:
    """The authority whose certificate and key are `name`.pem and `name`.key of a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        """Take the authority, made if there is none; raises ConfigError."""
        self.certificate_file = folder / f"{name}.pem"
        key_file = folder / f"{name}.key"
        if not key_file.exists():
            self._make(key_file, f"AgentSight {name}")
        try:
            key = serialization.load_pem_private_key(key_file.read_bytes(), None)
            self._certificate = x509.load_pem_x509_certificate(self.certificate_file.read_bytes())
        except (OSError, ValueError) as error:
            raise ConfigError(f"{key_file} is no authority that can be used: {error}") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ConfigError(f"{key_file} is no elliptic curve key")
        self._key = key

    def _make(self, key_file: Path, title: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name(title)
        builder = _builder(name, name, key.public_key(), _CA_DAYS)
        builder = builder.add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        ).add_extension(_usage(signs_certificates=True), critical=True)
        certificate = builder.sign(key, hashes.SHA256())
        write_private(self.certificate_file, _pem(certificate))
        write_private(key_file, _key_pem(key))

    def issue(self, folder: Path, name: str, names: Sequence[str], days: float) -> None:
        """Write `name`.pem and `name`.key: for servers and clients with these DNS names or IPs."""
        key = ec.generate_private_key(ec.SECP256R1())
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = (
            _builder(_name(name), self._certificate.subject, key.public_key(), days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectAlternativeName(list(map(_general, names))), critical=False)
        )
        certificate = builder.sign(self._key, hashes.SHA256())
        # The key first: a reader that sees the new certificate finds its key.
        write_private(folder / f"{name}.key", _key_pem(key))
        write_private(folder / f"{name}.pem", _pem(certificate))


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: float
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + timedelta(days=days))
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
