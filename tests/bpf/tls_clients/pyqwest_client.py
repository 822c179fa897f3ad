"""Posts each argument to $URL/v1/messages with pyqwest, which is reqwest and rustls inside.

With "--at-once" the arguments are posted at the same time; with "--http2" on one connection. It
takes its time first: a library that is not known is looked at 0.5 s after the exec.
"""

import asyncio
import os
import sys
import time
from pathlib import Path

from pyqwest import Client, HTTPTransport, HTTPVersion

CERTIFICATE = Path(os.environ["SSL_CERT_FILE"]).read_bytes()


async def main(*arguments: str) -> None:
    bodies = [argument for argument in arguments if not argument.startswith("--")]
    version = HTTPVersion.HTTP2 if "--http2" in arguments else HTTPVersion.HTTP1
    client = Client(HTTPTransport(tls_ca_cert=CERTIFICATE, http_version=version))

    async def post(body: str) -> None:
        url = f"{os.environ['URL']}/v1/messages"
        headers = {"content-type": "application/json"}
        async with client.stream("POST", url, headers, body.encode()) as response:
            assert response.status == 200
            async for _ in response.content:
                pass

    if "--at-once" in arguments:
        await asyncio.gather(*map(post, bodies))
    else:
        for body in bodies:
            await post(body)


time.sleep(0.8)
asyncio.run(main(*sys.argv[1:]))
# Without the end of the interpreter, in which pyqwest 0.12 aborts now and then.
os._exit(0)
