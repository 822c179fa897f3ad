"""The chart as helm renders it, for every file under ci/: schemas, Pod Security, settings."""

import functools
import json
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from agentsight_core.config.loading import load_config
from agentsight_core.config.models import AgentSightConfig
from agentsight_core.testing.helm_chart import (
    CASES,
    CHART,
    ROOT,
    containers,
    helm,
    of_kind,
    pods,
    rendered,
    template,
)

pytestmark = pytest.mark.timeout(300)

# The oldest that the chart allows, one between, the newest that there are schemas of.
VERSIONS = ("1.30", "1.33", "1.37")
# Objects of operators, which have schemas of their own.
FOREIGN = ("cert-manager.io/", "monitoring.coreos.com/")


def test_lint_has_no_complaint() -> None:
    done = helm("lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_is_valid(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The definitions of a version are many megabytes: once is enough.
    cached = functools.cache(kubernetes_validate.utils.schema_contents)
    monkeypatch.setattr(kubernetes_validate.utils, "schema_contents", cached)
    ours = {
        json.dumps(one, sort_keys=True): one
        for case in CASES
        for one in rendered(case)
        # Secrets differ by certificates only.
        if not one["apiVersion"].startswith(FOREIGN) and (one["kind"] != "Secret" or case == "full")
    }
    assert len(ours) > 50
    for one in ours.values():
        kubernetes_validate.validate(one, version, strict=True)


def test_a_manifest_that_is_wrong_is_found() -> None:
    (agent,) = of_kind("full", "DaemonSet")
    wrong = json.loads(json.dumps(agent))
    wrong["spec"]["template"]["spec"]["hostPid"] = True
    with pytest.raises(kubernetes_validate.ValidationError, match="hostPid"):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("case", CASES)
def test_no_two_objects_have_the_same_name(case: str) -> None:
    keys = [
        (one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"])
        for one in rendered(case)
    ]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "agent.capabilites.bpf=true"], "capabilites"),
        (["--set", "config.capture.mode=everything"], "/config/capture/mode"),
        (["--set", "config.capture.modus=full"], "modus"),
        (["--set", "nats.replicas=2"], "/nats/replicas"),
        (["--set", "certificates.method=magic"], "/certificates/method"),
        (["--set", "image.registry=https://r.invalid"], "/image/registry"),
        (["--set", "aggregator.replicas=0"], "/aggregator/replicas"),
        (["--set", "nats.maxFileStore=much"], "/nats/maxFileStore"),
        (["--set", "nats.enabled=false"], "give nats.externalServers"),
        (["--set", "etcd.enabled=false"], "more than one aggregator needs etcd"),
        (["--set", "certificates.method=certManager"], "issuer.name"),
        (["--set", "collector.enabled=true"], "give collector.endpoint"),
        (["--set", "config.bus.partitions=3"], "config.bus.partitions: not here"),
        (
            ["--set", "aggregator.autoscaling.enabled=true,bus.partitions=2"],
            "maxReplicas is more than bus.partitions",
        ),
    ],
)
def test_wrong_values_are_refused_with_the_place(words: list[str], message: str) -> None:
    done = template(*words)
    assert done.returncode != 0
    assert message in done.stderr.replace("'", "")


def test_the_schema_is_that_of_values_and_models() -> None:
    script = ROOT / "scripts" / "gen_chart_schema.py"
    python = ROOT / ".venv" / "bin" / "python"
    done = subprocess.run([python, script, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

    def closed(node: object, path: str) -> None:
        if isinstance(node, dict):
            if "properties" in node:
                assert node["additionalProperties"] is False, path
            for key, value in node.items():
                closed(value, f"{path}.{key}")

    closed(json.loads((CHART / "values.schema.json").read_text()), "")


@pytest.mark.parametrize("case", CASES)
def test_only_agents_are_beyond_the_restricted_standard(case: str) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/, `restricted`."""
    kinds = {"configMap", "emptyDir", "projected", "secret", "persistentVolumeClaim", "name"}
    for one, spec in pods(case):
        if one["kind"] == "DaemonSet":
            continue
        assert one["metadata"]["namespace"] == "main"
        assert not {"hostPID", "hostIPC", "hostNetwork"} & set(spec)
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert all(set(volume) <= kinds for volume in spec.get("volumes", ()))
        for container in containers(spec):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert context["readOnlyRootFilesystem"] is True
            assert all("hostPort" not in port for port in container.get("ports", ()))


@pytest.mark.parametrize("case", CASES)
def test_the_agent_has_the_capabilities_that_it_needs_and_its_own_namespace(case: str) -> None:
    (agent,) = of_kind(case, "DaemonSet")
    spec = agent["spec"]["template"]["spec"]
    least = {"BPF", "PERFMON", "SYS_PTRACE", "DAC_READ_SEARCH", "CHECKPOINT_RESTORE"}
    more = {"SYS_ADMIN", "SYS_RESOURCE"} if case == "full" else set()
    first, second = containers(spec)
    assert first["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    context = second["securityContext"]
    assert context["capabilities"]["drop"] == ["ALL"]
    assert set(context["capabilities"]["add"]) == least | more
    assert not context["privileged"]
    assert not context["allowPrivilegeEscalation"]
    assert spec["hostPID"] is True
    assert "hostNetwork" not in spec
    assert [v["hostPath"]["path"] for v in spec["volumes"] if "hostPath" in v] == [
        "/var/lib/agentsight"
    ]
    assert agent["spec"]["updateStrategy"]["rollingUpdate"] == {
        "maxUnavailable": "10%",
        "maxSurge": 0,
    }
    namespace = agent["metadata"]["namespace"]
    assert namespace != "main"
    made = [one["metadata"]["name"] for one in of_kind(case, "Namespace")]
    assert made == ([] if case == "existing" else [namespace])


@pytest.mark.parametrize("case", CASES)
def test_rights_are_those_of_agents_and_of_the_job_and_tokens_go_to_them_alone(case: str) -> None:
    asks = case != "existing"
    pods_of_the_cluster = {
        "apiGroups": [""],
        "resources": ["pods"],
        "verbs": ["get", "list", "watch"],
    }
    assert [role["rules"] for role in of_kind(case, "ClusterRole")] == asks * [
        [pods_of_the_cluster]
    ]
    for binding in of_kind(case, "ClusterRoleBinding"):
        (subject,) = binding["subjects"]
        assert subject["name"].endswith("-agent")
    for role in of_kind(case, "Role"):
        assert role["metadata"]["name"].endswith("-keys")
        for rule in role["rules"]:
            assert rule["resources"] == ["secrets"]
            assert set(rule["verbs"]) <= {"create", "get", "update"}
            assert rule["verbs"] == ["create"] or rule["resourceNames"]
    for one, spec in pods(case):
        needs = {"Job": True, "DaemonSet": asks}.get(one["kind"], False)
        assert spec["automountServiceAccountToken"] is needs


@pytest.mark.parametrize("case", CASES)
def test_the_configurations_are_those_of_the_product_and_fit_the_ports(
    case: str, tmp_path: Path
) -> None:
    found: dict[str, AgentSightConfig] = {}
    for one in of_kind(case, "ConfigMap"):
        if text := one["data"].get("agentsight.yaml"):
            role = one["metadata"]["name"].rpartition("-")[2]
            (tmp_path / f"{role}.yaml").write_text(text)
            found[role] = load_config(tmp_path / f"{role}.yaml", {})
    assert set(found) == {"agent", "aggregator", "operator"}
    assert found["agent"].bus.inbox == "_INBOX_agents"
    assert found["agent"].kubernetes.enabled is (case != "existing")
    assert all(config.bus.tls.ca_file and not config.bus.embedded for config in found.values())
    if case == "full":
        assert found["agent"].capture.mode == "metadata"
        assert found["aggregator"].aggregator.content is False
    for one, spec in pods(case):
        role = one["metadata"]["name"].rpartition("-")[2]
        if role not in ("agent", "aggregator"):
            continue
        container = spec["containers"][0]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        config = found[role]
        metrics = (
            config.node.telemetry_port if role == "agent" else config.exporters.prometheus.port
        )
        assert ports["metrics"] == metrics
        assert role == "agent" or ports["grpc"] == config.api.port
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            # tests/unit/core/telemetry asks for these pages.
            assert container[probe]["httpGet"]["path"] in ("/healthz", "/readyz")
            assert container[probe]["httpGet"]["port"] == "metrics"


@pytest.mark.parametrize("case", CASES)
def test_every_file_that_a_pod_reads_comes_from_a_volume_that_something_makes(case: str) -> None:
    """What pods name is in the chart, or made by the Job of keys, or by cert-manager."""
    made = {
        (one["metadata"]["namespace"], one["metadata"]["name"])
        for one in of_kind(case, "ConfigMap", "Secret")
    }
    made |= {
        (one["metadata"]["namespace"], one["spec"]["secretName"])
        for one in of_kind(case, "Certificate")
    }
    for role in of_kind(case, "Role"):
        names = (name for rule in role["rules"] for name in rule.get("resourceNames", ()))
        made |= {(role["metadata"]["namespace"], name) for name in names}
    for one, spec in pods(case):
        for volume in spec.get("volumes", ()):
            for source in volume.get("projected", {}).get("sources", ()):
                ((_, named),) = source.items()
                if case in ("existing", "external"):
                    continue
                place = (one["metadata"]["namespace"], named["name"])
                trusted = case == "cert-manager" and named["name"] == "agentsight-trust"
                assert place in made or trusted, f"{one['metadata']['name']} reads {place}"


@pytest.mark.parametrize("case", CASES)
def test_selectors_find_their_pods_and_every_pod_is_under_the_default_deny(case: str) -> None:
    labels = {
        one["metadata"]["name"]: one["spec"]["template"]["metadata"]["labels"]
        for one in of_kind(case, "DaemonSet", "Deployment", "StatefulSet", "Job")
    }
    for one in of_kind(case, "Service", "PodDisruptionBudget"):
        selector = one["spec"]["selector"]
        selector = selector.get("matchLabels", selector)
        assert any(selector.items() <= found.items() for found in labels.values())
    denied = [one for one in of_kind(case, "NetworkPolicy") if "deny" in one["metadata"]["name"]]
    assert {one["metadata"]["namespace"] for one in denied} == {
        one["metadata"]["namespace"] for one, _ in pods(case)
    }
    selector = denied[0]["spec"]["podSelector"]["matchLabels"]
    assert all(selector.items() <= found.items() for found in labels.values())


def test_rules_and_dashboards_are_those_of_the_repository() -> None:
    (rule,) = of_kind("full", "PrometheusRule")
    whole = yaml.safe_load((ROOT / "deploy/prometheus/agentsight.rules.yaml").read_text())
    assert [group["name"] for group in rule["spec"]["groups"]] == [
        group["name"] for group in whole["groups"]
    ]
    alerts = [one for group in rule["spec"]["groups"] for one in group["rules"] if "alert" in one]
    assert alerts
    assert all(alert["labels"]["team"] == "platform" for alert in alerts)
    for alert in alerts:
        page = alert["annotations"]["runbook_url"].removeprefix(
            "https://git.example.org/agentsight/"
        )
        assert (ROOT / page).is_file()
    for path in (ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"):
        name = f"r-agentsight-dashboard-{path.stem}"
        (one,) = [x for x in of_kind("full", "ConfigMap") if x["metadata"]["name"] == name]
        assert json.loads(one["data"][path.name]) == json.loads(path.read_text())


def test_no_host_of_a_registry_is_written_into_the_chart() -> None:
    images = {c["image"] for _, spec in pods("default") for c in containers(spec)}
    assert all("." not in image.partition("/")[0].partition(":")[0] for image in images)
    mirrored = {c["image"] for _, spec in pods("existing") for c in containers(spec)}
    assert all(image.startswith("mirror.invalid:5000/ai/agentsight-") for image in mirrored)
