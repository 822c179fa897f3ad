"""The chart on a real API server: installed, upgraded, its pods admitted, its rights tried.

`make test-kubernetes KUBE_APISERVER_BIN=…` runs this; nothing brings such a program along.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml
from agentsight_agent.kubernetes.client import ApiSettings, PodClient
from agentsight_cli.certs.cluster_secrets import ClusterSecrets, apply_keys
from agentsight_cli.certs.kubernetes import Release
from agentsight_core.testing.helm_chart import (
    CASES,
    CHART,
    KUBECTL,
    NAMESPACE,
    Manifest,
    pods_in,
    rendered,
)
from agentsight_core.testing.kube_apiserver import KubeApi, running_kube_api

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(300)]

AGENTS = f"{NAMESPACE}-agents"
RELEASE = Release("agentsight", NAMESPACE, AGENTS, "default")
# What others bring to a cluster: (group, plural, kind).
FOREIGN = (
    ("cert-manager.io", "certificates", "Certificate"),
    ("monitoring.coreos.com", "servicemonitors", "ServiceMonitor"),
    ("monitoring.coreos.com", "podmonitors", "PodMonitor"),
    ("monitoring.coreos.com", "prometheusrules", "PrometheusRule"),
)
STANDARD = ("enforce", "warn")


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[KubeApi]:
    async with running_kube_api(tmp_path) as found:
        found.kubectl("create", "namespace", NAMESPACE)
        # A controller makes it where controllers run.
        found.kubectl("create", "serviceaccount", "default", "--namespace", NAMESPACE)
        labels = [f"pod-security.kubernetes.io/{mode}=restricted" for mode in STANDARD]
        found.kubectl("label", "namespace", NAMESPACE, *labels)
        yield found


def install(api: KubeApi, verb: str = "install", *words: str) -> str:
    return api.helm(verb, RELEASE.name, str(CHART), "--namespace", NAMESPACE, *words)


def objects(api: KubeApi) -> list[Manifest]:
    manifest = api.helm("get", "manifest", RELEASE.name, "--namespace", NAMESPACE)
    return [one for one in yaml.safe_load_all(manifest) if one]


def secrets(api: KubeApi) -> dict[str, dict]:
    found = json.loads(api.kubectl("get", "secrets", "--all-namespaces", "--output", "json"))
    return {
        one["metadata"]["name"]: one["data"]
        for one in found["items"]
        if one["type"] != "helm.sh/release.v1"
    }


async def test_it_installs_and_an_upgrade_keeps_the_certificates(api: KubeApi) -> None:
    said = install(api)
    assert "STATUS: deployed" in said
    # The API server warns of pods that are not `restricted`.
    assert "would violate" not in said
    first = secrets(api)
    assert f"{RELEASE.name}-server-tls" in first
    assert "REVISION: 2" in install(api, "upgrade", "--set", "aggregator.replicas=3")
    assert secrets(api) == first
    api.helm("rollback", RELEASE.name, "1", "--namespace", NAMESPACE)
    found = api.kubectl("get", "deployments", "-n", NAMESPACE, "-o", "jsonpath={..spec.replicas}")
    assert found == "2"
    api.helm("uninstall", RELEASE.name, "--namespace", NAMESPACE)
    # Without the authorities and keys, what is on the bus cannot be read.
    assert {f"{RELEASE.name}-servers-ca", f"{RELEASE.name}-agents-ca"} <= secrets(api).keys()


async def test_its_pods_are_admitted_where_they_belong_and_nowhere_else(api: KubeApi) -> None:
    install(api)
    for one, spec in pods_in(objects(api)):
        meta = {"name": "tried", "namespace": one["metadata"]["namespace"]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
        # What a claim of a StatefulSet becomes.
        spec.setdefault("volumes", []).append({"name": "data", "emptyDir": {}})
        api.kubectl("create", "--dry-run=server", "-f", "-", given=json.dumps(pod))
        if one["kind"] == "DaemonSet":
            meta["namespace"], spec["serviceAccountName"] = NAMESPACE, f"{RELEASE.name}-nats"
            refused = api.run(
                KUBECTL, "create", "--dry-run=server", "-f", "-", given=json.dumps(pod)
            )
            assert 'violates PodSecurity "restricted' in refused.stderr


async def test_every_values_file_is_accepted(api: KubeApi) -> None:
    for group, plural, kind in FOREIGN:
        schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        version = {"name": "v1", "served": True, "storage": True}
        definition = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.{group}"},
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": {"plural": plural, "kind": kind},
                "versions": [{**version, "schema": {"openAPIV3Schema": schema}}],
            },
        }
        api.kubectl("create", "-f", "-", given=json.dumps(definition))
        api.kubectl("wait", "--for=condition=Established", f"crd/{plural}.{group}")
    for namespace in (AGENTS, "agentsight-agents"):
        api.kubectl("create", "namespace", namespace)
    for case in CASES:
        text = yaml.safe_dump_all(rendered(case))
        words = ("--server-side", "--dry-run=server", "--validate=strict", "-f", "-")
        api.kubectl("apply", *words, given=text)


def account(api: KubeApi, folder: Path, namespace: str, name: str) -> Path:
    """Write what a pod with this service account finds in its volume; return the folder."""
    folder.mkdir()
    token = api.kubectl("create", "token", name, "--namespace", namespace)
    (folder / "token").write_text(token)
    (folder / "ca.crt").write_bytes(api.ca.read_bytes())
    return folder


async def test_rights_are_enough_for_the_job_and_the_agents_and_nobody_else(
    api: KubeApi, tmp_path: Path
) -> None:
    install(api)
    environ = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(api.port)}
    job = ClusterSecrets(environ, account(api, tmp_path / "keys", NAMESPACE, "agentsight-keys"))
    written = await asyncio.to_thread(apply_keys, job, RELEASE)
    assert len(written) == 4
    assert {f"{RELEASE.name}-nats-users", f"{RELEASE.name}-agent-keys"} <= secrets(api).keys()
    assert await asyncio.to_thread(apply_keys, job, RELEASE) == []

    agent = account(api, tmp_path / "agent", AGENTS, "agentsight-agent")
    url = f"https://127.0.0.1:{api.port}"
    settings = ApiSettings("node", url, agent / "token", agent / "ca.crt")
    client = PodClient(settings)
    assert (await asyncio.to_thread(client.list)).pods == []
    client.forget()
    for namespace, name, resource in (
        (AGENTS, "agentsight-agent", "secrets"),
        (NAMESPACE, "agentsight-aggregator", "pods"),
        (NAMESPACE, "agentsight-nats", "secrets"),
        (NAMESPACE, "agentsight-etcd", "secrets"),
        (NAMESPACE, "agentsight-keys", "pods"),
        (NAMESPACE, "agentsight-keys", "secrets/agentsight-server-tls"),
    ):
        user = f"system:serviceaccount:{namespace}:{name}"
        asked = api.run(KUBECTL, "auth", "can-i", "get", resource, "--as", user, "-n", namespace)
        assert asked.stdout.strip() == "no", (name, resource)
