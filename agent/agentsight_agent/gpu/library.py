"""The functions of the CUDA libraries that say what is asked of a GPU.

Covers libcuda (driver API) and libcudart (runtime API) by their exported symbols, with the suffixes
of their versions and of per-thread streams. Not seen: runtimes that are linked statically and
stripped; the driver below them is. Source: docs.nvidia.com, CUDA Driver API and CUDA Runtime API,
chapters Memory Management, Execution Control, Stream Management.
"""

from __future__ import annotations

from collections.abc import Iterator

from agentsight_agent.bpf.hooks import GpuHook, GpuOperation
from agentsight_agent.tls import emulated
from agentsight_agent.tls.elf import Elf
from agentsight_agent.tls.x86 import RDI, RDX, RSI

_DRIVER = {
    "cuLaunchKernel": GpuOperation.LAUNCH,
    "cuLaunchKernelEx": GpuOperation.LAUNCH,
    "cuLaunchCooperativeKernel": GpuOperation.LAUNCH,
    "cuGraphLaunch": GpuOperation.LAUNCH,
    "cuMemcpy": GpuOperation.COPY,
    "cuMemcpyAsync": GpuOperation.COPY,
    "cuMemcpyHtoD": GpuOperation.COPY,
    "cuMemcpyHtoDAsync": GpuOperation.COPY,
    "cuMemcpyDtoH": GpuOperation.COPY,
    "cuMemcpyDtoHAsync": GpuOperation.COPY,
    "cuMemcpyDtoD": GpuOperation.COPY,
    "cuMemcpyDtoDAsync": GpuOperation.COPY,
    "cuMemAlloc": GpuOperation.ALLOCATE,
    "cuMemAllocAsync": GpuOperation.ALLOCATE,
    "cuMemAllocManaged": GpuOperation.ALLOCATE,
    "cuMemFree": GpuOperation.FREE,
    "cuMemFreeAsync": GpuOperation.FREE,
    "cuStreamSynchronize": GpuOperation.SYNCHRONISE,
    "cuCtxSynchronize": GpuOperation.SYNCHRONISE,
    "cuEventSynchronize": GpuOperation.SYNCHRONISE,
}
_RUNTIME = {
    "cudaLaunchKernel": GpuOperation.LAUNCH,
    "cudaLaunchKernelExC": GpuOperation.LAUNCH,
    "cudaLaunchCooperativeKernel": GpuOperation.LAUNCH,
    "cudaGraphLaunch": GpuOperation.LAUNCH,
    "cudaMemcpy": GpuOperation.COPY,
    "cudaMemcpyAsync": GpuOperation.COPY,
    "cudaMalloc": GpuOperation.ALLOCATE,
    "cudaMallocAsync": GpuOperation.ALLOCATE,
    "cudaMallocManaged": GpuOperation.ALLOCATE,
    "cudaFree": GpuOperation.FREE,
    "cudaFreeAsync": GpuOperation.FREE,
    "cudaDeviceSynchronize": GpuOperation.SYNCHRONISE,
    "cudaStreamSynchronize": GpuOperation.SYNCHRONISE,
    "cudaEventSynchronize": GpuOperation.SYNCHRONISE,
}
_SUFFIXES = ("", "_v2", "_ptsz", "_v2_ptsz", "_ptds", "_v2_ptds")


def is_gpu_library(name: str) -> bool:
    """Tell whether a file of this name may be a CUDA library."""
    return name.startswith(("libcuda.so", "libcudart.so", "libcudart-"))


def gpu_hooks(elf: Elf) -> tuple[GpuHook, ...]:
    """Return one hook for every function that counts; functions under two names have one."""
    return tuple({hook.offset: hook for hook in _all_hooks(elf)}.values())


def _all_hooks(elf: Elf) -> Iterator[GpuHook]:
    for functions, runtime in ((_DRIVER, False), (_RUNTIME, True)):
        wanted = {f"{name}{end}": kind for name, kind in functions.items() for end in _SUFFIXES}
        for name, symbol in elf.functions(wanted).items():
            returns = wanted[name] is GpuOperation.SYNCHRONISE
            code = elf.function_code(symbol)
            inside = emulated.cheap_offset(code, frozenset({RDI, RSI, RDX}), returns=returns)
            offset = elf.file_offset(symbol.address + (inside or 0))
            if offset is not None:
                yield GpuHook(wanted[name], runtime, offset)
