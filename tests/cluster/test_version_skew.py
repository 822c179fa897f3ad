"""Version N-1 beside N: aggregators and agents of both take part, forwards and back again.

N-1 is a commit of this repository, unpacked into a folder of its own; its programs run on the same
libraries. Without certificates, as its generator knows none.
"""

import subprocess
import sys
from pathlib import Path

import pytest
from agentsight_core.testing.cluster.cluster import Cluster
from agentsight_core.testing.cluster.member import Member

pytestmark = [pytest.mark.cluster, pytest.mark.matrix, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
# The last commit of version 0.1.0.
OLD_COMMIT = "065dbe3"
OLD_VERSION = 'version = "0.1.0"'
PACKAGES = ("core", "agent", "aggregator", "cli")


@pytest.fixture(scope="session")
def old_tree(tmp_path_factory) -> Path:
    done = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "archive", OLD_COMMIT],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, (
        f"version N-1 is commit {OLD_COMMIT}, which this clone does not have: fetch the whole "
        f"history (git fetch --unshallow); {done.stderr.decode()}"
    )
    folder = tmp_path_factory.mktemp("old-version")
    subprocess.run(["tar", "-x", "-C", str(folder)], input=done.stdout, check=True)
    assert OLD_VERSION in (folder / "pyproject.toml").read_text()
    return folder


class Versions:
    """Makes members of one version take the place of those of the other."""

    def __init__(self, cluster: Cluster, old_tree: Path) -> None:
        self._cluster = cluster
        path = ":".join(str(old_tree / package) for package in PACKAGES)
        self._env = {"old": {"PYTHONPATH": path}, "new": {}}
        self._old_tree = old_tree

    def _member(self, place: Member, version: str, module: str, *arguments: str) -> Member:
        command = [sys.executable, "-X", "faulthandler", "-m", module, *arguments]
        return Member(place.host, place.folder, command, self._env[version])

    async def replace_aggregator(self, number: int, version: str, *, kill: bool = False) -> None:
        """Stop an aggregator, or kill it, and start the other version on its folder."""
        there = self._cluster.aggregators[number]
        if kill:
            await there.kill()
        else:
            assert await there.stop() == 0, there.output()[-2000:]
        config = str(there.folder / "config.yaml")
        new = self._member(there, version, "agentsight_aggregator", "--config", config)
        self._cluster.aggregators[number] = new
        await new.start()
        await self._cluster.ready(new)
        await self._cluster.flows()
        _check_origin(new, self._old_tree, version)

    async def replace_node(self, number: int, version: str) -> None:
        """Kill a generator and start that of the other version on its spool."""
        there = self._cluster.nodes[number]
        await there.kill()
        settings = self._cluster.settings
        common = {
            "folder": there.folder,
            "sessions": settings.sessions_per_node,
            "rate": settings.rate,
        }
        old = {"node": there.name, "servers": ",".join(self._cluster.servers)}
        new = {"config": there.folder / "config.yaml"}
        values = {**common, **(old if version == "old" else new)}
        module = "agentsight_core.testing.cluster.generator"
        arguments = [f"--{key}={value}" for key, value in values.items()]
        member = self._member(there, version, module, *arguments)
        self._cluster.nodes[number] = member
        await member.start()
        await self._cluster.flows()
        _check_origin(member, self._old_tree, version)


def _check_origin(member: Member, old_tree: Path, version: str) -> None:
    """The process runs the code that it is meant to run."""
    environment = Path(f"/proc/{member.pid}/environ").read_bytes().decode()
    assert (str(old_tree) in environment) == (version == "old")
    assert member.runs, member.output()[-3000:]


async def test_back_to_the_old_version_and_forwards_again(run, old_tree):
    async with run("N-1 beside N", secured=False, aggregators=2, nodes=2) as it:
        versions = Versions(it.cluster, old_tree)
        # Roll back while the other half is new: the old one takes over what the new one has saved.
        await versions.replace_node(1, "old")
        await versions.replace_aggregator(0, "old")
        await versions.replace_aggregator(1, "old", kill=True)
        # All old. Roll forward.
        await versions.replace_aggregator(1, "new")
        await versions.replace_node(1, "new")
        await versions.replace_aggregator(0, "new", kill=True)
        verdict = await it.finish()
        # Findings of two versions are not those of a replay by one of them.
        faults = {name: found for name, found in verdict.faults.items() if name != "replay"}
        assert not faults
        assert verdict.units > 500
        refused = [a.output().count("of another version") for a in it.cluster.aggregators]
        it.note(checkpoints_refused=sum(refused))
