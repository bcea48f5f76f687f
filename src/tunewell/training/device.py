"""Where a run computes, and in which precision."""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import dataclass

import torch

from tunewell.problems import Problem, RecipeError

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
"""Names of glibc's malloc settings in <malloc.h>."""

_DECIDE_KERNELS = (
    "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "OMP_SCHEDULE",
)
"""Environment variables by which a processor computes with other instructions, or in another order."""


@dataclass(frozen=True)
class Compute:
    """A device and a precision.

    bf16: the model multiplies bf16 weights, the optimizer keeps fp32 masters. fp16: fp32 weights under autocast
    with loss scaling, for GPUs without bf16. fp32: plain.
    """

    device: torch.device
    precision: str

    @property
    def weight_dtype(self) -> torch.dtype:
        """Data type of the weights that the model multiplies with."""
        return torch.bfloat16 if self.precision == "bf16" else torch.float32


def choose(device: str, precision: str, num_threads: int | None) -> Compute:
    """Return what `device` and `precision` mean on this machine, and set the number of processor threads.

    Raises `RecipeError` for a device that is not here.
    """
    _set_threads(num_threads)
    _keep_freed_memory()
    chosen = _device(device)
    if chosen.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
    if precision == "auto":
        precision = "bf16" if _multiplies_bf16(chosen) else ("fp16" if _needs_fp16(chosen) else "fp32")
    return Compute(chosen, precision)


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def torch_facts(compute: Compute) -> dict[str, str]:
    """Return what must be equal for a resume to be exact, as far as torch knows it."""
    facts = {
        "device": str(compute.device),
        "precision": compute.precision,
        "threads": str(torch.get_num_threads()),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        **{name: os.environ[name] for name in _DECIDE_KERNELS if name in os.environ},
    }
    if compute.device.type == "cuda":
        facts["gpu"] = torch.cuda.get_device_name(compute.device)
        facts["cuda"] = str(torch.version.cuda)
        facts["cudnn"] = str(torch.backends.cudnn.version())
        facts["tf32"] = str(torch.backends.cuda.matmul.allow_tf32)
        facts["deterministic"] = str(torch.are_deterministic_algorithms_enabled())
    return facts


def _set_threads(num_threads: int | None) -> None:
    # The vanishing second moments of rarely touched rows become denormal, on which processors are slow.
    torch.set_flush_denormal(True)
    torch.set_num_threads(num_threads or usable_cores())


def _keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next step in place of giving it back to the kernel.

    A step frees and asks for tensors of tens of megabytes; by default each is a new mapping whose pages the kernel
    must clear again, which took more time than the products that filled them (2 cores, MiniLM: 19 ms for a product
    of 3 ms). Elsewhere than on Linux with glibc nothing is done.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_M_TOP_PAD, 64 << 20)


def _device(name: str) -> torch.device:
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise RecipeError(
            Problem(
                "recipe", f"unknown device `{name}`", field="device", fix="use auto, cpu, cuda, cuda:N or mps"
            )
        ) from error
    count = torch.cuda.device_count() if device.type == "cuda" else None
    if count is not None and (device.index or 0) >= count:
        raise RecipeError(
            Problem(
                "recipe",
                f"device `{name}` is not here: {count} CUDA devices found",
                field="device",
                fix="use auto or cpu, or install a CUDA build of PyTorch",
            )
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise RecipeError(
            Problem("recipe", "device `mps` is not here", field="device", fix="use auto or cpu")
        )
    return device


def _multiplies_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        return _cpu_multiplies_bf16()
    return False


def _cpu_multiplies_bf16() -> bool:
    probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return sys.platform == "linux" and any(getattr(torch.cpu, name, bool)() for name in probes)


def _needs_fp16(device: torch.device) -> bool:
    return device.type == "cuda" and (7, 0) <= torch.cuda.get_device_capability(device) < (8, 0)
