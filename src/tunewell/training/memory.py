"""Memory: whether an error is its end, how much of it this process holds, held at most, and could have."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from contextlib import suppress
from pathlib import Path

import torch

_SIGNS = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "std::bad_alloc",
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "HOST_ALLOCATION_FAILED",
    "DEVICE_ALLOCATION_FAILED",
    "MPS backend out of memory",
    "XPU out of memory",
)
"""What a plain `RuntimeError` says where an allocator had no more to give: PyTorch's, cuBLAS's and cuDNN's words."""

_STATUS = Path("/proc/self/status")
_SYSTEM = Path("/proc/meminfo")
_CONTROL_GROUPS = [
    (Path("/sys/fs/cgroup"), "memory.max", "memory.current"),
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes"),
]
"""Folder, limit and use of this process's control group as a container sees its own: of version 2, of version 1."""
_CLEAR_REFERENCES = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether `error` says that memory ran out, on the processor or on a device; nothing else counts."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


def release(device: torch.device) -> None:
    """Give back what nothing refers to any more: Python's cycles, the device's cached blocks, freed pages."""
    gc.collect()
    if sys.platform == "linux" and hasattr(ctypes.CDLL(None), "malloc_trim"):
        ctypes.CDLL(None).malloc_trim(0)
    match device.type:
        case "cuda":
            torch.cuda.empty_cache()
        case "mps":
            torch.mps.empty_cache()
        case "xpu":
            torch.xpu.empty_cache()


def held_bytes(device: torch.device) -> int:
    """Return how many bytes are in use now: of a CUDA device by tensors, else this process's resident memory."""
    if device.type == "cuda":
        return int(torch.cuda.memory_allocated(device))
    return resident_bytes()


def free_bytes(device: torch.device) -> int:
    """Return how many more bytes this process could come by: of a CUDA device, else of the system within its limits."""
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0] + cached)
    return max(0, min([_system_free_bytes(), *_limits()]))


def resident_bytes() -> int:
    """Return this process's resident memory in bytes; the most it ever was where the system tells only that."""
    return _status("VmRSS") or _most_ever()


def peak_bytes(device: torch.device | None = None) -> int:
    """Return the most bytes that were in use since `reset_peak`: of a CUDA `device`, else of this process.

    Where the peak can't be reset (elsewhere than on Linux) it is the most since the process began.
    """
    if device is not None and device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return _status("VmHWM") or _most_ever()


def reset_peak(device: torch.device | None = None) -> None:
    """Begin to watch for a new peak."""
    if device is not None and device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with suppress(OSError):  # not there, or not allowed
        _CLEAR_REFERENCES.write_text(_RESET_PEAK)


def _system_free_bytes() -> int:
    if _SYSTEM.is_file():
        lines = (line.split() for line in _SYSTEM.read_text().splitlines())
        available = [int(words[1]) * 1024 for words in lines if words[0] == "MemAvailable:"]
        if available:
            return available[0]
    try:  # elsewhere all memory counts as free: how much can be given up there is not for us to know
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError):
        return sys.maxsize


def _limits() -> list[int]:
    """Return what is left of each limit on this process: its control group's, and of its address space."""
    left = []
    for folder, limit, used in _CONTROL_GROUPS:
        if (folder / limit).is_file() and (allowed := (folder / limit).read_text().strip()).isdigit():
            # Files that were read count as used, and are given up for the asking.
            words = (folder / "memory.stat").read_text().split()
            cached = int(words[words.index("inactive_file") + 1])
            left.append(int(allowed) - int((folder / used).read_text()) + cached)
    if sys.platform == "linux":
        import resource

        allowed_space, _ = resource.getrlimit(resource.RLIMIT_AS)
        if allowed_space != resource.RLIM_INFINITY:
            left.append(allowed_space - _status("VmSize"))
    return left


def _status(field: str) -> int:
    """Return a size from Linux's account of this process in bytes, or 0 where there is none."""
    if not _STATUS.is_file():
        return 0
    lines = (line.split() for line in _STATUS.read_text().splitlines())
    return next((int(words[1]) * 1024 for words in lines if words and words[0] == f"{field}:"), 0)


def _most_ever() -> int:
    if sys.platform == "win32":  # Python's own library does not ask Windows
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
