"""Only report."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from tunewell.policies._asked import asked
from tunewell.policies._protocol import Facts, Proposal, State
from tunewell.records import Finding


class Observe(msgspec.Struct, frozen=True, kw_only=True):
    """Report what the monitors see and do nothing about it, except what the recipe asks for."""

    guards: ClassVar[bool] = False

    def init(self) -> State:
        """Return the state of a run's beginning."""
        return {}

    def decide(self, state: State, findings: list[Finding], facts: Facts) -> tuple[State, list[Proposal]]:
        """Return what the recipe asks for."""
        return state, asked(findings, facts)
