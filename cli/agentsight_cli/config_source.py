"""Where `agentsight config` reads and writes generations: the bus, or the API of an aggregator.

Must not print.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

import yaml
from agentsight_core.bus.generations import Generation, GenerationLog, Report
from agentsight_core.config import AgentSightConfig
from agentsight_core.config.live import with_value
from agentsight_core.pb import api_pb2, api_pb2_grpc
from agentsight_core.runtime import config_editing

from agentsight_cli.cluster_api import Api, open_api
from agentsight_cli.running import open_bus


class ConfigSource(Protocol):
    """What the command does with the cluster's configuration."""

    async def last(self) -> Generation:
        """Return the newest generation."""
        ...

    async def history(self) -> list[Generation]:
        """Return the generations that are kept, oldest first."""
        ...

    async def reports(self) -> list[Report]:
        """Return what each member says about the generation that it runs."""
        ...

    async def set_value(self, key: str, value: object, author: str) -> Generation:
        """Set one key; None takes it out."""
        ...

    async def apply(self, values: Mapping[str, Any], author: str, note: str) -> Generation:
        """Replace all values."""
        ...

    async def roll_back(self, number: int, author: str) -> Generation:
        """Make an older generation the newest."""
        ...


class BusConfig(GenerationLog):
    """The bus itself."""

    async def set_value(self, key: str, value: object, author: str) -> Generation:
        """Set one key; None takes it out."""
        return await config_editing.set_value(self, key, value, author)

    async def apply(self, values: Mapping[str, Any], author: str, note: str) -> Generation:
        """Replace all values."""
        return await config_editing.apply_values(self, values, author, note)

    async def roll_back(self, number: int, author: str) -> Generation:
        """Make an older generation the newest."""
        return await config_editing.roll_back(self, number, author)


class ApiConfig:
    """An aggregator, which checks what it is given as the command does."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._calls: api_pb2_grpc.ConfigurationStub = api.configuration

    async def last(self) -> Generation:
        """Return the newest generation."""
        return await self._get(0)

    async def history(self) -> list[Generation]:
        """Return the generations that are kept, oldest first."""
        request = api_pb2.ListGenerationsRequest()
        numbers = [
            one.generation
            async for page in self._api.pages(self._calls.ListGenerations, request)
            for one in page.generations
        ]
        # A list has no values.
        return [await self._get(number) for number in reversed(numbers)]

    async def reports(self) -> list[Report]:
        """Return what the members' notes say; which keys an environment keeps is not in them."""
        status = await self._api.ask(self._api.cluster.GetStatus, api_pb2.GetStatusRequest())
        newest = (await self.last()).number
        return [
            Report(
                member.kind,
                member.name,
                generation=member.config_generation,
                offered=newest,
                ok=not member.config_error,
                problems=[member.config_error] if member.config_error else [],
                time_ns=member.time_ns,
            )
            for member in status.members
        ]

    async def set_value(self, key: str, value: object, author: str) -> Generation:
        """Set one key; None takes it out."""
        last = await self.last()
        verb = "unset" if value is None else "set"
        values = with_value(last.values, key, value)
        return await self._apply(values, author, f"{verb} {key}", last.number)

    async def apply(self, values: Mapping[str, Any], author: str, note: str) -> Generation:
        """Replace all values."""
        return await self._apply(values, author, note, 0)

    async def roll_back(self, number: int, author: str) -> Generation:
        """Make an older generation the newest."""
        request = api_pb2.RollbackConfigRequest(generation=number, author=author)
        return _generation(await self._api.ask(self._calls.RollbackConfig, request))

    async def _get(self, number: int) -> Generation:
        request = api_pb2.GetConfigRequest(generation=number)
        return _generation(await self._api.ask(self._calls.GetConfig, request))

    async def _apply(
        self, values: Mapping[str, Any], author: str, note: str, base: int
    ) -> Generation:
        request = api_pb2.ApplyConfigRequest(
            yaml=yaml.safe_dump(dict(values), allow_unicode=True) if values else "",
            base=base,
            author=author,
            comment=note,
        )
        return _generation(await self._api.ask(self._calls.ApplyConfig, request))


@contextlib.asynccontextmanager
async def open_source(config: AgentSightConfig, address: str) -> AsyncIterator[ConfigSource]:
    """Give the configuration by way of the API at `address`, or of the bus if it is ""."""
    if address:
        async with open_api(config, address) as api:
            yield ApiConfig(api)
    else:
        async with open_bus(config) as bus:
            yield BusConfig(bus)


def _generation(message: api_pb2.ConfigGeneration) -> Generation:
    values = yaml.safe_load(message.yaml) or {}
    return Generation(message.generation, values, message.time_ns, message.author, message.comment)
