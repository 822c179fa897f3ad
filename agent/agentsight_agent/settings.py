"""What of the configuration the agent uses, in the form in which its parts take it."""

from __future__ import annotations

from pathlib import Path

from agentsight_core.config.filters import ProcessFilterConfig
from agentsight_core.config.models import AgentSightConfig
from agentsight_core.parsers.http1 import HttpSettings
from agentsight_core.spool.settings import SpoolSettings

from agentsight_agent.agent import AgentSettings
from agentsight_agent.bpf.control import KernelSettings
from agentsight_agent.bpf.limits import ClassLimit
from agentsight_agent.bpf.prefixes import PathFilter
from agentsight_agent.hosts import HostFilter
from agentsight_agent.limits import CLASSES
from agentsight_agent.sessions.filters import ProcessFilter
from agentsight_agent.sessions.rules import SessionRule


def agent_settings(config: AgentSightConfig) -> AgentSettings:
    """Return how to watch."""
    capture = config.capture
    return AgentSettings(
        kernel=KernelSettings(
            ring_bytes=capture.ring_bytes,
            max_payload_bytes=capture.max_call_bytes,
            max_argv_bytes=capture.max_argv_bytes,
            discover=capture.discover or bool(config.sessions.rules),
            network=capture.network,
            loader=capture.loader,
            kernel_headers=capture.kernel_headers,
        ),
        http=HttpSettings(max_body_bytes=capture.max_body_bytes),
        rules=tuple(SessionRule(**rule.model_dump()) for rule in config.sessions.rules),
        include=_process_filters(config.filters.include),
        exclude=_process_filters(config.filters.exclude),
        hosts=HostFilter(config.filters.include_hosts, config.filters.exclude_hosts),
        paths=PathFilter(config.filters.include_paths, config.filters.exclude_paths),
        flush_s=capture.flush_interval_ms / 1000,
        promote=capture.discover,
        watch_files=capture.files,
        watch_shells=capture.shell_input,
        watch_stdio=capture.stdio,
        watch_sockets=capture.plain_http,
        local_model_ports=tuple(capture.local_model_ports),
        output_bytes=capture.output_bytes,
        limits={
            name: ClassLimit(**getattr(capture.limits, wanted).model_dump())
            for name, wanted in CLASSES.items()
        },
    )


def _process_filters(filters: tuple[ProcessFilterConfig, ...]) -> tuple[ProcessFilter, ...]:
    return tuple(
        ProcessFilter(**{**one.model_dump(), "labels": tuple(sorted(one.labels.items()))})
        for one in filters
    )


def spool_settings(config: AgentSightConfig) -> SpoolSettings:
    """Return what the spool may use."""
    return SpoolSettings(
        max_bytes=config.spool.max_bytes,
        min_free_bytes=config.spool.min_free_bytes,
        segment_bytes=config.spool.segment_bytes,
    )


def spool_folder(config: AgentSightConfig) -> Path:
    """Return where the spool lies."""
    return config.spool.dir or config.node.state_dir / "spool"
