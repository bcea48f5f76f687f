"""Findings in, proposed actions out: one policy a file. Pure functions, no torch.

What a policy proposes is applied by `training.act.apply` alone. To add one, add a file whose class has `init` and
`decide`; share by composing, as `cautious` does with `_asked.asked`.
"""

from __future__ import annotations

from tunewell.policies._effects import kind_of
from tunewell.policies._judge import Judge
from tunewell.policies._proposing import Decision
from tunewell.policies._protocol import Facts, Policy, Proposal, State

__all__ = ["Decision", "Facts", "Judge", "Policy", "Proposal", "State", "kind_of"]
