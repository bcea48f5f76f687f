"""A fine-tuned text classifier, ready to be asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from tunewell.data.cleaning import clean
from tunewell.models.load import load_model, load_tokenizer
from tunewell.models.source import Source
from tunewell.problems import ModelError, Problem
from tunewell.tasks import _scores
from tunewell.tasks._protocol import Prediction
from tunewell.tasks._text import TextEncoder, pad


class TextPredictor:
    """Predictions of the sequence classifier in `folder`, with the length, truncation and cleaning of its training.

    A folder without `tunewell.json` (fine-tuned elsewhere) is read by its configuration alone.
    """

    def __init__(self, folder: Path, *, device: str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        known = settings_of(folder)
        source = Source(str(folder), str(folder))
        self.tokenizer = load_tokenizer(source)
        self.model = load_model(
            AutoModelForSequenceClassification, source, seed=0, dropout=None, device=device
        ).model
        self.model.to(device=device, dtype=dtype).eval()
        self.device = device
        self.problem: str = known["problem"]
        self.labels: list[str] = known["labels"]
        self.clean: list[str] = known.get("clean", [])
        self.encoder = TextEncoder(
            self.tokenizer, known.get("max_length", 256), known.get("truncation", "head")
        )

    def predict(
        self, texts: Sequence[str] | Sequence[tuple[str, str]], *, batch_size: int = 64
    ) -> list[Prediction]:
        """Return a prediction for each text, or each pair of texts, in the order given."""
        if not texts:
            return []
        return _predictions(self.problem, self.labels, self.logits(texts, batch_size=batch_size))

    @torch.inference_mode()
    def logits(self, texts: Sequence[str] | Sequence[tuple[str, str]], *, batch_size: int = 64) -> np.ndarray:
        """Return (texts, classes) logits in float32."""
        pairs = [(text, None) if isinstance(text, str) else text for text in texts]
        firsts = [clean(first, self.clean) for first, _ in pairs]
        seconds = [None if second is None else clean(second, self.clean) for _, second in pairs]
        rows = self.encoder(firsts, seconds, [f"text {i + 1}" for i in range(len(texts))])
        by_length = sorted(range(len(rows)), key=lambda i: len(rows[i][0]))
        outputs = np.empty((len(rows), max(len(self.labels), 1)), dtype=np.float32)
        for start in range(0, len(rows), batch_size):
            chosen = by_length[start : start + batch_size]
            ids = pad([rows[i][0] for i in chosen], self.encoder.pad_id)
            lengths = torch.tensor([len(rows[i][0]) for i in chosen])
            inputs = {
                "input_ids": ids,
                "attention_mask": (torch.arange(ids.shape[1]) < lengths[:, None]).long(),
            }
            if self.encoder.has_type_ids:
                inputs["token_type_ids"] = pad([rows[i][1] or [0] * len(rows[i][0]) for i in chosen], 0)
            logits = self.model(**{key: tensor.to(self.device) for key, tensor in inputs.items()}).logits
            outputs[chosen] = logits.float().cpu().numpy()
        return outputs


def settings_of(folder: Path) -> dict[str, Any]:
    """Return what `tunewell.json` in a classifier's folder says; `problem` and `labels` without it by its config.

    Raises `ModelError` where the configuration is that of no classifier.
    """
    file = folder / "tunewell.json"
    if file.is_file():
        known: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return known
    config: Any = AutoConfig.from_pretrained(folder)
    if not any("SequenceClassification" in name for name in config.architectures or []):
        fix = "train one with it: tunewell init DATA"
        raise ModelError(Problem("model", "this model holds no text classifier", str(folder), fix=fix))
    problem = _problem(config)
    names = [str(config.id2label[i]) for i in range(config.num_labels)]
    return {"problem": problem, "labels": [] if problem == "regression" else names}


def _predictions(problem: str, labels: Sequence[str], outputs: np.ndarray) -> list[Prediction]:
    """Return what (rows, classes) logits say, in words and probabilities; several-labels take all above one half."""
    if problem == "regression":
        return [Prediction(None, float(row[0]), {}) for row in outputs]
    shares = _scores.sigmoid(outputs) if problem == "multi_label" else _scores.softmax(outputs)
    found = []
    for row in shares:
        probabilities = dict(zip(labels, map(float, row), strict=True))
        best = labels[int(row.argmax())]
        chosen = [name for name, p in probabilities.items() if p > 0.5] if problem == "multi_label" else best
        found.append(Prediction(chosen, float(row.max()), probabilities))
    return found


def _problem(config: object) -> str:
    kind = getattr(config, "problem_type", None)
    names = {"regression": "regression", "multi_label_classification": "multi_label"}
    if kind is None and getattr(config, "num_labels", 2) == 1:
        return "regression"
    if kind is not None and "classification" not in kind and kind != "regression":
        raise ModelError(Problem("model", f"a model of problem type `{kind}` can't classify", field="model"))
    return names.get(kind or "", "single_label")
