"""What a monitor is: two pure functions over records, and a plain answer to "was this looked at?"."""

from __future__ import annotations

from typing import Any, Literal, Protocol

import msgspec

from tunewell.records import Finding, Record

State = dict[str, Any]
"""JSON values only, finite numbers only; a monitor returns a new one and never changes the one it got."""


class Verdict(msgspec.Struct, frozen=True):
    """What a monitor says of its kind of fault: it was seen, it was looked for and not seen, or it could not be."""

    kind: Literal["seen", "fine", "blind"]
    text: str


class Monitor(Protocol):
    """One fault each: a frozen configuration, and pure functions over records.

    A class attribute ``reads`` may list the types of record that it looks at: others are not handed to it, which keeps an
    update cheap. A class attribute ``explains`` may list the codes of faults that this one brings about, so that a
    `Watch` tells cause and consequences as one incident. A finding may say in ``evidence["onset"]`` at which step the
    trouble began; policies go back to before it. One that is told once and stays until something is done about it, such as wrong
    rows, says ``evidence["lasting"]``: consequences are then joined to it however late they come.
    """

    def init(self) -> State:
        """Return the state before any record."""
        ...

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Return the state after `record` and what it showed. May report a lasting fault at every record."""
        ...

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        ...


def judged(state: State, *, blind: str, fine: str) -> Verdict:
    """Return "seen" if ``state["seen"]`` holds a finding's summary, else "blind" if `blind` says why, else "fine"."""
    if state["seen"]:
        return Verdict("seen", state["seen"])
    if blind:
        return Verdict("blind", f"could not be checked: {blind}")
    return Verdict("fine", f"checked and fine: {fine}")
