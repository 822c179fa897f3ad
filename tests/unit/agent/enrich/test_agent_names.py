"""Names of agents as people know them."""

import pytest
from agentsight_agent.enrich.agent_names import agent_name


@pytest.mark.parametrize(
    ("exe", "argv", "name"),
    [
        ("/home/u/.local/share/claude/versions/2.1.0", ["claude"], "claude-code"),
        ("/usr/bin/node", ["node", "/usr/bin/claude", "-p", "x"], "claude-code"),
        (
            "/usr/bin/node",
            ["node", "/lib/node_modules/@anthropic-ai/claude-code/cli.js"],
            "claude-code",
        ),
        ("/usr/bin/node", ["node", "--no-warnings", "/usr/bin/gemini"], "gemini-cli"),
        ("/opt/codex", ["codex", "exec"], "codex"),
        ("/usr/bin/python3.11", ["/usr/bin/python3", "/home/u/.local/bin/aider"], "aider"),
        ("/usr/bin/python3.11", ["python3", "-m", "aider"], "aider"),
        ("/usr/bin/python3.11", ["python", "foo.py"], "foo"),
        ("/usr/bin/python3.11", ["python", "-u", "-X", "dev", "/srv/foo.py", "bar.py"], "foo"),
        ("/usr/bin/python3.11", ["python", "-I", "/srv/foo.py", "bar.py"], "foo"),
        ("/usr/bin/perl", ["perl", "-I", "lib", "/srv/foo.pl", "bar"], "foo"),
        ("/usr/bin/python3.11", ["python", "-m", "triage.cli"], "triage"),
        ("/usr/bin/python3.11", ["python", "/srv/triage/main.py"], "triage"),
        ("/usr/bin/python3.11", ["python", "main.py"], "main"),
        ("/usr/bin/python3.11", ["python", "-c", "print()"], "python"),
        ("/usr/bin/python3.11", ["python"], "python"),
        ("/usr/bin/node", ["node", "index.js"], "index"),
        ("/root/.bun/bin/bun", ["bun", "run", "agent.ts"], "agent"),
        ("/bin/bash", ["-bash"], "bash"),
        (r"\Device\HarddiskVolume3\npm\claude.exe", ["claude"], "claude-code"),
        ("node.exe", [r"C:\nodejs\node.exe", r"C:\node_modules\@openai\codex\codex.js"], "codex"),
        ("python.exe", ["python.exe", "-m", "triage.cli"], "triage"),
        ("/usr/bin/curl", ["curl", "https://api.example/goose"], "curl"),
        # A directory that happens to be called like a product.
        ("/usr/bin/python3.11", ["python", "/home/u/goose/train.py"], "train"),
        ("", [], "python"),
    ],
)
def test_names(exe: str, argv: list[str], name: str) -> None:
    comm = {"curl": "curl", "bash": "bash"}.get(name, "python")
    assert agent_name(exe, argv, comm) == name
