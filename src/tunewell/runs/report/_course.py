"""The course of a run in charts: losses, scores, rate and gradient, with what happened as numbered flags."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from tunewell.records import Rewound, Step
from tunewell.runs.curves import Curve, curve_of, smoothed
from tunewell.runs.incidents import Deed
from tunewell.runs.report._chart import Flag, Line, chart
from tunewell.runs.report._facts import Facts
from tunewell.runs.story import named
from tunewell.runs.uncertainty import interval

_MOST_FLAGS = 40
_ORDER = {"critical": 0, "warning": 1, "rewind": 2, "action": 3, "info": 4}
_ORIGINS = {"": "", "recipe": "the recipe"}


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """One chart with its legend: pairs of a class and a name."""

    title: str
    svg: str
    legend: list[tuple[str, str]]


def pictures(facts: Facts, flags: Sequence[Flag]) -> list[Picture]:
    """Return the charts that have something to show."""
    found = [_loss(facts, flags), *_scores(facts, flags), _rate(facts, flags), _gradient(facts, flags)]
    return [picture for picture in found if picture.svg]


def flags(facts: Facts) -> tuple[list[Flag], int]:
    """Return what happened, in order of steps, numbered, and how many more there were than are shown."""
    at: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for incident in facts.story.incidents:
        level = "critical" if incident.severity == "critical" else "warning"
        title = named(incident).rstrip(",")
        at[incident.first_step].append((level, title[0].upper() + title[1:]))
        for deed in incident.deeds:
            _add_deed(at, deed)
    for deed in facts.story.other_deeds:
        _add_deed(at, deed)
    for record in facts.log:
        if isinstance(record, Rewound) and record.reason == "resume":
            how = "" if record.exact else ", approximately"
            at[record.to_step].append(("info", f"Resumed from checkpoint {record.commit}{how}"))
    for stage in facts.stages:
        if stage.stage > 0:
            at[stage.first_step].append(("info", f"Stage {stage.stage + 1} begins: {stage.name}"))
    ranked = sorted(at, key=lambda step: (min(_ORDER[level] for level, _ in at[step]), step))
    shown = sorted(ranked[:_MOST_FLAGS])
    made = [
        Flag(
            step=step,
            number=number,
            level=min((level for level, _ in at[step]), key=_ORDER.__getitem__),
            text="; ".join(dict.fromkeys(text for _, text in at[step])),
        )
        for number, step in enumerate(shown, start=1)
    ]
    return made, len(ranked) - len(shown)


def _add_deed(at: dict[int, list[tuple[str, str]]], deed: Deed) -> None:
    if deed.outcome not in {"applied", "failed"}:
        return
    by = _ORIGINS.get(deed.by, deed.by)
    level = "rewind" if deed.what.startswith("rolled back") else "action"
    failed = " (failed)" if deed.outcome == "failed" else ""
    text = f"{by} {deed.what}{failed}".strip()
    at[deed.step].append((level, text[0].upper() + text[1:]))


def loss_lines(facts: Facts) -> list[Line]:
    """Return the lines of the loss: undone pieces, raw, smoothed, and evaluations."""
    raw = _curve(facts.steps, "loss")
    lines = [
        Line(name="undone", curve=piece, role="undone", style="raw")
        for piece in _pieces(facts.undone, "loss")
    ]
    lines.append(Line(name="training loss, each update", curve=raw, role="train", style="raw"))
    lines.append(Line(name="training loss, smoothed", curve=smoothed(raw), role="train"))
    watched, tests = (
        curve_of((record.step, record.loss) for record in facts.evals_on(split))
        for split in ("validation", "test")
    )
    lines.append(Line(name="validation loss", curve=watched, role="validation", style="points"))
    if len(tests) > 1:
        lines.append(Line(name="test loss", curve=tests, role="test", style="points"))
    return lines


def not_finite(facts: Facts) -> list[float]:
    """Return the steps whose loss was not a finite number."""
    return [float(step.step) for step in facts.steps if not math.isfinite(step.loss)]


def _loss(facts: Facts, flags: Sequence[Flag]) -> Picture:
    lines = loss_lines(facts)
    svg = chart("Loss over steps", lines, flags, steps=facts.span, height=320, bad=not_finite(facts))
    legend = [(f"{line.role} {line.style}", line.name) for line in lines if len(line.curve.finite)]
    return Picture(title="Loss", svg=svg, legend=list(dict.fromkeys(legend)))


def _scores(facts: Facts, flags: Sequence[Flag]) -> Iterable[Picture]:
    evals = facts.evals_on("validation")
    metric = main_metric(facts)
    if len(evals) < 2 or metric == "loss":
        return
    evals = [record for record in evals if metric in record.metrics]
    points = curve_of((record.step, record.metrics[metric]) for record in evals)
    spread = [interval(record, metric) for record in evals]
    known = [] if any(one is None for one in spread) else [(one.low, one.high) for one in spread if one]
    name = f"validation {metric.replace('_', ' ')}"
    line = Line(name=name, curve=points, role="validation", style="points", spread=known)
    svg = chart(f"{name} over steps", [line], flags, steps=facts.span, log=False, height=230)
    legend = [("validation points", name + (" with its 95 % interval" if known else ""))]
    yield Picture(title=name[0].upper() + name[1:], svg=svg, legend=legend)


def _rate(facts: Facts, flags: Sequence[Flag]) -> Picture:
    line = Line(name="learning rate", curve=_curve(facts.steps, "learning_rate"), role="rate")
    svg = chart("Learning rate over steps", [line], flags, steps=facts.span, log=False, height=180)
    return Picture(title="Learning rate", svg=svg, legend=[("rate line", "largest rate in the optimizer")])


def _gradient(facts: Facts, flags: Sequence[Flag]) -> Picture:
    raw = _curve(facts.steps, "gradient_norm")
    bound = curve_of((s.step, s.max_grad_norm) for s in facts.steps if s.max_grad_norm is not None)
    lines = [
        *(
            Line(name="undone", curve=piece, role="undone", style="raw")
            for piece in _pieces(facts.undone, "gradient_norm")
        ),
        Line(name="gradient norm before clipping", curve=raw, role="train", style="raw"),
        Line(name="smoothed", curve=smoothed(raw), role="train"),
    ]
    if len(bound.finite):
        lines.append(Line(name="clipped at", curve=bound, role="bound"))
    bad = [float(step.step) for step in facts.steps if not math.isfinite(step.gradient_norm)]
    svg = chart("Gradient norm over steps", lines, flags, steps=facts.span, height=220, bad=bad)
    legend = [(f"{line.role} {line.style}", line.name) for line in lines]
    return Picture(title="Gradient norm", svg=svg, legend=list(dict.fromkeys(legend)))


def main_metric(facts: Facts) -> str:
    """Return the metric that the best model was chosen by, or the first of an evaluation, or ``loss``."""
    if facts.ended is not None and facts.ended.best_metric:
        return facts.ended.best_metric
    if facts.recipe is not None and facts.recipe.metric_for_best_model:
        return facts.recipe.metric_for_best_model
    return next((name for record in facts.evals for name in record.metrics), "loss")


def _curve(steps: Sequence[Step], field: str) -> Curve:
    xs = np.fromiter((step.step for step in steps), dtype=np.float64, count=len(steps))
    ys = np.fromiter((getattr(step, field) for step in steps), dtype=np.float64, count=len(steps))
    return Curve(xs, ys)


def _pieces(undone: Sequence[Step], field: str) -> list[Curve]:
    """Return what was undone as curves, each of updates that followed one another."""
    pieces: list[list[Step]] = []
    for step in undone:
        if pieces and step.step == pieces[-1][-1].step + 1:
            pieces[-1].append(step)
        else:
            pieces.append([step])
    return [_curve(piece, field) for piece in pieces if len(piece) > 1]
