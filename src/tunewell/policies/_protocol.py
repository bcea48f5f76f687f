"""What a policy is: a pure function from findings to proposed actions, with a state that never rewinds."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import msgspec

from tunewell.actions import Action
from tunewell.records import Finding

State = dict[str, Any]
"""JSON values. Unlike a monitor's it never rewinds: budgets that a rollback gave back would never run out."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy may know of the run beside its findings."""

    step: int
    """Updates so far."""
    last_step: int
    """Update that the run ends with."""
    learning_rate: float
    """Present rate, as in the last `Step`."""
    has_validation: bool = True
    early_stopping: bool = False
    """The recipe sets `early_stopping_patience`."""
    lr_scheduler: str = "linear"
    """Schedule of the present stage."""
    healthy_commits: tuple[int, ...] = ()
    """Steps of the commits that a rollback can load: durable, and made while nothing spoke against the run."""
    best_step: int | None = None
    """Step of the copy that evaluated best, which a rollback can load; None: there is none."""
    balances: bool = False
    """A remedy lets each class count alike in training, but the validation score is mostly that of the common ones."""
    keeps_best: bool = False
    """A remedy has seen to it that the run ends with what evaluated best."""
    actions: frozenset[str] | None = None
    """Tags of the actions that this loop can carry out (``rollback``, ``clip_layers``); None: all of them."""
    batches_per_epoch: int = 0
    max_grad_norm: float | None = None
    rollback_gives_back: bool = True
    """After a rollback the updates that it undid are made again, so that the run keeps its whole budget."""
    rates: tuple[tuple[int, float], ...] = ()
    """Step and learning rate of the last updates. A `Judge` fills it."""
    norms: tuple[tuple[int, float], ...] = ()
    """Step and gradient norm of the last updates. A `Judge` fills it."""
    layer_norms: tuple[tuple[int, dict[str, float]], ...] = ()
    """Step and gradient norms by layer of the last updates at which they were measured. A `Judge` fills it."""
    failed: dict[str, tuple[str, ...]] = {}
    """By code the remedies that did not help, were refused or declined; none is proposed twice. A `Judge` fills it."""
    settled: frozenset[str] = frozenset()
    """Codes of which a remedy that helped is in force: what is seen of them since, short of critical, is known. A `Judge`
    fills it."""
    in_treatment: frozenset[str] = frozenset()
    """Codes whose remedy was applied and is not judged yet, or waits for a person's answer. A `Judge` fills it."""

    def can(self, action: Action) -> bool:
        """Return whether this loop can carry out actions of this kind."""
        return self.actions is None or action.__struct_config__.tag in self.actions


class Proposal(msgspec.Struct, frozen=True):
    """An action to take. `by` goes into the record: the policy's name, or ``recipe`` for what the user asked for.

    Proposals of one record with one `finding_code` and one `remedy` belong together and are judged together.
    """

    action: Action
    reason: str
    finding_code: str
    by: str
    remedy: str = ""
    """Name of the remedy that it is (a part) of; with one, what did not help is undone and never done again."""


class Policy(Protocol):
    """A frozen configuration and a pure function. What the recipe asks for is done under every policy."""

    guards: ClassVar[bool]
    """Whether an update that is not finite is to be refused in somebody else's loop, which is an action in itself."""

    def init(self) -> State:
        """Return the state of a run's beginning."""
        ...

    def decide(self, state: State, findings: list[Finding], facts: Facts) -> tuple[State, list[Proposal]]:
        """Return the state after `findings` (those of one record) and what to do, in this order."""
        ...
