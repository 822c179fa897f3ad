"""Talks plain HTTP, and things that are none, to ports of this machine, one command a line."""

import socket
import sys
import tempfile

HEAD = b"POST /api/chat HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\n"


def answer(made: socket.socket) -> None:
    while not made.recv(65536).endswith(b"end"):
        pass


print("ready", flush=True)
kept: dict[int, socket.socket] = {}
for line in sys.stdin:
    command, port = line.split()
    made = kept.pop(int(port), None) or socket.create_connection(("127.0.0.1", int(port)))
    if command == "vectors":
        made.sendmsg([HEAD, b"", b"hello"])
    elif command == "ciphertext":
        made.sendall(b"\x16\x03\x01" + b"x" * 60 + b"end")
    elif command == "file":
        made.sendall(HEAD)
        with tempfile.TemporaryFile() as file:
            file.write(b"hello")
            file.flush()
            file.seek(0)
            made.sendfile(file)
    else:
        made.sendall(HEAD + b"hello")
    if command == "peek":
        made.recv(10, socket.MSG_PEEK)
    answer(made)
    if command == "keep":
        kept[int(port)] = made
    else:
        made.close()
    print("done", flush=True)
