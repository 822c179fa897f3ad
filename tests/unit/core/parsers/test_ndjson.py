from __future__ import annotations

from agentsight_core.parsers.messages import Malformed
from agentsight_core.parsers.ndjson import JsonStreamParser, JsonText


def parse(*parts: bytes) -> list[JsonText | Malformed]:
    parser = JsonStreamParser()
    return [value for part in parts for value in parser.feed(part)] + list(parser.close())


def test_lines() -> None:
    assert parse(b'{"a": "\xe2\x80\xa8"}\r\n\n {"b":', b" 2}\n3") == [
        JsonText(b'{"a": "\xe2\x80\xa8"}', 0),
        JsonText(b'{"b": 2}', 16),
        JsonText(b"3", 25),
    ]


def test_a_line_that_is_no_json() -> None:
    assert parse(b'{"a": 1}\noops\n{"b": 2}\n') == [
        JsonText(b'{"a": 1}', 0),
        Malformed(9, 4, "not a JSON value"),
        JsonText(b'{"b": 2}', 14),
    ]


def test_elements_of_an_array() -> None:
    stream = b'[{"a": "],[\\"{"}\n,\r\n{"b": [1, {}]}\n]\n'
    values = [JsonText(b'{"a": "],[\\"{"}', 1), JsonText(b'{"b": [1, {}]}', 20)]
    assert parse(stream) == values
    assert parse(*(bytes([byte]) for byte in stream)) == values


def test_an_unfinished_array() -> None:
    assert parse(b'[{"a": 1},\n{"b": ') == [
        JsonText(b'{"a": 1}', 1),
        Malformed(11, 5, "not a JSON value"),
    ]


def test_gap_in_lines() -> None:
    parser = JsonStreamParser()
    assert list(parser.feed(b'{"a": 1}\n{"b"')) == [JsonText(b'{"a": 1}', 0)]
    assert list(parser.feed(b' 2}\n{"c": 3}\n', lost=4)) == [
        Malformed(9, 11, "bytes are missing"),
        JsonText(b'{"c": 3}', 21),
    ]


def test_gap_in_an_array() -> None:
    parser = JsonStreamParser()
    assert list(parser.feed(b'[{"a": {"b": "x')) == []
    found = list(parser.feed(b'y"}, "z": 1}\n,\n{"c": 3}\n,\n{"d": 4}]', lost=3))
    assert found == [
        Malformed(1, 30, "bytes are missing"),
        JsonText(b'{"c": 3}', 33),
        JsonText(b'{"d": 4}', 44),
    ]


def test_a_value_over_the_limit() -> None:
    parser = JsonStreamParser(max_value_bytes=10)
    found = [v for part in (b'{"a": "', b"x" * 20, b'"}\n{}\n') for v in parser.feed(part)]
    assert found == [Malformed(0, 29, "a value is longer than 10 bytes"), JsonText(b"{}", 30)]
