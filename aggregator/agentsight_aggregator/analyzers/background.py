"""Which files every program reads: those of the system, of interpreters and installed packages.

Pure: judges by path.
"""

from __future__ import annotations

_SYSTEM = ("/usr/", "/lib", "/bin/", "/sbin/", "/proc/", "/sys/", "/dev/", "/opt/", "/nix/")
# Of /etc only what libraries and shells read by themselves: the rest tells something.
_SETTINGS = tuple(
    f"/etc/{name}"
    for name in (
        "alternatives/",
        "bash",
        "ca-certificates",
        "gai.conf",
        "group",
        "host",
        "inputrc",
        "ld.so.",
        "locale",
        "localtime",
        "lsb-release",
        "mime.types",
        "nsswitch.conf",
        "os-release",
        "passwd",
        "pki/tls/cert",
        "profile",
        "protocols",
        "python3",
        "resolv.conf",
        "services",
        "ssl/certs",
        "ssl/openssl.cnf",
        "terminfo",
        "timezone",
    )
)
_INSTALLED = ("/site-packages/", "/node_modules/", "/__pycache__/", "/lib/python")
# What is in an environment is often secret.
_TELLING = ("/environ",)


def is_background_path(path: str) -> bool:
    """Tell whether reading `path` says nothing of what a program is for."""
    if path.endswith(_TELLING):
        return False
    if path.endswith(".so") or ".so." in path.rpartition("/")[2]:
        return True
    return path.startswith(_SYSTEM + _SETTINGS) or any(part in path for part in _INSTALLED)
