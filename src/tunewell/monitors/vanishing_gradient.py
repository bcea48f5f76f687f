"""Layers that the gradient no longer reaches."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from tunewell.monitors import _layers, _learning, _phase
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.monitors._statistics import is_usable, median
from tunewell.records import Finding, Record, Step


class VanishingGradient(msgspec.Struct, frozen=True, kw_only=True):
    """Layers whose gradient is nearly nothing beside the strongest layer's, while that does harm.

    A small gradient alone is no fault: Adam's steps don't depend on its size, and a converged model has none. Harm is
    one of two things. Either these layers really don't move: their relative update is under a tenth of the
    middle layer's. Or the run has never been better than guessing although its head is still getting gradients.
    Each must hold at three samples in a row that are some updates apart (new layers that begin at zero let no gradient
    through in the first ones); one sample will do for a layer whose norm has fallen as far below its own usual one while
    other layers' have not. AutoTrainer's bound is a ratio of 1e-3 and a norm under 1e-4; small
    healthy transformers stay above a ratio of 1e-2.
    """

    ratio: Annotated[float, Meta(gt=0, lt=1)] = 1e-3
    """A layer's gradient norm beside the largest of all layers."""
    update_ratio: Annotated[float, Meta(gt=0, lt=1)] = 0.1
    """A layer's relative update beside the middle layer's."""
    samples: Annotated[int, Meta(ge=1)] = 3
    """Samples in a row."""
    apart: Annotated[int, Meta(ge=1)] = 5
    """Updates between two samples that count."""

    reads: ClassVar[tuple[type, ...]] = _learning.READS
    explains: ClassVar[tuple[str, ...]] = ("underfitting", "collapse")

    def init(self) -> State:
        """Return the state before any record."""
        return {
            "learning": _learning.init(), "runs": {}, "layers": {}, "sampled": 0, "at": None, "first_seen": None,
            "seen": "",
        }  # fmt: skip

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge each update at which the layers were measured."""
        learning = _learning.follow(state["learning"], record)
        state = {**state, "learning": learning}
        if _phase.begins(learning["phase"], record):
            state = {**state, "runs": {}, "layers": {}, "at": None, "first_seen": None}
        if not isinstance(record, Step) or record.skipped or not record.layer_gradients:
            return state, []
        norms = record.layer_gradients
        is_soon = state["at"] is not None and 0 <= record.step - state["at"] < self.apart
        if is_soon or not all(is_usable(norm) for norm in norms.values()):
            return state, []
        factors = _layers.growth(state["layers"], norms)
        weak = self._weak(norms)
        harmed = [name for name in weak if self._is_harmed(name, record, learning)]
        has_dropped = {name for name in harmed if self._has_dropped(name, factors)}
        runs = {
            name: self.samples if name in has_dropped else state["runs"].get(name, 0) + 1 for name in harmed
        }
        layers = state["layers"] if weak else _layers.remembered(state["layers"], norms)
        first_seen = (state["first_seen"] or record.step) if runs else None
        sampled = state["sampled"] + 1
        state = {
            **state, "runs": runs, "layers": layers, "first_seen": first_seen, "at": record.step, "sampled": sampled
        }  # fmt: skip
        lasting = [name for name, times in runs.items() if times >= self.samples]
        if not lasting:
            return state, []
        finding = self._finding(record, lasting, state)
        return {**state, "seen": finding.summary}, [finding]

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        sampled = state["sampled"]
        blind = "" if sampled >= self.samples else "gradients were not measured by layer (`probe_steps`)"
        return judged(state, blind=blind, fine=f"gradients reached every layer in {sampled} samples")

    def _weak(self, norms: dict[str, float]) -> list[str]:
        top = max(norms.values())
        return [name for name, norm in norms.items() if norm < self.ratio * top] if top > 0 else list(norms)

    def _has_dropped(self, name: str, factors: dict[str, float]) -> bool:
        return factors.get(name, 1.0) < self.ratio and median([*factors.values()]) > 0.1

    def _is_harmed(self, name: str, step: Step, learning: State) -> bool:
        if _learning.never_learned(learning):
            return True
        updates = step.layer_updates or {}
        others = [ratio for ratio in updates.values() if is_usable(ratio) and ratio > 0]
        if name not in updates or not others:
            return False
        return updates[name] < self.update_ratio * median(others)

    def _finding(self, step: Step, layers: list[str], state: State) -> Finding:
        norms = step.layer_gradients or {}
        smallest = min(norms[name] for name in layers)
        never = _learning.never_learned(state["learning"])
        harm = "the run has not become better than guessing" if never else "these layers hardly move"
        return Finding(
            step=step.step,
            cursor=step.cursor,
            monitor="vanishing_gradient",
            code="vanishing_gradient",
            severity="warning",
            summary=f"Almost no gradient reaches {_named(layers)}: {smallest:.1e} beside {max(norms.values()):.1e}.",
            meaning=f"What these layers know can't be adapted to the task, and {harm}.",
            causes=[
                "activations pushed into saturation by a learning rate that is or was too high",
                "new layers whose initial weights are far too large or small",
                "a broken path, such as a detached tensor or a scale near zero",
            ],
            advice=["lower `learning_rate`, raise `warmup_ratio`", "try `head_init: fitted` or `xavier`"],
            evidence={
                "onset": state["first_seen"],
                "layers": layers,
                "layer_gradients": norms,
                "layer_updates": step.layer_updates or {},
                "never_learned": never,
            },
        )


def _named(layers: list[str]) -> str:
    return ", ".join(layers[:3]) + (f" and {len(layers) - 3} more layers" if len(layers) > 3 else "")
