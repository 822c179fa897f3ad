"""The tools of the example agent: shell commands and files, each run logged as one JSON line."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

TIMEOUT_S = 30


@dataclass(frozen=True)
class Tool:
    """What the model is told about a tool."""

    description: str
    schema: dict[str, Any]


def _schema(**properties: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            name: {"type": "string", "description": text} for name, text in properties.items()
        },
        "required": list(properties),
    }


TOOLS = {
    "run_command": Tool("Run a shell command.", _schema(command="the command line")),
    "read_file": Tool("Read a text file.", _schema(path="path of the file")),
    "write_file": Tool(
        "Write a text file.", _schema(path="path of the file", content="its whole content")
    ),
    "edit_file": Tool(
        "Replace a text in a file.",
        _schema(path="path of the file", old="text to replace", new="text to put there"),
    ),
}


@dataclass
class ToolUse:
    """One tool call of the model, and what came of it."""

    id: str
    name: str
    arguments: dict[str, Any]
    result: str = ""
    failed: bool = False
    # Of the process that a command ran in.
    pid: int | None = None
    exit_code: int | None = None


class Toolbox:
    """Runs tools in one folder."""

    def __init__(self, folder: Path, log: TextIO) -> None:
        self._folder = folder
        self._log = log
        self._lock = threading.Lock()
        self._tools: dict[str, Callable[[ToolUse], str]] = {
            "run_command": self._run_command,
            "read_file": lambda use: self._path(use).read_text(encoding="utf-8"),
            "write_file": self._write_file,
            "edit_file": self._edit_file,
        }

    def run(self, use: ToolUse) -> None:
        """Run the tool and put its result into `use`."""
        try:
            use.result = self._tools[use.name](use)
        except (OSError, KeyError, ValueError, subprocess.TimeoutExpired) as error:
            use.result = f"{type(error).__name__}: {error}"
            use.failed = True
        line = {
            "tool": use.name,
            "id": use.id,
            "arguments": use.arguments,
            "failed": use.failed,
            "pid": use.pid,
            "exit_code": use.exit_code,
        }
        with self._lock:
            self._log.write(json.dumps(line) + "\n")
            self._log.flush()

    def _run_command(self, use: ToolUse) -> str:
        process = subprocess.Popen(
            ["/bin/sh", "-c", use.arguments["command"]],
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        use.pid = process.pid
        try:
            output, _ = process.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        use.exit_code = process.returncode
        return f"exit status {process.returncode}\n{output}"

    def _write_file(self, use: ToolUse) -> str:
        path = self._path(use)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(use.arguments["content"], encoding="utf-8")
        return f"{path.name} is written"

    def _edit_file(self, use: ToolUse) -> str:
        path = self._path(use)
        text = path.read_text(encoding="utf-8")
        if use.arguments["old"] not in text:
            raise ValueError("the text to replace is not in the file")
        path.write_text(text.replace(use.arguments["old"], use.arguments["new"]), encoding="utf-8")
        return f"{path.name} is changed"

    def _path(self, use: ToolUse) -> Path:
        return self._folder / str(use.arguments["path"])
