"""`agentsight status`: the processes, partitions and streams of a running system."""

from __future__ import annotations

import sys
import time

from agentsight_core.config import AgentSightConfig
from agentsight_core.pb import api_pb2
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from agentsight_cli import output, running
from agentsight_cli.cluster_api import open_api
from agentsight_cli.text import duration, shown, size

_MEMBERS = ("process", "name", "version", "up", "last note", "config", "api")
_GROUP = ("aggregator", "leads", "partitions", "lease left", "got", "taken over", "etcd errors")
_EXPORTS = ("exporter", "on", "partitions", "behind", "retries", "state")
_PARTITIONS = ("partition", "owner", "fence", "answered up to")
_STREAMS = ("stream", "messages", "size", "sequences")
_ALWAYS = (_MEMBERS, _PARTITIONS, _STREAMS)
_ERROR_CHARS = 60


def run(config: AgentSightConfig, address: str, *, ledger: bool, as_json: bool) -> int:
    """Print the state of the system, or its ledgers; return the exit status."""
    if ledger:
        ledgers = running.run(_ledger(config, address))
        if as_json:
            output.print_json(_plain(ledgers), sys.stdout)
        else:
            _print_ledgers(ledgers)
        return 0
    status = running.run(_status(config, address))
    if as_json:
        output.print_json(_plain(status), sys.stdout)
    else:
        _print_status(status)
    return 0


async def _status(config: AgentSightConfig, address: str) -> api_pb2.GetStatusResponse:
    async with open_api(config, address) as api:
        return await api.ask(api.cluster.GetStatus, api_pb2.GetStatusRequest())


async def _ledger(config: AgentSightConfig, address: str) -> api_pb2.GetLedgerResponse:
    async with open_api(config, address) as api:
        return await api.ask(api.cluster.GetLedger, api_pb2.GetLedgerRequest())


def _print_status(status: api_pb2.GetStatusResponse) -> None:
    now_ns = time.time_ns()
    members = [_member(member, now_ns) for member in status.members]
    partitions = [
        (str(item.partition), item.owner or "nobody", str(item.fence), str(item.position))
        for item in status.partitions
    ]
    streams = [
        (
            item.name,
            f"{item.messages:,}",
            size(item.bytes),
            f"{item.first_sequence} to {item.last_sequence}",
        )
        for item in status.streams
    ]
    tables = (
        (_MEMBERS, *members),
        (_GROUP, *_group(status)),
        (_EXPORTS, *_exports(status)),
        (_PARTITIONS, *partitions),
        (_STREAMS, *streams),
    )
    # A single machine has no group, and there may be no exporter.
    shown_tables = [table for table in tables if len(table) > 1 or table[0] in _ALWAYS]
    for number, rows in enumerate(shown_tables):
        if number:
            print()
        output.print_table(rows, sys.stdout)


def _group(status: api_pb2.GetStatusResponse) -> list[tuple[str, ...]]:
    return [
        (
            shown(member.name),
            "yes" if member.coordination.is_leader else "no",
            str(len(member.partitions)),
            f"{member.coordination.lease_left_ms / 1000:.1f} s",
            str(member.coordination.assignments),
            str(member.coordination.takeovers),
            str(member.coordination.etcd_errors),
        )
        for member in status.members
        if member.HasField("coordination")
    ]


def _exports(status: api_pb2.GetStatusResponse) -> list[tuple[str, ...]]:
    return [
        (
            shown(export.exporter),
            shown(member.name),
            str(export.partitions),
            f"{export.behind:,}",
            f"{export.retries:,}",
            "switched off" if export.is_off else "on",
        )
        for member in status.members
        for export in member.exports
    ]


def _member(member: api_pb2.MemberStatus, now_ns: int) -> tuple[str, ...]:
    config = f"generation {member.config_generation}"
    if member.config_error:
        config += f", refused: {shown(member.config_error, _ERROR_CHARS)}"
    return (
        member.kind,
        shown(member.name),
        member.version,
        duration(max(0, now_ns - member.started_ns)),
        f"{duration(max(0, now_ns - member.time_ns))} ago",
        config,
        member.api_address or "-",
    )


def _print_ledgers(ledgers: api_pb2.GetLedgerResponse) -> None:
    now_ns = time.time_ns()
    for member in ledgers.members:
        age = duration(max(0, now_ns - member.time_ns))
        print(f"{member.kind} {shown(member.name)}, {age} ago")
        output.print_ledger([_stage(stage) for stage in member.stages], sys.stdout)


def _stage(stage: api_pb2.LedgerStage) -> dict[str, object]:
    return {
        "stage": stage.stage,
        "unit": stage.unit,
        "received": stage.received,
        "emitted": stage.emitted,
        "held": stage.held,
        "filtered": dict(sorted(stage.filtered.items())),
        "dropped": dict(sorted(stage.dropped.items())),
        "unexplained": stage.unexplained,
    }


def _plain(message: Message) -> dict[str, object]:
    """Return a message as JSON has it; 64-bit numbers are texts there (protobuf's JSON mapping)."""
    return MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
