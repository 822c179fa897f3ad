"""TLS in one thread, on command.

Prints "ready", then answers each line of its input with a line of JSON. `open N` makes N
connections whose both ends are here, on memory BIOs (SSL_read_ex and SSL_write_ex of the system's
libssl). `write I TIMES BYTES` writes on connection I, `say I TEXT` writes TEXT and lets the other
end read it, `echo I TIMES BYTES` does so and takes it back, again and again, `close I` frees both
ends. `tcp N` opens N connections to itself over TCP with asyncio and answers with the server's port
and with the client's port and the text of each. `become PROGRAM` executes it.
"""

import asyncio
import datetime as dt
import gc
import json
import os
import ssl
import sys
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def contexts():
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "both.pem"
        path.write_bytes(
            pem
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(path)
    return ssl.create_default_context(cadata=pem.decode()), server


class Pair:
    """Both ends of one connection."""

    def __init__(self, client_context, server_context):
        self.upwards, self.downwards = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = client_context.wrap_bio(
            self.downwards, self.upwards, server_hostname="localhost"
        )
        self.server = server_context.wrap_bio(self.upwards, self.downwards, server_side=True)
        waiting = [self.client, self.server]
        while waiting:
            end = waiting.pop(0)
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                waiting.append(end)

    def write(self, times, size):
        for number in range(times):
            self.client.write(b"%0*d" % (size, number))
            self.upwards.read()
        return times * size

    def say(self, text):
        self.client.write(text.encode())
        received = b""
        while len(received) < len(text.encode()):
            received += self.server.read(1 << 20)
        return len(received)

    def echo(self, times, size):
        for number in range(times):
            data = b"%0*d" % (size, number)
            self.client.write(data)
            self.server.write(self.server.read(size))
            assert self.client.read(size) == data
        return times * size


async def tcp(count, client_context, server_context):
    async def answer(reader, writer):
        text = await reader.readline()
        await asyncio.sleep(0.01)
        writer.write(text.upper())
        await writer.drain()
        await reader.read()
        writer.close()

    async def ask(port, text):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client_context, server_hostname="localhost"
        )
        own_port = writer.get_extra_info("sockname")[1]
        writer.write(text.encode() + b"\n")
        assert await reader.readline() == text.upper().encode() + b"\n"
        writer.close()
        await writer.wait_closed()
        return own_port, text

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=server_context)
    port = server.sockets[0].getsockname()[1]
    texts = [f"connection {number}" for number in range(count)]
    async with server:
        asked = await asyncio.gather(*(ask(port, text) for text in texts))
    return {"port": port, "asked": asked}


def main():
    client_context, server_context = contexts()
    pairs = []
    print("ready", flush=True)
    for line in sys.stdin:
        command, *rest = line.split()
        if command == "open":
            pairs += [Pair(client_context, server_context) for _ in range(int(rest[0]))]
            answer = len(pairs)
        elif command == "write":
            answer = pairs[int(rest[0])].write(int(rest[1]), int(rest[2]))
        elif command == "say":
            answer = pairs[int(rest[0])].say(rest[1])
        elif command == "echo":
            answer = pairs[int(rest[0])].echo(int(rest[1]), int(rest[2]))
        elif command == "close":
            pairs[int(rest[0])] = None
            gc.collect()
            answer = True
        elif command == "become":
            print("true", flush=True)
            os.execv(rest[0], rest)
        elif command == "tcp":
            answer = asyncio.run(tcp(int(rest[0]), client_context, server_context))
        print(json.dumps(answer), flush=True)


main()
