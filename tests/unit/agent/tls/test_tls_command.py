"""What a command will run, through scripts, env and interpreters."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from agentsight_agent.tls.command import resolve_command
from agentsight_agent.tls.libraries import standard_libraries


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A prefix with an interpreter, its library, and scripts."""
    files = {
        "env/bin/runner": "#!/not/there\n",
        "env/lib/libssl.so.3": "",
        "env/lib/python3.11/site-packages/psycopg.libs/libssl-1b2c.so.3": "",
        "tools/direct": f"#!{tmp_path}/env/bin/runner -u\n",
        "tools/by-env": "#!/usr/bin/env runner\n",
        "tools/by-env-split": "#!/usr/bin/env -S A=1 runner --flag\n",
        "tools/loop": f"#!{tmp_path}/tools/loop\n",
    }
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("script", ["direct", "by-env", "by-env-split"])
def test_interpreter_and_what_it_brings_along(tree: Path, script: str) -> None:
    path = f"{tree}/tools:{tree}/env/bin:/usr/bin:/bin"
    found = resolve_command([script, "argument"], path, "/")
    assert found[0] == f"{tree}/tools/{script}"
    assert f"{tree}/env/bin/runner" in found
    assert f"{tree}/env/lib/libssl.so.3" in found
    assert any(name.endswith("psycopg.libs/libssl-1b2c.so.3") for name in found)


def test_env_as_the_command_itself(tree: Path) -> None:
    path = f"{tree}/env/bin:/usr/bin:/bin"
    found = resolve_command(["env", "-u", "HOME", "-i", "B=2", "runner"], path, "/")
    assert f"{tree}/env/bin/runner" in found


def test_links_are_followed(tree: Path) -> None:
    (tree / "venv/bin").mkdir(parents=True)
    (tree / "venv/bin/python").symlink_to(tree / "env/bin/runner")
    found = resolve_command(["venv/bin/python"], "", str(tree))
    assert found[0] == f"{tree}/env/bin/runner"
    assert f"{tree}/env/lib/libssl.so.3" in found


def test_a_script_that_interprets_itself_ends(tree: Path) -> None:
    assert resolve_command([f"{tree}/tools/loop"], "", "/") == [f"{tree}/tools/loop"]


@pytest.mark.parametrize("argv", [[], ["no-such-program"], ["/etc"]])
def test_what_cannot_be_run_is_nothing(argv: list[str]) -> None:
    assert resolve_command(argv, os.environ["PATH"], "/") == []


def test_standard_libraries_of_a_root(tmp_path: Path) -> None:
    files = ["usr/lib/libssl.so.1.1", "opt/conda/lib/libssl.so.3", "lib/libother.so"]
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    # An absolute link in a container points outside of it, as we see it.
    (tmp_path / "lib/libssl.so").symlink_to("/usr/lib/x86_64-linux-gnu/libssl.so.3")
    (tmp_path / "etc").mkdir()
    cache = b"glibc-ld.so.cache1.1\0\0/usr/lib/libssl.so.1.1\0/opt/conda/lib/libssl.so.3\0libz\0"
    (tmp_path / "etc/ld.so.cache").write_bytes(cache)
    root = str(tmp_path)
    assert standard_libraries(root) == [
        f"{root}/opt/conda/lib/libssl.so.3",
        f"{root}/usr/lib/libssl.so.1.1",
    ]


def test_standard_libraries_of_this_machine() -> None:
    assert any("libssl.so.3" in path for path in standard_libraries())
