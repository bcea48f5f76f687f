"""The one document a user writes: what to train, on what, how, and watched by what.

`Recipe` is frozen and knows every key, its default and its bounds; `document.py` reads it from YAML with the
place of each mistake. Keys are the words of the field; the well-known longer spellings are understood too.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError


class _Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False, validate_default=True
    )


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Text = Annotated[str, Field(min_length=1)]
Names = Annotated[
    list[Text], Field(min_length=1), BeforeValidator(_listed, json_schema_input_type=Text | list[Text])
]
Count = Annotated[int, Field(gt=0, lt=2**31)]
Share = Annotated[float, Field(gt=0, lt=1)]
Rate = Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)]
Scheduler = Literal[
    "linear", "cosine", "constant", "polynomial", "inverse_sqrt", "warmup_stable_decay", "plateau"
]


class Data(_Section):
    """Where the rows come from and what is done to them before training."""

    train: Names
    """Training file or files (JSONL, JSON, CSV, TSV, Parquet, each also .gz or .xz; globs allowed), or `hub:NAME`."""
    validation: Share | Names | None = 0.1
    """Validation file, or the share of the training rows to hold out for it; null: none."""
    test: Share | Names | None = None
    """Test file, or the share of the training rows to hold out for it."""
    text: str | None = None
    """Column of the text; guessed and reported when absent."""
    text_pair: str | None = None
    """Column of the second text, for tasks on pairs."""
    label: str | None = None
    """Column of the label; guessed and reported when absent."""
    labels: list[str] | None = None
    """Names of the classes in order; found in the data when absent."""
    id: str | None = None
    """Column of a unique row name; rows are numbered when absent."""
    stratify: bool = True
    """Keep each class's share equal in all splits (single-label tasks)."""
    group_by: str | None = None
    """Column whose equal values must stay in one split (such as author or patient)."""
    split_seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of the split, apart from the training's seed so that seeds can be compared on one split."""
    clean: list[Literal["strip_html", "normalize_unicode", "trim", "collapse_spaces"]] = []
    """Cleaning steps, applied in this order to every text."""
    max_rows: Count | None = None
    """Train on a seeded sample of this many rows."""
    max_length: Annotated[int, Field(ge=4, lt=2**31)] = 256
    """Longest input in tokens, special tokens included."""
    truncation: Literal["head", "tail", "head_tail", "refuse"] = "head"
    """Which end of a longer text is kept; head_tail keeps a third from the head and the rest from the tail."""
    drop_duplicates: bool = False
    """Keep only the first of training rows that are equal in text and label."""
    leakage: Literal["block", "drop", "allow"] = "block"
    """When a validation or test text is in the training rows too: refuse, drop it from training, or only report."""
    skip_bad: bool = False
    """Leave bad rows out, and say which, in place of refusing the file."""


class Stage(_Section):
    """A part of the training with its own trainable layers, rate and schedule."""

    train: str = "all"
    """`all`, `head`, `top N` (the head and the N uppermost layers) or a comma-separated list of name patterns
    such as `classifier.*, *.layer.5.*`."""
    num_epochs: Annotated[float, Field(gt=0, le=100_000)] | None = None
    """Length of the stage in passes over the training rows; absent: the recipe's `num_epochs`."""
    learning_rate: Rate | None = None
    """Peak rate of the stage; absent: the recipe's."""
    lr_scheduler: Scheduler | None = None
    """Schedule of the stage; absent: the recipe's."""
    warmup_ratio: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of the stage spent warming up; absent: the recipe's."""


class Recipe(_Section):
    """What to train, on what, how, and watched by what."""

    model: str = "minilm"
    """A folder, an alias of an installed package (`minilm`), or a Hugging Face hub name."""
    revision: str | None = None
    """Branch, tag or commit of a hub model."""
    task: str = "text_classification"
    """What the model learns to do; `tunewell.tasks` holds the known ones."""
    problem: Literal["single_label", "multi_label", "regression"] | None = None
    """Kind of classification; guessed from the labels and reported when absent."""
    data: Data
    """Where the rows come from."""
    name: str | None = None
    """Name of the run; made from the recipe's file name and a number when absent."""
    output_dir: str | None = None
    """Folder of the run; `runs/<name>` when absent."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 42
    """Decides order, noise and new weights."""

    num_epochs: Annotated[float, Field(gt=0, le=100_000)] = 3.0
    """Passes over the training rows (of each stage that names none)."""
    max_steps: Count | None = None
    """End after this many updates, whatever `num_epochs` says."""
    batch_size: Count = 32
    """Rows of a micro-batch; one update takes `batch_size` × `gradient_accumulation_steps` rows."""
    max_tokens_per_batch: Count | None = None
    """Fill batches by tokens, padding included, in place of by rows."""
    gradient_accumulation_steps: Count = 1
    """Micro-batches of one update; changes memory, not mathematics."""
    group_by_length: bool = True
    """Batch rows of like length together, so that little is padded."""
    eval_batch_size: Count = 64
    """Rows of a batch in evaluation and prediction."""

    learning_rate: Rate = 1e-4
    """Peak learning rate."""
    optimizer: Literal["adamw", "adam", "rmsprop", "sgd", "adafactor", "lion"] = "adamw"
    """adamw, adam, rmsprop, sgd, adafactor or lion."""
    adam_beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Decay of the mean of gradients."""
    adam_beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Decay of the mean of squared gradients."""
    adam_epsilon: Annotated[float, Field(gt=0)] = 1e-8
    """Added to the denominator of the update."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum of sgd and rmsprop."""
    weight_decay: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """Weight decay: decoupled in adamw, lion and adafactor, L2 in adam, rmsprop and sgd as PyTorch has them; never on biases
    and normalisation weights."""
    max_grad_norm: Annotated[float, Field(gt=0)] | None = 1.0
    """Clip the gradient's global norm at this; null: no clipping."""
    lr_scheduler: Scheduler = "linear"
    """Course of the rate after warm-up."""
    warmup_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the updates in which the rate rises from zero."""
    warmup_steps: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    """Warm-up in updates; wins over `warmup_ratio`."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Each layer further from the head learns at this multiple of the one above (layer-wise rate decay)."""
    stages: list[Stage] = []
    """Training in stages, such as the head alone and then everything; empty: one stage of everything."""
    embeddings: Literal["train", "rows", "freeze"] = "train"
    """Token embeddings: train all rows each update, only the rows in the batch (lazy Adam), or none."""
    head_init: Literal["default", "xavier", "kaiming", "orthogonal", "fitted"] = "default"
    """How new layers begin; `fitted` solves the head on the frozen model's features first (LP-FT)."""
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = 0.0
    """Dropout in the whole model; null: the model's own."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the target spread over all classes."""
    class_weights: Literal["balanced"] | dict[str, Annotated[float, Field(gt=0)]] | None = None
    """Weight of each class in the loss, by label name, or `balanced`."""
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Keep an exponential moving average of the weights, evaluated and saved in their place."""

    eval_steps: Count | None = None
    """Evaluate after every so many updates; absent: after each epoch."""
    save_steps: Count | None = 200
    """Checkpoint after every so many updates; one is written at each evaluation too."""
    save_total_limit: Annotated[int, Field(ge=2, lt=2**31)] = 3
    """Checkpoints kept; the best and the newest healthy one are never deleted."""
    metric_for_best_model: str | None = None
    """What the best model is chosen by: `loss` or a metric of the task; absent: the task's main metric."""
    load_best_model_at_end: bool = True
    """Keep the best model as the result, not the last."""
    early_stopping_patience: Count | None = None
    """Stop after this many evaluations without a better one."""
    early_stopping_threshold: Annotated[float, Field(ge=0)] = 0.0
    """Smallest change that counts as better."""

    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d{1,3})?)$")] = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """auto: bf16 where the hardware multiplies it faster than fp32; master weights are always fp32."""
    num_threads: Count | None = None
    """Processor threads; absent: one a core that this process may use."""

    policy: str = "cautious"
    """What is done about findings: `observe` only reports; `cautious` acts where waiting would lose the run; `autopilot`
    mends whatever it has a remedy for, measures the effect and undoes what did not help."""
    on: dict[str, Text] = {}
    """What to do about one kind of fault, over what the policy would: `{loss_spike: rollback, label_noise: ask}`. A value
    is `ignore` (not even told), `observe`, `ask` (the policy's remedy, once a person agrees), a remedy's name, or `ask`
    and a remedy (`ask rollback`)."""
    policy_budget: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    """Most actions that the policy may take in the whole run; absent: the policy's own budget."""
    dry_run_actions: bool = False
    """Log what the policy would do, and do nothing."""
    self_tests: bool = True
    """Try the run out on copies before it starts: a few seconds that show what would cost hours."""
    monitors: dict[str, Literal[False] | dict[str, Any]] = {}
    """Settings by monitor; `false` switches one off."""
    log_to: Annotated[list[Text], BeforeValidator(_listed, json_schema_input_type=Text | list[Text])] = []
    """Tools that get the records too, while the run trains: `tensorboard`, `wandb`, `mlflow`, `trackio`. None of them can
    hold the training up or end it."""
    probe_steps: Annotated[int, Field(ge=0, lt=2**31)] = 20
    """Measure every layer's gradient and update after every so many updates, twice as often in the first of them; 0: never."""

    @model_validator(mode="after")
    def _agree(self) -> Recipe:
        conflicts = _conflicts(self)
        if conflicts:
            told = "; ".join(f"{message}: {fix}" for _, message, fix in conflicts)
            raise PydanticCustomError("conflicts", "{told}", {"told": told, "conflicts": conflicts})
        return self

    def hash(self) -> str:
        """Return 16 hexadecimal digits that name what was asked; name, folder and where it is told of don't count."""
        asked = self.model_dump(mode="json", exclude=UNTRAINED)
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]


UNTRAINED = {"name", "output_dir", "log_to"}
"""Keys that change nothing of what is trained."""


def _conflicts(recipe: Recipe) -> list[tuple[str, str, str]]:
    """Return (field, what is wrong, how to mend it) of settings that can't work together."""
    data = recipe.data
    found = _data_conflicts(data)
    if (
        recipe.warmup_steps is not None
        and recipe.max_steps is not None
        and recipe.warmup_steps >= recipe.max_steps
    ):
        message = f"`warmup_steps` ({recipe.warmup_steps}) leaves nothing of `max_steps` ({recipe.max_steps})"
        found.append(("warmup_steps", message, "give fewer warm-up steps"))
    if recipe.max_tokens_per_batch is not None and recipe.max_tokens_per_batch < data.max_length:
        message = f"one text of `data.max_length` ({data.max_length}) tokens does not fit into {recipe.max_tokens_per_batch}"
        found.append(
            ("max_tokens_per_batch", message, f"give at least {data.max_length}, or a lower data.max_length")
        )
    if recipe.device == "cpu" and recipe.precision == "fp16":
        found.append(("precision", "`fp16` needs a GPU", "use auto, bf16 or fp32 on a processor"))
    if data.validation is None:
        schedulers = {recipe.lr_scheduler, *(stage.lr_scheduler for stage in recipe.stages)}
        needs = {
            "early_stopping_patience": recipe.early_stopping_patience is not None,
            "eval_steps": recipe.eval_steps is not None,
            "metric_for_best_model": recipe.metric_for_best_model is not None,
            "lr_scheduler": "plateau" in schedulers,
        }
        fix = "set data.validation to a file or a share such as 0.1"
        found += [(key, f"`{key}` needs validation rows", fix) for key, is_set in needs.items() if is_set]
    found += _monitor_conflicts(recipe)
    if recipe.problem == "regression":
        unused = {
            "data.labels": data.labels is not None,
            "class_weights": recipe.class_weights is not None,
            "label_smoothing": recipe.label_smoothing > 0,
        }
        fix = "remove it, or set `problem: single_label`"
        found += [
            (key, f"`{key}` needs classes, and a regression has none", fix)
            for key, is_set in unused.items()
            if is_set
        ]
    elif isinstance(recipe.class_weights, dict) and data.labels is not None:
        strange = sorted(set(recipe.class_weights) - set(data.labels))
        fix = f"the classes are {', '.join(data.labels)}"
        found += [(f"class_weights.{name}", f"there is no class `{name}`", fix) for name in strange]
    return found


def _monitor_conflicts(recipe: Recipe) -> list[tuple[str, str, str]]:
    """Return the settings that wait for a monitor which is switched off."""
    schedulers = {recipe.lr_scheduler, *(stage.lr_scheduler for stage in recipe.stages)}
    waiting = {
        "overtraining": ("early_stopping_patience", recipe.early_stopping_patience is not None),
        "plateau": ("lr_scheduler: plateau", "plateau" in schedulers),
    }
    return [
        (
            f"monitors.{name}",
            f"`{setting}` waits for the monitor `{name}`",
            f"remove one: `{name}: false` or `{setting}`",
        )
        for name, (setting, is_set) in waiting.items()
        if is_set and recipe.monitors.get(name) is False
    ]


def _data_conflicts(data: Data) -> list[tuple[str, str, str]]:
    found = []
    shares = [share for share in (data.validation, data.test) if isinstance(share, float)]
    if sum(shares) >= 1:
        message = "the shares of validation and test leave nothing to train on"
        found.append(("data.test", message, "make them sum to less than 1"))
    columns: dict[str, str] = {}
    for key in ("text", "text_pair", "label", "id"):
        column = getattr(data, key)
        if column is not None and column in columns:
            message = f"`data.{key}` and `data.{columns[column]}` are the same column, `{column}`"
            found.append((f"data.{key}", message, "name two different columns"))
        elif column is not None:
            columns[column] = key
    if data.labels is not None and len(set(data.labels)) < len(data.labels):
        twice = sorted({label for label in data.labels if data.labels.count(label) > 1})
        found.append(("data.labels", f"given twice: {', '.join(twice)}", "name each class once"))
    return found


ALIASES = {
    "num_train_epochs": "num_epochs",
    "epochs": "num_epochs",
    "per_device_train_batch_size": "batch_size",
    "train_batch_size": "batch_size",
    "per_device_eval_batch_size": "eval_batch_size",
    "lr": "learning_rate",
    "lr_scheduler_type": "lr_scheduler",
    "optim": "optimizer",
    "model_name_or_path": "model",
    "model_name": "model",
    "gradient_clipping": "max_grad_norm",
    "max_seq_length": "data.max_length",
    "max_length": "data.max_length",
    "train_file": "data.train",
    "validation_file": "data.validation",
    "test_file": "data.test",
    "label_smoothing_factor": "label_smoothing",
}
"""Well-known spellings of other tools, and the key that each means here."""
