from __future__ import annotations

import time
from pathlib import Path

from agentsight_core.config import load_config
from agentsight_core.telemetry.certificates import CertificateCollector, certificate_files
from agentsight_core.testing.certificates import Authority
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest


def _seconds(collector: CertificateCollector) -> dict[str, float]:
    (family,) = collector.collect()
    return {sample.labels["file"]: sample.value for sample in family.samples}


def test_the_time_left_of_each_file_is_shown(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("client")
    collector = CertificateCollector([pair.certificate, authority.certificate])
    left = _seconds(collector)
    assert left.keys() == {str(pair.certificate), str(authority.certificate)}
    assert all(86_000 < seconds <= 86_400 for seconds in left.values())
    registry = CollectorRegistry()
    registry.register(collector)
    assert b'agentsight_certificate_expires_seconds{file="' in generate_latest(registry)


def test_a_replaced_file_shows_at_the_next_scrape_and_a_broken_one_not(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("client")
    collector = CertificateCollector([pair.certificate])
    before = time.time() + _seconds(collector)[str(pair.certificate)]
    pair.certificate.write_text("being written")
    assert _seconds(collector) == {}
    authority.issue("client")
    assert time.time() + _seconds(collector)[str(pair.certificate)] >= before - 1


def test_all_files_of_the_configuration_are_watched(tmp_path: Path) -> None:
    flags = {
        "bus.tls.ca_file": tmp_path / "1",
        "bus.tls.certificate_file": tmp_path / "2",
        "bus.tls.key_file": tmp_path / "key",
        "coordination.ca_file": tmp_path / "3",
        "exporters.otlp.ca_file": tmp_path / "4",
        "exporters.otlp.certificate_file": tmp_path / "5",
        "exporters.otlp.key_file": tmp_path / "key",
    }
    found = certificate_files(load_config(None, {}, flags))
    assert [path.name for path in found] == ["1", "2", "3", "4", "5"]
    assert certificate_files(load_config(None, {}, {})) == []
