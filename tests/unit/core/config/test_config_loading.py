"""Precedence, and errors that name the place, the key and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest
from agentsight_core.config import AgentSightConfig, load_config
from agentsight_core.errors import ConfigError


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "agentsight.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(
    path: Path | None, environ: dict[str, str] | None = None, **flags: object
) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(path, environ or {}, flags)
    return str(caught.value).splitlines()


def test_defaults_need_no_file() -> None:
    assert load_config(None, {}) == AgentSightConfig()
    assert AgentSightConfig().capture.mode == "redacted"


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "capture: {mode: full, ring_bytes: 1MiB, flush_interval_ms: 7}\nlogging: {level: error}",
    )
    environ = {"AGENTSIGHT_CAPTURE_MODE": "none", "AGENTSIGHT_CAPTURE_RING_BYTES": "2MiB"}
    config = load_config(path, environ, {"capture.mode": "metadata", "logging.level": None})
    assert config.capture.mode == "metadata"
    assert config.capture.ring_bytes == 2 * 1024 * 1024
    assert config.capture.flush_interval_ms == 7
    assert config.logging.level == "error"
    assert config.bus == AgentSightConfig().bus


def test_the_file_may_be_named_by_the_environment(tmp_path: Path) -> None:
    path = write(tmp_path, "node: {name: west-1}")
    assert load_config(None, {"AGENTSIGHT_CONFIG": str(path)}).node.name == "west-1"


def test_environment_gives_lists_and_mappings_as_yaml() -> None:
    config = load_config(
        None,
        {
            "AGENTSIGHT_BUS_SERVERS": "[nats://a:4222, nats://b:4222]",
            "AGENTSIGHT_EXPORTERS_OTLP_HEADERS": "{x-tenant: north}",
            "AGENTSIGHT_SESSIONS_RULES": "[{name: mine, argv: my-agent}]",
            "AGENTSIGHT_CAPTURE_FILES": "false",
            "AGENTSIGHT_NODE_NAME": "",
        },
    )
    assert config.bus.servers == ("nats://a:4222", "nats://b:4222")
    assert config.exporters.otlp.headers["x-tenant"].get_secret_value() == "north"
    assert config.sessions.rules[0].argv == "my-agent"
    assert config.capture.files is False


def test_environment_gives_a_choice_of_numbers() -> None:
    assert load_config(None, {"AGENTSIGHT_BUS_REPLICAS": "3"}).bus.replicas == 3
    assert "allowed: 1, 3 or 5" in problems(None, {"AGENTSIGHT_BUS_REPLICAS": "2"})[0]


def test_every_problem_is_reported_with_its_line(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """\
capture:
  mode: everything
  ring_bytes: 1000000
  max_boddy_bytes: 3
exporters:
  prometheus:
    port: 70000
sessions:
  rules:
    - name: all
""",
    )
    found = problems(path)
    assert len(found) == 5
    assert f"{path}:2: capture.mode: allowed: 'none', 'metadata', 'redacted' or 'full'" in [
        line.replace("'everything' is wrong: ", "") for line in found
    ]
    assert any(
        line.startswith(f"{path}:3: capture.ring_bytes: ") and "power of two" in line
        for line in found
    )
    assert any(
        line.startswith(
            f"{path}:4: capture.max_boddy_bytes: is no known key; did you mean max_body_bytes? "
        )
        for line in found
    )
    assert any(f"{path}:7: exporters.prometheus.port: 70000" in line for line in found)
    assert any(f"{path}:9: sessions.rules: rule 0 (all) would match" in line for line in found)


def test_a_duplicate_key_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path, "node: {name: a}\nnode: {name: b}\n")
    assert problems(path) == [f"{path}:2: node: is given twice"]


def test_a_section_with_nothing_in_it_is_a_section_of_defaults(tmp_path: Path) -> None:
    path = write(tmp_path, "exporters:\n  otlp:\n    # endpoint: x\ncapture:\n")
    assert load_config(path, {}) == AgentSightConfig()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("node: [", ":1:8: is no YAML"),
        ("- node", "must be a mapping of sections; allowed: node, capture"),
        ("node: 2020-13-45", "is no YAML"),
        ("!!python/object:os.system {}", "is no YAML"),
        ("[" * 5000, "is no YAML"),
    ],
)
def test_files_that_are_no_configuration(tmp_path: Path, text: str, message: str) -> None:
    assert message in problems(write(tmp_path, text))[0]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    missing = tmp_path / "none.yaml"
    assert problems(missing) == [f"{missing}: cannot be read: No such file or directory"]
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"node: \xff")
    assert problems(binary) == [f"{binary}: is no UTF-8 text (byte 6)"]


def test_a_wrong_type_for_a_section_names_its_keys(tmp_path: Path) -> None:
    path = write(tmp_path, "logging: loud\n")
    found = problems(path, {"AGENTSIGHT_LOGGING_LEVEL": "info"})
    assert found == [
        f"{path}:1: logging: 'loud' is wrong: must be a section; allowed: level, format"
    ]


def test_problems_of_the_environment_and_of_flags_name_them() -> None:
    assert problems(None, {"AGENTSIGHT_CAPTURE_MODE": "some"})[0].startswith(
        "AGENTSIGHT_CAPTURE_MODE: capture.mode: 'some' is wrong"
    )
    assert problems(None, {"AGENTSIGHT_CAPTURE_MOED": "full"}) == [
        "AGENTSIGHT_CAPTURE_MOED: is no known variable; did you mean AGENTSIGHT_CAPTURE_MODE?"
    ]
    with pytest.raises(ConfigError, match=r"^command line: exporters.prometheus.port: -1 is wrong"):
        load_config(None, {}, {"exporters.prometheus.port": -1})


def test_variables_that_kubernetes_sets_are_not_ours() -> None:
    environ = {
        "AGENTSIGHT_PORT": "tcp://10.0.0.1:80",
        "AGENTSIGHT_SERVICE_HOST": "10.0.0.1",
        "AGENTSIGHT_PORT_9464_TCP_ADDR": "10.0.0.1",
    }
    assert load_config(None, environ) == AgentSightConfig()


def test_messages_do_not_repeat_what_may_be_a_credential(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "bus: {embedded: false, servers: ['http://me:canary-word@bus']}\n"
        "exporters: {otlp: {headers: {authorization: [canary-word]}, endpoint: 'canary-word'}}\n",
    )
    found = problems(path)
    assert len(found) == 3
    assert "canary-word" not in "\n".join(found)


def test_servers_are_needed_without_the_embedded_one(tmp_path: Path) -> None:
    path = write(tmp_path, "bus: {embedded: false}\n")
    assert problems(path) == [f"{path}:1: bus: give servers, or set embedded to true"]


def test_sizes_are_numbers_or_texts(tmp_path: Path) -> None:
    path = write(tmp_path, "spool: {max_bytes: 3 GiB, min_free_bytes: 0, segment_bytes: 1mb}\n")
    spool = load_config(path, {}).spool
    assert (spool.max_bytes, spool.min_free_bytes, spool.segment_bytes) == (3 << 30, 0, 1_000_000)
    assert "16MiB" in problems(write(tmp_path, "spool: {max_bytes: much}\n"))[0]
