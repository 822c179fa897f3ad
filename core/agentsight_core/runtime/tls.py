"""TLS files of a client: the context they make, whether they have changed, when they expire.

Must not open connections.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from agentsight_core.errors import ConfigError

# What stat() tells of each file.
Fingerprint = tuple[tuple[int, int, int], ...]
# CA, certificate and key.
Contents = tuple[bytes, bytes | None, bytes | None]


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files for mutual TLS."""

    ca: Path
    certificate: Path | None = None
    key: Path | None = None

    def fingerprint(self) -> Fingerprint:
        """Return what changes when a file is replaced; raises OSError when one is missing."""
        found = [path.stat() for path in (self.ca, self.certificate, self.key) if path]
        return tuple((stat.st_mtime_ns, stat.st_ino, stat.st_size) for stat in found)

    def read(self) -> Contents:
        """Return the contents; raises OSError."""
        return (
            self.ca.read_bytes(),
            self.certificate.read_bytes() if self.certificate else None,
            self.key.read_bytes() if self.key else None,
        )

    def context(self) -> ssl.SSLContext:
        """Return a client's context from the files as they are now; raises ConfigError."""
        try:
            context = ssl.create_default_context(cafile=str(self.ca))
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            names = ", ".join(str(path) for path in (self.ca, self.certificate, self.key) if path)
            raise ConfigError(f"the TLS files {names} cannot be used: {error}") from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context


def expiry_times(paths: Iterable[Path]) -> dict[Path, float]:
    """Return for each PEM file when (Unix seconds) the first of its certificates expires.

    Files that cannot be read as certificates are left out.
    """
    found = {}
    for path in paths:
        with contextlib.suppress(OSError, ValueError):
            found[path] = _first_expiry(path.read_bytes())
    return found


def _first_expiry(pem: bytes) -> float:
    from cryptography import x509  # noqa: PLC0415  8 MB that a process without TLS does not need

    certificates = x509.load_pem_x509_certificates(pem)
    return min(one.not_valid_after_utc.timestamp() for one in certificates)
