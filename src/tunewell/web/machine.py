"""The machine under a run: memory and disk as the run measured them, where its time goes, and how busy it is now."""

from __future__ import annotations

import os
import shutil
from typing import Any

from tunewell.records import Committed
from tunewell.web.watched import WatchedRun


def system(run: WatchedRun) -> dict[str, Any]:
    """Return what is known of the machine that `run` trains on."""
    log = run.log
    looks = log.looks
    samples: dict[str, list[Any]] = {
        "time": [look.time for look in looks],
        "step": [look.step for look in looks],
        "cpu": [look.process_share for look in looks],
        "machine": [look.machine_share for look in looks],
        "gpu": [look.gpu_share for look in looks],
        "memory": [look.memory_bytes for look in looks],
        "memory_limit": [look.memory_limit for look in looks],
        "disk": [look.disk_free for look in looks],
    }
    return {
        "samples": {
            name: values for name, values in samples.items() if any(one is not None for one in values)
        },
        "shares": _shares(run),
        "machine": log.started.fingerprint if log.started else {},
        "now": _now(run),
    }


def _shares(run: WatchedRun) -> dict[str, float] | None:
    """Return which share of the time of training went where, as far as it was measured."""
    log = run.log
    seconds = sum(log.columns["seconds"])
    if not seconds:
        return None
    saved = sum(one.seconds for one in log.records if isinstance(one, Committed))
    phases: dict[str, float] = {}
    for look in log.looks:
        for name, value in (look.phase_seconds or {}).items():
            phases[name] = phases.get(name, 0.0) + value
    if not phases:
        waited = sum(log.columns["data_seconds"])
        phases = {"data": waited, "training": seconds - waited}
    scale = seconds / (seconds + saved) / sum(phases.values())
    return {**{name: value * scale for name, value in phases.items()}, "save": saved / (seconds + saved)}


def _now(run: WatchedRun) -> dict[str, Any]:
    """Return how busy the machine is on which this server runs, as far as it tells."""
    cores = os.cpu_count() or 1
    found: dict[str, Any] = {"cores": cores}
    if hasattr(os, "getloadavg"):
        busy = os.getloadavg()[0]
        found |= {"load": busy, "contended": busy > 1.5 * cores}
    try:
        disk = shutil.disk_usage(run.folder.path)
        found |= {"disk_free": disk.free, "disk_total": disk.total}
    except OSError:
        pass
    return found | _memory()


def _memory() -> dict[str, int]:
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            lines = dict(line.split(":", 1) for line in file)
        return {
            "memory_total": int(lines["MemTotal"].split()[0]) << 10,
            "memory_free": int(lines["MemAvailable"].split()[0]) << 10,
        }
    except (OSError, KeyError, ValueError):  # not Linux
        return {}
