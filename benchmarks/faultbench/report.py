"""Scores → `docs/faultbench.md`: the whole page is written from the results."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.faultbench import scoring
from benchmarks.faultbench.bases import find
from benchmarks.faultbench.faults import FAULTS, When
from benchmarks.faultbench.harness import is_meaningless
from benchmarks.faultbench.healthy import HEALTHY
from benchmarks.faultbench.outcome import Outcome
from benchmarks.faultbench.scoring import Naming

SOUND = 0.8
"""Share of the base's own score that a healthy variant must reach: below it the variant broke that base, and an alarm is right."""
NUMBERED = sorted(FAULTS, key=lambda name: FAULTS[name].number)


@dataclass(frozen=True)
class Scores:
    """All that the page tells of one set of bases."""

    outcomes: list[Outcome]
    namings: dict[tuple[str, str], list[Naming]]
    """By base and fault; those that do harm."""
    harmless: list[tuple[str, str]]
    healthy: list[Outcome]
    spoiled: list[Outcome]
    """Runs of healthy variants that broke their base: neither healthy nor a fault of the list."""

    @property
    def every(self) -> list[Naming]:
        """All namings of harmful faults."""
        return [one for found in self.namings.values() for one in found]

    def by_name(self) -> dict[str, list[Naming]]:
        """Return the namings of each fault, over all bases."""
        found: dict[str, list[Naming]] = defaultdict(list)
        for (_, name), namings in self.namings.items():
            found[name] += namings
        return found


def score(outcomes: Sequence[Outcome]) -> Scores:
    """Return the scores of `outcomes`."""
    levels = scoring.levels(outcomes)
    namings, harmless = {}, []
    for (base, name), runs in scoring.by_fault(outcomes, "observe").items():
        if scoring.does_harm(FAULTS[name], runs, scoring.level_of(name, base, outcomes)):
            namings[base, name] = [scoring.named(one) for one in runs]
        else:
            harmless.append((base, name))
    watched = [one for one in outcomes if one.job.kind != "fault" and one.job.arm == "observe"]
    healthy = [one for one in watched if one.final >= SOUND * levels[one.job.base].mean]
    return Scores(list(outcomes), namings, harmless, healthy, [one for one in watched if one not in healthy])


def page(outcomes: Sequence[Outcome], machine: str, seconds: float, command: str) -> str:
    """Return the page."""
    bases = find()
    sets = {
        "scored": [one for one in outcomes if bases[one.job.base].scored and not bases[one.job.base].apart],
        "apart": [one for one in outcomes if bases[one.job.base].apart],
        "tuning": [one for one in outcomes if not bases[one.job.base].scored],
    }
    scores = {name: score(found) for name, found in sets.items() if found}
    main = scores.get("scored") or next(iter(scores.values()))
    parts = [
        _opening(command, machine, seconds, outcomes),
        _summary(main),
        _bases(sets),
        _table(main),
        _healthy(main),
        _repairs(main),
        _baselines(main),
        _misses(main),
        _no_harm(main),
        *(_beside(name, scores[name]) for name in ("apart", "tuning") if name in scores),
        _how(),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _opening(command: str, machine: str, seconds: float, outcomes: Sequence[Outcome]) -> str:
    return f"""<!-- Written by benchmarks/faultbench: run it, don't edit this page. -->

# FaultBench

How often are the monitors right? 32 known mistakes are planted, one at a time, in real trainings: plain PyTorch loops that
`tunewell.watch` looks on in three lines. Nothing tells it that or what was planted. The same is done with 12 healthy
variants that look odd.

`{command}` makes this page: {len(outcomes):,} runs, {seconds / 60:.0f} minutes of processor time on {machine}."""


def _summary(scores: Scores) -> str:
    by_name, every = scores.by_name(), scores.every
    kinds = scoring.kinds({name: [one.exact for one in found] for name, found in by_name.items()})
    exact = sum(one.exact for one in every)
    half = sum(one.family and not one.exact for one in every)
    low, high = scoring.wilson(exact, len(every))
    alarmed = sum(bool(one.told) for one in scores.healthy)
    alarm_low, alarm_high = scoring.wilson(alarmed, len(scores.healthy))
    others = sum(len(one.others) for one in every)
    precision = exact / max(1, exact + others + alarmed)
    delays = [
        one.delay
        for one in every
        if one.delay is not None and FAULTS[one.outcome.job.name].when is When.EVENT
    ]
    found = scoring.repairs(scores.outcomes, scores.namings)
    mended: dict[str, list[bool]] = defaultdict(list)
    for one in found:
        mended[one.name] += [True] * one.repaired + [False] * (one.runs - one.repaired)
    repaired = scoring.kinds(mended)
    per_60 = 60 * alarmed / max(1, len(scores.healthy))
    rows = [
        ("kinds named exactly", f"**{len(kinds)} of 32**", "28", f"in at least half of a kind's runs, over all scored bases; {32 - len(by_name)} kinds did no harm on any"),
        ("runs named exactly", f"{exact} of {len(every)} ({exact / max(1, len(every)):.0%}, {low:.0%} to {high:.0%})", "", f"half points (right family): {half}; with them {(exact + half / 2) / max(1, len(every)):.0%}"),
        ("healthy runs alarmed", f"**{alarmed} of {len(scores.healthy)}** ({alarm_low:.1%} to {alarm_high:.1%})", "3 of 60", f"that is {per_60:.1f} of 60"),
        ("precision", f"{precision:.0%}", "", f"right names among all incidents told; {others} others in sick runs"),
        ("median delay of dynamic faults", f"{statistics.median(delays):.0f} updates" if delays else "not measured", "20", "from the onset to the exact name"),
        ("kinds repaired", f"**{len(repaired)} of 32**" if found else "not measured", "24", "by `autopilot`; in at least half of a kind's runs"),
    ]  # fmt: skip
    lines = ["## In short", "", "| | | goal | |", "| --- | --- | --- | --- |"]
    lines += [f"| {a} | {b} | {c} | {d} |" for a, b, c, d in rows]
    return "\n".join(
        [*lines, "", "Intervals are of 95 % (Wilson). All of it on bases that no threshold was tuned on."]
    )


def _bases(sets: dict[str, list[Outcome]]) -> str:
    used = {one.job.base for found in sets.values() for one in found}
    roles = {True: "scored", False: "tuning"}
    lines = ["## Bases", "", "| base | | what it is |", "| --- | --- | --- |"]
    for name, base in find().items():
        if name in used:
            role = "scored, apart" if base.apart else roles[base.scored]
            lines.append(f"| {name} | {role} | {base.about} |")
    return "\n".join(
        [
            *lines,
            "",
            "Thresholds were set from theory, from published practice and by looking at the tuning bases alone. "
            "A base that is scored apart is one whose curves older monitors were once tuned on.",
            "",
            "What was seen of the scored bases before: an earlier table of cnn, transformer and lora, one seed, stood on this "
            "page, and its list of misses told which kinds to work on. The work was done on the tuning bases; `encoder`, which "
            "needs a warm-up, was added to them for it. `vit` came after all rules stood. The first table of `minilm` (10 of 17 sick "
            "runs named, 2 of 9 healthy ones alarmed) showed three defects, since mended: unfreezing was told as a stall, few "
            "rows as unrelated inputs, dead units of a small batch as underflow. So its curves count as seen.",
            "",
            "After that 202 of the runs that nobody acts on were made anew (all of cnn, most of lora): eight told a later harm "
            "as well, under the same cause; all else was equal, so the others stand as they were. The runs of autopilot and "
            "random are older too; of these only underflow's were made anew, whose remedy was mended (it was taken back as no "
            "help where a sixth of the gradient is rightly zero, found on the tuning bases).",
        ]
    )


def _table(scores: Scores) -> str:
    bases = sorted({base for base, _ in scores.namings})
    lines = [
        "## Named, by fault and base",
        "",
        f"| | fault | its name | {' | '.join(bases)} | delay |",
        f"| --- | --- | --- | {' | '.join('---' for _ in bases)} | --- |",
    ]
    harmless = set(scores.harmless)
    for name in NUMBERED:
        fault = FAULTS[name]
        cells, delays = [], []
        for base in bases:
            found = scores.namings.get((base, name))
            if found:
                cells.append(f"{sum(one.exact for one in found)}/{len(found)}")
                delays += [one.delay for one in found if one.delay is not None]
            else:
                why = is_meaningless(base, name)
                cells.append("no harm" if (base, name) in harmless else "–" if why else "")
        delay = f"{statistics.median(delays):.0f}" if delays else ""
        lines.append(f"| {fault.number} | {fault.about} | `{fault.code}` | {' | '.join(cells)} | {delay} |")
    return "\n".join(
        [
            *lines,
            "",
            "A cell counts the runs named exactly and in time: within 20 updates or 5 % of the run of the onset (dynamic faults), a "
            "quarter of the run (settings and code), the first update (data), one epoch (wrong targets, shuffled inputs), "
            "10 % past the best evaluation (behaviour). The name is the cause that the run's story gives. –: it means "
            "nothing on that base.",
        ]
    )


def _healthy(scores: Scores) -> str:
    lines = [
        "## Healthy variants",
        "",
        "| variant | runs | alarmed | what was said |",
        "| --- | --- | --- | --- |",
    ]
    for name in ["", *HEALTHY]:
        runs = [one for one in scores.healthy if one.job.name == name]
        if not runs:
            continue
        alarmed = [one for one in runs if one.told]
        said = "; ".join(
            f"{one.job.base} seed {one.job.seed}: {', '.join(scoring.causes(one.told))}" for one in alarmed
        )
        about = (HEALTHY[name].__doc__ or "").strip() if name else "The base as it is."
        lines.append(f"| {about} | {len(runs)} | {len(alarmed)} | {said} |")
    if scores.spoiled:
        names = ", ".join(
            f"{one.job.name} on {one.job.base} seed {one.job.seed} ({one.final:.2f}; {', '.join(scoring.causes(one.told)) or 'nothing'} said)"
            for one in scores.spoiled
        )
        lines += [
            "",
            f"Not counted, since the variant broke the run (under {SOUND:.0%} of the base's score): {names}.",
        ]
    return "\n".join(lines)


def _repairs(scores: Scores) -> str:
    found = scoring.repairs(scores.outcomes, scores.namings)
    if not found:
        return ""
    lines = [
        "## Repaired",
        "",
        "The same budget of updates, three arms: nothing done, anything done (as many random actions as the autopilot may take), "
        "`policy: autopilot`. Mean test scores. Repaired: within 2 % of the healthy mean, and above both other arms; "
        f"faults of single rows: an F1 of {scoring.GOOD_F1} of the rows that are listed.",
        "",
        "| | fault | base | healthy | nothing | random | autopilot | F1 | repaired |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for one in sorted(found, key=lambda one: (FAULTS[one.name].number, one.base)):
        random = "" if one.random is None else f"{one.random:.3f}"
        f1 = "" if one.f1 is None else f"{one.f1:.2f}"
        lines.append(
            f"| {FAULTS[one.name].number} | {one.name} | {one.base} | {one.aim:.3f} | {one.nothing:.3f} | {random} "
            f"| {one.autopilot:.3f} | {f1} | {one.repaired}/{one.runs} |"
        )
    return "\n".join([*lines, "", *_interventions(scores)])


def _interventions(scores: Scores) -> list[str]:
    """Tell what the autopilot costs healthy runs."""
    levels = scoring.levels(scores.outcomes)
    left_alone = {
        (one.job.base, one.job.name, one.job.seed): one.final
        for one in scores.outcomes
        if one.job.kind != "fault" and one.job.arm == "observe"
    }
    costs: dict[str, list[float]] = defaultdict(list)
    for one in scores.outcomes:
        place = (one.job.base, one.job.name, one.job.seed)
        if one.job.kind != "fault" and one.job.arm == "autopilot" and place in left_alone:
            costs[one.job.base].append(left_alone[place] - one.final)
    return [
        f"On {len(found)} healthy runs of {base} the autopilot cost {statistics.fmean(found):+.4f} on average and at most "
        f"{max(found):+.4f} (one σ of the seeds is {levels[base].sigma:.4f})."
        for base, found in sorted(costs.items())
    ]


def _baselines(scores: Scores) -> str:
    harmful = [one.outcome for one in scores.every]
    found = scoring.baseline_scores(harmful, scores.healthy)
    kinds = scoring.kinds({name: [one.exact for one in own] for name, own in scores.by_name().items()})
    exact = sum(one.exact for one in scores.every)
    alarmed = sum(bool(one.told) for one in scores.healthy)
    lines = [
        "## Beside other tools' rules",
        "",
        "Published rules, asked of the same records, in the same runs; any alarm of the right name in time counts for them.",
        "",
        "| rules | kinds named | runs named | healthy runs alarmed |",
        "| --- | --- | --- | --- |",
        f"| **tunewell** | {len(kinds)} | {exact} of {len(harmful)} | {alarmed} of {len(scores.healthy)} |",
    ]
    lines += [
        f"| {one.name} | {one.kinds} | {one.exact} of {one.runs} | {one.healthy_alarmed} of {one.healthy_runs} |"
        for one in found
    ]
    return "\n".join(lines)


def _misses(scores: Scores) -> str:
    lines = ["## Every miss, by name", ""]
    for (base, name), found in sorted(scores.namings.items(), key=lambda item: FAULTS[item[0][1]].number):
        said: dict[str, list[int]] = defaultdict(list)
        for one in found:
            if not one.exact:
                said["too early" if one.early else one.instead].append(one.outcome.job.seed)
        for what, seeds in said.items():
            lines.append(
                f"- {FAULTS[name].number} {name} on {base}, seed {', '.join(map(str, sorted(seeds)))}: {what}"
            )
    return "\n".join(lines if len(lines) > 2 else [*lines, "None."])


def _no_harm(scores: Scores) -> str:
    if not scores.harmless:
        return ""
    found = [f"{FAULTS[name].number} {name} on {base}" for base, name in scores.harmless]
    return (
        "## Planted, but harmless\n\nThese cost the base less than 2 % of its score, so they are no fault there and are not "
        f"scored: {', '.join(found)}."
    )


def _beside(name: str, scores: Scores) -> str:
    every = scores.every
    exact, alarmed = sum(one.exact for one in every), sum(bool(one.told) for one in scores.healthy)
    kinds = scoring.kinds({n: [one.exact for one in found] for n, found in scores.by_name().items()})
    heading = {"apart": "Scored apart", "tuning": "On the tuning bases"}[name]
    missed = ", ".join(
        f"{FAULTS[n].number} {n} on {base} ({sum(not one.exact for one in found)}/{len(found)})"
        for (base, n), found in scores.namings.items()
        if any(not one.exact for one in found)
    )
    return (
        f"## {heading}\n\nNot counted above: {exact} of {len(every)} sick runs named exactly ({len(kinds)} kinds), {alarmed} of "
        f"{len(scores.healthy)} healthy runs alarmed. Missed: {missed or 'none'}."
    )


def _how() -> str:
    return """## How to add a base or a fault

A base is one file in `benchmarks/faultbench/bases/`, a fault one function in `benchmarks/faultbench/faults/`, a healthy
variant one function in `healthy.py`, a baseline one file in `baselines/`. `python -m benchmarks.faultbench --help` tells
how to run some of it alone; `--varied` draws other magnitudes. Results are kept, so that a run which was cut off goes on."""
