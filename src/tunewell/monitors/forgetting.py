"""What was known well is lost while something else is learned."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from tunewell.monitors import _scores
from tunewell.monitors._protocol import State, Verdict, judged
from tunewell.records import Eval, Finding, Record, Started, Step

_OWN_SPLITS = ("train", "validation", "test")


class Forgetting(msgspec.Struct, frozen=True, kw_only=True):
    """Classes that were told well, or an older task's split, are told much worse, and no training row teaches them.

    **Classes**: a class's recall falls from a level that it held for two evaluations, by a good part of it and surely
    (a two-sample test of shares, z above 4: 1 in 30,000, since many classes and evaluations are looked at). That alone is
    no forgetting: a rate that is too high loses all classes at once, and classes close to each other trade rows. So the
    training rows since then must lack the class (a fifth of its share up to then, at most), while other classes hold.
    Where the labels of batches are not known, others must have gained, at two evaluations in a row.

    **Known from before**: one evaluation before the first update is level enough, since nothing moves between two of
    them. What may be there by chance is the answer of an untrained model, which tells every row to be of one class: its
    recalls add up to 1, whatever it prefers, so that they count from `knows` beyond that. A known class that the training
    rows lack altogether is held to have been taught as often as the validation split holds it (one that is merely rare
    among them is not lacking), and its loss is told at the first evaluation after, however little the new classes have
    gained by then.

    **Another split**: the score on a split that is none of train, validation and test, such as `old`, falls likewise,
    while the validation score holds. RL's Razor measures forgetting by the distance of the tuned from the base model on
    rows of the old task; the old task's score is what that distance costs.
    """

    fall: Annotated[float, Meta(gt=0, lt=1)] = 0.25
    """Least fall of a recall or score."""
    sigmas: Annotated[float, Meta(gt=0)] = 4.0
    """The same in standard errors of the difference."""
    lacking: Annotated[float, Meta(ge=0, lt=1)] = 0.2
    """Share of a class among the training rows of late, beside its share before, at which they lack it."""
    rows: Annotated[int, Meta(ge=1)] = 16
    """Rows of the lost classes expected since the last evaluation; of fewer, a fifth may come by chance."""
    knows: Annotated[float, Meta(gt=0)] = 0.5
    """Sum of the recalls before the first update beyond the 1 that guessing gives: half a class known, and surely."""
    hold: Annotated[float, Meta(gt=0, le=1)] = 0.9
    """Share of their best that what is still taught must keep."""
    loss_rise: Annotated[float, Meta(gt=0)] = 0.5
    """Relative rise of another split's loss, where that has no score."""

    reads: ClassVar[tuple[type, ...]] = (Started, Step, Eval)
    explains: ClassVar[tuple[str, ...]] = (
        "overfitting", "learning_rate_too_high", "divergence", "loss_spike", "collapse", "oscillation", "overtraining",
        "exploding_gradient", "gradient_spike", "underfitting", "vanishing_gradient", "class_imbalance",
    )  # fmt: skip

    def init(self) -> State:
        """Return the state before any record."""
        return {
            "counts": {}, "before": {}, "of_late": {}, "last": {}, "held": {}, "lost": {}, "splits": {}, "validation": {},
            "judged": 0, "updated": False, "seen": "",
        }  # fmt: skip

    def update(self, state: State, record: Record) -> tuple[State, list[Finding]]:
        """Count the classes of the batches, and judge each evaluation."""
        match record:
            case Started():
                return {**self.init(), "counts": record.class_counts}, []
            case Step() if record.label_counts:
                of_late = dict(state["of_late"])
                for name, count in record.label_counts.items():
                    of_late[name] = of_late.get(name, 0) + count
                return {**state, "of_late": of_late, "updated": True}, []
            case Step() if not state["updated"]:
                return {**state, "updated": True}, []
            case Eval() if record.split == "validation":
                return self._of_classes(state, record)
            case Eval() if record.split not in _OWN_SPLITS:
                return self._of_split(state, record)
        return state, []

    def verdict(self, state: State) -> Verdict:
        """Return what can be said up to now."""
        blind = "" if state["judged"] else "it takes two evaluations by class, or on rows of the older task"
        return judged(state, blind=blind, fine="what was known well was kept")

    def _of_classes(self, state: State, record: Eval) -> tuple[State, list[Finding]]:
        validation = _followed(state["validation"], record)
        last, held = state["last"], dict(state["held"])
        recalls = {name: recall for name, recall in record.recalls.items() if 0 <= recall <= 1}
        lost = {
            name: held[name] - recall
            for name, recall in recalls.items()
            if name in held and self._has_fallen(held[name], recall, record.class_rows.get(name, 0))
        }
        finding = self._judge(state, record, recalls, lost) if lost else None
        before, of_late = state["before"], state["of_late"]
        if not state["updated"] and self._is_known(recalls, record.class_rows):
            held, before = dict(recalls), _taught(state["counts"], record.class_rows)
        for name, recall in recalls.items():
            held[name] = max(held.get(name, 0.0), min(recall, last.get(name, 0.0)))
        if not lost:  # what is taught becomes what is usual only while nothing is being lost
            before = {name: before.get(name, 0) + of_late.get(name, 0) for name in {**before, **of_late}}
        state = {
            **state, "before": before, "of_late": {}, "last": recalls, "held": held, "lost": lost,
            "validation": validation, "judged": state["judged"] + bool(last),
        }  # fmt: skip
        return (state, []) if finding is None else ({**state, "seen": finding.summary}, [finding])

    def _is_known(self, recalls: dict[str, float], rows: dict[str, int]) -> bool:
        """Return whether a model that is not trained yet tells the classes apart, beyond what chance explains."""
        beyond = math.fsum(recalls.values()) - 1
        variance = math.fsum(
            recall * (1 - recall) / max(1, rows.get(name, 0)) for name, recall in recalls.items()
        )
        return beyond >= max(self.knows, self.sigmas * math.sqrt(variance))

    def _has_fallen(self, held: float, now: float, rows: int) -> bool:
        if held - now < self.fall or rows < 1:
            return False
        share = (held + now) / 2
        return held - now > self.sigmas * math.sqrt(max(0.0, 2 * share * (1 - share)) / rows)

    def _judge(
        self, state: State, record: Eval, recalls: dict[str, float], lost: dict[str, float]
    ) -> Finding | None:
        others = [name for name in recalls if name not in lost and state["held"].get(name, 0) > 0]
        if state["of_late"]:
            gone = [name for name in lost if self._is_lacking(state, name)]
            taught = [name for name in recalls if name not in gone]
            kept = [name for name in taught if name not in lost]
            is_chance = sum(self._expected(state, name) for name in gone) < self.rows
            if is_chance or (taught and 2 * len(kept) < len(taught)):
                return None
        else:
            gone = [name for name in lost if name in state["lost"]]
            gained = [
                name
                for name in others
                if recalls[name] > state["held"][name] or recalls[name] >= self.hold * state["held"][name]
            ]
            if not gone or not others or 2 * len(gained) < len(others) or len(gone) >= len(recalls):
                return None
        worst = max(gone, key=lambda name: lost[name])
        now = recalls[worst]
        named = f"`{worst}`" + (f" and {len(gone) - 1} more" if len(gone) > 1 else "")
        summary = (
            f"The recall of {named} fell from {now + lost[worst]:.2f} to {now:.2f} by step {record.step}."
        )
        evidence = {
            "classes": gone,
            "recalls": {name: recalls[name] for name in gone},
            "held": now + lost[worst],
        }
        return _finding(record, summary, evidence, state["validation"].get("step", record.step))

    def _expected(self, state: State, name: str) -> float:
        """Return how many rows of the class the last batches would hold if they were drawn as those before."""
        total = sum(state["before"].values())
        return state["before"].get(name, 0) / total * sum(state["of_late"].values()) if total else 0.0

    def _is_lacking(self, state: State, name: str) -> bool:
        return bool(state["of_late"].get(name, 0) <= self.lacking * self._expected(state, name))

    def _of_split(self, state: State, record: Eval) -> tuple[State, list[Finding]]:
        before = state["splits"].get(record.split, {})
        after = _followed(before, record)
        state = {
            **state,
            "splits": {**state["splits"], record.split: after},
            "judged": state["judged"] + bool(before),
        }
        held, now = before.get("held"), after["now"]
        validation = state["validation"]
        if held is None or now is None or not self._holds(validation):
            return state, []
        if after["is_loss"]:
            has_fallen = now > held * (1 + self.loss_rise) and after["times_worse"] >= 2
        else:
            has_fallen = self._has_fallen(held, now, record.rows)
        if not has_fallen:
            return state, []
        what = "loss" if after["is_loss"] else after["metric"]
        summary = f"On `{record.split}` the {what} went from {held:.3g} to {now:.3g} by step {record.step}."
        finding = _finding(record, summary, {"split": record.split, "held": held, "now": now}, before["step"])
        return {**state, "seen": finding.summary}, [finding]

    def _holds(self, validation: dict[str, Any]) -> bool:
        """Whether the validation score is near its best: if all is lost at once, that is no forgetting."""
        best, now = validation.get("best"), validation.get("now")
        if best is None or now is None:
            return True
        return bool(now <= best * (1 + self.loss_rise) if validation["is_loss"] else now >= self.hold * best)


def _taught(counts: dict[str, int], rows: dict[str, int]) -> dict[str, float]:
    """Return how often each class was taught to a model that knows them: as training `counts` say, else validation `rows`."""
    factor = (sum(counts.values()) / max(1, sum(rows.values()))) or 1.0
    return {name: counts.get(name, 0) or factor * number for name, number in rows.items()}


def _followed(before: dict[str, Any], record: Eval) -> dict[str, Any]:
    """Return the course of a split's score (a share if it has one, else its loss): best, held twice, and now."""
    metric = next((name for name in record.metrics if not _scores.is_falling(name)), "loss")
    now = _scores.value(record, metric)
    if now is None or before.get("metric", metric) != metric or before.get("best") is None:
        return {
            "metric": metric, "is_loss": metric == "loss", "now": now, "best": now, "held": None, "step": record.step,
            "times_worse": 0,
        }  # fmt: skip
    sign = -1 if before["is_loss"] else 1
    twice = now if before["now"] is None else sign * min(sign * now, sign * before["now"])
    held = twice if before["held"] is None else sign * max(sign * before["held"], sign * twice)
    is_best = sign * now >= sign * before["best"]
    return {
        **before,
        "now": now,
        "best": now if is_best else before["best"],
        "step": record.step if is_best else before["step"],
        "held": held,
        "times_worse": 0 if is_best else before["times_worse"] + 1,
    }


def _finding(record: Eval, summary: str, evidence: dict[str, Any], best_step: int) -> Finding:
    return Finding(
        step=record.step,
        monitor="forgetting",
        code="forgetting",
        severity="warning",
        summary=summary,
        meaning="What is learned now overwrites what was learned before, which no row of late has shown again.",
        causes=[
            "training rows that show only what is new",
            "learning rate too high for a model that already knows its task",
        ],
        advice=[
            "mix rows of the old kind in among the new ones (a tenth helps much)",
            f"take the model of step {best_step} and go on with a lower `learning_rate`",
            "train fewer layers, or adapters only",
        ],
        evidence={"onset": max(1, best_step), "lasting": True, **evidence},
    )
