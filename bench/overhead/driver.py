"""Does the works that are measured, one for each line of its input, and says what each took.

    benchagent driver.py PORT FOLDER        (benchagent: a link to the interpreter)

A line is {"work": NAME, …}; the answer is {"wall_ns": …, "cpu_ns": …, "units": …, "bytes": …}. CPU
is that of this process and its children, `bytes` are those that went through TLS.
Uses the standard library only, so that it is an ordinary program.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import resource
import shutil
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

_WORDS = re.compile(rb"[a-z]+_[a-z]+")
_HEADERS = {"anthropic-version": "2023-06-01", "content-type": "application/json"}


class Driver:
    """The works; each returns (units, bytes)."""

    def __init__(self, port: int, folder: Path) -> None:
        self._port = port
        self._folder = folder
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE

    def stream(self, answers: int, events: int, pause_us: int) -> tuple[int, int]:
        """Ask an LLM and read what it streams, as SDKs do."""
        connection = self._connection()
        total = 0
        for _ in range(answers):
            messages = [{"role": "user", "content": "Go on."}]
            ask = {"model": "m", "max_tokens": events, "pause_us": pause_us, "messages": messages}
            connection.request("POST", "/v1/messages", json.dumps(ask), _HEADERS)
            response = connection.getresponse()
            while line := response.readline():
                total += len(line)
                if line.startswith(b"data: "):
                    json.loads(line[6:])
        connection.close()
        return answers * events, total

    def flat(self, size: int, times: int, per_second: int = 0) -> tuple[int, int]:
        """Write and read `size` bytes, `times` times, as fast as it goes or `per_second`.

        As fast as it goes it shares a CPU with the server: both take turns, and what it costs to
        wake up an idle CPU would drown what a tracer adds.
        """
        everywhere = os.sched_getaffinity(0)
        if not per_second:
            os.sched_setaffinity(0, {min(everywhere)})
        with self._echo(size) as secured:
            data = b"x" * size
            buffer = memoryview(bytearray(size))
            due = time.monotonic()
            for _ in range(times):
                secured.sendall(data)
                got = 0
                while got < size:
                    got += secured.recv_into(buffer[got:])
                if per_second:
                    due += 1 / per_second
                    time.sleep(max(0.0, due - time.monotonic()))
        os.sched_setaffinity(0, everywhere)
        return times, 2 * times * size

    def requests(self, times: int) -> tuple[int, int]:
        """Ask an ordinary server for small answers, on a connection that is kept."""
        connection = self._connection()
        total = 0
        for _ in range(times):
            connection.request("GET", "/things")
            total += len(connection.getresponse().read())
        connection.close()
        return times, total

    def files(self, first: int = 0, count: int = 10_000) -> tuple[int, int]:
        """Read files of a repository and look for words in them."""
        found, repository = 0, self._folder / "repository"
        for number in range(first, first + count):
            with (repository / f"{number % 100}" / f"{number}.c").open("rb") as file:
                found += len(_WORDS.findall(file.read()))
        return count, 0

    def compile(self, times: int = 1) -> tuple[int, int]:
        """Build a C program, two files at a time."""
        build, source = self._folder / "build", self._folder / "source"
        command = ["make", "-s", "-j2", "-C", build, "-f", source / "Makefile"]
        made = 0
        for _ in range(times):
            shutil.rmtree(build, ignore_errors=True)
            build.mkdir()
            subprocess.run(command, check=True)
            made += len(list(build.glob("*.o")))
        return made, 0

    def read_repository(self, turns: int, events: int, pause_us: int) -> tuple[int, int]:
        """Be an agent that reads 10,000 files: the model answers, a tool reads some of them."""
        total = 0
        for turn in range(turns):
            total += self.stream(1, events, pause_us)[1]
            self.files(turn * 10_000 // turns, 10_000 // turns)
        return turns, total

    def build(self, events: int, pause_us: int) -> tuple[int, int]:
        """Be an agent that builds: the model answers before and after."""
        before = self.stream(1, events, pause_us)[1]
        units = self.compile()[0]
        return units, before + self.stream(1, events, pause_us)[1]

    def idle(self, seconds: float) -> tuple[int, int]:
        """Do nothing."""
        time.sleep(seconds)
        return 0, 0

    def _connection(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection("localhost", self._port, context=self._context)

    def _echo(self, size: int) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", self._port))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        secured = self._context.wrap_socket(plain)
        head = f"POST /echo/{size} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {1 << 40}\r\n\r\n"
        secured.sendall(head.encode())
        head_read = b""
        while not head_read.endswith(b"\r\n\r\n"):
            head_read += secured.recv(1)
        return secured


def _cpu_ns() -> int:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return int(sum(one.ru_utime + one.ru_stime for one in used) * 1e9)


def main(port: int, folder: Path) -> None:
    """Work until the input ends."""
    driver = Driver(port, folder)
    print("{}", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        work = getattr(driver, order.pop("work"))
        cpu_ns, began_ns = _cpu_ns(), time.monotonic_ns()
        units, total = work(**order)
        wall_ns = time.monotonic_ns() - began_ns
        took = {"wall_ns": wall_ns, "cpu_ns": _cpu_ns() - cpu_ns, "units": units, "bytes": total}
        print(json.dumps(took), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
