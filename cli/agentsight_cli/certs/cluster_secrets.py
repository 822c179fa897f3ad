"""Reads and writes Secrets through the API of the Kubernetes cluster that this process runs in.

https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/ says how a pod reaches it.
Only what the chart's Job of keys needs: get, create, replace.
"""

from __future__ import annotations

import json
import os
import ssl
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from agentsight_core.errors import ConfigError

from agentsight_cli.certs import kubernetes
from agentsight_cli.certs.kubernetes import Manifest, Release

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TIMEOUT_S = 30.0


class ClusterSecrets:
    """The Secrets of a cluster."""

    def __init__(self, environ: Mapping[str, str] = os.environ, account: Path = ACCOUNT) -> None:
        """Find the API; raises ConfigError when this is no pod with a service account."""
        try:
            self._token = (account / "token").read_text().strip()
            self._tls = ssl.create_default_context(cafile=str(account / "ca.crt"))
            host = environ["KUBERNETES_SERVICE_HOST"]
        except (OSError, KeyError) as error:
            raise ConfigError(f"this is no pod with a service account: {error}") from error
        host = f"[{host}]" if ":" in host else host
        self._url = f"https://{host}:{environ.get('KUBERNETES_SERVICE_PORT', '443')}"

    def get(self, namespace: str, name: str) -> Manifest | None:
        """Return a Secret, None if there is none; raises ConfigError."""
        return self._ask("GET", f"{_path(namespace)}/{name}")

    def put(self, secret: Manifest, known: Manifest | None) -> bool:
        """Write `secret` where `known` was read before; return whether that changed something.

        Raises ConfigError, too when somebody else has written it since.
        """
        metadata = secret["metadata"]
        assert isinstance(metadata, dict)
        namespace, name = metadata["namespace"], metadata["name"]
        if known is None:
            self._ask("POST", _path(namespace), secret)
            return True
        if known.get("data") == secret["data"]:
            return False
        self._ask("PUT", f"{_path(namespace)}/{name}", {**known, "data": secret["data"]})
        return True

    def _ask(self, method: str, path: str, body: Manifest | None = None) -> Manifest | None:
        request = urllib.request.Request(  # noqa: S310  # the scheme is ours
            self._url + path,
            json.dumps(body).encode() if body else None,
            {"authorization": f"Bearer {self._token}", "content-type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S, context=self._tls) as answer:  # noqa: S310  # see above
                found: Manifest = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 404 and method == "GET":
                    return None
                raise ConfigError(f"{method} {path}: {error.code} {_reason(error)}") from error
        except OSError as error:
            raise ConfigError(f"{method} {path}: {error}") from error


def apply_keys(cluster: ClusterSecrets, release: Release) -> list[str]:
    """Make keys that are missing in the cluster, bring rights up to date; return what was written.

    May be called again, by several at once: all but one raise ConfigError and find it done then.
    """
    known = {
        part: cluster.get(namespace, f"{release.name}-{part}")
        for part, (namespace, _) in kubernetes.key_files(release).items()
    }
    written = []
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        for secret in known.values():
            data = secret.get("data") if secret else None
            kubernetes.restore(folder, data if isinstance(data, dict) else {})
        for part, secret in zip(known, kubernetes.key_secrets(folder, release), strict=True):
            if cluster.put(secret, known[part]):
                written.append(f"{release.name}-{part}")
    return written


def _path(namespace: object) -> str:
    return f"/api/v1/namespaces/{namespace}/secrets"


def _reason(error: urllib.error.HTTPError) -> str:
    text = error.read().decode(errors="replace")
    try:
        return str(json.loads(text).get("message", text))
    except ValueError:
        return text
