"""What of all that the probes could see is wanted: processes, files, hosts."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from agentsight_core.config.section import Section

_HOST = re.compile(r"(\*\.)?[a-z0-9]([a-z0-9._:-]*[a-z0-9])?")
# What the kernel side compares, less the slash or the zero byte behind a path.
_MAX_PREFIX_BYTES = 127
_PATHS = Field(max_length=256)


def _is_network(text: str) -> bool:
    try:
        ip_network(text)
    except ValueError:
        return False
    return True


class ProcessFilterConfig(Section):
    """Processes that match all given patterns; one at least must be given."""

    session: str = ""
    """Glob over the agent's name of the session, or the session's id."""

    executable: str = ""
    """Glob over the path of the executable, or over its last part when the glob has no slash."""

    user: str = ""
    """User name or numeric user id."""

    container: str = ""
    """Container id, or how it begins."""

    image: str = ""
    """Glob over the image of the container: `ghcr.io/acme/*`."""

    namespace: str = ""
    """Glob over the Kubernetes namespace of the pod."""

    labels: dict[str, str] = Field(default={})
    """Labels of the pod and globs over their values: `{team: "search*"}`."""

    @field_validator("container", mode="after")
    @classmethod
    def _is_hexadecimal(cls, value: str) -> str:
        if value and not re.fullmatch(r"[0-9a-f]{4,64}", value):
            raise ValueError("must be 4 to 64 hexadecimal digits, how a container id begins")
        return value

    @model_validator(mode="after")
    def _says_something(self) -> ProcessFilterConfig:
        if self == type(self).model_construct():
            raise ValueError(
                f"matches every process: give one of {', '.join(type(self).model_fields)}"
            )
        return self


class FiltersConfig(Section):
    """What is watched and what not; what is filtered is counted as such, never as lost."""

    include: tuple[ProcessFilterConfig, ...] = ()
    """Sessions begin only with processes that match one of these; empty: with any."""

    exclude: tuple[ProcessFilterConfig, ...] = ()
    """Processes that match one of these begin no session; in sessions of others only their begin
    and end is recorded, and that of what they start."""

    exclude_hosts: tuple[str, ...] = ()
    """HTTP of agents with these hosts is not recorded: a name, `*.example.com` for all below it, an
    address, or a network (`10.0.0.0/8`). With addresses and networks no connection is recorded."""

    include_hosts: tuple[str, ...] = ()
    """If given, only HTTP with these hosts is recorded; `exclude_hosts` still holds."""

    exclude_paths: Annotated[tuple[str, ...], _PATHS] = ()
    """Directories and files of which, and of all below them, nothing is recorded."""

    include_paths: Annotated[tuple[str, ...], _PATHS] = ()
    """If given, only files below these are recorded; of several paths that fit, of both lists, the
    longest decides."""

    @field_validator("exclude_paths", "include_paths", mode="after")
    @classmethod
    def _are_paths(cls, paths: tuple[str, ...]) -> tuple[str, ...]:
        for path in paths:
            parts = path.removeprefix("/").removesuffix("/").split("/")
            if not path.startswith("/") or (path != "/" and {"", ".", ".."} & {*parts}):
                raise ValueError(f"{path} must be an absolute path without `.`, `..` and `//`")
            if "*" in path:
                raise ValueError(f"{path} must not have a `*`: all below a path is meant")
            if len(path.encode()) > _MAX_PREFIX_BYTES:
                raise ValueError(f"{path} must have at most {_MAX_PREFIX_BYTES} bytes")
        return tuple(path.rstrip("/") or "/" for path in paths)

    @field_validator("exclude_hosts", "include_hosts", mode="after")
    @classmethod
    def _are_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if not _HOST.fullmatch(host) and not _is_network(host):
                raise ValueError(
                    f"{host} must be a host name in lower case, *.name, an address or a network"
                )
        return hosts
