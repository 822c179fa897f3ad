"""Pods of rendered manifests, run by Docker as a kubelet would: for tests of what a chart makes.

Honoured are command, arguments, environment, users, capabilities, read-only roots, limits of
memory, init containers, shared process namespaces, volumes, names of Services, HTTP probes. What a
volume keeps (claims, hostPath) is in a folder of the test. Not honoured: nodes, network policies,
limits of processor time. Must not render.
"""

from __future__ import annotations

import base64
import json
import os
import re
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path

from agentsight_core.testing.containers import docker, logs
from agentsight_core.testing.helm_chart import Manifest, pods_in

NODE = "node-of-docker"
_GRACE_S = 30
_UNITS = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}
# Engines before 23 do not know these; SYS_ADMIN stands for them, as in
# deploy/compose/capabilities.old-engine.yaml.
_NEW_CAPABILITIES = {"BPF", "PERFMON", "CHECKPOINT_RESTORE"}


class Pods:
    """The pods of `objects` in one Docker network; `folder` holds their volumes."""

    def __init__(self, objects: Iterable[Manifest], folder: Path, network: str) -> None:
        self._objects = list(objects)
        self._folder = folder
        self._network = network
        self._old_engine = (
            int(docker("version", "--format", "{{.Server.Version}}").split(".")[0]) < 23
        )
        # Pod to its running containers: (name, specification).
        self.running: dict[str, list[tuple[str, Manifest]]] = {}
        docker("network", "create", network)

    def start(self, kind: str, name: str) -> list[str]:
        """Start all pods of an object; return their names."""
        (found,) = [
            pair
            for pair in pods_in(self._objects)
            if (pair[0]["kind"], pair[0]["metadata"]["name"]) == (kind, name)
        ]
        one, spec = found
        count = one["spec"].get("replicas", 1) if kind != "Pod" else 1
        names = [name] if kind == "Pod" else [f"{name}-{number}" for number in range(count)]
        for pod in names:
            self._start_pod(one, spec, pod)
        return names

    def run(self, name: str, arguments: list[str] | None = None) -> str:
        """Run a pod of one container to its end; return what it prints."""
        (found,) = [pair for pair in pods_in(self._objects) if pair[0]["metadata"]["name"] == name]
        one, spec = found
        (container,) = spec["containers"]
        asked = {**container, "args": arguments or container["args"]}
        return docker("run", "--rm", *self._options(one, spec, asked, name, ()))

    def is_ready(self, pod: str) -> bool:
        """Whether all readiness probes of a pod that runs succeed."""
        return all(
            self._answers(name, spec, spec["readinessProbe"])
            for name, spec in self.running[pod]
            if "readinessProbe" in spec
        )

    def close(self) -> None:
        """End all containers as a kubelet does, remove them; their output goes into the folder."""
        names = [name for parts in reversed(self.running.values()) for name, _ in reversed(parts)]
        if names:
            docker("stop", "--time", str(_GRACE_S), *names)
        for pod, parts in self.running.items():
            for name, _ in parts:
                (self._folder / f"{pod}.{name}.log").write_text(logs(name))
        if names:
            docker("rm", *names)
        docker("network", "rm", self._network)

    def _start_pod(self, one: Manifest, spec: Manifest, pod: str) -> None:
        for init in spec.get("initContainers", ()):
            docker("run", "--rm", *self._options(one, spec, init, pod, ()))
        parts = self.running.setdefault(pod, [])
        for container in spec["containers"]:
            name = f"{self._network}-{pod}-{container['name']}"
            first = parts[0][0] if parts else None
            together: tuple[str, ...] = ()
            if first:
                together = ("--network", f"container:{first}")
                if spec.get("shareProcessNamespace"):
                    together += ("--pid", f"container:{first}")
            options = self._options(one, spec, container, pod, together)
            docker("run", "--detach", "--name", name, *options)
            parts.append((name, container))

    def _options(
        self,
        one: Manifest,
        spec: Manifest,
        container: Manifest,
        pod: str,
        together: tuple[str, ...],
    ) -> list[str]:
        context = {**spec.get("securityContext", {}), **container["securityContext"]}
        words = list(together) or ["--network", self._network, *self._aliases(one, pod)]
        words += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
        for capability in sorted(self._capabilities(context)):
            words += ["--cap-add", capability]
        if context["readOnlyRootFilesystem"]:
            words.append("--read-only")
        words += ["--user", f"{context['runAsUser']}:{context.get('runAsGroup', 0)}"]
        if "fsGroup" in context:
            words += ["--group-add", str(context["fsGroup"])]
        if spec.get("hostPID"):
            words += ["--pid", "host"]
        words += ["--memory", str(bytes_of(container["resources"]["limits"]["memory"]))]
        for name, value in environment(container, pod):
            words += ["--env", f"{name}={value}"]
        for mount in container.get("volumeMounts", ()):
            source = self._volume(one, spec, mount["name"], pod)
            end = ":ro" if mount.get("readOnly") else ""
            words += ["--volume", f"{source}:{mount['mountPath']}{end}"]
        command = container.get("command", [])
        if command:
            words += ["--entrypoint", command[0]]
        return [*words, container["image"], *command[1:], *container.get("args", ())]

    def _capabilities(self, context: Manifest) -> set[str]:
        added = set(context["capabilities"].get("add", ()))
        if self._old_engine and added & _NEW_CAPABILITIES:
            return added - _NEW_CAPABILITIES | {"SYS_ADMIN"}
        return added

    def _aliases(self, one: Manifest, pod: str) -> Iterator[str]:
        labels = one["spec"].get("template", {}).get("metadata", {}).get("labels", {})
        for service in self._objects:
            if (
                service["kind"] != "Service"
                or not service["spec"]["selector"].items() <= labels.items()
            ):
                continue
            name, namespace = service["metadata"]["name"], service["metadata"]["namespace"]
            yield from ("--network-alias", name, "--network-alias", f"{name}.{namespace}.svc")
            yield from ("--network-alias", f"{pod}.{name}.{namespace}.svc")

    def _volume(self, one: Manifest, spec: Manifest, name: str, pod: str) -> Path:
        """Return the folder of a volume, made and filled at its first use."""
        path = self._folder / pod / name
        if path.exists():
            return path
        path.mkdir(parents=True)
        volume: Manifest = next((v for v in spec.get("volumes", ()) if v["name"] == name), {})
        group = spec.get("securityContext", {}).get("fsGroup", 0)
        if "projected" in volume:
            sources, mode = volume["projected"]["sources"], volume["projected"]["defaultMode"]
        elif "configMap" in volume:
            sources, mode = [{"configMap": volume["configMap"]}], 0o644
        else:
            sources, mode = [], 0
            os.chown(path, 0, group)
            path.chmod(0o2777)
        for source in sources:
            ((kind, wanted),) = source.items()
            for key, data in self._files(one, kind, wanted):
                (path / key).write_bytes(data)
                os.chown(path / key, 0, group)
                (path / key).chmod(mode)
        return path

    def _files(self, one: Manifest, kind: str, wanted: Manifest) -> Iterator[tuple[str, bytes]]:
        (found,) = [
            o
            for o in self._objects
            if o["kind"].lower() == kind.lower()
            and o["metadata"]["name"] == wanted["name"]
            and o["metadata"].get("namespace") == one["metadata"]["namespace"]
        ]
        items = {item["key"]: item["path"] for item in wanted.get("items", ())}
        data = {key: text.encode() for key, text in found.get("stringData", {}).items()}
        for key, text in found.get("data", {}).items():
            data[key] = base64.b64decode(text) if kind == "secret" else text.encode()
        return (
            (items.get(key, key), value) for key, value in data.items() if not items or key in items
        )

    def _answers(self, name: str, container: Manifest, probe: Manifest) -> bool:
        state = json.loads(docker("inspect", name))[0]
        assert state["State"]["Running"], logs(name)[-2000:]
        address = state["NetworkSettings"]["Networks"][self._network]["IPAddress"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        get = probe["httpGet"]
        url = f"http://{address}:{ports[get['port']]}{get['path']}"
        try:
            with urllib.request.urlopen(url, timeout=probe.get("timeoutSeconds", 1)):  # http
                return True
        except OSError:
            return False


def bytes_of(quantity: str) -> int:
    """Return the bytes of a quantity with a binary unit: 2Gi."""
    number, unit = re.fullmatch(r"(\d+)(Ki|Mi|Gi)", quantity).groups()  # type: ignore[union-attr]
    return int(number) * _UNITS[unit]


def environment(container: Manifest, pod: str) -> Iterator[tuple[str, str]]:
    """Yield the variables of a container; $(NAME) stands for those before it."""
    known: dict[str, str] = {}
    fields = {"metadata.name": pod, "spec.nodeName": NODE}
    for item in container.get("env", ()):
        source = item.get("valueFrom", {})
        if "fieldRef" in source:
            value = fields[source["fieldRef"]["fieldPath"]]
        elif "resourceFieldRef" in source:
            value = str(bytes_of(container["resources"]["limits"]["memory"]))
        else:
            value = re.sub(r"\$\((\w+)\)", lambda match: known[match[1]], item["value"])
        known[item["name"]] = value
        yield item["name"], value
