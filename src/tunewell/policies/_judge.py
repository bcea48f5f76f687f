"""A run's policy with its state."""

from __future__ import annotations

from typing import Any

from tunewell.plugins import load
from tunewell.policies._protocol import Facts, Policy, Proposal
from tunewell.recipe import Recipe
from tunewell.records import Finding


class Judge:
    """The policy that a recipe names, and what it has decided so far."""

    def __init__(self, recipe: Recipe) -> None:
        self.policy: Policy = load("policies", recipe.policy)()
        self._state = self.policy.init()

    def decide(self, findings: list[Finding], facts: Facts) -> list[Proposal]:
        """Return what to do about the findings of one record, in this order."""
        self._state, proposals = self.policy.decide(self._state, findings, facts)
        return proposals

    def pack(self) -> dict[str, Any]:
        """Return the state as JSON values; restored at a resume, never at a rollback."""
        return dict(self._state)

    def unpack(self, packed: dict[str, Any]) -> None:
        """Stand where `pack` stood."""
        self._state = dict(packed)
