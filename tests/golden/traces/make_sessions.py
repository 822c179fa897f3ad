"""Writes the two traces of this folder: `python tests/golden/traces/make_sessions.py`.

A session that somebody made up, in the formats as they are documented; see README.md.
"""

from __future__ import annotations

import json
from pathlib import Path

from agentsight_core.testing import etw_output as etw
from agentsight_core.testing.dtrace_output import DtraceOutput

HERE = Path(__file__).parent
SECOND = 1_000_000_000
WALL_NS = 1_767_261_600 * SECOND  # 2026-01-01T10:00:00Z
AGENT, SHELL = 4101, 4102
SSL = 0x14F80C200
API = bytes([16, 2, 443 >> 8, 443 & 0xFF, 203, 0, 113, 10]) + bytes(8)
TASK = {"role": "user", "content": "How many lines do my notes have?"}
COMMAND = 'wc -l "my notes.txt"'
ASKED = [
    {"type": "text", "text": "I count them."},
    {"type": "tool_use", "id": "toolu_01", "name": "bash", "input": {"command": COMMAND}},
]
RESULT = [{"type": "tool_result", "tool_use_id": "toolu_01", "content": "7 my notes.txt"}]
SAID = [{"type": "text", "text": "Seven."}]


def request(messages: list[object]) -> bytes:
    body = {"model": "claude-example", "max_tokens": 500, "messages": messages}
    text = json.dumps(body).encode()
    head = (
        "POST /v1/messages HTTP/1.1\r\nhost: api.anthropic.com\r\nx-api-key: sk-ant-invented\r\n"
        f"anthropic-version: 2023-06-01\r\ncontent-length: {len(text)}\r\n\r\n"
    )
    return head.encode() + text


def response(content: list[dict[str, object]], reason: str, tokens: int) -> bytes:
    body = {
        "id": f"msg_{tokens}",
        "type": "message",
        "role": "assistant",
        "model": "claude-example",
        "content": content,
        "stop_reason": reason,
        "usage": {"input_tokens": 20, "output_tokens": tokens},
    }
    text = json.dumps(body).encode()
    head = (
        f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(text)}\r\n\r\n"
    )
    return head.encode() + text


def at(seconds: float) -> int:
    return SECOND + int(seconds * SECOND)


def dtrace_session() -> str:
    out = DtraceOutput(AGENT, WALL_NS)
    mac = out.record
    t = AGENT * 7
    argv = [b"/opt/homebrew/bin/python3", b"notes_agent.py", b'say "one\nline"', b"\xff"]
    out.execute(at(0.1), AGENT, 900, argv, running=True)
    mac("change", at(0.2), AGENT, t, b"chdir", -2, 0, 0, 0, b"/Users/example/work")
    mac("open", at(0.3), AGENT, t, -2, 0, 4, 0, b"agent.toml")
    mac("close", at(0.4), AGENT, t, 4, 120, 0, 2, 0)
    mac("open", at(0.5), AGENT, t, -2, 0, -1, 2, b"/etc/agent\n.toml")
    mac("connect", at(0.6), AGENT, t, 5, 36, dump=API)
    mac("tlsfd", at(0.7), AGENT, t, SSL, 5)
    out.call(at(1), AGENT, SSL, request([TASK]), written=True)
    out.call(at(2), AGENT, SSL, response(ASKED, "tool_use", 30), written=False)
    mac("fork", at(2.1), AGENT, t, SHELL)
    out.execute(at(2.2), SHELL, AGENT, [b"/bin/sh", b"-c", COMMAND.encode()])
    s = SHELL * 7
    mac("open", at(2.3), SHELL, s, -2, 0, 3, 0, b"my notes.txt")
    mac("close", at(2.4), SHELL, s, 3, 240, 0, 1, 0)
    # The buffer of another CPU: printed later, but older.
    mac("signal", at(2.25), AGENT, t, SHELL, 18)
    mac("exit", at(2.5), SHELL, s, 1, 0)
    history = [TASK, {"role": "assistant", "content": ASKED}, {"role": "user", "content": RESULT}]
    out.call(at(3), AGENT, SSL, request(history), written=True)
    out.call(at(4), AGENT, SSL, response(SAID, "end_turn", 5), written=False)
    mac("open", at(4.1), AGENT, t, -2, 0x601, 6, 0, b"answer.tmp")
    mac("close", at(4.2), AGENT, t, 6, 0, 7, 0, 1)
    mac("name", at(4.3), AGENT, t, b"rename", -2, -2, 0, 0, b"answer.tmp", b"answer.md")
    mac("change", at(4.4), AGENT, t, b"unlink", -2, 0, -1, 2, b"answer.bak")
    mac("close", at(4.5), AGENT, t, 5, 900, 800, 4, 2)
    mac("tlsfree", at(4.6), AGENT, t, SSL)
    mac("exit", at(5), AGENT, t, 1, 3)
    mac("end", at(5.1), 1, 1)
    return out.text + "dtrace: 3 drops on CPU 1\n"


def clock(seconds: float) -> str:
    return f"2026-01-01T11:00:{seconds:012.9f}+01:00"


def etw_session() -> str:
    disk = "\\Device\\HarddiskVolume3\\Users\\example\\work\\"
    line = (
        '"C:\\Program Files\\nodejs\\node.exe" C:\\npm\\node_modules\\@openai\\codex\\bin\\codex.js'
    )
    api = {"daddr": "203.0.113.10", "saddr": "192.0.2.7", "dport": 443, "sport": 50123, "connid": 0}

    def process(opcode: int, name: str, seconds: float, pid: int, **fields: object) -> str:
        told = {"UniqueProcessKey": "0xFFFFD08A1C2B3080", "ProcessId": hex(pid), **fields}
        return etw.event(etw.CLASSIC_PROCESS, opcode, clock(seconds), pid, opcode_name=name, **told)

    def file(ident: int, seconds: float, pid: int, irp: int, **fields: object) -> str:
        told = {"Irp": hex(0xFFFFD08A20000000 + irp), **fields}
        return etw.event(etw.KERNEL_FILE, ident, clock(seconds), pid, **told)

    def create(seconds: float, pid: int, irp: int, key: str, options: int, name: str) -> str:
        told = {"IssuingThreadId": pid + 4, "CreateOptions": hex(options), "FileName": name}
        return file(12, seconds, pid, irp, FileObject=key, **told)

    def end(seconds: float, pid: int, irp: int, status: int = 0) -> str:
        return file(24, seconds, pid, irp, ExtraInformation="0x1", Status=hex(status))

    def tcp(opcode: int, name: str, seconds: float, size: int = 0) -> str:
        told = {"PID": AGENT, "size": size, **api}
        return etw.event(etw.CLASSIC_TCPIP, opcode, clock(seconds), 4, opcode_name=name, **told)

    header = {
        "BufferSize": " 1048576",
        "EventsLost": 2,
        "PerfFreq": 10_000_000,
        "StartTime": 134_117_352_000_000_000,
        "BuffersLost": 0,
    }
    return etw.document(
        [
            etw.event(etw.HEADER, 0, clock(0), 900, opcode_name="Header", **header),
            process(3, "DCStart", 0, 900, ParentId="0x2BC", ImageFileName="explorer.exe"),
            process(
                1,
                "Start",
                1,
                AGENT,
                ParentId=hex(900),
                ImageFileName="node.exe",
                CommandLine=line,
            ),
            create(1.1, AGENT, 1, "0xA1", 0x01000060, disk + "notes & more.txt"),
            end(1.15, AGENT, 1),
            file(15, 1.2, AGENT, 2, ByteOffset=0, FileObject="0xA1", IOSize=240, IOFlags="0x0"),
            end(1.25, AGENT, 2),
            file(14, 1.3, AGENT, 3, FileObject="0xA1", FileKey="0xB1"),
            create(1.4, AGENT, 4, "0xA2", 0x01000060, disk + "missing.toml"),
            end(1.45, AGENT, 4, 0xC0000034),
            tcp(12, "ConnectIPV4", 1.5),
            tcp(10, "SendIPV4", 1.6, 800),
            tcp(11, "RecvIPV4", 1.7, 900),
            process(
                1,
                "Start",
                2,
                SHELL,
                ParentId=hex(AGENT),
                ImageFileName="cmd.exe",
                CommandLine='cmd /c find /c /v "" "my notes.txt"',
            ),
            create(2.1, SHELL, 5, "0xA3", 0x05000060, disk + "answer.tmp"),
            end(2.15, SHELL, 5),
            file(16, 2.2, SHELL, 6, ByteOffset=0, FileObject="0xA3", IOSize=7, IOFlags="0x0"),
            file(27, 2.3, SHELL, 7, FileObject="0xA3", FilePath=disk + "answer.md"),
            end(2.35, SHELL, 7),
            file(14, 2.4, SHELL, 8, FileObject="0xA3", FileKey="0xB3"),
            file(26, 2.5, SHELL, 9, FileObject="0xA4", FilePath=disk + "old.bak"),
            end(2.55, SHELL, 9, 0xC0000022),
            process(2, "End", 3, SHELL, ParentId=hex(AGENT), ExitStatus=1),
            tcp(13, "DisconnectIPV4", 4),
            process(2, "End", 5, AGENT, ParentId=hex(900), ExitStatus=0),
            process(4, "DCEnd", 6, 900, ParentId="0x2BC", ImageFileName="explorer.exe"),
        ]
    )


if __name__ == "__main__":
    (HERE / "session.dtrace").write_text(dtrace_session())
    (HERE / "session.etw.xml").write_text(etw_session())
