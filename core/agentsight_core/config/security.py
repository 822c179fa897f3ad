"""Sections about who may read what on its way: TLS files and sealing keys."""

from __future__ import annotations

from pathlib import Path

from pydantic import model_validator

from agentsight_core.config.section import Section


class TlsConfig(Section):
    """Mutual TLS; the files are read again when they change, without a restart."""

    ca_file: Path | None = None
    """PEM file of the authority that signed the server's certificate; empty means no TLS."""

    certificate_file: Path | None = None
    """PEM file of the certificate that this side shows."""

    key_file: Path | None = None
    """PEM file of the key of `certificate_file`."""

    handshake_first: bool = True
    """Whether TLS begins before the server has said anything, so that nobody in between can talk
    both sides out of it; needs `handshake_first` in the server's `tls` block (nats-server 2.10)."""

    @model_validator(mode="after")
    def _is_complete(self) -> TlsConfig:
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("give certificate_file and key_file together")
        if self.certificate_file and not self.ca_file:
            raise ValueError("give ca_file, the authority that the server is checked against")
        return self


class SealConfig(Section):
    """Keys by which content is sealed, so that bus, disks and spool hold none that can be read.

    `agentsight certs init` makes them, `agentsight certs rotate` adds new ones. Changed files are
    taken without a restart.
    """

    frames_public_file: Path | None = None
    """For agents: file with the public key that frames are sealed for; empty means not sealed."""

    frames_private_file: Path | None = None
    """For aggregators: file with the private keys, newest first; older ones still open."""

    group_file: Path | None = None
    """For aggregators and readers of results: file with the keys, newest first, by which findings
    and checkpoints are sealed and opened; empty means not sealed."""

    @model_validator(mode="after")
    def _is_complete(self) -> SealConfig:
        if self.frames_private_file and not self.group_file:
            raise ValueError("give group_file: what was sealed would be stored open again")
        return self


class SecurityConfig(Section):
    """Who may read what."""

    seal: SealConfig = SealConfig()
    """Sealed content."""
