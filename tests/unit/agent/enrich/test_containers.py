"""Container ids out of cgroup texts as the runtimes write them."""

import pytest
from agentsight_agent.enrich.containers import container_id

ID = "3f1d" * 16
OTHER = "a0b1" * 16
POD = "pod0e1f2a3b-1111-2222-3333-444455556666"
POD_SLICE = POD.replace("-", "_")


@pytest.mark.parametrize(
    "text",
    [
        # Docker, cgroup v1 and v2, cgroupfs and systemd driver
        f"12:memory:/docker/{ID}\n1:name=systemd:/docker/{ID}\n",
        f"0::/docker/{ID}\n",
        f"0::/system.slice/docker-{ID}.scope\n",
        f"0::/system.slice/docker-{ID}.scope/init.scope\n",
        # containerd under Kubernetes
        f"11:cpu,cpuacct:/kubepods/burstable/{POD}/{ID}\n",
        (
            f"0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-{POD_SLICE}.slice"
            f"/cri-containerd-{ID}.scope\n"
        ),
        (
            f"1:name=systemd:/system.slice/containerd.service/kubepods-{POD_SLICE}.slice"
            f":cri-containerd:{ID}\n"
        ),
        # CRI-O
        (
            f"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-{POD_SLICE}.slice"
            f"/crio-{ID}.scope/container\n"
        ),
        # Podman with and without root
        f"0::/machine.slice/libpod-{ID}.scope/container\n",
        f"0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope\n",
        f"9:pids:/libpod_parent/libpod-{ID}\n",
        # nerdctl, ECS
        f"0::/system.slice/nerdctl-{ID}.scope\n",
        f"4:memory:/ecs/0123456789abcdef0123456789abcdef/{ID}\n",
        # seen from another cgroup namespace
        f"0::/../../docker/{ID}\n",
        # a node of kind: Kubernetes inside of Docker
        f"0::/docker/{OTHER}/kubelet.slice/kubelet-kubepods.slice/cri-containerd-{ID}.scope\n",
        # hybrid: only one hierarchy knows
        f"9:name=systemd:/\n4:memory:/docker/{ID}\n0::/\n",
    ],
)
def test_runtimes(text: str) -> None:
    assert container_id(text) == ID


def test_fargate() -> None:
    task = "0123456789abcdef0123456789abcdef"
    assert container_id(f"1:cpu:/ecs/{task}/{task}-3054012345\n") == f"{task}-3054012345"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0::/\n",
        "0::/init.scope\n",
        "0::/user.slice/user-1000.slice/session-3.scope\n",
        "0::/system.slice/docker.service\n",
        "4:memory:/build/50fb60e54baefcfd43bd84efa43ecf70\n",
        f"0::/kubepods.slice/kubepods-{POD_SLICE}.slice\n",
        f"0::/kubepods.slice/kubepods-{POD_SLICE}.slice/crio-conmon-{ID}.scope\n",
        f"0::/machine.slice/libpod-conmon-{ID}.scope\n",
        f"0::/x{ID}\n",
        f"0::/docker/{ID[:-1]}\n",
        "garbage",
    ],
)
def test_outside_of_containers(text: str) -> None:
    assert container_id(text) == ""
