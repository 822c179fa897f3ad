"""TCP to the port given, on command: sends 10,000 bytes, reads 25,000, closes.

Then tries a closed port. Prints "ready" and waits for a line; at the end prints the port of its own
side and the error of the closed port as JSON.
"""

import json
import socket
import sys

host, port, closed_port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
with socket.create_connection((host, port)) as connection:
    own_port = connection.getsockname()[1]
    connection.sendall(b"q" * 10_000)
    received = 0
    while received < 25_000:
        received += len(connection.recv(65536))
try:
    socket.create_connection((host, closed_port))
except ConnectionRefusedError as error:
    refused = error.errno
print(json.dumps({"own_port": own_port, "refused": refused}), flush=True)
sys.stdin.readline()
