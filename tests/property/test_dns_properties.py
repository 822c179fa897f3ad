"""Nothing that comes from port 53 breaks the parser, and what was written is read."""

import ipaddress
import struct

from agentsight_core.parsers.dns import parse_dns_answer
from agentsight_core.testing.dns_messages import dns_answer
from hypothesis import given, settings
from hypothesis import strategies as st

NAMES = st.lists(st.sampled_from(["a", "x-1", "_tcp", "l" * 63]), min_size=1, max_size=3)
NUMBERS = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=3, unique=True)


@settings(deadline=None)
@given(labels=NAMES, numbers=NUMBERS)
def test_what_was_written_is_read(labels: list[str], numbers: list[int]) -> None:
    name = ".".join(labels)
    addresses = [str(ipaddress.ip_address(number)) for number in numbers]
    answer = parse_dns_answer(dns_answer(name, addresses))
    assert answer is not None
    assert (answer.name, answer.addresses) == (name, tuple(addresses))


@settings(deadline=None)
@given(rest=st.binary(max_size=600), answers=st.integers(0, 0xFFFF))
def test_any_bytes_are_taken(rest: bytes, answers: int) -> None:
    head = struct.pack(">6H", 1, 0x8180, 1, answers, 0, 0)
    parse_dns_answer(rest)
    answer = parse_dns_answer(head + rest)
    assert answer is None or (answer.name and answer.addresses)


MESSAGE = dns_answer("api.example.test", ["192.0.2.1", "2001:db8::1"], alias="edge.example.net")


@settings(deadline=None)
@given(at=st.integers(0, len(MESSAGE) - 1), byte=st.binary(min_size=1, max_size=1))
def test_every_cut_and_every_changed_byte_is_taken(at: int, byte: bytes) -> None:
    parse_dns_answer(MESSAGE[:at])
    parse_dns_answer(MESSAGE[:at] + byte + MESSAGE[at + 1 :])
