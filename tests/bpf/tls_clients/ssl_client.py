"""Posts each argument to localhost:$PORT/v1/messages with Python's ssl."""

import http.client
import os
import ssl
import sys

context = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
connection = http.client.HTTPSConnection("localhost", int(os.environ["PORT"]), context=context)
for body in sys.argv[1:]:
    connection.request("POST", "/v1/messages", body)
    connection.getresponse().read()
connection.close()
