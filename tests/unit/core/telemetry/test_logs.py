import io
import json
import logging
from collections.abc import Iterator

import pytest
from agentsight_core.pb import events_pb2
from agentsight_core.telemetry.logs import LogSettings, configure_logging


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_human_line_cannot_be_forged_by_what_is_logged(stream: io.StringIO) -> None:
    configure_logging(LogSettings(), stream)

    logging.getLogger("agent.spool").warning("path %s", "a\n12:00 ERROR forged\x1b[0m")

    lines = stream.getvalue().splitlines()
    assert len(lines) == 1
    assert lines[0].endswith(r"WARNING agent.spool: path a\n12:00 ERROR forged\x1b[0m")


def test_content_in_arguments_is_shown_as_its_size(stream: io.StringIO) -> None:
    configure_logging(LogSettings(), stream)
    body = events_pb2.HttpBody(data=b"what a person wrote")

    logging.getLogger("x").info("%s and %s and %d", body, b"the prompt", 3)
    logging.getLogger("x").info("%(body)s", {"body": b"the prompt"})

    text = stream.getvalue()
    assert f"<HttpBody, {body.ByteSize()} bytes> and <10 bytes> and 3" in text
    assert "prompt" not in text
    assert "person" not in text


def test_json_has_one_object_a_record_with_the_traceback_inside(stream: io.StringIO) -> None:
    configure_logging(LogSettings(format="json"), stream)

    try:
        int("broken")
    except ValueError:
        logging.getLogger("x").exception("failed %d", 7)

    (line,) = stream.getvalue().splitlines()
    record = json.loads(line)
    assert (record["level"], record["logger"], record["message"]) == ("ERROR", "x", "failed 7")
    assert record["time"].endswith("+00:00")
    assert "ValueError: invalid literal" in record["traceback"]


def test_records_below_the_level_are_left_out_and_set_up_twice_writes_once(
    stream: io.StringIO,
) -> None:
    configure_logging(LogSettings(level="WARNING"), stream)
    configure_logging(LogSettings(level="WARNING"), stream)

    logging.getLogger("x").info("quiet")
    logging.getLogger("x").error("loud")

    assert stream.getvalue().count("\n") == 1
    with pytest.raises(ValueError, match="LOUDER"):
        configure_logging(LogSettings(level="LOUDER"))
