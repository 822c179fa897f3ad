"""Which hosts are recorded: of HTTP by name, of everything by address.

Pure: must not resolve names.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address, ip_network

from agentsight_agent.bpf.exclusions import Network

UNWANTED_HOST = "host not wanted by a filter"


@dataclass(frozen=True)
class HostFilter:
    """Names, `*.name` for all below a name, addresses, networks ("10.0.0.0/8").

    An empty `include` is every host.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    @cached_property
    def excluded_networks(self) -> frozenset[Network]:
        """The addresses and networks of `exclude`: nothing is recorded with these peers."""
        return frozenset(_networks(self.exclude))

    @cached_property
    def _included_networks(self) -> frozenset[Network]:
        return frozenset(_networks(self.include))

    def wants(self, authority: str, peer: str = "") -> bool:
        """Say whether HTTP with a host is to be recorded.

        `authority`: the host with or without port; `peer`: its address, "" if it is not known.
        """
        host = _name(authority or peer)
        addresses = [text for text in (host, peer) if text]
        if any(_matches(pattern, host) for pattern in self.exclude):
            return False
        if any(_is_in(address, self.excluded_networks) for address in addresses):
            return False
        return (
            not self.include
            or any(_matches(pattern, host) for pattern in self.include)
            or any(_is_in(address, self._included_networks) for address in addresses)
        )


ALL_HOSTS = HostFilter()


def _networks(patterns: Iterable[str]) -> Iterable[Network]:
    for pattern in patterns:
        try:
            yield ip_network(pattern, strict=False)
        except ValueError:
            continue  # a name


def _is_in(address: str, networks: frozenset[Network]) -> bool:
    if not networks:
        return False
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)


def _name(authority: str) -> str:
    """Return the host of "host:port", "[address]:port", or of one without port; lower case."""
    if authority.startswith("["):
        return authority[1:].partition("]")[0].lower()
    host, _, port = authority.rpartition(":")
    name = host if port.isdigit() and ":" not in host and host else authority
    return name.lower().removesuffix(".")


def _matches(pattern: str, host: str) -> bool:
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern
