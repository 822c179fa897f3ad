"""A share of a core for some processes: a cgroup with a quota, version 1 or 2.

Must be run as root.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PERIOD_US = 20_000
_V1 = Path("/sys/fs/cgroup/cpu")


@contextmanager
def cpu_quota(share: float) -> Iterator[Path]:
    """Make a cgroup that may use `share` of one core; gives its file for process ids.

    Raises OSError where the cpu controller cannot be used. Empty it before the end of the context.
    """
    first = _V1.is_dir()
    root = _V1 if first else Path("/sys/fs/cgroup")
    folder = Path(tempfile.mkdtemp(prefix="agentsight-bench-", dir=root))
    try:
        quota_us = int(share * _PERIOD_US)
        if first:
            (folder / "cpu.cfs_period_us").write_text(f"{_PERIOD_US}")
            (folder / "cpu.cfs_quota_us").write_text(f"{quota_us}")
        else:
            (folder / "cpu.max").write_text(f"{quota_us} {_PERIOD_US}")
        yield folder / "cgroup.procs"
    finally:
        folder.rmdir()
