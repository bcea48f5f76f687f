"""What other tools' published rules say of the same records: one file each, whose name is the baseline's.

A baseline is a function `alarms(records)`. It names a fault in the words of `tunewell`'s codes, so that one score fits all;
`NOT_JUDGED` of a file lists what of its rules can't be asked of these records, and why.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence

from benchmarks.faultbench.outcome import Alarm
from tunewell.records import Record

Rule = Callable[[Sequence[Record]], list[Alarm]]


def find() -> dict[str, Rule]:
    """Return all baselines by name."""
    names = sorted(
        module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")
    )
    return {name: importlib.import_module(f"{__name__}.{name}").alarms for name in names}
