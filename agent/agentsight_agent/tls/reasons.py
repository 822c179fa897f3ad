"""Why plaintext of a process is not seen: short names for metrics and events, sentences for people.

Must not decide anything.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """The value is the label `reason` of agentsight_uncaptured_processes."""

    GO_TABLE = "go_table"
    GO_CODE = "go_code"
    OPENSSL = "openssl_stripped"
    BORINGSSL = "boringssl_stripped"
    RUSTLS = "rustls"
    RUSTLS_RING = "rustls_ring"
    JAVA = "java"
    NO_FUNCTIONS = "no_functions"
    NO_ELF = "no_elf"
    REFUSED = "refused"
    UNKNOWN = "unknown_library"

    @property
    def text(self) -> str:
        """What is the matter, in words."""
        return _TEXTS[self]


_TEXTS = {
    Reason.GO_TABLE: "Go: its function table is missing or of a version before 1.18",
    Reason.GO_CODE: "Go: the code of crypto/tls is not where the function table says",
    Reason.OPENSSL: "OpenSSL is linked in without symbols, and its functions are not found",
    Reason.BORINGSSL: "BoringSSL is linked in without symbols, and its functions are not found",
    Reason.RUSTLS: "rustls is not above AWS-LC, or the functions of that are not found",
    Reason.RUSTLS_RING: "rustls may use ring, which is not seen, or AWS-LC, which is",
    Reason.JAVA: "Java compiles its TLS at run time: there is no function that can be hooked",
    Reason.NO_FUNCTIONS: "it does not define SSL_read and SSL_write",
    Reason.NO_ELF: "it is no file that can be read as 64-bit little-endian ELF",
    Reason.REFUSED: "the kernel refused the probes",
    Reason.UNKNOWN: "it is connected to port 443, and no TLS code is found in it",
}
