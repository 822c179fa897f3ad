"""What `agentsight certs` writes: complete, private, and safe to repeat."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from agentsight_cli.app import app
from agentsight_cli.certs.users import agent_rights, operator_rights, reader_rights
from agentsight_cli.certs.working_set import Wanted, make_set, rotate_keys
from agentsight_core.config import load_config
from agentsight_core.errors import ConfigError
from agentsight_core.sealing import GroupKeys, Opener, Sealer
from cryptography import x509
from typer.testing import CliRunner


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_everything_is_private_and_named(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    done = CliRunner().invoke(
        app, ["certs", "init", str(folder), "--node", "n1.example", "--name", "bus-0"]
    )
    assert done.exit_code == 0, done.output
    assert folder.stat().st_mode & 0o777 == 0o700
    files = list(folder.iterdir())
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    for path in files:
        # "server.pem, .key" names both.
        assert path.name in done.output or f"{path.stem}.pem" in done.output
    private = (folder / "ca.key").read_text().splitlines()[1]
    assert private not in done.output


def test_certificates_are_signed_by_the_authority_for_their_names(tmp_path: Path) -> None:
    make_set(tmp_path, Wanted(nodes=("n1",), names=("bus-0.example", "10.0.0.7"), days=3))
    authorities = {name: certificate(tmp_path / f"{name}.pem") for name in ("ca", "ca-bus")}
    signers = {"server": "ca", "aggregator": "ca", "operator": "ca"}
    # etcd and the API, which trust the first authority, do not let these in.
    signers |= {"reader": "ca-bus", "node-n1": "ca-bus"}
    for name, signer in signers.items():
        found = certificate(tmp_path / f"{name}.pem")
        found.verify_directly_issued_by(authorities[signer])
        assert (found.not_valid_after_utc - found.not_valid_before_utc).days == 3
        # The key fits.
        context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        context.load_cert_chain(tmp_path / f"{name}.pem", tmp_path / f"{name}.key")
    names = certificate(tmp_path / "server.pem").extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert names.value.get_values_for_type(x509.DNSName) == ["localhost", "bus-0.example"]
    addresses = [str(one) for one in names.value.get_values_for_type(x509.IPAddress)]
    assert addresses == ["127.0.0.1", "::1", "10.0.0.7"]


def test_configurations_load_and_give_each_role_its_keys_alone(tmp_path: Path) -> None:
    make_set(tmp_path, Wanted(nodes=("n1",), servers=("nats://bus-0:4222",), cluster="c1"))
    found = {path.stem: load_config(path, {}) for path in tmp_path.glob("*.yaml")}
    assert sorted(found) == ["aggregator", "node-n1", "operator", "reader"]
    for config in found.values():
        assert (config.bus.servers, config.bus.embedded) == (("nats://bus-0:4222",), False)
        assert config.node.cluster == "c1"
    node, reader = found["node-n1"].security.seal, found["reader"].security.seal
    assert node.frames_public_file
    assert (node.frames_private_file, node.group_file) == (None, None)
    trusted = str(tmp_path / "ca.pem")
    assert str(found["aggregator"].api.ca_file) == trusted
    assert str(found["aggregator"].coordination.ca_file) == trusted
    assert reader.group_file
    assert (reader.frames_private_file, reader.frames_public_file) == (None, None)


def test_a_second_call_adds_and_changes_nothing_that_was_there(tmp_path: Path) -> None:
    make_set(tmp_path, Wanted(nodes=("n1",)))
    before = contents(tmp_path)
    make_set(tmp_path, Wanted(nodes=("n2",)))
    after = contents(tmp_path)
    new = {"node-n2.pem", "node-n2.key", "node-n2.nkey", "node-n2.yaml"}
    assert set(after) - set(before) == new
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"nats-users.conf"}
    assert after["nats-users.conf"].count(b"# agent on") == 2

    make_set(tmp_path, Wanted(renew=True))
    renewed = contents(tmp_path)
    same = (
        "ca.pem",
        "ca.key",
        "ca-bus.pem",
        "ca-bus.key",
        "node-n1.nkey",
        "frames.private",
        "group.key",
    )
    assert all(renewed[name] == after[name] for name in same)
    assert renewed["server.pem"] != after["server.pem"]


def test_rotation_keeps_what_was_sealed_readable_and_ends_at_a_bound(tmp_path: Path) -> None:
    make_set(tmp_path, Wanted())
    sealer, opener = Sealer(tmp_path / "frames.public"), Opener(tmp_path / "frames.private")
    group = GroupKeys(tmp_path / "group.key")
    frame, finding = sealer.seal(b"frame", b"h"), group.seal(b"finding", b"s")
    for _ in range(3):
        rotate_keys(tmp_path)
    assert opener.open(*frame, b"h") == b"frame"
    assert group.open(*finding, b"s") == b"finding"
    assert sealer.seal(b"", b"")[0] != frame[0]
    for _ in range(10):
        rotate_keys(tmp_path)
    assert len((tmp_path / "frames.private").read_text().splitlines()) == 8


def test_what_cannot_be_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="certs init` first"):
        rotate_keys(tmp_path)
    with pytest.raises(ConfigError, match="node name 'a/b'"):
        make_set(tmp_path, Wanted(nodes=("a/b",)))
    with pytest.raises(ConfigError, match=r"a\.b and a_b have the same name on the bus"):
        make_set(tmp_path / "two", Wanted(nodes=("a.b", "a_b")))
    (tmp_path / "ca.key").write_text("nonsense")
    with pytest.raises(ConfigError, match=r"ca.key is no authority that can be used"):
        make_set(tmp_path, Wanted())


def test_no_role_listens_where_another_one_receives(tmp_path: Path) -> None:
    inboxes = [
        rights.subscribe
        for rights in (agent_rights("c", "n1"), agent_rights("c", "cli"), reader_rights())
    ]
    assert inboxes == [["_INBOX_node_n1.>"], ["_INBOX_node_cli.>"], ["_INBOX_cli.>"]]
    writes = ("ev.", "findings.", "dlq.", "tick.", "$KV.", "$JS.ACK")
    assert not [subject for subject in reader_rights().publish if subject.startswith(writes)]
    assert [subject for subject in operator_rights().publish if subject.startswith(writes)]
