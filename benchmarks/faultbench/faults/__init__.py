"""The 32 faults: one function each, in the file of its family. `FAULTS` lists them by name.

A fault gets a `Training` before its first update, and a `Draw` for what is random in it, changes what a user's mistake
would change, and returns where it begins and which rows it touched. To add one, write such a function under `fault`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from benchmarks.faultbench.training import Draw, Training


class When(Enum):
    """Within what a fault has to be named to count as detected."""

    EVENT = "20 updates or 5 % of the run after it began"
    SETTING = "a quarter of the run"
    DATA = "the first update"
    EPOCH = "one epoch"
    BEHAVIOUR = "10 % of the run after the best validation loss"


@dataclass(frozen=True)
class Injected:
    """What a fault did."""

    onset: int = 0
    """Update that it begins at; 0: it is there before the first."""
    rows: list[int] = field(default_factory=list)
    """Training rows that it touched, where a review of rows should list them."""


Inject = Callable[[Training, Draw], Injected | None]


@dataclass(frozen=True)
class Fault:
    """A mistake and what it is called."""

    name: str
    number: int
    code: str
    """Kind that has to be named."""
    family: str
    when: When
    inject: Inject
    about: str
    magnitude: float
    least: float
    most: float
    """Range of the magnitude in a varied run; drawn evenly in its logarithm."""
    lists_rows: bool
    """Its rows should be listed: repaired means an F1 of 0.8 of them."""


FAULTS: dict[str, Fault] = {}


def fault(
    number: int,
    kind: str,
    when: When,
    *,
    magnitude: tuple[float, float, float] = (1.0, 1.0, 1.0),
    lists_rows: bool = False,
) -> Callable[[Inject], Inject]:
    """Enter a function into `FAULTS`. `magnitude`: the usual one, the least and the most of a varied run."""

    def enter(inject: Inject) -> Inject:
        usual, least, most = magnitude
        FAULTS[inject.__name__] = Fault(
            name=inject.__name__, number=number, code=kind, family=inject.__module__.rpartition(".")[2], when=when,
            inject=inject, about=(inject.__doc__ or "").strip(), magnitude=usual, least=least, most=most,
            lists_rows=lists_rows,
        )  # fmt: skip
        return inject

    return enter


from benchmarks.faultbench.faults import behaviour, code, data, optimizer  # noqa: E402, F401
