"""Pods, namespaces and labels from the API server of Kubernetes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from agentsight_core.config.section import Section

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class KubernetesConfig(Section):
    """Pods, namespaces and labels from the API server of Kubernetes."""

    enabled: bool = False
    """Whether the agent watches the pods of its node. Its service account must be allowed to list
    and watch pods."""

    node_name: str = ""
    """Name of this node in Kubernetes (`spec.nodeName`); empty means `node.name`, or the
    host name."""

    api_url: str = ""
    """URL of the API server; empty means the one that every pod is told of."""

    token_file: Path = _ACCOUNT / "token"
    """Token of the service account, read again for each request; without the file no token is
    sent."""

    ca_file: Path = _ACCOUNT / "ca.crt"
    """Certificates of the authority of the API server."""

    labels: Annotated[tuple[str, ...], Field(max_length=16)] = (
        "app",
        "app.kubernetes.io/name",
        "app.kubernetes.io/instance",
        "app.kubernetes.io/component",
    )
    """Labels of pods that filters and findings know, 16 at most; no other leaves the node."""
