"""Posts each argument to $URL/v1/messages with the libcurl whose file is the first argument.

With a path it takes its time, as libraries outside of the standard places are not known before they
are mapped: a program is looked at 0.5 s after its exec.
"""

import ctypes
import os
import sys
import time

# curl/curl.h
CURLOPT_POST_SIZE, CURLOPT_HTTP_VERSION, HTTP_1_1 = 60, 84, 2
CURLOPT_URL, CURLOPT_POST_FIELDS, CURLOPT_CA_FILE = 10002, 10015, 10065
CURLOPT_WRITE_FUNCTION = 20011


@ctypes.CFUNCTYPE(
    ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_void_p
)
def take(data: int, size: int, count: int, user: int) -> int:
    return size * count


def main(library: str, *bodies: str) -> None:
    curl = ctypes.CDLL(library)
    if "/" in library:
        time.sleep(0.8)
    curl.curl_easy_init.restype = ctypes.c_void_p
    handle = ctypes.c_void_p(curl.curl_easy_init())

    def set_option(option: int, value: object) -> None:
        assert curl.curl_easy_setopt(handle, option, value) == 0

    set_option(CURLOPT_URL, os.environ["URL"].encode() + b"/v1/messages")
    set_option(CURLOPT_CA_FILE, os.environ["SSL_CERT_FILE"].encode())
    set_option(CURLOPT_HTTP_VERSION, ctypes.c_long(HTTP_1_1))
    set_option(CURLOPT_WRITE_FUNCTION, take)
    for body in bodies:
        data = ctypes.create_string_buffer(body.encode())
        set_option(CURLOPT_POST_SIZE, ctypes.c_long(len(body)))
        set_option(CURLOPT_POST_FIELDS, data)
        assert curl.curl_easy_perform(handle) == 0
    curl.curl_easy_cleanup(handle)


main(*sys.argv[1:])
