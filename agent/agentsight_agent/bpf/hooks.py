"""Where programs are attached in files: which function is at an offset, and what it does.

Plain data. Must not attach anything.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class HookKind(enum.IntEnum):
    """What the function at an offset is; the values are `enum tls_hook` of bpf/tls.h."""

    # int f(SSL *, void *, int), returns the length
    READ = 0
    WRITE = 1
    # int f(SSL *, void *, size_t, size_t *length), returns > 0 on success; also the internal
    # functions ssl_read_internal and ssl_write_internal
    READ_EX = 2
    WRITE_EX = 3
    # int f(SSL *, void *, size_t, uint64_t flags, size_t *length), else the same
    WRITE_EX2 = 11
    # ssize_t f(session, void *, size_t), returns the length
    READ_LONG = 4
    WRITE_LONG = 5
    # PRInt32 f(PRFileDesc *, void *, PRInt32), only where TLS is a layer above the file
    READ_LAYERED = 6
    WRITE_LAYERED = 7
    # the same with the flags of PR_Recv as fourth argument
    RECEIVE_LAYERED = 14
    # void f(SSL *), ends the connection
    FREE = 16
    # Go's crypto/tls: the entries of Read (and each RET of it), Write and Close
    GO_READ = 32
    GO_WRITE = 33
    GO_READ_END = 34
    GO_CLOSE = 35
    # The AEAD of AWS-LC, below rustls: int EVP_AEAD_CTX_seal(…), _seal_scatter(…), _open(…)
    AEAD_SEAL = 48
    AEAD_SEAL_SCATTER = 49
    AEAD_OPEN = 50


@dataclass(frozen=True, slots=True)
class TlsHook:
    """A function of a TLS library.

    `offset` is a file offset inside the function, before its first instruction that changes an
    argument register or the stack pointer.
    """

    kind: HookKind
    offset: int


class GpuOperation(enum.IntEnum):
    """What a function of a CUDA library does; the values are `enum gpu_operation` of bpf/gpu.h."""

    LAUNCH = 1
    # f(to, from, bytes…)
    COPY = 2
    # f(address *, bytes…)
    ALLOCATE = 3
    FREE = 4
    # Waits for the GPU.
    SYNCHRONISE = 5


@dataclass(frozen=True, slots=True)
class GpuHook:
    """A function of libcuda, or of libcudart (`runtime`); `offset` as in TlsHook."""

    operation: GpuOperation
    runtime: bool
    offset: int
