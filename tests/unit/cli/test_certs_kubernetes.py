"""Secrets for the Helm chart: what is in them, and that the Job writes only what is missing."""

import json
import ssl
import threading
from base64 import b64decode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from agentsight_cli.certs.cluster_secrets import ClusterSecrets, apply_keys
from agentsight_cli.certs.kubernetes import (
    Release,
    certificate_objects,
    key_secrets,
    server_names,
)
from agentsight_cli.certs.users import agent_rights, aggregator_rights, shared_agent_rights
from agentsight_core.errors import ConfigError
from agentsight_core.sealing import Opener, Sealer
from agentsight_core.testing.certificates import Authority

RELEASE = Release("r-agentsight", "main", "agents", "c1")


class Api(BaseHTTPRequestHandler):
    """The three verbs of Secrets as the Kubernetes API answers them, over a dictionary."""

    secrets: dict[str, dict]
    log: list[str]

    def answer(self, status: int, body: dict) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def body(self) -> dict:
        return json.loads(self.rfile.read(int(self.headers["content-length"])))

    def do_GET(self) -> None:
        assert self.headers["authorization"] == "Bearer made-up"
        found = self.secrets.get(self.path)
        self.answer(200 if found else 404, found or {"message": "not found"})

    def do_POST(self) -> None:
        secret = self.body()
        path = f"{self.path}/{secret['metadata']['name']}"
        self.log.append(f"POST {path}")
        if path in self.secrets:
            self.answer(409, {"message": "already exists"})
            return
        secret["metadata"]["resourceVersion"] = "1"
        self.secrets[path] = secret
        self.answer(201, secret)

    def do_PUT(self) -> None:
        secret = self.body()
        self.log.append(f"PUT {self.path}")
        metadata, known = secret["metadata"], self.secrets[self.path]["metadata"]
        if metadata["resourceVersion"] != known["resourceVersion"]:
            self.answer(409, {"message": "the object has been modified"})
            return
        metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)
        self.secrets[self.path] = secret
        self.answer(200, secret)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def cluster(tmp_path: Path):
    pki = tmp_path / "pki"
    pki.mkdir()
    authority = Authority(pki)
    server = authority.issue("server")
    account = tmp_path / "account"
    account.mkdir()
    (account / "token").write_text("made-up\n")
    (account / "ca.crt").write_bytes(authority.certificate.read_bytes())
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(server.certificate, server.key)
    handler = type("Bound", (Api,), {"secrets": {}, "log": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        http.socket = tls.wrap_socket(http.socket, server_side=True)
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        environ = {
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(http.server_port),
        }
        try:
            yield ClusterSecrets(environ, account), handler
        finally:
            http.shutdown()
            thread.join()


def files_of(handler: type[Api], part: str, namespace: str = "main") -> dict[str, str]:
    secret = handler.secrets[f"/api/v1/namespaces/{namespace}/secrets/r-agentsight-{part}"]
    return {name: b64decode(text).decode() for name, text in secret["data"].items()}


def test_the_job_makes_what_is_missing_and_nothing_else(cluster) -> None:
    api, handler = cluster
    assert len(apply_keys(api, RELEASE)) == 4
    before = json.dumps(handler.secrets)
    assert apply_keys(api, RELEASE) == []
    assert json.dumps(handler.secrets) == before
    assert set(files_of(handler, "agent-keys", "agents")) == {"agent.nkey", "frames.public"}


def test_a_lost_secret_of_agents_comes_back_and_what_was_sealed_can_still_be_opened(
    cluster, tmp_path: Path
) -> None:
    api, handler = cluster
    apply_keys(api, RELEASE)
    public = tmp_path / "public"
    public.write_text(files_of(handler, "agent-keys", "agents")["frames.public"])
    old = Sealer(public).seal(b"frame", b"head")
    handler.log.clear()
    del handler.secrets["/api/v1/namespaces/agents/secrets/r-agentsight-agent-keys"]
    assert set(apply_keys(api, RELEASE)) == {
        f"r-agentsight-{part}"
        for part in ("nats-users", "operator-keys", "aggregator-keys", "agent-keys")
    }
    # Who opens has the new key before anybody seals for it.
    assert handler.log[-1].startswith("POST")
    assert all(line.startswith("PUT") for line in handler.log[:-1])
    private = tmp_path / "private"
    private.write_text(files_of(handler, "aggregator-keys")["frames.private"])
    public.write_text(files_of(handler, "agent-keys", "agents")["frames.public"])
    assert Opener(private).open(*old, b"head") == b"frame"
    assert Opener(private).open(*Sealer(public).seal(b"new", b"h"), b"h") == b"new"


def test_what_the_api_refuses_is_said(cluster) -> None:
    api, _ = cluster
    apply_keys(api, RELEASE)
    secret = api.get("main", "r-agentsight-nats-users")
    assert secret is not None
    with pytest.raises(ConfigError, match="409 already exists"):
        api.put(secret, None)
    stale = {**secret, "metadata": {**secret["metadata"], "resourceVersion": "0"}, "data": {}}
    with pytest.raises(ConfigError, match="409 the object has been modified"):
        api.put(secret, stale)
    with pytest.raises(ConfigError, match="no pod with a service account"):
        ClusterSecrets({}, Path("/nonexistent"))


def test_shared_agents_write_for_all_nodes_and_read_only_answers_and_configuration() -> None:
    shared = shared_agent_rights("c1")
    assert shared.subscribe == ["_INBOX_agents.>"]
    assert shared.publish[0] == "ev.c1.*.*"
    own = agent_rights("c1", "n1")
    assert [one.replace("n1", "*") for one in own.publish[1:]] == shared.publish[1:]
    assert not {*shared.subscribe} & {*aggregator_rights().subscribe}


def test_certificates_name_all_servers_and_secrets_fit_the_roles(tmp_path: Path) -> None:
    made = certificate_objects(tmp_path, RELEASE, days=1, renew=False)
    made += key_secrets(tmp_path, RELEASE)
    places = {(one["metadata"]["namespace"], one["metadata"]["name"]) for one in made}
    assert {name for namespace, name in places if namespace == "agents"} == {
        "r-agentsight-agent-tls",
        "r-agentsight-agent-keys",
        "agentsight-trust",
    }
    assert "r-agentsight-etcd-2.r-agentsight-etcd-headless.main.svc" in server_names(RELEASE)
