"""What is the same for OTLP over gRPC and over HTTP: settings, endpoints, the interface.

Source: https://opentelemetry.io/docs/specs/otlp/. Must not know a network library.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Literal, Protocol
from urllib.parse import urlsplit

from agentsight_core.errors import ConfigError

_SHOWN_CHARS = 200
OtlpProtocol = Literal["grpc", "http"]


class Signal(Enum):
    """A kind of telemetry: (gRPC method, path under an HTTP endpoint)."""

    TRACES = ("/opentelemetry.proto.collector.trace.v1.TraceService/Export", "v1/traces")
    METRICS = ("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", "v1/metrics")

    @property
    def grpc_method(self) -> str:
        """The full name of the gRPC method."""
        return self.value[0]

    @property
    def http_path(self) -> str:
        """The path, without a leading slash."""
        return self.value[1]


@dataclass(frozen=True, slots=True)
class OtlpSettings:
    """Where the receiver is and how to talk to it."""

    # "http://host:4317" or "https://host:4317" (gRPC), likewise port 4318 and a base path (HTTP).
    endpoint: str
    protocol: OtlpProtocol = "grpc"
    headers: dict[str, str] = field(default_factory=dict)
    # For one request, from connect to the answer.
    timeout_s: float = 10.0
    gzip: bool = True
    # PEM files; None = the system's authorities, no client certificate.
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot work; raises ConfigError."""
        try:
            parts = urlsplit(self.endpoint)
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            raise ConfigError(f"OTLP endpoint {self.endpoint!r}: {error}") from error
        if parts.scheme not in ("http", "https") or not host:
            raise ConfigError(
                f"OTLP endpoint {self.endpoint!r}: allowed are http://HOST:PORT (no TLS) and"
                " https://HOST:PORT"
            )
        if self.protocol == "grpc" and parts.path not in ("", "/"):
            raise ConfigError(f"OTLP endpoint {self.endpoint!r}: gRPC has no path")
        for name, value in self.headers.items():
            if not (name.isascii() and name.replace("-", "").replace("_", "").isalnum()):
                raise ConfigError(
                    f"OTLP header name {name!r}: allowed are letters, digits, - and _"
                )
            if not (value.isascii() and value.isprintable()):
                raise ConfigError(f"OTLP header {name}: its value may have printable ASCII only")
        if (self.certificate_file is None) != (self.key_file is None):
            raise ConfigError("OTLP client certificate and key are needed together")

    def fingerprint(self) -> tuple[tuple[int, int, int], ...]:
        """Return what changes when a PEM file is replaced; () while one is missing."""
        try:
            found = [path.stat() for path in (self.ca_file, self.certificate_file) if path]
        except OSError:
            return ()
        return tuple((stat.st_mtime_ns, stat.st_ino, stat.st_size) for stat in found)

    @property
    def secure(self) -> bool:
        """Whether to use TLS."""
        return self.endpoint.startswith("https:")

    @property
    def authority(self) -> str:
        """HOST:PORT; the port is the protocol's own when the endpoint has none."""
        parts = urlsplit(self.endpoint)
        port = parts.port or (4317 if self.protocol == "grpc" else 4318)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{host}:{port}"

    def url(self, signal: Signal) -> str:
        """Return the URL for `signal` over HTTP: base path of the endpoint, then the signal's."""
        parts = urlsplit(self.endpoint)
        return f"{parts.scheme}://{self.authority}{parts.path.rstrip('/')}/{signal.http_path}"


class Transport(Protocol):
    """Sends one request and gives the answer; no retry. An async context manager."""

    async def send(self, signal: Signal, request: bytes) -> bytes:
        """Return the serialized Export…Response.

        Raises Retryable or Permanent as the OTLP specification classifies the failure.
        """
        ...


def shown(text: str) -> str:
    """Return what a receiver said as one bounded printable line, for errors and logs."""
    return "".join(char if char.isprintable() else " " for char in text[:_SHOWN_CHARS])
