"""Names on the bus: streams, buckets, subjects, consumers, message headers.

Must not talk to the bus.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from agentsight_core import ids
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.pb.findings_pb2 import Finding

EVENTS = "EVENTS"
FINDINGS = "FINDINGS"
DLQ = "DLQ"
CHECKPOINTS = "checkpoints"
SESSIONS = "sessions"
CONFIG = "config"
STATUS = "status"
EXPORTS = "exports"

MESSAGE_ID = "Nats-Msg-Id"
EXPECTED_LAST = "Nats-Expected-Last-Subject-Sequence"
EXPECTED_LAST_SUBJECT = "Nats-Expected-Last-Subject-Sequence-Subject"
BATCH_ID = "Nats-Batch-Id"
BATCH_SEQUENCE = "Nats-Batch-Sequence"
BATCH_COMMIT = "Nats-Batch-Commit"
# How long the server keeps a message (NATS ADR-43).
TTL = "Nats-TTL"

# On a finding: which input it answers, "<sequence in EVENTS>.<ordinal among the findings of it>".
INPUT = "Agentsight-Input"
# On a finding: its number in its partition, from 1. One that is missing has expired. Who takes the
# partition when no numbered finding is there begins anew.
NUMBER = "Agentsight-Number"
# On a finding: who wrote it, so that a writer knows its own after a lost answer.
WRITER = "Agentsight-Writer"
# On an event frame: sent again from the dead letters, its number was seen before.
REPLAYED = "Agentsight-Replayed"
# Beside it: the name of the only plugin that is to see the frame again.
REPLAYED_FOR = "Agentsight-Replayed-For"

# On what is sealed: the key that opens it.
KEY = "Agentsight-Key"

# Content is under these; without group keys it is stored as it is.
SEALED = ("findings.", f"$KV.{CHECKPOINTS}.")

_TOKEN = re.compile(r"[^A-Za-z0-9_=/:+-]")


def token(text: str) -> str:
    """Return `text` as one token of a subject: dots, blanks and wildcards become "_"."""
    return _TOKEN.sub("_", text) or "_"


def event_subject(header: pb.FrameHeader) -> str:
    """Return where an agent publishes the frame; the server turns it into one of `events.<p>.>`."""
    session = ids.session_text(header.session)
    return f"ev.{token(header.cluster)}.{token(header.node)}.{session}"


def node_events(cluster: str, node: str) -> str:
    """Return the subjects that an agent on `node` publishes on, and nobody else."""
    return f"ev.{token(cluster)}.{token(node)}.*"


def node_inbox(node: str) -> str:
    """Return the prefix of the subjects on which an agent on `node` receives answers."""
    return f"_INBOX_node_{token(node)}"


def role_inbox(role: str) -> str:
    """Return the same for those who are not of a node: "aggregator", "cli"."""
    return f"_INBOX_{token(role)}"


def shared_inbox() -> str:
    """Return the same for agents of all nodes, where they share a credential (`bus.inbox`)."""
    return "_INBOX_agents"


def sealed_place(subject: str) -> bytes:
    """Return what a sealed message on `subject` is bound to: the subject it was written to.

    The server copies summaries into the bucket of sessions, to another subject.
    """
    if subject.startswith(f"$KV.{SESSIONS}."):
        session, partition = subject.split(".")[2:4]
        subject = f"findings.{partition}.{session}.session_summary"
    return subject.encode()


def message_id(header: pb.FrameHeader) -> str:
    """Return the id by which the server knows a frame that is published again."""
    return f"{header.agent_id}:{header.epoch_ns}:{ids.session_text(header.session)}:{header.seq}"


def partition_filters(partition: int) -> list[str]:
    """Return the subjects of EVENTS that make up `partition`."""
    return [f"events.{partition}.>", tick_subject(partition)]


def tick_subject(partition: int) -> str:
    """Return where the owner of `partition` publishes the time."""
    return f"tick.{partition}"


def partition_consumer(partition: int) -> str:
    """Return how the names of the consumers of `partition` begin; each reader adds its own end."""
    return f"agg-p{partition:02d}"


def finding_subject(partition: int, finding: Finding) -> str:
    """Return the subject of `finding`: findings.<partition>.<session>.<kind>."""
    kind = finding.WhichOneof("body") or "none"
    return f"findings.{partition}.{ids.session_text(finding.session)}.{kind}"


def finding_number(headers: Mapping[str, str]) -> int:
    """Return the number that a finding has in its partition, 0 without one."""
    text = headers.get(NUMBER, "")
    return int(text) if text.isdecimal() else 0


def findings_filter(partition: int) -> str:
    """Return the subjects of all findings of `partition`."""
    return f"findings.{partition}.>"


def export_subject(name: str, partition: int) -> str:
    """Return where the position of the exporter called `name` in `partition` is kept."""
    return f"$KV.{EXPORTS}.{token(name)}.p{partition:02d}"


def dead_letter_subject(partition: int, stage: str, sequence: int) -> str:
    """Return the subject of the letter about message `sequence`: one for ever, never two."""
    return f"dlq.{partition}.{token(stage)}.{sequence}"
