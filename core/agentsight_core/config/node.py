"""Sections that the agent on a node reads: what is watched, kept and where it waits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from agentsight_core.config.section import SIZE, Bytes, Milliseconds, Port, PositiveBytes, Section

_KIB = 1024
_MIB = 1024 * _KIB
_GIB = 1024 * _MIB
_MAX_LIMIT = 1_000_000_000

# A token of a NATS subject: no dot, blank or wildcard.
SubjectToken = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=63)]


class NodeConfig(Section):
    """Who this node is."""

    cluster: SubjectToken = "default"
    """Name of the cluster, the same on every node: letters, digits, `-` and `_`."""

    name: str = ""
    """Name of this node in spans and metrics; empty means the host name."""

    state_dir: Path = Path("/var/lib/agentsight")
    """Directory of everything that must survive a restart: spool, embedded bus, recordings."""

    telemetry_host: str = "127.0.0.1"
    """Address that the agent's own pages listen on; `0.0.0.0` for all interfaces, as in a
    container."""

    telemetry_port: Port = 9465
    """TCP port of the agent's own `/metrics`, `/ledger`, `/healthz` and `/readyz`;
    0 takes a free one."""


class ClassLimitConfig(Section):
    """Of what begins in a session; what is left out is counted, as *filtered*."""

    per_second: Annotated[int, Field(ge=0, le=_MAX_LIMIT)] = 0
    """At most so many are recorded of each session in a second; 0 is no limit."""

    one_in: Annotated[int, Field(ge=1, le=_MAX_LIMIT)] = 1
    """One in so many is recorded, chosen at random; 1 is all."""


class LimitsConfig(Section):
    """How much of each class is recorded; a session is told when that begins and has ended."""

    files: ClassLimitConfig = ClassLimitConfig()
    """Files that are opened, with all that goes through them, and changes of files."""

    network: ClassLimitConfig = ClassLimitConfig()
    """TCP connections and UDP flows, with all that is told of them."""

    tls: ClassLimitConfig = ClassLimitConfig()
    """Connections whose content is read, with TLS or without."""

    stdio: ClassLimitConfig = ClassLimitConfig()
    """Standard streams that are pipes: MCP servers, output of programs, lines of shells."""


class CaptureConfig(Section):
    """What the probes see and what of it leaves the node."""

    mode: Literal["none", "metadata", "redacted", "full"] = "redacted"
    """What of HTTP traffic is kept: `none`, `metadata` (no bodies, few headers), `redacted`
    (credentials replaced), `full` (as it is on the wire)."""

    discover: bool = True
    """Whether a process that starts to talk to an LLM API becomes a session by itself."""

    files: bool = True
    """Whether the files that agents open, with bytes read and written, are recorded."""

    network: bool = True
    """Whether the TCP connections that agents open, with bytes each way, are recorded."""

    stdio: bool = True
    """Whether JSON-RPC on standard input and output of agents' processes is recorded, where these
    are pipes: MCP servers over stdio."""

    plain_http: bool = True
    """Whether HTTP without TLS is recorded as HTTP with it is: local models, MCP servers."""

    local_model_ports: tuple[Port, ...] = (11434, 8000, 8080, 1234)
    """Ports of this machine where models listen (Ollama, vLLM, llama.cpp, LM Studio): a process
    that calls one of them over plain HTTP becomes a session, if `discover` is on."""

    shell_input: bool = False
    """Whether lines that are typed into interactive shells of agents (bash, and what uses the
    system's readline) are recorded."""

    output_bytes: Annotated[int, SIZE, Field(ge=0, le=_MIB)] = 0
    """Of what agents' processes write to pipes as standard output and error, and is no JSON-RPC, so
    many bytes of each program are kept; 0 keeps none."""

    limits: LimitsConfig = LimitsConfig()
    """Sampling and highest rates, by class."""

    max_body_bytes: PositiveBytes = 16 * _MIB
    """Longest HTTP body kept, after decompression, in bytes; longer ones are cut and marked."""

    max_call_bytes: PositiveBytes = 16 * _MIB
    """Most bytes taken of one TLS read or write; what is beyond is counted as truncated."""

    max_argv_bytes: Annotated[int, SIZE, Field(ge=256, le=128 * _KIB)] = 64 * _KIB
    """Longest argument list of a process kept, in bytes; longer ones are cut and marked."""

    flush_interval_ms: Milliseconds = 100
    """Longest time that an event waits on the node for others to share a frame, in milliseconds."""

    ring_bytes: Annotated[int, SIZE, Field(ge=256 * _KIB, le=_GIB)] = 16 * _MIB
    """Size of the kernel's ring buffer in bytes, a power of two."""

    loader: Literal["auto", "btf", "bcc"] = "auto"
    """How the programs come into the kernel: compiled beforehand and fitted by the kernel's type
    information (`btf`), or compiled on the node by BCC with the kernel's headers (`bcc`); `auto`
    takes `bcc` only where the kernel has no such information."""

    kernel_headers: Path | None = None
    """For `bcc`: directory of the running kernel's headers, `/lib/modules/RELEASE` by default."""

    @field_validator("ring_bytes", mode="after")
    @classmethod
    def _is_power_of_two(cls, value: int) -> int:
        if value & (value - 1):
            raise ValueError("must be a power of two, for example 16777216")
        return value


class SessionRuleConfig(Section):
    """A process that matches all given patterns starts a session, before it says anything."""

    name: Annotated[str, Field(min_length=1)]
    """Name of the rule; sessions that it started carry it."""

    executable: str = ""
    """Glob over the path of the executable, for example `*/bin/claude`; empty matches all."""

    argv: str = ""
    """Regular expression (RE2 syntax) found in the argument list joined by blanks; empty matches
    all."""

    user: str = ""
    """User name or numeric user id; empty matches all."""

    container: str = ""
    """Glob over the container id; empty matches all."""

    agent_name: str = ""
    """Name that the sessions of this rule get; empty means the name found from the program."""

    @field_validator("agent_name", mode="after")
    @classmethod
    def _is_printable(cls, value: str) -> str:
        if not value.isprintable():
            raise ValueError("must consist of printable characters")
        return value


class SessionsConfig(Section):
    """Which processes are agents."""

    rules: tuple[SessionRuleConfig, ...] = ()
    """Rules, tried in order; the first that matches names the session."""

    @field_validator("rules", mode="after")
    @classmethod
    def _match_something(
        cls, rules: tuple[SessionRuleConfig, ...]
    ) -> tuple[SessionRuleConfig, ...]:
        for index, rule in enumerate(rules):
            if not (rule.executable or rule.argv or rule.user or rule.container):
                raise ValueError(
                    f"rule {index} ({rule.name}) would match every process: "
                    "give executable, argv, user or container"
                )
        return rules


class SpoolConfig(Section):
    """The disk buffer between the agent and the bus."""

    dir: Path | None = None
    """Directory of the spool; empty means `spool` in `node.state_dir`."""

    max_bytes: PositiveBytes = 2 * _GIB
    """Most bytes the spool takes on disk; beyond, the least valuable events are dropped and
    counted."""

    min_free_bytes: Bytes = 512 * _MIB
    """Free bytes that the spool leaves on its file system."""

    segment_bytes: PositiveBytes = 8 * _MIB
    """Size of one spool file in bytes."""

    publish_bytes_per_s: Bytes = 64 * _MIB
    """Most bytes that the agent sends to the bus in a second, also when the bus was away and much
    has come together; 0 is no bound."""
