"""Every fact that a run can log, as frozen tagged structs: one JSON object a line in `log.jsonl`.

A record is never falsified: a loss that is not a number is logged as ``"NaN"``, an infinite one as
``"Infinity"`` or ``"-Infinity"`` (JSON itself has no such numbers). Records are the only thing that monitors,
policies and views ever see; every view of a run can be rebuilt from them.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import msgspec

from tunewell.actions import Action
from tunewell.fact import Fact
from tunewell.inspections import DataChecked, Inspected, RowsReviewed, Tested

Severity = Literal["info", "warning", "critical"]


class Started(Fact, tag="started", frozen=True, kw_only=True):
    """The run began; a resume appends `Rewound` in its place, and this again only when recipe or data changed."""

    run: str
    parent: str = ""
    """Where a branch came from, such as ``reviews@300``; empty: it began with the pre-trained model."""
    recipe_hash: str
    data_hash: str
    fingerprint: dict[str, str]
    total_steps: int
    warmup_steps: int | None = None
    """Updates over which the rate should rise at the beginning; None: not known."""
    batches_per_epoch: int
    num_rows: dict[str, int]
    """Rows of each split after cleaning, e.g. ``{"train": 7000, "validation": 500}``."""
    trainable_parameters: int
    total_parameters: int
    num_classes: int = 0
    """Classes of a single-label task, else 0."""
    class_counts: dict[str, int] = {}
    """Training rows of each class, by label name (single-label tasks)."""


class StageBegan(Fact, tag="stage", frozen=True, kw_only=True):
    """A training stage began after update `step`."""

    step: int
    stage: int
    name: str
    trainable_parameters: int
    total_parameters: int
    first_step: int
    last_step: int


class Step(Fact, tag="step", frozen=True, kw_only=True):
    """One optimizer update (or one that the guard refused)."""

    step: int
    """Updates so far, this one included; rewinds at a rollback."""
    cursor: int
    """Position of this batch in the run's data order; never rewinds."""
    epoch: float
    stage: int
    loss: float
    """Training objective, mean over the batch's supervised targets, as measured."""
    given: float | None = None
    """What another's loop went backward from, where that is not `loss`: weighted, with penalties, or wrong."""
    learning_rate: float
    """Largest rate in the optimizer at this update, read from the optimizer."""
    gradient_norm: float
    """Global L2 norm before clipping."""
    max_grad_norm: float | None = None
    """Bound that clipping used; None: no clipping."""
    skipped: bool = False
    """True: the guard found a value that is not finite and left the weights alone."""
    rows: int
    tokens: int
    seconds: float
    """Wall time of the whole step, data included."""
    data_seconds: float = 0.0
    layer_gradients: dict[str, float] | None = None
    """Gradient L2 norm by layer, in order from input to output; sampled steps only."""
    layer_updates: dict[str, float] | None = None
    """‖Δθ‖/‖θ‖ by layer, same order; sampled steps only. A layer that is frozen is absent."""
    worst_rows: list[tuple[int, float]] = []
    """Row ids and losses that made most of this batch's loss; kept when one row stands out or is not finite."""
    label_counts: dict[str, int] | None = None
    """Rows of each class in this batch, by class name or index; None: there are no classes, or they are not known."""

    @property
    def differentiated(self) -> float:
        """The loss that the gradient is of."""
        return self.loss if self.given is None else self.given


class Eval(Fact, tag="eval", frozen=True, kw_only=True):
    """One evaluation on a split."""

    step: int
    epoch: float
    split: str
    loss: float
    metrics: dict[str, float]
    rows: int
    seconds: float
    train_loss: float | None = None
    """Mean training loss since the last evaluation, for the gap."""
    best: bool = False
    """Best so far by the recipe's metric."""
    recalls: dict[str, float] = {}
    """Share of each class's rows that were told rightly, by class name (single-label tasks)."""
    class_rows: dict[str, int] = {}
    """Rows of each class in the split."""
    confusion: list[list[int]] | None = None
    """(classes, classes) rows by true class, then by predicted class, in the order of `recalls`; up to 50 classes."""
    in_training: list[str] | None = None
    """Modules such as dropout that were in training mode while this was measured; None: not known."""


class Finding(Fact, tag="finding", frozen=True, kw_only=True):
    """What a monitor saw: a symptom and its harm, in words, with evidence."""

    step: int
    monitor: str
    code: str
    """Kind of fault, e.g. ``loss_spike``; usually the monitor's name."""
    severity: Severity
    summary: str
    """One sentence with numbers: what was seen."""
    meaning: str
    """What it means for the run."""
    causes: list[str] = []
    """Likely causes, most likely first."""
    advice: list[str] = []
    """What to do, most useful first; recipe keys by name."""
    evidence: dict[str, Any] = {}
    """Numbers, layers, row ids, a piece of the curve."""
    cursor: int | None = None
    rows: list[int] = []
    """Row ids to blame, if any."""


class Acted(Fact, tag="acted", frozen=True, kw_only=True):
    """An action was applied, refused or failed. `by` is a policy's name, ``recipe`` or a person."""

    step: int
    action: Action
    by: str
    reason: str
    outcome: Literal["applied", "refused", "failed", "dry_run"]
    """dry_run: it would have been applied."""
    detail: str = ""
    """What really changed: ``learning rate 1e-03 → 5e-04``."""
    code: str = ""
    """Kind of fault that it is meant for; empty: none."""
    remedy: str = ""
    """Name of the remedy that it is (a part) of, such as ``lower_rate``."""
    undo: Action | None = None
    """What would take it back, as whoever applied it knows; None: nothing does, or nothing was changed."""
    request: str = ""
    """Id of the request that this answers; empty: nobody's. Refused, `detail` says why and what is possible."""


class Proposed(Fact, tag="proposed", frozen=True, kw_only=True):
    """A policy asks a person before it acts; `Answered` follows, or `Acted` with the outcome ``refused``."""

    step: int
    id: int
    """Counts from 1 in a run; what the answer names."""
    action: Action
    by: str
    reason: str
    code: str
    """Kind of fault it is meant for."""
    also: list[Action] = []
    """What is done together with it."""
    remedy: str = ""


class Answered(Fact, tag="answered", frozen=True, kw_only=True):
    """A person answered a proposal."""

    step: int
    id: int
    approved: bool
    by: str
    request: str = ""
    """Id of the request that held the answer."""


class Requested(Fact, tag="requested", frozen=True, kw_only=True):
    """A run took up a person's request and found it valid: it is accepted; an `Acted` of the same request follows."""

    step: int
    id: str
    """As the person's page or terminal made it up."""
    by: str
    asked: float
    """When it was asked for, by the asker's clock."""
    action: Action
    """What is to be done; where something is taken back, what takes it back."""
    undo: str = ""
    """Id of the request that is taken back; empty: none."""


class Refused(Fact, tag="refused", frozen=True, kw_only=True):
    """A request that names no action that could be refused: an answer nobody asked for, an undo of nothing, nonsense."""

    step: int
    id: str
    by: str
    asked: float
    reason: str
    """Why, and what is possible."""


class Effect(Fact, tag="effect", frozen=True, kw_only=True):
    """Whether an action helped, measured some updates after it."""

    step: int
    acted_step: int
    """Step at which the action was applied."""
    action: Action
    code: str
    """Kind of fault it was meant for."""
    helped: bool | None
    """None: it can't be told."""
    measure: str
    """What was compared, such as ``training loss``."""
    before: float | None
    after: float | None
    text: str
    """The same in a sentence, with what follows from it."""
    remedy: str = ""


class Rewound(Fact, tag="rewound", frozen=True, kw_only=True):
    """Training went back to an earlier commit: a rollback, or a resume after a crash."""

    step: int
    """Step it stood at (0 at a resume, where it is not known)."""
    to_step: int
    commit: int
    reason: Literal["rollback", "resume"]
    exact: bool = True
    """False: the fingerprint differs, so the continuation is approximate; `detail` names the difference."""
    detail: str = ""


class Committed(Fact, tag="committed", frozen=True, kw_only=True):
    """A checkpoint is durable on disk."""

    commit: int
    step: int
    folder: str
    bytes: int
    seconds: float
    """Time the training loop waited."""
    reason: str
    """``start``, ``interval``, ``evaluation``, ``action``, ``signal`` or ``end``."""


class Note(Fact, tag="note", frozen=True, kw_only=True):
    """Something a reader should know: a guess made, a fallback taken, a warning of a library."""

    step: int
    text: str
    topic: str = ""


class Ended(Fact, tag="ended", frozen=True, kw_only=True):
    """The run ended."""

    step: int
    status: Literal["completed", "stopped", "interrupted", "failed"]
    """completed: all steps or early stopping; stopped: by a policy's judgement; interrupted: by a signal."""
    reason: str
    best_step: int | None = None
    best_value: float | None = None
    best_metric: str | None = None
    seconds: float = 0.0


Record = (
    Started
    | StageBegan
    | Tested
    | DataChecked
    | Step
    | Inspected
    | RowsReviewed
    | Eval
    | Finding
    | Proposed
    | Answered
    | Requested
    | Refused
    | Acted
    | Effect
    | Rewound
    | Committed
    | Note
    | Ended
)

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Record, strict=False)


def encode(record: Record) -> bytes:
    """Return `record` as one line of JSON, newline included."""
    line = _encoder.encode(record)
    if b"null" in line:  # rare: only a value that is not finite, or the word in a text, brings it in
        line = _encoder.encode(spell_non_finite(msgspec.to_builtins(record)))
    return line + b"\n"


def decode(line: bytes | str) -> Record:
    """Return the record of one line; raises `msgspec.DecodeError` or `msgspec.ValidationError`."""
    record: Record = _decoder.decode(line)
    return record


def spell_non_finite(value: Any) -> Any:
    """Return built-in `value` with what JSON has no number for as the text that `decode` takes back: NaN stays NaN."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, dict):
        return {key: spell_non_finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [spell_non_finite(item) for item in value]
    return value
