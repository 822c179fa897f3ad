"""The settings of the fold. Must not hold what a user sets directly (that is `XConfig`)."""

from __future__ import annotations

from dataclasses import dataclass, field

from agentsight_aggregator.streams.exchanges import ExchangeSettings

SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class FoldSettings:
    """Times in ns of event time, sizes in bytes; each bound that is met is counted."""

    exchanges: ExchangeSettings = field(default_factory=ExchangeSettings)

    # Put messages, tool arguments and tool results on spans (the node has redacted them already).
    content_on_spans: bool = True
    # A longer one is cut and carries its hash and its length. Jaeger has no limit of its own and
    # dies of large ones (jaegertracing/jaeger#8565).
    max_content_bytes: int = 8 * 1024
    # One stored message of a conversation; the bus takes 1 MiB a message.
    max_message_bytes: int = 256 * 1024
    # Span events of one span; the rest is counted in its attributes.
    max_effects: int = 128

    # Events of one drain may be in class order instead of time order; nothing is decided sooner.
    reorder_ns: int = SECOND_NS
    # SDKs wait 0.5 to 60 s (Retry-After) before they try again.
    retry_wait_ns: int = 75 * SECOND_NS
    # How long a process waits for the answer that may have asked for it.
    cause_wait_ns: int = 60 * SECOND_NS
    # A turn without a final answer, without open tool calls and without a new call is over.
    turn_idle_ns: int = 5 * 60 * SECOND_NS
    session_idle_ns: int = 30 * 60 * SECOND_NS
    session_forget_ns: int = 24 * 3600 * SECOND_NS

    max_sessions: int = 20_000
    max_threads: int = 256
    max_open_tools: int = 512
    max_processes: int = 8192
    max_messages: int = 16_384
    max_retrying: int = 64
    # Label sets of one metric; the rest is added up under the value "other".
    max_label_sets: int = 200
