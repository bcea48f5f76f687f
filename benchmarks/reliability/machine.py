"""The facts of the machine that a measurement was made on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path


def facts_of_the_machine() -> str:
    """Return processor, cores, system and versions in one line."""
    model = platform.processor() or platform.machine()
    told = Path("/proc/cpuinfo")
    if told.is_file():
        names = (
            line.partition(":")[2].strip() for line in told.read_text().splitlines() if "model name" in line
        )
        model = next(names, model)
    system = f"{platform.system()} {platform.release()}"
    versions = f"Python {platform.python_version()}, torch {version('torch')}, transformers {version('transformers')}"
    return f"{model}, {os.cpu_count()} cores, {system}, {versions}"
