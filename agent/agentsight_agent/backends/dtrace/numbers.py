"""Numbers of macOS as Linux has them, in which events are told: errno, flags of open.

<sys/errno.h> and <sys/fcntl.h> of XNU. Pure tables.
"""

from __future__ import annotations

import errno

# The first 34 are the same, but for EAGAIN and EDEADLK.
_SAME = 34
_EDEADLK = 11
_EINPROGRESS = 36
_ERRNO = {
    _EDEADLK: errno.EDEADLK,
    35: errno.EAGAIN,
    _EINPROGRESS: errno.EINPROGRESS,
    37: errno.EALREADY,
    38: errno.ENOTSOCK,
    45: errno.ENOTSUP,
    48: errno.EADDRINUSE,
    49: errno.EADDRNOTAVAIL,
    50: errno.ENETDOWN,
    51: errno.ENETUNREACH,
    54: errno.ECONNRESET,
    56: errno.EISCONN,
    57: errno.ENOTCONN,
    60: errno.ETIMEDOUT,
    61: errno.ECONNREFUSED,
    62: errno.ELOOP,
    63: errno.ENAMETOOLONG,
    64: errno.EHOSTDOWN,
    65: errno.EHOSTUNREACH,
    66: errno.ENOTEMPTY,
    69: errno.EDQUOT,
    78: errno.ENOSYS,
}
# (macOS, Linux on x86-64); the access mode is the same.
_ACCESS = 3
_FLAGS = (
    (0x4, 0o4000),  # O_NONBLOCK
    (0x8, 0o2000),  # O_APPEND
    (0x100, 0o400000),  # O_NOFOLLOW
    (0x200, 0o100),  # O_CREAT
    (0x400, 0o1000),  # O_TRUNC
    (0x800, 0o200),  # O_EXCL
    (0x100000, 0o200000),  # O_DIRECTORY
    (0x1000000, 0o2000000),  # O_CLOEXEC
)


def linux_errno(number: int) -> int:
    """Return Linux' number of an error; EIO for one that it has none for."""
    if number in _ERRNO:
        return _ERRNO[number]
    return number if 0 <= number <= _SAME else errno.EIO


def linux_flags(flags: int) -> int:
    """Return Linux' flags of open(2); what it has no flag for is left out."""
    return flags & _ACCESS | sum(linux for mac, linux in _FLAGS if flags & mac)
