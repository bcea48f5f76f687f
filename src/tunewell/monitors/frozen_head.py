"""A new output layer that is not trained."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from tunewell.inspections import Inspected
from tunewell.monitors import _guess
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.monitors._statistics import mean
from tunewell.records import Finding, Record, StageBegan, Started


class FrozenHead(msgspec.Struct, frozen=True, kw_only=True):
    """The layer that makes the outputs is frozen, though it was never trained for this task.

    A frozen output layer alone is no fault: under LoRA a language model's head stays as it was pre-trained, and a
    trained classifier may be kept on purpose. Those show knowledge from the first update on: a loss below that of
    guessing, or, on new data, outputs that differ widely between rows. A new layer does neither. Its outputs differ
    by less than 1 (PyTorch's and transformers' usual weights give 0.1 to 0.6), so its loss lies within a few tenths
    of log(classes): logits of standard deviation s cost about s²/2 more than guessing. Of numbers, guessing is 0.
    """

    near: Annotated[float, Meta(gt=0, lt=1)] = 0.9
    """Share of guessing's loss from which the first losses show no knowledge."""
    above: Annotated[float, Meta(gt=1)] = 1.3
    """Beyond this multiple of guessing's loss the outputs are confident, if wrong: the layer was trained, or is scaled
    badly, which is another fault."""
    output_std: Annotated[float, Meta(gt=0)] = 1.0
    """Logits of a new layer differ by less than this between rows."""
    looks: Annotated[int, Meta(ge=1)] = 2
    """Looks of the stage that are averaged before it is judged."""

    reads: ClassVar[tuple[type, ...]] = (Started, StageBegan, Inspected)
    explains: ClassVar[tuple[str, ...]] = (
        "underfitting", "learning_rate_too_low", "plateau", "cannot_fit_a_batch", "vanishing_gradient",
        "label_noise", "inputs_unrelated", "shifted_labels",
    )  # fmt: skip

    def init(self) -> State:
        """Return the state before any record."""
        return {
            "classes": 0,
            "first_step": 1,
            "losses": [],
            "guessing": [],
            "stds": [],
            "looked": "",
            "seen": "",
        }

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge the first looks of each stage."""
        match record:
            case Started():
                return {**self.init(), "classes": record.num_classes}, []
            case StageBegan():
                return {**state, "first_step": record.step + 1, "losses": [], "guessing": [], "stds": []}, []
            case Inspected(output_frozen=bool()):
                return self._look(state, record)
        return state, []

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        blind = {"": "the output layer was not looked at", "unknown": "what guessing would cost is not known"}
        return judged(state, blind=blind.get(state["looked"], ""), fine=f"the output layer {state['looked']}")

    def _look(self, state: State, look: Inspected) -> tuple[State, list[Finding]]:
        if not look.output_frozen:
            return {**state, "looked": "trains"}, []
        if len(state["losses"]) >= self.looks:
            return state, [_finding(state, look)] if self._knows_nothing(state) else []
        guessing = _guess.of(look, state["classes"])
        if guessing is None or look.mean_loss is None or not math.isfinite(look.mean_loss):
            return {**state, "looked": state["looked"] or "unknown"}, []
        std = look.output_std if look.num_outputs else None  # a number's spread has the targets' unit
        state = {
            **state,
            "losses": [*state["losses"], look.mean_loss],
            "guessing": [*state["guessing"], guessing],
            "stds": state["stds"] if std is None or not math.isfinite(std) else [*state["stds"], std],
        }
        if len(state["losses"]) < self.looks:
            return state, []
        if not self._knows_nothing(state):
            return {**state, "looked": "is frozen and was trained before"}, []
        finding = _finding(state, look)
        return {**state, "looked": "is frozen", "seen": finding.summary}, [finding]

    def _knows_nothing(self, state: State) -> bool:
        beside_guessing = mean(state["losses"]) / mean(state["guessing"])
        is_flat = not state["stds"] or mean(state["stds"]) < self.output_std
        return self.near <= beside_guessing <= self.above and is_flat


def _finding(state: State, look: Inspected) -> Finding:
    first, guessing = mean(state["losses"]), mean(state["guessing"])
    layer = f"The output layer, {look.output_layer}," if look.output_layer else "The output layer"
    return Finding(
        step=look.step,
        monitor="frozen_head",
        code="frozen_head",
        severity="critical",
        summary=f"{layer} is frozen, and the first loss, {first:.3g}, is that of guessing ({guessing:.3g}).",
        meaning="A new output layer keeps the weights that were drawn by lot; the layers below can only bend to them.",
        causes=[
            "all parameters were frozen, and the new output layer with them",
            "adapters were added without training the new output layer (PEFT: `modules_to_save`, `task_type`)",
        ],
        advice=[
            "set `requires_grad = True` on the output layer, before the optimizer is built",
            "in a recipe, let the stage's `train` include `head`",
        ],
        evidence={
            "onset": max(1, state["first_step"]),
            "layers": [look.output_layer] if look.output_layer else [],
            "first_loss": first,
            "guessing": guessing,
            "output_std": mean(state["stds"]) if state["stds"] else None,
            "frozen": look.frozen or [],
        },
    )
