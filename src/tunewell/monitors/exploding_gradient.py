"""Gradients that grow by orders of magnitude and stay there."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from tunewell.monitors import _layers, _learning, _phase
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.monitors._statistics import (
    curve,
    is_lastingly_above,
    is_usable,
    median,
    pushed,
    quantile,
    spread,
)
from tunewell.records import Finding, Record, Step

FIRST_LOOKS = 3
"""The first updates of a stage, whose layers are looked at too: a fresh head's are not what is usual."""
_FRESH: State = {
    "norms": [],
    "layers": {},
    "grown": [],
    "factor": 1.0,
    "times": 0,
    "told": [],
    "lasting": None,
}


class ExplodingGradient(msgspec.Struct, frozen=True, kw_only=True):
    """Gradients have grown at least tenfold beyond their noise, and lastingly: critical if the loss rose too.

    Norms are judged as logarithms, because their noise is a factor, and by 5 of the last 6 being above the 95th
    percentile of those before, so that one hard batch is nothing. Fine-tuned models rightly see norms grow a few
    times over as their loss falls; tenfold with a rising loss, or thirtyfold with none, they do not. Even without a
    rise of the loss, clipping then shrinks every update by that factor for all layers that did not explode.

    **One layer**: where a sampled layer's norm is tenfold its own usual one and the middle layer's is not, that layer has
    become unstable, though the whole norm may have grown less. It must be high in two samples, or the whole norm
    lastingly with it. The layers are named at the first sample after the onset.
    """

    window: Annotated[int, Meta(ge=20)] = 128
    """Updates compared with."""
    armed: Annotated[int, Meta(ge=10)] = 20
    """Updates of a stage before anything is judged; a fresh head's first gradients are large and fall."""
    recent: Annotated[int, Meta(ge=3)] = 6
    """Updates that must be high, all but one."""
    growth: Annotated[float, Meta(gt=1)] = 10.0
    """Growth of the middle norm that counts if the loss rises with it, and of one layer's."""
    growth_alone: Annotated[float, Meta(gt=1)] = 30.0
    """Growth that counts though the loss has not risen."""
    growth_others: Annotated[float, Meta(gt=1)] = 3.0
    """Growth of the middle layer up to which a layer is said to grow alone."""
    lately: Annotated[int, Meta(ge=1)] = 24
    """Updates for which a lasting growth of the whole norm bears a layer out."""
    sigmas: Annotated[float, Meta(gt=0)] = 4.0
    """Growth in robust standard deviations of the log norm."""
    harm: Annotated[float, Meta(gt=0)] = 0.1
    """Rise of the middle loss that is harm, as a share of guessing's loss."""

    reads: ClassVar[tuple[type, ...]] = _learning.READS
    explains: ClassVar[tuple[str, ...]] = (
        "loss_spike", "gradient_spike", "divergence", "non_finite", "oscillation", "collapse",
    )  # fmt: skip

    def init(self) -> State:
        """Return the state before any record."""
        return {"learning": _learning.init(), "seen": "", **_FRESH}

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Judge each update that was made."""
        learning = _learning.follow(state["learning"], record)
        state = {**state, "learning": learning}
        if _phase.begins(learning["phase"], record):
            state = {**state, **_FRESH}
        if not isinstance(record, Step) or record.skipped:
            return state, []
        if not (is_usable(record.loss) and is_usable(record.gradient_norm) and record.gradient_norm > 0):
            return state, []
        size = self.window + self.recent
        state["norms"] = pushed(state["norms"], math.log(record.gradient_norm), size)
        if record.layer_gradients:
            state = self._sampled(state, record.layer_gradients, learning["phase"]["updates"])
        if self._is_lasting(state["norms"]):
            state["lasting"] = record.step
        finding = self._judge(state, record)
        if finding is None:
            return {**state, "told": []} if state["told"] and not state["grown"] else state, []
        return {**state, "told": state["grown"], "seen": finding.summary}, [finding]

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        blind = (
            "" if len(state["norms"]) >= self.armed else f"fewer than {self.armed} updates to compare with"
        )
        return judged(state, blind=blind, fine="the gradient norm did not grow beyond its noise")

    def _sampled(self, state: State, norms: dict[str, float], updates: int) -> State:
        """Note which layers have grown; samples with growth become what is usual only after a while."""
        factors = _layers.growth(state["layers"], norms)
        grown = [name for name, factor in factors.items() if factor >= self.growth]
        worst = sorted(grown, key=lambda name: -factors[name])[:5]
        alone = bool(worst) and median([*factors.values()]) < self.growth_others
        if updates > FIRST_LOOKS and (not grown or state["times"] > _layers.SAMPLES):
            state = {**state, "layers": _layers.remembered(state["layers"], norms)}
        times = state["times"] + 1 if alone else 0
        return {**state, "grown": worst, "factor": max(factors.values(), default=1.0), "times": times}

    def _is_lasting(self, norms: list[float]) -> bool:
        reference, recent = norms[: -self.recent], norms[-self.recent :]
        return len(reference) >= self.armed and is_lastingly_above(recent, reference, 0.05)

    def _judge(self, state: State, step: Step) -> Finding | None:
        since = step.step - state["lasting"] if state["lasting"] is not None else math.inf
        one_layer = bool(step.layer_gradients) and state["times"] >= (1 if since <= self.lately else 2)
        if since > 0 and not one_layer:
            return None
        norms, losses = state["norms"], state["learning"]["losses"]
        reference, recent = norms[: -self.recent], norms[-self.recent :]
        usual, now = median(reference or recent), median(recent)
        high = quantile(reference or recent, 0.95)
        onset = step.step - self.recent + 1 + next((i for i, norm in enumerate(recent) if norm > high), 0)
        rise = median(losses[-self.recent :]) - median(losses[: -self.recent] or losses)
        is_harmful = rise > self.harm * (_learning.scale(state["learning"]) or 1.0)
        growth = math.exp(min(700.0, now - usual))
        is_far = now - usual >= max(math.log(self.growth), self.sigmas * spread(reference or recent))
        if since == 0 and is_far and (is_harmful or growth >= self.growth_alone):
            return self._finding(state, step, onset, growth, is_harmful)
        if one_layer:
            onset = min(onset, state["lasting"] - self.recent + 2) if since <= self.lately else onset
            return self._finding(state, step, onset, state["factor"], is_harmful)
        return None

    def _finding(self, state: State, step: Step, onset: int, growth: float, is_harmful: bool) -> Finding:
        now = math.exp(median(state["norms"][-self.recent :]))
        worst = state["grown"]
        is_new = bool(worst) and not state["told"]
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
                "onset": max(1, onset),
                "growth": growth,
                "norm": now,
                "loss_rose": is_harmful,
                "layers": worst,
                "usual_layers": _layers.usual(state["layers"]),
                "usual_norm": math.exp(median(state["norms"][: -self.recent])),
                **({"again": worst} if is_new else {}),
                "learning_rate": step.learning_rate,
                "curve": curve([math.exp(norm) for norm in state["norms"]]),
            },
        )
