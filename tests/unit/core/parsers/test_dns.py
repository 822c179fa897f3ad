"""Answers of DNS as they come, and broken ones."""

import ipaddress
import struct

import pytest
from agentsight_core.parsers.dns import DnsAnswer, parse_dns_answer
from agentsight_core.testing.dns_messages import dns_answer, dns_name


def test_all_addresses_stand_for_the_name_of_the_question() -> None:
    message = dns_answer("API.Example.test", ["192.0.2.1", "2001:db8::5"], alias="edge.example.net")
    assert parse_dns_answer(message) == DnsAnswer("api.example.test", ("192.0.2.1", "2001:db8::5"))


@pytest.mark.parametrize(
    "flags",
    [0x0100, 0x8183, 0xA180],
    ids=["a question", "no such name", "another operation"],
)
def test_what_is_no_successful_answer_says_nothing(flags: int) -> None:
    message = dns_answer("a.test", ["192.0.2.1"])
    assert parse_dns_answer(message[:2] + struct.pack(">H", flags) + message[4:]) is None


def test_of_a_message_that_is_cut_off_the_whole_records_count() -> None:
    message = dns_answer("a.test", ["192.0.2.1", "192.0.2.2"])
    assert parse_dns_answer(message[:-1]) == DnsAnswer("a.test", ("192.0.2.1",))


def test_a_name_that_points_at_itself_ends() -> None:
    head = struct.pack(">6H", 1, 0x8180, 1, 1, 0, 0)
    assert parse_dns_answer(head + b"\xc0\x0c" + bytes(40)) is None


def test_a_name_may_continue_elsewhere() -> None:
    head = struct.pack(">6H", 1, 0x8180, 1, 1, 0, 0)
    rest_at = 12 + 2 + 2 + 4 + 12 + 4
    question = b"\x01a" + struct.pack(">H", 0xC000 | rest_at) + struct.pack(">2H", 1, 1)
    record = (
        b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + ipaddress.ip_address("192.0.2.9").packed
    )
    assert parse_dns_answer(head + question + record + dns_name("test")) == DnsAnswer(
        "a.test", ("192.0.2.9",)
    )
