"""Reads NVML, the library of NVIDIA's driver that says how busy its GPUs are and with what.

Through ctypes: the maintained binding (nvidia-ml-py) takes 18 MB of memory for the eleven functions
that are needed here. Calls wait for the driver, which may hang: not for an event loop.

Source: docs.nvidia.com, NVML API Reference, chapters Device Queries and Structs; R450 and later.
"""

from __future__ import annotations

import ctypes
from collections import defaultdict
from ctypes import byref, c_uint, c_ulonglong, c_void_p
from typing import Any, Self

from agentsight_core.errors import AgentSightError

from agentsight_agent.gpu.samples import DeviceSample, Share

LIBRARY = "libnvidia-ml.so.1"
_SUCCESS, _NOT_SUPPORTED, _NOT_FOUND, _INSUFFICIENT_SIZE = 0, 3, 6, 7
_NO_PERMISSION, _NO_DATA = 4, 21
# The driver does not tell: an old GPU, a virtual one, one that is divided (MIG).
_UNKNOWN = (_NOT_SUPPORTED, _NO_PERMISSION)
# The driver is not loaded, or the GPU is not there (any more).
_ABSENT = (9, 28)
_TEXT_BYTES = 96
_MEMORY_UNKNOWN = (1 << 64) - 1
# More processes may come between the question for their number and the one for them.
_ROOM = 8
_ATTEMPTS = 3


class NvmlError(AgentSightError):
    """NVML cannot be used, or did not answer a question."""


class NoNvmlError(NvmlError):
    """There is no NVML here, or no driver under it."""


class _Utilization(ctypes.Structure):
    _fields_ = (("gpu", c_uint), ("memory", c_uint))


class _Memory(ctypes.Structure):
    _fields_ = (("total", c_ulonglong), ("free", c_ulonglong), ("used", c_ulonglong))


class _Process(ctypes.Structure):
    """The type nvmlProcessInfo_v2_t, which version 3 of the function takes too."""

    _fields_ = (
        ("pid", c_uint),
        ("used_bytes", c_ulonglong),
        ("gpu_instance", c_uint),
        ("compute_instance", c_uint),
    )


class _ProcessUtilization(ctypes.Structure):
    _fields_ = (
        ("pid", c_uint),
        ("time_us", c_ulonglong),
        ("sm", c_uint),
        ("memory", c_uint),
        ("encoder", c_uint),
        ("decoder", c_uint),
    )


class Nvml:
    """NVML in use; while it is, the driver keeps its GPUs awake. Belongs in one thread."""

    def __init__(self) -> None:
        """Begin to use it; raises NvmlError, NoNvmlError when there is none."""
        try:
            self._library = ctypes.CDLL(LIBRARY)
        except OSError as error:
            raise NoNvmlError(str(error)) from error
        self._library.nvmlErrorString.restype = ctypes.c_char_p
        status = self._ask("nvmlInit_v2")
        if status != _SUCCESS:
            kind = NoNvmlError if status in _ABSENT else NvmlError
            raise kind(f"nvmlInit: {self._reason(status)}")

    @classmethod
    def open(cls) -> Self:
        """Begin to use it; raises NvmlError."""
        return cls()

    def close(self) -> None:
        """Let go of the driver."""
        self._call("nvmlShutdown")

    def read(self, since_us: int) -> tuple[DeviceSample, ...]:
        """Return how all GPUs are; of processes the mean since `since_us` (Unix time).

        Raises NvmlError.
        """
        count = c_uint()
        self._call("nvmlDeviceGetCount_v2", byref(count))
        return tuple(self._device(index, since_us) for index in range(count.value))

    def _device(self, index: int, since_us: int) -> DeviceSample:
        device = c_void_p()
        self._call("nvmlDeviceGetHandleByIndex_v2", c_uint(index), byref(device))
        rates, memory = _Utilization(), _Memory()
        known = self._may("nvmlDeviceGetUtilizationRates", device, byref(rates))
        self._call("nvmlDeviceGetMemoryInfo", device, byref(memory))
        busy = self._busy(device, since_us)
        return DeviceSample(
            uuid=self._text("nvmlDeviceGetUUID", device),
            name=self._text("nvmlDeviceGetName", device),
            utilisation_percent=rates.gpu if known else None,
            memory_bytes=memory.used,
            total_bytes=memory.total,
            shares={
                pid: Share(used, None if busy is None else busy.get(pid, 0))
                for pid, used in self._processes(device).items()
            },
        )

    def _processes(self, device: c_void_p) -> dict[int, int | None]:
        """Return the processes that compute on a GPU, each with the memory that it has there."""
        found = self._list("nvmlDeviceGetComputeRunningProcesses_v3", device, _Process)
        used: dict[int, int | None] = {}
        for one in found or ():
            known = None if one.used_bytes == _MEMORY_UNKNOWN else one.used_bytes
            # Twice, if the GPU is divided and the process is in two of its parts.
            used[one.pid] = known if known is None else known + (used.get(one.pid) or 0)
        return used

    def _busy(self, device: c_void_p, since_us: int) -> dict[int, int] | None:
        """Return the percentage of time of each process that was busy; None: not known."""
        name = "nvmlDeviceGetProcessUtilization"
        found = self._list(name, device, _ProcessUtilization, c_ulonglong(since_us))
        if found is None:
            return None
        by_pid: dict[int, list[int]] = defaultdict(list)
        for one in found:
            if one.time_us > since_us:
                by_pid[one.pid].append(one.sm)
        return {pid: round(sum(shares) / len(shares)) for pid, shares in by_pid.items()}

    def _list(
        self, name: str, device: c_void_p, kind: type[Any], since: c_ulonglong | None = None
    ) -> list[Any] | None:
        """Ask for a list whose length is not known before; None: the driver does not tell."""
        count = c_uint(0)
        items: Any = None
        for _ in range(_ATTEMPTS):
            # The one question has the array before the count, the other one behind it.
            asked = (items, byref(count), since) if since else (byref(count), items)
            status = self._ask(name, device, *asked)
            if status in _UNKNOWN:
                return None
            if status in (_NOT_FOUND, _NO_DATA) or (status == _SUCCESS and items is None):
                return []
            if status == _SUCCESS:
                return list(items[: count.value])
            if status != _INSUFFICIENT_SIZE:
                break
            count.value += _ROOM
            items = (kind * count.value)()
        raise NvmlError(f"{name}: {self._reason(status)}")

    def _text(self, name: str, device: c_void_p) -> str:
        buffer = ctypes.create_string_buffer(_TEXT_BYTES)
        self._call(name, device, buffer, c_uint(_TEXT_BYTES))
        return buffer.value.decode("utf-8", "replace")

    def _may(self, name: str, *arguments: Any) -> bool:
        """Call what not every GPU knows; raises NvmlError for other reasons only."""
        status = self._ask(name, *arguments)
        if status not in (_SUCCESS, *_UNKNOWN):
            raise NvmlError(f"{name}: {self._reason(status)}")
        return status == _SUCCESS

    def _call(self, name: str, *arguments: Any) -> None:
        status = self._ask(name, *arguments)
        if status != _SUCCESS:
            raise NvmlError(f"{name}: {self._reason(status)}")

    def _ask(self, name: str, *arguments: Any) -> int:
        try:
            return int(getattr(self._library, name)(*arguments))
        except AttributeError as error:
            raise NvmlError(f"{LIBRARY} has no {name}: the driver is too old") from error

    def _reason(self, status: int) -> str:
        text = self._library.nvmlErrorString(c_uint(status))
        return text.decode("utf-8", "replace") if text else f"error {status}"
