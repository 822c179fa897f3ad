"""The gRPC server: services, health, reflection, TLS, bounds.

Must not answer anything itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import grpc.aio
from agentsight_core.bus.connection import Bus
from agentsight_core.errors import ConfigError
from agentsight_core.pb import api_pb2, api_pb2_grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from agentsight_aggregator.api.admission import TokenCheck
from agentsight_aggregator.api.cluster import ClusterService
from agentsight_aggregator.api.configuration import ConfigurationService
from agentsight_aggregator.api.findings import FindingsService
from agentsight_aggregator.api.letters import DeadLettersService
from agentsight_aggregator.api.sessions import SessionsService

_log = logging.getLogger(__name__)

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_LOOK_SECONDS = 0.5
_OPTIONS = (
    # A second server on the same port has to fail, not to share it.
    ("grpc.so_reuseport", 0),
    # A repaired frame is as large as a message of the bus at most.
    ("grpc.max_receive_message_length", 9 << 20),
    # One finding is as large as a message of the bus at most.
    ("grpc.max_send_message_length", 16 << 20),
    ("grpc.max_concurrent_streams", 100),
    # A client that is gone without a word is found out.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
)


@dataclass(frozen=True, slots=True)
class ServerTls:
    """PEM files of a server; with `ca` clients must show a certificate that it signed."""

    certificate: Path
    key: Path
    ca: Path | None = None


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """Where to listen and how much to do at once.

    A `host` that is `unix:` and a path is a socket of that name.
    """

    partitions: int
    host: str = "127.0.0.1"
    # 0 = any free port; `serving` tells which.
    port: int = 0
    tls: ServerTls | None = None
    # What clients must send; "" when a certificate, or being able to reach the socket, is enough.
    token: str = field(default="", repr=False)
    max_calls: int = 64
    # How long calls may go on after the end was announced.
    grace_seconds: float = 2.0


@contextlib.asynccontextmanager
async def serving(bus: Bus, settings: ApiSettings) -> AsyncIterator[int]:
    """Serve the API while the context is open; give the port. Raises ConfigError."""
    stopping = asyncio.Event()
    server = grpc.aio.server(
        options=_OPTIONS,
        maximum_concurrent_rpcs=settings.max_calls,
        interceptors=[TokenCheck(settings.token)] if settings.token else (),
    )
    findings = FindingsService(bus, settings.partitions, stopping)
    names = _add_services(server, bus, settings, findings)
    health_service = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health_service, server)
    reflection.enable_server_reflection(
        (*names, health.SERVICE_NAME, reflection.SERVICE_NAME), server
    )
    port = _listen(server, settings)
    await server.start()
    watching = asyncio.create_task(_show_health(health_service, bus, names), name="api-health")
    try:
        yield port
    finally:
        watching.cancel()
        await asyncio.wait([watching])
        await health_service.enter_graceful_shutdown()
        stopping.set()
        await server.stop(settings.grace_seconds)
        await findings.ended(settings.grace_seconds)


def _add_services(
    server: grpc.aio.Server, bus: Bus, settings: ApiSettings, findings: FindingsService
) -> tuple[str, ...]:
    add = api_pb2_grpc
    add.add_SessionsServicer_to_server(SessionsService(bus), server)
    add.add_FindingsServicer_to_server(findings, server)
    add.add_DeadLettersServicer_to_server(DeadLettersService(bus), server)
    add.add_ClusterServicer_to_server(ClusterService(bus, settings.partitions), server)
    add.add_ConfigurationServicer_to_server(ConfigurationService(bus), server)
    served = ("Sessions", "Findings", "DeadLetters", "Cluster", "Configuration")
    services = api_pb2.DESCRIPTOR.services_by_name
    return tuple(services[name].full_name for name in served)


async def _show_health(
    service: health.aio.HealthServicer, bus: Bus, names: tuple[str, ...]
) -> None:
    """Say SERVING while the bus can be reached, for each service and for the server ("")."""
    shown = None
    while True:
        status = _SERVING if bus.client.is_connected else _NOT_SERVING
        if status != shown:
            for name in ("", *names):
                await service.set(name, status)
            shown = status
        await asyncio.sleep(_LOOK_SECONDS)


def _listen(server: grpc.aio.Server, settings: ApiSettings) -> int:
    host, address = settings.host, settings.host
    if not host.startswith("unix:"):
        address = f"[{host}]:{settings.port}" if ":" in host else f"{host}:{settings.port}"
    try:
        if settings.tls is None:
            return int(server.add_insecure_port(address))
        return int(server.add_secure_port(address, _credentials(settings.tls)))
    except RuntimeError as error:
        raise ConfigError(
            f"the API cannot listen on {address}: choose another api.host or api.port"
        ) from error


def _credentials(tls: ServerTls) -> grpc.ServerCredentials:
    """Return credentials that follow the files: the next connection gets what is in them then."""
    read_at = _fingerprint(tls)

    def look() -> grpc.ServerCertificateConfiguration | None:
        nonlocal read_at
        try:
            now = _fingerprint(tls)
            if now == read_at:
                return None
            changed = _certificates(tls)
        except (OSError, ConfigError) as error:
            _log.warning("the API's certificates in use stay: %s", error)
            return None
        read_at = now
        return changed

    return grpc.dynamic_ssl_server_credentials(
        _certificates(tls), look, require_client_authentication=tls.ca is not None
    )


def _fingerprint(tls: ServerTls) -> tuple[tuple[int, int, int], ...]:
    paths = [path for path in (tls.certificate, tls.key, tls.ca) if path]
    try:
        found = [path.stat() for path in paths]
    except OSError as error:
        raise ConfigError(f"api: {error.filename}: {error.strerror}") from error
    return tuple((stat.st_mtime_ns, stat.st_ino, stat.st_size) for stat in found)


def _certificates(tls: ServerTls) -> grpc.ServerCertificateConfiguration:
    try:
        return grpc.ssl_server_certificate_configuration(
            [(tls.key.read_bytes(), tls.certificate.read_bytes())],
            root_certificates=tls.ca.read_bytes() if tls.ca else None,
        )
    except OSError as error:
        raise ConfigError(f"api: {error.filename}: {error.strerror}") from error
