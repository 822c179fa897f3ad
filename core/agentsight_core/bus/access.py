"""How a process reaches the bus, from its configuration: servers, credential, TLS, keys.

Must not connect.
"""

from __future__ import annotations

from pathlib import Path

from agentsight_core.bus import subjects
from agentsight_core.bus.connection import ConnectionSettings
from agentsight_core.config.models import AgentSightConfig
from agentsight_core.errors import ConfigError
from agentsight_core.runtime.tls import TlsFiles
from agentsight_core.sealing import GroupKeys


def connection_settings(
    config: AgentSightConfig, name: str, *, node: str = "", connect_seconds: float = 20.0
) -> ConnectionSettings:
    """Return how to reach the bus; `name` is shown by its monitoring.

    Whoever has an nkey receives answers under its own name only: that of its `node`, else `name`;
    agents that share one, under what `bus.inbox` says.
    Raises ConfigError when a file that the configuration names cannot be used.
    """
    bus = config.bus
    group_file = config.security.seal.group_file
    own = subjects.node_inbox(node) if node else subjects.role_inbox(name)
    return ConnectionSettings(
        bus.servers,
        name,
        token=_secret(bus.token_file),
        nkey_seed=_secret(bus.nkey_file),
        tls=TlsFiles(bus.tls.ca_file, bus.tls.certificate_file, bus.tls.key_file)
        if bus.tls.ca_file
        else None,
        tls_first=bus.tls.handshake_first,
        inbox_prefix=(bus.inbox or own) if bus.nkey_file else "",
        group_keys=GroupKeys(group_file) if group_file else None,
        connect_seconds=connect_seconds,
    )


def _secret(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text().strip()
    except OSError as error:
        raise ConfigError(f"the credential {path} cannot be read: {error.strerror}") from error
