"""The task itself: losses by hand, every kind of problem from training to the exported model's predictions."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import tunewell
from conftest import BAD, GOOD, sentence
from tunewell.problems import RecipeError
from tunewell.recipe import Data, Recipe
from tunewell.records import Ended, Eval
from tunewell.tasks._protocol import Batch
from tunewell.tasks._scores import softmax
from tunewell.tasks.text_classification import TextClassification
from tunewell.training import driver
from tunewell.training.evaluate import Outcome, evaluate
from tunewell.training.loop import Work
from tunewell.training.setup import prepare_run
from tunewell.training.state import TrainState

Make = Callable[..., Recipe]
Begin = Callable[[Recipe], tuple[TrainState, Work]]


class Fixed(nn.Module):
    """A model that says the same logits whatever it is asked."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, **_: torch.Tensor) -> Any:
        return type("Output", (), {"logits": self.logits})


def rows_of(problem: str, count: int = 160) -> list[dict[str, Any]]:
    rng, rows = random.Random(1), []
    for i in range(count):
        text = (
            sentence(rng, i % 2 == 0) + " " + " ".join(rng.choices(["scene", "music", "plot"], k=1 + i % 7))
        )
        words = text.split()
        label: Any = "good" if i % 2 == 0 else "bad"
        if problem == "multi_label":
            label = [name for name in (*GOOD[:2], *BAD[:2]) if name in words] or ["none"]
        elif problem == "regression":
            label = sum(word in GOOD for word in words) - sum(word in BAD for word in words) + 0.25
        rows.append({"text": text, "label": label})
    return rows


@pytest.fixture
def write_rows(tmp_path: Path) -> Callable[[list[dict[str, Any]]], Path]:
    """Return a function that writes rows to a JSONL file."""

    def write(rows: list[dict[str, Any]]) -> Path:
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


def task_and_work(begin: Begin, recipe: Recipe) -> tuple[TextClassification, Work]:
    _, work = begin(recipe)
    assert isinstance(work.task, TextClassification)
    return work.task, work


def batch(targets: torch.Tensor, weights: list[float] | None = None) -> Batch:
    counts = torch.ones(len(targets)) if weights is None else torch.tensor(weights)
    return Batch({"input_ids": torch.zeros(len(targets), 3)}, targets, counts, 3)


def test_smoothed_and_weighted_loss_by_hand(tiny_recipe: Make, begin: Begin) -> None:
    recipe = tiny_recipe(label_smoothing=0.1, class_weights={"good": 3.0})
    task, work = task_and_work(begin, recipe)
    assert task.labels == ["bad", "good"]
    logits = torch.tensor([[2.0, -1.0], [0.5, 0.5]])
    loss = task.loss(Fixed(logits), batch(torch.tensor([1, 0]), [3.0, 1.0]))
    first = logits[0].log_softmax(0)
    by_hand = [-(0.95 * first[1] + 0.05 * first[0]).item(), np.log(2)]
    assert loss.per_row.tolist() == pytest.approx(by_hand)
    assert loss.sum.item() == pytest.approx(3 * by_hand[0] + by_hand[1])
    collated = task.collate(work.encoded, np.arange(4))
    assert collated.count.item() == pytest.approx(
        sum(3.0 if t == 1 else 1.0 for t in collated.targets.tolist())
    )


def test_balanced_weights_give_each_class_the_same_say(
    tiny_recipe: Make, begin: Begin, write_rows: Callable[..., Path]
) -> None:
    rows = [row for i, row in enumerate(rows_of("single_label", 120)) if row["label"] == "good" or i % 3 == 0]
    task, work = task_and_work(begin, tiny_recipe({"train": str(write_rows(rows))}, class_weights="balanced"))
    counts = np.bincount(work.encoded.targets)
    assert counts[0] < counts[1]
    assert task.class_weights is not None
    np.testing.assert_allclose(task.class_weights.numpy() * counts, len(work.encoded) / 2, rtol=1e-6)


def test_weights_of_unknown_labels_are_refused(tiny_recipe: Make, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="unknown labels: great"):
        prepare_run(tiny_recipe(class_weights={"great": 2.0}), tmp_path)


def test_several_labels_loss_by_hand(
    tiny_recipe: Make, begin: Begin, write_rows: Callable[..., Path]
) -> None:
    data = {"train": str(write_rows(rows_of("multi_label")))}
    task, _ = task_and_work(begin, tiny_recipe(data, label_smoothing=0.2))
    logits = torch.zeros(1, 5)
    logits[0, 2] = 4.0
    targets = torch.zeros(1, 5)
    targets[0, 2] = 1.0
    loss = task.loss(Fixed(logits), batch(targets))
    yes = torch.tensor(4.0).sigmoid()
    by_hand = (-(0.9 * yes.log() + 0.1 * (1 - yes).log()).item() + 4 * np.log(2)) / 5
    assert loss.per_row.item() == pytest.approx(by_hand)
    assert loss.sum.item() == pytest.approx(by_hand)


@pytest.mark.parametrize(
    ("problem", "metric"),
    [("single_label", "accuracy"), ("multi_label", "macro_f1"), ("regression", "pearson")],
)
def test_from_training_to_the_exported_models_predictions(
    problem: str, metric: str, tiny_recipe: Make, write_rows: Callable[..., Path], tmp_path: Path
) -> None:
    data = {"train": str(write_rows(rows_of(problem))), "validation": 0.25}
    recipe = tiny_recipe(data, num_epochs=5, learning_rate=5e-3, load_best_model_at_end=False)
    records = list(driver.train(recipe, tmp_path))
    scores = [r for r in records if isinstance(r, Eval)]
    assert isinstance(records[-1], Ended)
    assert records[-1].status == "completed"
    assert scores[0].metrics.keys() == scores[-1].metrics.keys()
    assert metric in scores[0].metrics
    assert tuple(scores[0].metrics) == prepare_run(recipe, tmp_path).task.metrics
    assert scores[-1].loss < scores[0].loss

    folder = tmp_path / "run" / "model"
    prepared = prepare_run(recipe, tmp_path)
    assert prepared.dataset.problem == problem
    predictor = tunewell.load(tmp_path / "run")
    assert predictor.problem == problem
    rows = prepared.dataset.splits["validation"]
    logits = predictor.logits([row.text for row in rows])
    again = evaluate(prepared.task, predictor.model, prepared.splits["validation"], 7, torch.device("cpu"))
    _agree(again, logits, problem)
    assert again.loss == pytest.approx(scores[-1].loss, abs=1e-4)
    assert again.metrics == pytest.approx(scores[-1].metrics, abs=1e-4)

    said = predictor.predict([row.text for row in rows[:3]])
    plain = AutoModelForSequenceClassification.from_pretrained(folder)
    encoded = AutoTokenizer.from_pretrained(folder)(
        [row.text for row in rows[:3]], padding=True, return_tensors="pt"
    )
    raw = plain.eval()(**encoded).logits.detach()
    np.testing.assert_allclose(raw.numpy(), logits[:3], atol=1e-4)
    if problem == "regression":
        assert [p.label for p in said] == [None] * 3
        assert [p.score for p in said] == pytest.approx(raw[:, 0].tolist(), abs=1e-4)
        return
    assert list(plain.config.id2label.values()) == prepared.dataset.labels == predictor.labels
    for prediction, row in zip(said, raw, strict=True):
        shares = row.softmax(0) if problem == "single_label" else row.sigmoid()
        assert list(prediction.probabilities.values()) == pytest.approx(shares.tolist(), abs=1e-4)
        if problem == "multi_label":
            assert prediction.label == [predictor.labels[i] for i in (row > 0).nonzero().flatten()]
        else:
            assert prediction.label == predictor.labels[int(row.argmax())]


def _agree(outcome: Outcome, logits: np.ndarray, problem: str) -> None:
    """Assert that an evaluation saw (rows, classes) `logits`, in their order."""
    if problem == "multi_label":
        assert outcome.predicted is None
        assert outcome.confidence is None
    elif problem == "regression":
        np.testing.assert_allclose(outcome.predicted, logits[:, 0], atol=1e-4)
    else:
        np.testing.assert_array_equal(outcome.predicted, logits.argmax(axis=1))
        np.testing.assert_allclose(outcome.confidence, softmax(logits).max(axis=1), atol=1e-4)


def test_pairs_of_texts_train_and_predict(
    tiny_recipe: Make, write_rows: Callable[..., Path], tmp_path: Path
) -> None:
    rng, rows = random.Random(0), []
    for i in range(120):
        first = sentence(rng, rng.random() < 0.5, length=3 + i % 5) + f" {i}"
        rows.append(
            {"one": first, "two": sentence(rng, i % 2 == 0), "label": "good" if i % 2 == 0 else "bad"}
        )
    data = {"train": str(write_rows(rows)), "text": "one", "text_pair": "two", "max_length": 14}
    recipe = tiny_recipe(data, num_epochs=1)
    *_, last = driver.train(recipe, tmp_path)
    assert isinstance(last, Ended)
    prepared = prepare_run(recipe, tmp_path)
    encoded, examples = prepared.splits["validation"], prepared.dataset.splits["validation"]
    types = [encoded.type_ids(i) for i in range(len(encoded))]
    assert all(row is not None and row[0] == 0 and row[-1] == 1 for row in types)
    assert max(encoded.lengths) == 14
    predictor = tunewell.load(tmp_path / "run")
    outcome = evaluate(prepared.task, predictor.model, encoded, 64, torch.device("cpu"))
    pairs = [(example.text, example.text_pair or "") for example in examples]
    _agree(outcome, predictor.logits(pairs), "single_label")
    assert {p.label for p in predictor.predict(pairs)} <= {"good", "bad"}


def test_more_tokens_than_positions(tiny_recipe: Make, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="max_length 65 is more than the 64 positions") as caught:
        prepare_run(tiny_recipe({"max_length": 65}), tmp_path)
    assert caught.value.problems[0].field == "data.max_length"
    recipe = tiny_recipe()
    unsaid = recipe.model_copy(update={"data": Data(train=recipe.data.train)})
    assert prepare_run(unsaid, tmp_path).task.max_length == 64  # the default of 256 gives way


def test_predictions_come_in_the_order_asked_and_clean_as_in_training(
    tiny_recipe: Make, tmp_path: Path
) -> None:
    *_, _ = driver.train(tiny_recipe({"clean": ["strip_html"]}, max_steps=3), tmp_path)
    predictor = tunewell.load(tmp_path / "run" / "model")
    texts = ["lovely film", "dull", "the plot and the music with its warm ending", "superb<br />scene"]
    together = predictor.logits(texts, batch_size=2)
    alone = np.concatenate([predictor.logits([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(predictor.logits(["superb scene"])[0], together[3], atol=1e-5)
    assert predictor.predict([]) == []
