"""Answers each line of its standard input: one that begins with `{` with a JSON-RPC result."""

import json
import os
import sys

print("ready", flush=True)
for line in sys.stdin:
    if not line.startswith("{"):
        sys.stdout.write(line)
    elif json.loads(line)["method"] == "vectors":
        os.writev(1, [b'{"jsonrpc":"2.0",', b"", b'"id":7,"result":{}}\n'])
    elif json.loads(line)["method"] == "long":
        sys.stdout.write('{"jsonrpc":"2.0","result":"' + "x" * 100_000 + '"}\n')
    else:
        sys.stdout.write('{"jsonrpc":"2.0","id":1,"result":{}}\n')
    sys.stderr.write("said something\n")
    sys.stdout.flush()
