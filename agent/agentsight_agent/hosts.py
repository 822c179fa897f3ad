"""Which hosts HTTP is recorded with.

Pure: must not resolve names.
"""

from __future__ import annotations

from dataclasses import dataclass

UNWANTED_HOST = "host not wanted by a filter"


@dataclass(frozen=True, slots=True)
class HostFilter:
    """Names, or `*.name` for all below a name; an empty `include` is every host."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def wants(self, authority: str) -> bool:
        """Say whether HTTP with `authority`, a host with or without port, is to be recorded."""
        host = _name(authority)
        if any(_matches(pattern, host) for pattern in self.exclude):
            return False
        return not self.include or any(_matches(pattern, host) for pattern in self.include)


ALL_HOSTS = HostFilter()


def _name(authority: str) -> str:
    """Return the host of "host:port", "[address]:port", or of one without port; lower case."""
    if authority.startswith("["):
        return authority[1:].partition("]")[0].lower()
    host, _, port = authority.rpartition(":")
    name = host if port.isdigit() and ":" not in host and host else authority
    return name.lower().removesuffix(".")


def _matches(pattern: str, host: str) -> bool:
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern
