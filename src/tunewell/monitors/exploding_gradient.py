"""Gradients that grow by orders of magnitude and stay there."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from tunewell.monitors import _learning, _phase
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.monitors._statistics import curve, median, quantile, spread
from tunewell.records import Finding, Record, Step

HARMFUL_LAYER_GROWTH = 10.0


class ExplodingGradient(msgspec.Struct, frozen=True, kw_only=True):
    """The gradient norm has grown at least tenfold beyond its noise, and lastingly: critical if the loss rose too.

    Norms are judged as logarithms, because their noise is a factor, and by 5 of the last 6 being above the 95th
    percentile of those before, so that one hard batch is nothing. Fine-tuned models rightly see norms grow a few
    times over as their loss falls; tenfold with a rising loss, or thirtyfold with none, they do not. Even without a
    rise of the loss, clipping then shrinks every update by that factor for all layers that did not explode.
    """

    window: Annotated[int, Meta(ge=20)] = 128
    """Updates compared with."""
    armed: Annotated[int, Meta(ge=10)] = 20
    """Updates of a stage before anything is judged; a fresh head's first gradients are large and fall."""
    recent: Annotated[int, Meta(ge=3)] = 6
    """Updates that must be high, all but one."""
    growth: Annotated[float, Meta(gt=1)] = 10.0
    """Growth of the middle norm that counts if the loss rises with it."""
    growth_alone: Annotated[float, Meta(gt=1)] = 30.0
    """Growth that counts though the loss has not risen."""
    sigmas: Annotated[float, Meta(gt=0)] = 4.0
    """Growth in robust standard deviations of the log norm."""
    harm: Annotated[float, Meta(gt=0)] = 0.1
    """Rise of the middle loss that is harm, as a share of guessing's loss."""

    explains: ClassVar[tuple[str, ...]] = ("loss_spike", "divergence", "non_finite")

    def init(self) -> State:
        """Return the state before any record."""
        return {
            "learning": _learning.init(),
            "norms": [],
            "losses": [],
            "layers": {},
            "usual_layers": {},
            "seen": "",
        }

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge each update that was made."""
        learning = _learning.follow(state["learning"], record)
        state = {**state, "learning": learning}
        if _phase.begins(learning["phase"], record):
            state = {**state, "norms": [], "losses": [], "layers": {}, "usual_layers": {}}
        if not isinstance(record, Step) or record.skipped:
            return state, []
        if not (
            math.isfinite(record.loss) and math.isfinite(record.gradient_norm) and record.gradient_norm > 0
        ):
            return state, []
        size = self.window + self.recent
        state = {
            **state,
            "norms": [*state["norms"], math.log(record.gradient_norm)][-size:],
            "losses": [*state["losses"], record.loss][-size:],
        }
        if record.layer_gradients:
            state = {**state, "usual_layers": state["layers"], "layers": _positive(record.layer_gradients)}
        finding = self._judge(state, record)
        if finding is None:
            return state, []
        return {**state, "seen": finding.summary}, [finding]

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        blind = (
            "" if len(state["norms"]) >= self.armed else f"fewer than {self.armed} updates to compare with"
        )
        return judged(state, blind=blind, fine="the gradient norm did not grow beyond its noise")

    def _judge(self, state: State, step: Step) -> Finding | None:
        norms, losses = state["norms"], state["losses"]
        reference, recent = norms[: -self.recent], norms[-self.recent :]
        if len(reference) < self.armed:
            return None
        top = quantile(reference, 0.95)
        if sum(norm > top for norm in recent) < self.recent - 1:
            return None
        usual, now = median(reference), median(recent)
        if now - usual < max(math.log(self.growth), self.sigmas * spread(reference)):
            return None
        scale = _learning.scale(state["learning"]) or 1.0
        rise = median(losses[-self.recent :]) - median(losses[: -self.recent])
        is_harmful = rise > self.harm * scale
        growth = math.exp(now - usual)
        if not is_harmful and growth < self.growth_alone:
            return None
        onset = step.step - self.recent + 1 + next(i for i, norm in enumerate(recent) if norm > top)
        return self._finding(state, step, onset, growth, is_harmful)

    def _finding(self, state: State, step: Step, onset: int, growth: float, is_harmful: bool) -> Finding:
        now = math.exp(median(state["norms"][-self.recent :]))
        layers = {
            name: norm / state["usual_layers"][name]
            for name, norm in state["layers"].items()
            if norm > HARMFUL_LAYER_GROWTH * state["usual_layers"].get(name, math.inf)
        }
        worst = sorted(layers, key=lambda name: -layers[name])[:5]
        where = f", most in {', '.join(worst)}" if worst else ""
        bound = step.max_grad_norm
        clipped = (
            f" Clipping to {bound:g} now shrinks every update about {now / bound:.0f}-fold." if bound else ""
        )
        harm = "The loss rises with them." if is_harmful else "The loss has not risen yet."
        return Finding(
            step=step.step,
            cursor=step.cursor,
            monitor="exploding_gradient",
            code="exploding_gradient",
            severity="critical" if is_harmful else "warning",
            summary=f"Gradients are {growth:.0f} times their usual size since step {onset} (norm {now:.3g}){where}.",
            meaning=f"{harm}{clipped} Unchecked, such steps throw the weights far off.",
            causes=["learning rate too high", "bad or unlike rows", "a layer that has become unstable"],
            advice=[
                "set `max_grad_norm: 1.0`" if bound is None else f"go back to before step {onset}",
                "lower `learning_rate`, raise `warmup_ratio`",
            ],
            evidence={
                "onset": onset,
                "growth": growth,
                "norm": now,
                "loss_rose": is_harmful,
                "layers": worst,
                "learning_rate": step.learning_rate,
                "curve": curve([math.exp(norm) for norm in state["norms"]]),
            },
        )


def _positive(norms: dict[str, float]) -> dict[str, float]:
    return {name: norm for name, norm in norms.items() if math.isfinite(norm) and norm > 0}
