"""Names of columns, as tools and people spell them → what they mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tunewell.problems import LogError, Problem, nearest

ROLES = ("step", "epoch", "time", "loss", "epoch_loss", "validation_loss", "learning_rate", "gradient_norm")
"""What a column can be. ``loss`` is of single updates or some of them, ``epoch_loss`` the mean of an epoch."""

_SPLITS = {
    "train": "train", "training": "train", "trn": "train", "tr": "train",
    "val": "validation", "valid": "validation", "validation": "validation", "eval": "validation",
    "evaluation": "validation", "evaluate": "validation", "dev": "validation", "holdout": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
_COUNTERS = {"step", "steps", "iteration", "iterations", "iter", "iters", "update", "updates"}
_FINE = _COUNTERS | {"batch"}
_FILLERS = {"avg", "average", "mean", "running", "metrics", "metric", "losses", "scalars", "vs"}
_NO_SCORES = {
    "rows",
    "runtime",
    "second",
    "seconds",
    "time",
    "samples",
    "tokens",
    "loss",
    "step",
    "epoch",
    "batch",
}
_SHORT = {"acc": "accuracy", "ppl": "perplexity"}
_SCORES = (
    "accuracy", "balanced_accuracy", "f1", "macro_f1", "f1_macro", "matthews_correlation", "mcc", "auroc",
    "roc_auc", "auc", "exact_match", "mean_token_accuracy", "bleu", "rougel", "rouge1", "wer", "cer", "r2",
    "spearmanr", "pearson", "iou", "miou", "dice", "map", "mse", "rmse", "mae", "perplexity",
)  # fmt: skip
"""Scores whose better direction is known, the more telling ones first."""


@dataclass(frozen=True)
class Columns:
    """Which column of a log is what."""

    roles: dict[str, str]
    """Column by role."""
    scores: dict[str, str] = field(default_factory=dict)
    """Column by name of a score on validation rows, such as ``accuracy``."""
    ignored: list[str] = field(default_factory=list)

    def sentence(self) -> str:
        """Return what was taken for what, in words."""
        said = [f"`{self.roles[role]}` as {role.replace('_', ' ')}" for role in ROLES if role in self.roles]
        said += [f"`{column}` as validation {name}" for name, column in self.scores.items()]
        return f"Read {', '.join(said)}."


@dataclass(frozen=True)
class _Name:
    column: str
    split: str
    """``train``, ``validation``, ``test`` or empty."""
    words: tuple[str, ...]
    grain: str
    """``step`` or ``epoch`` where the name says so, else empty."""

    @property
    def text(self) -> str:
        return "_".join(_SHORT.get(word, word) for word in self.words)


Rank = Callable[[_Name], int | None]
"""How well a name fits a role: less is better, None not at all."""


def columns_of(names: Iterable[str], asked: Mapping[str, str], file: Path) -> Columns:
    """Return what each column of `names` (in the file's order) most likely is; `asked` (column by role) wins.

    Raises `LogError` where `asked` names an unknown role or column.
    """
    known = list(dict.fromkeys(names))
    _refuse_unknown(known, asked, file)
    parsed = [_parse(name) for name in known]
    roles = {
        "step": _first(parsed, _step_rank),
        "epoch": _first(parsed, lambda name: 0 if name.words in {("epoch",), ("epochs",)} else None),
        "time": _first(parsed, _time_rank),
        "loss": _first(parsed, lambda name: _loss_rank(name, {"train", ""}, grain="step")),
        "epoch_loss": _first(parsed, lambda name: _loss_rank(name, {"train", ""}, grain="epoch")),
        "validation_loss": _first(parsed, lambda name: _loss_rank(name, {"validation"}))
        or _first(parsed, lambda name: _loss_rank(name, {"test"})),
        "learning_rate": _first(parsed, _rate_rank),
        "gradient_norm": _first(parsed, _gradient_rank),
    }
    found = {role: column for role in ROLES if (column := asked.get(role) or roles[role])}
    split = "validation"
    if "validation_loss" in found:
        split = _parse(found["validation_loss"]).split or split
    taken = set(found.values())
    scores: dict[str, str] = {}
    for name in parsed:
        if (
            name.split == split
            and name.column not in taken
            and not _NO_SCORES.intersection(name.words)
            and name.words
        ):
            scores.setdefault(name.text, name.column)
    taken |= set(scores.values())
    return Columns(found, scores, [name for name in known if name not in taken])


def main_score(scores: Iterable[str]) -> str:
    """Return the most telling of `scores` whose better direction is known, or ``loss``."""
    have = set(scores)
    return next((name for name in _SCORES if name in have), "loss")


def names_a_curve(folder: str) -> bool:
    """Return whether a folder of event files is named for a split or a curve, not for a run."""
    words = set(_parse(folder).words)
    return words <= {"loss", "losses", "lr", "learning", "rate"} or "_".join(words) in _SCORES


def _refuse_unknown(known: list[str], asked: Mapping[str, str], file: Path) -> None:
    problems = []
    for role, column in asked.items():
        if role not in ROLES:
            problems.append(Problem("log", f"no role `{role}`", fix=f"roles: {', '.join(ROLES)}"))
        elif column not in known:
            guess = nearest(column, known)
            fix = f"did you mean `{guess}`?" if guess else f"there are {', '.join(known[:20])}"
            problems.append(Problem("log", f"no column `{column}`", str(file), field=role, fix=fix))
    if problems:
        raise LogError(problems)


def _parse(column: str) -> _Name:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", column).lower()
    words = [word for word in re.split(r"[^a-z0-9]+", spaced) if word and word != "trainer"]
    split = next((_SPLITS[word] for word in words if word in _SPLITS), "")
    words = [word for word in words if word not in _SPLITS]
    words = ["loss" if word == "losses" and "loss" not in words else word for word in words]
    grain = ""
    if len(words) > 1 and "per" not in words and not set(words) <= _FINE | {"global", "epoch", "num"}:
        grain = "epoch" if "epoch" in words else "step" if _FINE.intersection(words) else ""
        words = [word for word in words if word not in _FINE | {"epoch"}]
    if len(words) > 1:
        words = [word for word in words if word not in _FILLERS]
    words = list(dict.fromkeys(words))  # `Loss_train/Loss`
    return _Name(column, split, tuple(words), grain)


def _first(names: list[_Name], rank: Rank) -> str | None:
    """Return the column of least rank, of equals the first; None where every rank is None."""
    ranked = [(place, index) for index, name in enumerate(names) if (place := rank(name)) is not None]
    return names[min(ranked)[1]].column if ranked else None


def _step_rank(name: _Name) -> int | None:
    """W&B's own `_step` counts its calls, not updates: anything else is better."""
    if name.split in {"validation", "test"}:
        return None
    words = set(name.words)
    if words and words <= _COUNTERS | {"global", "num", "optimizer"} and words & _COUNTERS:
        return 3 if name.column.startswith("_") else 0 if words & {"global", "optimizer", "num"} else 1
    return None


def _time_rank(name: _Name) -> int | None:
    return 0 if name.words in {("timestamp",), ("wall", "time"), ("walltime",), ("time",)} else None


def _loss_rank(name: _Name, splits: set[str], grain: str = "") -> int | None:
    words = set(name.words)
    if name.words == ("value",) and "train" in splits and grain != "epoch":
        return 99  # TensorBoard's download of one curve
    is_loss = "loss" in words or name.words in {("nll",), ("cross", "entropy"), ("ce",)}
    if name.split not in splits or not is_loss:
        return None
    if grain == "epoch" and name.grain != "epoch":
        return None
    if grain == "step" and name.grain == "epoch":
        return None
    plain = 0 if name.words == ("loss",) else 1 if "total" in words else 2 if len(words) < 3 else 3
    return 10 * plain + 2 * (name.split == "") + (name.grain == "step" and grain != "step")


def _rate_rank(name: _Name) -> int | None:
    words = name.words
    if name.split in {"validation", "test"} or not (
        "lr" in words or ("learning" in words and "rate" in words)
    ):
        return None
    return len(words)


def _gradient_rank(name: _Name) -> int | None:
    words = set(name.words)
    if name.split in {"validation", "test"}:
        return None
    is_norm = "norm" in words and bool(words & {"grad", "grads", "gradient", "gradients"})
    if not is_norm and not words & {"gnorm", "gradnorm"}:
        return None
    return len(words - {"total", "global", "norm", "l2", "2", "0", "2.0"})
