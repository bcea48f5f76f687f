"""Records of looks behind the curves: into the model, the optimizer, the data, and the history of single rows."""

from __future__ import annotations

import msgspec

from tunewell.fact import Fact


class Inspected(Fact, tag="inspected", frozen=True, kw_only=True):
    """A look inside the running training at a sampled update: what no curve shows. None: it could not be looked at.

    Its `step` is the update that was looked at; it is logged right behind that update's `Step`.
    """

    step: int
    backward_passes: int = 1
    """Backward passes whose gradients made this update."""
    switching: int | None = None
    """Modules that work differently in training and evaluation: dropout above 0, batch normalisation."""
    in_evaluation: list[str] | None = None
    """Those of them that were in evaluation mode while the gradients were made, though their layer trains."""
    stale_gradient: float | None = None
    """L2 norm of the gradients that were there before this update's first backward pass; nothing should be."""
    objective: float | None = None
    """What was differentiated in all, summed over the backward passes; measured where `mean_loss` is."""
    mean_loss: float | None = None
    """Mean loss over all supervised targets of the update, as computed from log-probabilities and targets."""
    not_optimized: list[str] | None = None
    """Parameters that require gradients and are in no group of the optimizer."""
    output_layer: str = ""
    """Name of the last layer with weights, which makes the outputs; empty: not known."""
    output_frozen: bool | None = None
    """None of the output layer's parameters requires a gradient."""
    output_gain: float | None = None
    """Root mean square of the output layer's weights times √(inputs of one output); that of new layers is 0.3 to 1.5."""
    num_outputs: int | None = None
    """Classes that the loss chooses from, as wide as the logits: for a language model its vocabulary."""
    guessing_loss: float | None = None
    """What a model that knows nothing would lose: log(classes) of a cross-entropy, log 2 of a binary one, the mean of
    the batch's squared targets under a squared error, since a fresh model answers about 0."""
    frozen: list[str] | None = None
    """Layers of which no parameter requires a gradient."""
    epsilon: float | None = None
    """Of an Adam-like optimizer: what is added to the denominator of its update."""
    epsilon_share: float | None = None
    """Share of that optimizer's (sampled, moving) denominators √v in which ε is the larger part."""
    zero_gradients: dict[str, float] | None = None
    """Share of exact zeros in the gradient by layer, embeddings left out: their unused rows are rightly zero."""
    smallest_gradients: dict[str, float] | None = None
    """By layer: the smallest (sampled) gradient number that is not zero, beside the root mean square of those that are
    not. Real gradients come as near to zero as one looks; a hole there was made by rounding."""
    silent_units: dict[str, float] | None = None
    """By activation: the share of its units that gave (nearly) nothing for every row and position of the batch; NaN: there
    were too few rows to tell."""
    saturated_units: dict[str, float] | None = None
    """By bounded activation (sigmoid, tanh): the share of outputs at its bounds."""
    schedule_ticks: int | None = None
    """How often the schedule was moved on since the update before; 1 is right, 0 under a schedule by epochs."""
    outputs_are_probabilities: bool | None = None
    """The loss applied softmax to what were probabilities already."""
    input_mean: float | None = None
    """Mean of the floating-point inputs of this update."""
    input_std: float | None = None
    """Standard deviation of the same."""
    output_std: float | None = None
    """Standard deviation of the logits over the batch's rows, mean over classes; 0: every input gives one answer."""
    digests: list[str] | None = None
    """Of several processes: the digest of each one's weights, by rank; they must be equal."""
    memory_bytes: int | None = None
    """Memory that this process holds (on a GPU: allocated there)."""
    memory_limit: int | None = None
    """Memory that it may hold."""
    phase_seconds: dict[str, float] | None = None
    """Seconds of this update by what was done: ``data``, ``forward``, ``backward``, ``optimizer``; and ``monitors``, the
    mean of the updates since the look before."""
    process_share: float | None = None
    """Share of all cores' time that this process took since the look before, 0 to 1."""
    machine_share: float | None = None
    """The same of all processes together."""
    gpu_share: float | None = None
    """Share of the time in which the GPU was at work."""
    disk_free: int | None = None
    """Bytes free where the run is written."""
    disk_needed: int | None = None
    """Bytes that the run will still write there, checkpoints and log."""


class Tested(Fact, tag="tested", frozen=True, kw_only=True):
    """The answer of one self-test, made before the first update on copies: the run is as it was without it.

    `name` is one of ``first_loss``, ``fits_one_batch``, ``gradients_reach``, ``parameters_move``, ``modes_agree``,
    ``accumulation``, ``padding``, ``inputs_matter``, ``repeats``.
    """

    step: int = 0
    name: str
    passed: bool | None
    """None: it could not be made; `detail` says why."""
    detail: str
    """One sentence with numbers."""
    numbers: dict[str, float] = {}
    layers: list[str] = []
    """Layers or parameters it concerns."""
    seconds: float = 0.0


class DataCheck(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One property of the data: `count` of `of` rows have it."""

    count: int = 0
    of: int = 0
    """Rows looked at; 0: it could not be checked, and `why_not` says why."""
    why_not: str = ""
    rows: list[int] = []
    """Ids of the rows (of the training split unless `detail` says otherwise), surest first, at most 5,000."""
    partners: list[int] = []
    """For rows that equal others: the id of the row that each of `rows` equals."""
    numbers: dict[str, float] = {}
    detail: str = ""
    """One sentence with places, such as ``a.csv:3 = b.csv:9``."""


class DataChecked(Fact, tag="data_checked", frozen=True, kw_only=True):
    """What was looked for in the rows before the first update, by check; `monitors` judge it.

    ``duplicates``: training rows whose input stood before in the split (exactly, or nearly: ``numbers["near"]``).
    ``leakage``: training rows whose input stands in the validation or test split (exactly or nearly); ``validation_known``
    of ``validation_rows`` (and of test) are known. ``conflicts``: rows whose input stands with another target too. Of these
    three ``expected`` says how many chance alone gives, where few different inputs exist. ``classes``: numbers are rows by
    class. ``balance``: ``ratio`` of the largest class to the smallest, ``reweighted`` 1 where loss or sampling make up for
    it. ``order``: numbers ``purity`` (mean share of the largest class in the batches as they will come), ``expected`` and
    ``z`` of it under a random order, ``drift`` of targets along the file. ``truncated_inputs``, ``truncated_targets``:
    rows that lost some at the end. ``unsupervised``: rows without any target that counts. ``input_scale``: numbers
    ``mean``, ``std``, ``largest``, ``rms`` of floating-point inputs. ``alignment``: by how many tokens targets are moved
    against inputs; of token targets that are not their inputs' own words ``count`` and ``rows``, the share ``own`` that
    are, ``elsewhere`` that are another row's (``by_chance``: as many as chance gives), and ``shifted``, ``shifted_by``
    where that row is a neighbour. ``signal``: numbers ``accuracy``, ``chance``, ``standard_error`` of a simple model under
    cross-validation, ``shifted_by``, ``shifted_accuracy`` with targets moved by one row, and on validation rows
    ``held_out_accuracy``, ``class_shifted_by``, ``class_shifted_accuracy`` with answers moved by one class.
    """

    step: int = 0
    checks: dict[str, DataCheck]
    seconds: float = 0.0


class Suspect(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A row whose target may be wrong; `confidence` says how probably."""

    row: int
    confidence: float
    """Probability that the target is wrong, 0 to 1."""
    given: str = ""
    suggested: str = ""
    reasons: list[str] = []
    """By which signs: ``margin`` (AUM), ``confident_learning``, ``forgetting``, ``late``."""


class RowsReviewed(Fact, tag="rows_reviewed", frozen=True, kw_only=True):
    """What the learning history of single rows says of their targets, after an epoch."""

    step: int
    epoch: int
    rows: int
    """Rows with a history."""
    suspects: list[Suspect]
    """Surest first, at most 5,000."""
    expected: float
    """How many suspects rows with right targets would give by chance alone."""
    estimate: float | None = None
    """Estimated share of wrong targets in the split; None: not known."""
    file: str = ""
    """Where all of them stand with texts, for review; empty: nowhere."""
