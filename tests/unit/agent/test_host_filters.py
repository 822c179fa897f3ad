"""HTTP with hosts that a filter does not want is filtered: counted, and not lost."""

import pytest
from agentsight_agent.hosts import HostFilter
from agentsight_core.config.loading import merge_config
from agentsight_core.config.yaml_file import YamlFile
from agentsight_core.errors import ConfigError


@pytest.mark.parametrize(
    ("authority", "wanted"),
    [
        ("api.example.com", False),
        ("API.example.com:8443", False),
        ("api.example.com.", False),
        ("a.b.internal", False),
        ("internal", True),
        ("notinternal", True),
        ("[::1]:8080", False),
        ("10.0.0.1:80", False),
        ("api.example.org", True),
        ("", True),
    ],
)
def test_names_and_all_below_a_name(authority: str, wanted: bool) -> None:
    hosts = ("api.example.com", "*.internal", "::1", "10.0.0.1")
    assert HostFilter(exclude=hosts).wants(authority) == wanted
    assert HostFilter(include=hosts).wants(authority) != wanted


@pytest.mark.parametrize(
    ("authority", "peer", "wanted"),
    [
        ("10.1.2.3:80", "", False),
        ("vault", "10.1.2.3", False),
        ("", "10.1.2.3", False),
        ("[fd00::7]:80", "", False),
        ("vault", "11.1.2.3", True),
        ("10.1.2.3.example.com", "", True),
    ],
)
def test_networks_hold_for_the_host_and_for_the_peer(authority, peer, wanted) -> None:
    hosts = ("10.0.0.0/8", "fd00::/8")
    assert HostFilter(exclude=hosts).wants(authority, peer) == wanted
    assert HostFilter(include=hosts).wants(authority, peer) != wanted


def test_a_wrong_host_is_told() -> None:
    with pytest.raises(ConfigError, match=r"filters\.exclude_hosts.*must be a host name"):
        merge_config(YamlFile("a.yaml", values={"filters": {"exclude_hosts": ["https://x"]}}), {})
