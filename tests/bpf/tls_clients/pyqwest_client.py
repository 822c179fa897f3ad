"""Posts each argument to $URL/v1/messages with pyqwest, which is reqwest and rustls inside.

It takes its time first: a library that is not known is looked at 0.5 s after the exec.
"""

import os
import sys
import time
from pathlib import Path

from pyqwest import SyncClient, SyncHTTPTransport

time.sleep(0.8)
certificate = Path(os.environ["SSL_CERT_FILE"]).read_bytes()
client = SyncClient(SyncHTTPTransport(tls_ca_cert=certificate))
headers = {"content-type": "application/json"}
for body in sys.argv[1:]:
    url = f"{os.environ['URL']}/v1/messages"
    with client.stream("POST", url, headers, body.encode()) as response:
        assert response.status == 200
        for _ in response.content:
            pass
