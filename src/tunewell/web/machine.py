"""The machine under a run: memory and disk as the run measured them, where its time goes, and how busy it is now."""

from __future__ import annotations

import os
import shutil
from typing import Any

from tunewell.web.watched import WatchedRun


def system(run: WatchedRun) -> dict[str, Any]:
    """Return what is known of the machine that `run` trains on."""
    log = run.log
    looks = log.memory
    samples = {
        "time": [time for _, time, _ in looks],
        "step": [step for step, _, _ in looks],
        "memory": [look.memory_bytes for _, _, look in looks],
        "memory_limit": [look.memory_limit for _, _, look in looks],
        "disk": [look.disk_free for _, _, look in looks],
    }
    seconds, waited = sum(log.columns["seconds"]), sum(log.columns["data_seconds"])
    shares = {"data": waited / seconds, "training": 1 - waited / seconds} if seconds else None
    return {
        "samples": samples,
        "shares": shares,
        "machine": log.started.fingerprint if log.started else {},
        "now": _now(run),
    }


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
