"""What a coordination section has to say, and that it selects the coordinator."""

from pathlib import Path

import pytest
from agentsight_aggregator.coordination.etcd import EtcdCoordinator, GroupSettings
from agentsight_aggregator.coordination.local import LocalCoordinator
from agentsight_aggregator.service import _coordinator
from agentsight_aggregator.settings import etcd_settings, group_settings
from agentsight_core.config import load_config
from agentsight_core.errors import ConfigError
from agentsight_core.etcd.channels import TlsFiles


async def never() -> None:
    raise AssertionError("nobody leads here")


async def test_without_endpoints_the_process_owns_everything() -> None:
    config = load_config(None, {})
    assert isinstance(_coordinator(config, never), LocalCoordinator)


async def test_endpoints_select_etcd(tmp_path: Path) -> None:
    path = tmp_path / "agentsight.yaml"
    path.write_text(
        "node: {cluster: west, name: agg-0}\n"
        "bus: {partitions: 8}\n"
        "coordination:\n"
        "  endpoints: ['https://etcd-0:2379', 'https://etcd-1:2379']\n"
        "  ca_file: /pki/ca.pem\n"
        "  certificate_file: /pki/tls.pem\n"
        "  key_file: /pki/tls.key\n"
        "  lease_s: 5\n"
    )
    config = load_config(path, {})
    assert isinstance(_coordinator(config, never), EtcdCoordinator)
    assert etcd_settings(config).endpoints == ("https://etcd-0:2379", "https://etcd-1:2379")
    files = TlsFiles(Path("/pki/ca.pem"), Path("/pki/tls.pem"), Path("/pki/tls.key"))
    assert etcd_settings(config).tls == files
    assert group_settings(config) == GroupSettings("west", "agg-0", 8, 5)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("{endpoints: ['etcd-0:2379']}", "each endpoint is http://HOST:PORT"),
        ("{endpoints: ['http://etcd-0']}", "each endpoint is http://HOST:PORT"),
        ("{endpoints: ['http://me:word@etcd-0:2379']}", "each endpoint is http://HOST:PORT"),
        ("{endpoints: ['https://etcd-0:2379']}", "give ca_file for https endpoints"),
        ("{certificate_file: tls.pem}", "give certificate_file and key_file together"),
        ("{lease_s: 1}", "greater than or equal to 2"),
    ],
)
def test_what_cannot_be_is_said(tmp_path: Path, section: str, message: str) -> None:
    path = tmp_path / "agentsight.yaml"
    path.write_text(f"coordination: {section}\n")
    with pytest.raises(ConfigError, match=message):
        load_config(path, {})
