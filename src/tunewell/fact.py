"""What all records of a run share."""

from __future__ import annotations

import msgspec


class Fact(msgspec.Struct, frozen=True, tag_field="type", omit_defaults=True, kw_only=True):
    """What all records share."""

    time: float = 0.0
    """Seconds since the epoch (wall clock); the only field, with durations, that may differ between equal runs."""
