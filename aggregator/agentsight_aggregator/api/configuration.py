"""The service Configuration: generations of the cluster's configuration."""

from __future__ import annotations

import grpc
import grpc.aio
import yaml
from agentsight_core.bus.connection import Bus
from agentsight_core.bus.failures import NotFound
from agentsight_core.bus.generations import NOTHING_SET, Generation, GenerationLog
from agentsight_core.config.live import problems_of_generation
from agentsight_core.config.yaml_file import parse_yaml
from agentsight_core.errors import ConfigError
from agentsight_core.pb import api_pb2 as api
from agentsight_core.runtime import config_editing

from agentsight_aggregator.api.answering import answered
from agentsight_aggregator.api.pages import DEFAULT_SIZE, PageRequest

# What errors call the text that came with a request.
_NAME = "yaml"


class ConfigurationService:
    """Reads and writes the log of generations; the members take them from there."""

    def __init__(self, bus: Bus) -> None:
        self._log = GenerationLog(bus)

    @answered
    async def GetConfig(  # noqa: N802  # gRPC's name
        self, request: api.GetConfigRequest, _context: grpc.aio.ServicerContext
    ) -> api.ConfigGeneration:
        """Return one generation, the newest unless another is asked for."""
        if not request.generation:
            return _message(await self._log.last())
        for generation in await self._log.history():
            if generation.number == request.generation:
                return _message(generation)
        raise NotFound(f"generation {request.generation} is not kept")

    @answered
    async def ApplyConfig(  # noqa: N802  # gRPC's name
        self, request: api.ApplyConfigRequest, _context: grpc.aio.ServicerContext
    ) -> api.ConfigGeneration:
        """Replace all that is set for the cluster; nothing is written if anything is wrong."""
        file = parse_yaml(request.yaml, name=_NAME)
        problems = [*file.problems, *problems_of_generation(file.values, _NAME)]
        if problems:
            raise ConfigError("\n".join(problems))
        if request.dry_run:
            return _message(Generation(0, dict(file.values)))
        base = request.base or None
        return _message(
            await config_editing.apply_values(
                self._log, file.values, request.author, request.comment, base=base
            )
        )

    @answered
    async def ListGenerations(  # noqa: N802  # gRPC's name
        self, request: api.ListGenerationsRequest, _context: grpc.aio.ServicerContext
    ) -> api.ListGenerationsResponse:
        """Return a page of the generations that are kept, newest first."""
        page = PageRequest(request.page_size, request.page_token)
        size, newest = page.size or DEFAULT_SIZE, int(page.token or "0")
        found = [
            generation
            for generation in reversed(await self._log.history())
            if not newest or generation.number <= newest
        ]
        return api.ListGenerationsResponse(
            generations=[_message(generation, values=False) for generation in found[:size]],
            next_page_token=str(found[size].number) if len(found) > size else "",
        )

    @answered
    async def RollbackConfig(  # noqa: N802  # gRPC's name
        self, request: api.RollbackConfigRequest, _context: grpc.aio.ServicerContext
    ) -> api.ConfigGeneration:
        """Make the values of an older generation the newest again."""
        return _message(
            await config_editing.roll_back(self._log, request.generation, request.author)
        )


def _message(generation: Generation, *, values: bool = True) -> api.ConfigGeneration:
    has_text = values and generation.values != NOTHING_SET.values
    return api.ConfigGeneration(
        generation=generation.number,
        time_ns=generation.time_ns,
        author=generation.author,
        comment=generation.note,
        yaml=yaml.safe_dump(generation.values, allow_unicode=True) if has_text else "",
    )
