"""Sections of bus, aggregator, exporters and logging."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from agentsight_core.config.section import (
    Milliseconds,
    Port,
    PositiveBytes,
    Seconds,
    Section,
)
from agentsight_core.config.security import TlsConfig

_MIB = 1024 * 1024
_GIB = 1024 * _MIB


class BusConfig(Section):
    """The NATS JetStream servers that hold both logs."""

    embedded: bool = True
    """Whether `agentsight up` starts a nats-server of its own on this machine."""

    servers: tuple[str, ...] = ()
    """Addresses of the servers, for example `nats://bus-0:4222`; needed when `embedded` is
    false."""

    token_file: Path | None = None
    """File that holds the token which the servers ask for; empty when they ask for none."""

    nkey_file: Path | None = None
    """File that holds the seed of the nkey by which this process is known to the servers."""

    inbox: Annotated[str, Field(pattern=r"^(_INBOX_[A-Za-z0-9_-]+)?$", max_length=63)] = ""
    """Prefix of the subjects on which answers are received, for agents of many nodes that share
    an nkey: `_INBOX_agents`; empty means one of this node's or role's own."""

    port: Port = 0
    """TCP port of the embedded server on 127.0.0.1; 0 takes a free one."""

    partitions: Annotated[int, Field(ge=1, le=1024)] = 4
    """Number of partitions of the event log; fixed once the log exists."""

    replicas: Literal[1, 3, 5] = 1
    """Number of servers that keep each message; 3 in a cluster."""

    events_max_bytes: PositiveBytes = 4 * _GIB
    """Most bytes of events that the bus keeps before agents have to wait."""

    events_max_age_s: Seconds = 7 * 24 * 3600.0
    """Longest time that events are kept on the bus, in seconds."""

    findings_max_bytes: PositiveBytes = 4 * _GIB
    """Most bytes of findings that the bus keeps."""

    findings_max_age_s: Seconds = 7 * 24 * 3600.0
    """Longest time that findings are kept on the bus, in seconds."""

    tls: TlsConfig = TlsConfig()
    """Mutual TLS with the servers."""

    @field_validator("replicas", mode="before")
    @classmethod
    def _is_number(cls, value: object) -> object:
        """Take the text of an environment variable; a choice of numbers does not by itself."""
        return int(value) if isinstance(value, str) and value.isdecimal() else value

    @field_validator("servers", mode="after")
    @classmethod
    def _are_addresses(cls, servers: tuple[str, ...]) -> tuple[str, ...]:
        for server in servers:
            if not server.startswith(("nats://", "tls://", "ws://", "wss://")):
                # The address is not repeated: it may hold a password.
                raise ValueError("each address starts with nats://, tls://, ws:// or wss://")
        return servers

    @model_validator(mode="after")
    def _has_a_server(self) -> BusConfig:
        if not self.embedded and not self.servers:
            raise ValueError("give servers, or set embedded to true")
        return self


class AggregatorConfig(Section):
    """How events become findings."""

    tick_interval_ms: Milliseconds = 2000
    """Time between two ticks of a quiet partition, in milliseconds."""

    checkpoint_interval_ms: Milliseconds = 5000
    """Time between two checkpoints of a partition, in milliseconds."""

    session_idle_s: Seconds = 1800.0
    """Time without an event after which a session's state is dropped, in seconds."""

    content: bool = True
    """Whether spans carry messages, tool arguments and results (what `capture.mode` left of
    them)."""


class OtlpConfig(Section):
    """Export of traces and metrics by OTLP."""

    endpoint: str = ""
    """URL of the receiver, for example `http://localhost:4317`; empty switches the export off."""

    protocol: Literal["grpc", "http/protobuf"] = "grpc"
    """Transport: `grpc` (usual port 4317) or `http/protobuf` (usual port 4318)."""

    headers: dict[str, SecretStr] = Field(default={})
    """Headers sent with each request, for example an API key of the receiver."""

    timeout_ms: Milliseconds = 10_000
    """Longest time that one request may take, in milliseconds."""

    metrics_interval_ms: Milliseconds = 15_000
    """Time between two exports of metrics, in milliseconds."""

    ca_file: Path | None = None
    """PEM file of the authority that signed the receiver's certificate; empty means those of the
    system."""

    certificate_file: Path | None = None
    """PEM file of the certificate that is shown to the receiver."""

    key_file: Path | None = None
    """PEM file of the key of `certificate_file`."""

    @field_validator("endpoint", mode="after")
    @classmethod
    def _is_url(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return value


class PrometheusConfig(Section):
    """The `/metrics` page."""

    enabled: bool = True
    """Whether the page is served."""

    host: str = "127.0.0.1"
    """Address to listen on; `0.0.0.0` for all interfaces."""

    port: Port = 9464
    """TCP port to listen on; 0 takes a free one."""


class JsonLinesConfig(Section):
    """Findings as JSON lines in a rotating file."""

    path: Path | None = None
    """File to write; empty switches the export off."""

    max_bytes: PositiveBytes = 256 * _MIB
    """Size at which the file is rotated, in bytes."""

    max_files: Annotated[int, Field(ge=1)] = 5
    """Number of rotated files kept."""


class ExportersConfig(Section):
    """Where findings go."""

    otlp: OtlpConfig = OtlpConfig()
    """OTLP receiver, for example Jaeger or an OpenTelemetry Collector."""

    prometheus: PrometheusConfig = PrometheusConfig()
    """Metrics for a Prometheus server."""

    jsonl: JsonLinesConfig = JsonLinesConfig()
    """JSON lines file."""


class LoggingConfig(Section):
    """Our own log, on stderr; it never holds captured content."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe level that is written."""

    format: Literal["human", "json"] = "human"
    """One readable line or one JSON object an entry."""
