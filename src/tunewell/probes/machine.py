"""How busy the machine is between two looks, with this process and with others."""

from __future__ import annotations

import msgspec
import psutil
import torch

from tunewell.inspections import Inspected
from tunewell.records import Step


class MachineUse:
    """Asked at each look; the first answer is of the time since it was made."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._cores = psutil.cpu_count() or 1
        self._step, self._monitor_seconds = 0, 0.0
        self._process.cpu_percent()
        psutil.cpu_percent()

    def added(self, seen: Inspected, step: Step, device: torch.device, monitor_seconds: float) -> Inspected:
        """Return `seen`, the look at `step`, with how busy the machine was since the look before.

        `monitor_seconds` is what the monitors took since the run began.
        """
        updates = max(1, step.step - self._step)
        monitors = (monitor_seconds - self._monitor_seconds) / updates
        self._step, self._monitor_seconds = step.step, monitor_seconds
        return msgspec.structs.replace(
            seen,
            phase_seconds={"data": step.data_seconds, **(seen.phase_seconds or {}), "monitors": monitors},
            process_share=min(1.0, self._process.cpu_percent() / 100 / self._cores),
            machine_share=min(1.0, psutil.cpu_percent() / 100),
            gpu_share=_gpu(device),
        )


def _gpu(device: torch.device) -> float | None:
    if device.type != "cuda":
        return None
    try:
        return torch.cuda.utilization(device) / 100
    except (ModuleNotFoundError, RuntimeError):
        return None
