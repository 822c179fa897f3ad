"""Hosts as network namespaces on one bridge, and the ways in which the network between them fails.

The bridge lives in a namespace of its own: in the root namespace the firewall rules of a container
engine would apply to it. Needs root, iproute2, iptables. Must not start processes on the hosts.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

# A bridge takes 1,023 ports, an address one byte.
_MAX_HOSTS = 200
_OWN_ADDRESS = 254


@dataclass(frozen=True, slots=True)
class Host:
    """A namespace with one interface."""

    name: str
    namespace: str
    address: str

    def inside(self, command: Sequence[str]) -> list[str]:
        """Return the command line that runs `command` on this host."""
        return ["nsenter", f"--net=/run/netns/{self.namespace}", *command]


class Network:
    """Hosts that reach each other and this process; use `running_network` to get one."""

    def __init__(self) -> None:
        # Several runs may share a machine.
        self._prefix = f"as{os.getpid() % 100_000}"
        self._subnet = f"10.{100 + os.getpid() % 100}.{os.getpid() // 100 % 250}"
        self._numbers = itertools.count(1)
        self._namespaces: list[str] = []
        self._hub = ""
        self._hosts: list[Host] = []

    @property
    def own_address(self) -> str:
        """Where hosts reach this process; the same for all networks that it makes."""
        return f"{self._subnet}.{_OWN_ADDRESS}"

    async def open(self) -> None:
        """Make the bridge and connect this process to it."""
        self._hub = await self._namespace("hub")
        await run("ip", "-n", self._hub, "link", "add", "br0", "type", "bridge")
        await run("ip", "-n", self._hub, "link", "set", "br0", "up")
        outside = f"{self._prefix}-up"
        await self._plug(outside)
        await run("ip", "addr", "add", f"{self.own_address}/24", "dev", outside)
        await run("ip", "link", "set", outside, "up")

    async def close(self) -> None:
        """Remove everything; processes that still run in a namespace keep it alive."""
        for namespace in self._namespaces:
            with contextlib.suppress(CommandError):
                await run("ip", "netns", "delete", namespace)
        with contextlib.suppress(CommandError):
            # Goes with its peer; only the end that is here may be left.
            await run("ip", "link", "delete", f"{self._prefix}-up")

    async def host(self, name: str) -> Host:
        """Make a host."""
        number = next(self._numbers)
        assert number < _MAX_HOSTS, "the subnet is full"
        namespace = await self._namespace(name)
        outside = f"{self._prefix}-{number}"
        await self._plug(outside)
        await run("ip", "link", "set", outside, "netns", namespace, "name", "eth0")
        address = f"{self._subnet}.{number}"
        await run("ip", "-n", namespace, "addr", "add", f"{address}/24", "dev", "eth0")
        await run("ip", "-n", namespace, "link", "set", "eth0", "up")
        await run("ip", "-n", namespace, "link", "set", "lo", "up")
        made = Host(name, namespace, address)
        self._hosts.append(made)
        return made

    async def cut(self, host: Host, others: Sequence[Host], *, deaf: bool = False) -> None:
        """Drop all packets between `host` and `others`; `deaf`: only those towards `host`."""
        for other in others:
            await _iptables(host, "-A", "INPUT", "-s", other.address, "-j", "DROP")
            if not deaf:
                await _iptables(host, "-A", "OUTPUT", "-d", other.address, "-j", "DROP")

    async def lose(self, host: Host, share: float) -> None:
        """Drop that share of the packets towards `host`, at random."""
        chance = ("-m", "statistic", "--mode", "random", "--probability", f"{share:.4f}")
        await _iptables(host, "-A", "INPUT", *chance, "-j", "DROP")

    async def heal(self, host: Host) -> None:
        """Take back all faults of `host`."""
        await _iptables(host, "-F")

    async def _namespace(self, name: str) -> str:
        namespace = f"{self._prefix}-{name}"
        await run("ip", "netns", "add", namespace)
        self._namespaces.append(namespace)
        return namespace

    async def _plug(self, outside: str) -> None:
        """Make a pair of interfaces: `outside` here, its peer on the bridge."""
        peer = f"{outside}b"
        await run("ip", "link", "add", outside, "type", "veth", "peer", peer, "netns", self._hub)
        await run("ip", "-n", self._hub, "link", "set", peer, "master", "br0", "up")


@contextlib.asynccontextmanager
async def running_network() -> AsyncIterator[Network]:
    """Make a network; remove it at the end."""
    network = Network()
    try:
        await network.open()
        yield network
    finally:
        await network.close()


class CommandError(Exception):
    """A command of the system did not do what it should."""


async def run(*command: str) -> str:
    """Run a command and return what it prints; raises CommandError."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    text = output.decode(errors="replace")
    if process.returncode:
        raise CommandError(f"{' '.join(command)}: {text.strip()}")
    return text


async def _iptables(host: Host, *arguments: str) -> None:
    await run(*host.inside(["iptables", "-w", *arguments]))
