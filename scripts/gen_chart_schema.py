"""Make deploy/helm/agentsight/values.schema.json from values.yaml and the configuration's models.

usage: gen_chart_schema.py [--check]      --check: exit status 1 if the file is stale.

The type of each value is that of its default; nothing else is allowed beside what values.yaml has.
What a default cannot say is in the tables below. `config` takes what the models take.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml
from agentsight_core.config.models import AgentSightConfig

CHART = Path(__file__).parents[1] / "deploy" / "helm" / "agentsight"
TARGET = CHART / "values.schema.json"

# Objects of Kubernetes: their own schema is checked when they are applied.
OBJECTS = {"resources", "affinity"}
TEXTS = {
    "nodeSelector",
    "podAnnotations",
    "podLabels",
    "annotations",
    "labels",
    "additionalRuleLabels",
    "prometheusNamespaceLabels",
    "apiClientLabels",
}
QUANTITY = {"type": "string", "pattern": "^[0-9]+(Ki|Mi|Gi|Ti)$"}
PORT = {"type": "integer", "minimum": 1, "maximum": 65535}
NAME = {"type": "string", "maxLength": 63, "pattern": "^([a-z0-9]([a-z0-9-]*[a-z0-9])?)?$"}
MEMBERS = {"enum": [1, 3, 5]}
DIGEST = {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"}
CHOICE_OF_PROFILE = {"enum": ["RuntimeDefault", "Unconfined"]}
DAYS = {"type": "integer", "minimum": 2}
COUNT = {"type": "integer", "minimum": 1}
SPREAD = {"enum": ["ScheduleAnyway", "DoNotSchedule"]}
AVAILABLE = {"type": ["integer", "string"], "pattern": "^[0-9]+%?$"}

# By path, or by the last part of it.
MORE = {
    "cluster": {"type": "string", "pattern": "^[A-Za-z0-9_-]+$", "maxLength": 63},
    "image.registry": {"type": "string", "pattern": "^([^/:]+(:[0-9]+)?(/[^:]*)?)?$"},
    "pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "namespace": NAME,
    "digest": DIGEST,
    "appArmorProfile": CHOICE_OF_PROFILE,
    "seccompProfile": CHOICE_OF_PROFILE,
    "stateHostPath": {"type": "string", "pattern": "^/.+"},
    "port": PORT,
    "metricsPort": PORT,
    "apiPort": PORT,
    "maxUnavailable": AVAILABLE,
    "nats.replicas": MEMBERS,
    "etcd.replicas": MEMBERS,
    "aggregator.replicas": COUNT,
    "minReplicas": COUNT,
    "maxReplicas": COUNT,
    "terminationGracePeriodSeconds": COUNT,
    "bus.partitions": {"type": "integer", "minimum": 1, "maximum": 1024},
    "maxFileStore": QUANTITY,
    "size": QUANTITY,
    "whenUnsatisfiable": SPREAD,
    "certificates.method": {"enum": ["helm", "certManager", "existing"]},
    "keys.method": {"enum": ["job", "existing"]},
    "days": DAYS,
    "kind": {"enum": ["Issuer", "ClusterIssuer"]},
    "externalServers": {
        "type": "array",
        "items": {"type": "string", "pattern": "^(nats|tls)://"},
    },
    "externalEndpoints": {"type": "array", "items": {"type": "string", "pattern": "^https://"}},
    "otlpEndpoint": {"type": "string", "pattern": "^(https?://.+)?$"},
    "interval": {"type": "string", "pattern": "^[0-9]+(ms|s|m)$"},
    "egressPorts": {"type": "array", "items": PORT},
    "tolerations": {"type": "array", "items": {"type": "object"}},
    "otlpPeers": {"type": "array", "items": {"type": "object"}},
}
TYPES = {bool: "boolean", int: "integer", str: "string"}


def schema_of(value: object, path: tuple[str, ...]) -> dict[str, object]:
    """Return the schema of what is at `path` and has `value` by default."""
    last = path[-1] if path else ""
    if known := MORE.get(".".join(path)) or MORE.get(last):
        return known
    if path == ("config",):
        return config_schema()
    if last in OBJECTS | TEXTS:
        return {
            "type": "object",
            "additionalProperties": {"type": "string"} if last in TEXTS else True,
        }
    if isinstance(value, dict):
        return {
            "type": "object",
            "additionalProperties": False,
            "properties": {key: schema_of(inner, (*path, key)) for key, inner in value.items()},
        }
    if isinstance(value, list):
        return {"type": "array", "items": {"type": "string"}}
    return {"type": TYPES[type(value)]}


def config_schema() -> dict[str, object]:
    """Return the schema of a configuration file, with its definitions put in their places."""
    whole = AgentSightConfig.model_json_schema()
    return inlined(whole, whole.pop("$defs"))


def inlined(node: object, known: dict[str, object]) -> object:
    """Return `node` without references, titles and defaults; sizes may be texts as "16MiB"."""
    if isinstance(node, list):
        return [inlined(one, known) for one in node]
    if not isinstance(node, dict):
        return node
    if reference := node.get("$ref"):
        return inlined(known[reference.rpartition("/")[2]], known)
    # A property may be called "title"; a title of ours is a text.
    left = {
        key: value
        for key, value in node.items()
        if not (key in ("title", "description") and isinstance(value, str)) and key != "default"
    }
    made = {key: inlined(value, known) for key, value in left.items()}
    properties = made.get("properties")
    if isinstance(properties, dict):
        for name, value in properties.items():
            if name.endswith("_bytes") and value.get("type") == "integer":
                properties[name] = {"anyOf": [value, {"type": "string", "pattern": "^[0-9]"}]}
    made.pop("format", None)
    return made


def text() -> str:
    """Return the file's text."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of AgentSight Cluster. Generated by scripts/gen_chart_schema.py",
        **schema_of(values, ()),
    }
    # Helm puts it there for charts that are part of others.
    schema["properties"]["global"] = {"type": "object"}
    return json.dumps(schema, indent=1) + "\n"


def main() -> int:
    """Write or check the file."""
    made = text()
    if sys.argv[1:] == ["--check"]:
        if TARGET.read_text() != made:
            print(f"{TARGET} is stale: run scripts/gen_chart_schema.py")
            return 1
        return 0
    TARGET.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
