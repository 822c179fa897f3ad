"""What of the configuration the aggregator uses, in the form in which its parts take it."""

from __future__ import annotations

import socket

from agentsight_core.bus.provisioning import BusSettings, StreamSettings
from agentsight_core.config.api import TOKEN_FILE
from agentsight_core.config.models import AgentSightConfig
from agentsight_core.etcd.connection import EtcdSettings
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.runtime.tls import TlsFiles
from agentsight_core.sealing import Opener
from agentsight_core.telemetry.http import TelemetrySettings

from agentsight_aggregator.analyzers.settings import SECOND_NS, FoldSettings
from agentsight_aggregator.api.admission import kept_token
from agentsight_aggregator.api.server import ApiSettings, ServerTls
from agentsight_aggregator.coordination.etcd import GroupSettings
from agentsight_aggregator.exporters.otlp.transport import OtlpSettings
from agentsight_aggregator.exporters.rotating_file import RotationSettings
from agentsight_aggregator.plugins.guarded_analyzer import Limits
from agentsight_aggregator.worker.aggregator import AggregatorSettings
from agentsight_aggregator.worker.partition import WorkerSettings


def bus_settings(config: AgentSightConfig) -> BusSettings:
    """Return what the streams should look like."""
    bus = config.bus
    return BusSettings(
        partitions=bus.partitions,
        replicas=bus.replicas,
        events=StreamSettings(bus.events_max_bytes, bus.events_max_age_s),
        findings=StreamSettings(bus.findings_max_bytes, bus.findings_max_age_s),
    )


def api_settings(config: AgentSightConfig) -> ApiSettings:
    """Return where the API is served; raises ConfigError when its token cannot be kept."""
    api = config.api
    certificate, key = api.certificate_file, api.key_file
    tls = ServerTls(certificate, key, api.ca_file) if certificate and key else None
    token_file = api.token_file or config.node.state_dir / TOKEN_FILE
    return ApiSettings(
        partitions=config.bus.partitions,
        host=api.host,
        port=api.port,
        tls=tls,
        token="" if tls and tls.ca else kept_token(token_file),
    )


def etcd_settings(config: AgentSightConfig) -> EtcdSettings:
    """Return how to reach etcd."""
    etcd = config.coordination
    tls = TlsFiles(etcd.ca_file, etcd.certificate_file, etcd.key_file) if etcd.ca_file else None
    return EtcdSettings(etcd.endpoints, tls)


def group_settings(config: AgentSightConfig) -> GroupSettings:
    """Return which group of aggregators to join, as whom."""
    return GroupSettings(
        cluster=config.node.cluster,
        name=config.node.name or socket.gethostname(),
        partitions=config.bus.partitions,
        lease_seconds=config.coordination.lease_s,
    )


def aggregator_settings(config: AgentSightConfig) -> AggregatorSettings:
    """Return the rhythm of the workers."""
    aggregator = config.aggregator
    keys = config.security.seal.frames_private_file
    return AggregatorSettings(
        worker=WorkerSettings(
            checkpoint_seconds=aggregator.checkpoint_interval_ms / 1000,
            tick_seconds=aggregator.tick_interval_ms / 1000,
            tick=pb.Tick(settings=_fold_settings(config)),
            opener=Opener(keys) if keys else None,
        )
    )


def _fold_settings(config: AgentSightConfig) -> pb.FoldSettings:
    """Return what of the fold's settings goes through the log, as it may change (ADR 0008)."""
    settings = fold_settings(config)
    return pb.FoldSettings(
        content_on_spans=settings.content_on_spans,
        session_idle_ns=settings.session_idle_ns,
        analyzers=config.plugins.analyzers,
    )


def fold_settings(config: AgentSightConfig) -> FoldSettings:
    """Return how events become findings."""
    return FoldSettings(
        content_on_spans=config.aggregator.content,
        session_idle_ns=int(config.aggregator.session_idle_s * SECOND_NS),
    )


def telemetry_settings(config: AgentSightConfig) -> TelemetrySettings:
    """Return where the pages of the aggregator are."""
    prometheus = config.exporters.prometheus
    return TelemetrySettings(host=prometheus.host, port=prometheus.port, metrics=prometheus.enabled)


def plugin_limits(config: AgentSightConfig) -> Limits:
    """Return what an analyzer plugin may do wrong."""
    plugins = config.plugins
    return Limits(seconds=plugins.time_budget_ms / 1000, failures=plugins.max_failures)


def otlp_settings(config: AgentSightConfig) -> OtlpSettings:
    """Return how to reach the OTLP receiver; raises ConfigError when that cannot be."""
    otlp = config.exporters.otlp
    return OtlpSettings(
        endpoint=otlp.endpoint,
        protocol="grpc" if otlp.protocol == "grpc" else "http",
        headers={name: value.get_secret_value() for name, value in otlp.headers.items()},
        timeout_s=otlp.timeout_ms / 1000,
        ca_file=otlp.ca_file,
        certificate_file=otlp.certificate_file,
        key_file=otlp.key_file,
    )


def rotation_settings(config: AgentSightConfig) -> RotationSettings:
    """Return when the JSON lines file is rotated."""
    jsonl = config.exporters.jsonl
    return RotationSettings(max_file_bytes=jsonl.max_bytes, keep=jsonl.max_files)
