"""Containers by the files of their runtime and by the pods of the node."""

import json
from pathlib import Path

import pytest
from agentsight_agent.enrich.container_state import NONE, Containers, Pod
from agentsight_agent.enrich.containers import pod_uid, runtime

ID = "3f1d" * 16
UID = "0e1f2a3b-1111-2222-3333-444455556666"
SLICE = f"kubepods-burstable-pod{UID.replace('-', '_')}.slice"


@pytest.mark.parametrize(
    ("cgroup", "name", "pod"),
    [
        (f"0::/docker/{ID}\n", "docker", ""),
        (f"0::/system.slice/docker-{ID}.scope\n", "docker", ""),
        (f"0::/kubepods.slice/{SLICE}/cri-containerd-{ID}.scope\n", "containerd", UID),
        (f"0::/kubepods.slice/{SLICE}/crio-{ID}.scope/container\n", "cri-o", UID),
        (f"11:cpu,cpuacct:/kubepods/burstable/pod{UID}/{ID}\n", "", UID),
        (f"0::/system.slice/containerd.service/{SLICE}:cri-containerd:{ID}\n", "containerd", UID),
        (f"0::/machine.slice/libpod-{ID}.scope/container\n", "podman", ""),
        (f"0::/system.slice/nerdctl-{ID}.scope\n", "containerd", ""),
        # a static pod; a pod on a node that is a container itself
        (f"0::/kubepods/pod{UID.replace('-', '')}/{ID}\n", "", UID.replace("-", "")),
        (f"0::/docker/{'ab' * 32}/{SLICE}/cri-containerd-{ID}.scope\n", "containerd", UID),
        ("0::/user.slice/podium.scope\n", "", ""),
        ("", "", ""),
    ],
)
def test_the_cgroup_path_names_runtime_and_pod(cgroup: str, name: str, pod: str) -> None:
    assert (runtime(cgroup), pod_uid(cgroup)) == (name, pod)


def proc_of(root: Path, pid: int, cgroup: str) -> str:
    (root / str(pid)).mkdir()
    (root / str(pid) / "cgroup").write_text(cgroup)
    return str(root)


def test_docker_says_name_and_image_and_what_it_does_not_say_stays_empty(tmp_path: Path) -> None:
    folder = tmp_path / "containers"
    (folder / ID).mkdir(parents=True)
    state = folder / ID / "config.v2.json"
    proc = proc_of(tmp_path, 7, f"0::/docker/{ID}\n")
    state.write_text('{"Name": "/web", "Con')  # being written
    half = Containers(docker_folders=(str(folder),), proc=proc).of(7, ID)
    assert (half.id, half.runtime, half.name, half.image) == (ID, "docker", "", "")

    state.write_text(json.dumps({"Name": "/web", "Config": {"Image": "acme/web:3"}}))
    containers = Containers(docker_folders=("/nowhere", str(folder)), proc=proc)
    assert containers.of(7, "") == NONE
    found = containers.of(7, ID)
    assert (found.name, found.image) == ("web", "acme/web:3")
    state.unlink()
    assert containers.of(7, ID) == found


def test_a_pod_is_found_by_its_uid_before_the_api_server_knows_its_containers(
    tmp_path: Path,
) -> None:
    proc = proc_of(tmp_path, 7, f"0::/kubepods.slice/{SLICE}/cri-containerd-{ID}.scope\n")
    pods: dict[str, Pod] = {}
    containers = Containers(lambda uid, _: pods.get(uid), docker_folders=(), proc=proc)
    assert containers.of(7, ID).pod == ""

    pods[UID] = Pod(UID, "web-1", "shop", (("app", "web"),), ((ID, "acme/web:3"),), ((ID, "web"),))
    found = containers.of(7, ID)
    assert (found.pod, found.namespace, found.labels) == ("web-1", "shop", (("app", "web"),))
    assert (found.runtime, found.name, found.image) == ("containerd", "web", "acme/web:3")
