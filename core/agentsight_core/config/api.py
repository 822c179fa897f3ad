"""The section about the gRPC API."""

from __future__ import annotations

from pathlib import Path

from pydantic import model_validator

from agentsight_core.config.section import Port, Section

# In the state directory.
TOKEN_FILE = "api.token"  # noqa: S105  # the name of a file
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class ApiConfig(Section):
    """The gRPC API of every aggregator; commands with `--api` use the same files."""

    enabled: bool = True
    """Whether it is served."""

    host: str = "127.0.0.1"
    """Address to listen on; `0.0.0.0` for all interfaces. Other than loopback needs
    `certificate_file`."""

    port: Port = 0
    """TCP port to listen on; 0 takes a free one, which `agentsight status` shows."""

    token_file: Path | None = None
    """File that holds the token which clients must send unless `ca_file` makes them show a
    certificate; empty means `api.token` in `node.state_dir`. An aggregator makes it if it is not
    there."""

    certificate_file: Path | None = None
    """PEM file of the certificate that the aggregator, or the command, shows; empty means no
    TLS."""

    key_file: Path | None = None
    """PEM file of the key of `certificate_file`."""

    ca_file: Path | None = None
    """PEM file of the authority that signed the other side's certificate. An aggregator that has it
    refuses clients without one; a command needs it to trust the aggregator."""

    @model_validator(mode="after")
    def _is_complete(self) -> ApiConfig:
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("give certificate_file and key_file together")
        if self.host not in _LOOPBACK and not self.certificate_file:
            raise ValueError("give certificate_file: an address that others can reach needs TLS")
        return self
