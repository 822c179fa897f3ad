"""The whole configuration."""

from __future__ import annotations

from agentsight_core.config.api import ApiConfig
from agentsight_core.config.cluster import (
    AggregatorConfig,
    BusConfig,
    ExportersConfig,
    LoggingConfig,
)
from agentsight_core.config.coordination import CoordinationConfig
from agentsight_core.config.filters import FiltersConfig
from agentsight_core.config.kubernetes import KubernetesConfig
from agentsight_core.config.node import CaptureConfig, NodeConfig, SessionsConfig, SpoolConfig
from agentsight_core.config.plugins import PluginsConfig
from agentsight_core.config.section import Section
from agentsight_core.config.security import SecurityConfig


class AgentSightConfig(Section):
    """Everything a user may set; each process reads the sections it needs."""

    node: NodeConfig = NodeConfig()
    """Who this node is."""

    capture: CaptureConfig = CaptureConfig()
    """What the probes see and what of it leaves the node."""

    sessions: SessionsConfig = SessionsConfig()
    """Which processes are agents."""

    filters: FiltersConfig = FiltersConfig()
    """What is watched and what not."""

    kubernetes: KubernetesConfig = KubernetesConfig()
    """Pods of the node."""

    spool: SpoolConfig = SpoolConfig()
    """The disk buffer between the agent and the bus."""

    bus: BusConfig = BusConfig()
    """The NATS JetStream servers that hold both logs."""

    coordination: CoordinationConfig = CoordinationConfig()
    """How several aggregators share the partitions."""

    aggregator: AggregatorConfig = AggregatorConfig()
    """How events become findings."""

    exporters: ExportersConfig = ExportersConfig()
    """Where findings go."""

    api: ApiConfig = ApiConfig()
    """The gRPC API of every aggregator."""

    security: SecurityConfig = SecurityConfig()
    """Who may read what."""

    plugins: PluginsConfig = PluginsConfig()
    """Packages of others that take part."""

    logging: LoggingConfig = LoggingConfig()
    """Our own log."""
