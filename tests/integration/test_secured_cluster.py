"""Three servers that trust each other by certificates, with what `agentsight certs` writes."""

from pathlib import Path

import pytest
from agentsight_cli.certs.working_set import Wanted, make_set
from agentsight_core.bus import subjects
from agentsight_core.bus.access import connection_settings
from agentsight_core.bus.connection import connect
from agentsight_core.bus.provisioning import BusSettings
from agentsight_core.config import load_config
from agentsight_core.testing.nats_cluster import provisioned, three_servers

pytestmark = pytest.mark.server


async def test_streams_are_replicated_over_routes_with_certificates(tmp_path: Path) -> None:
    made = tmp_path / "set"
    make_set(made, Wanted(nodes=("n1",)))
    async with three_servers(tmp_path, fragments=made) as servers:
        config = load_config(made / "aggregator.yaml", {}, {"bus.servers": tuple(servers)})
        async with connect(connection_settings(config, "aggregator")) as bus:
            await provisioned(bus, BusSettings(partitions=1, replicas=3))
            info = await bus.stream_state(subjects.EVENTS)
            assert info.config.num_replicas == 3
            assert len(info.cluster.replicas) == 2
