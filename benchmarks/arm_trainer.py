"""One arm of `side_by_side`: the transformers Trainer on the subset, as its documentation would have it run.

usage: python -m benchmarks.arm_trainer FOLDER [--best] [--dropout-off]; prints one JSON line.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)

from tunewell.models.source import find


def main() -> None:
    folder, options = Path(sys.argv[1]), sys.argv[2:]
    best = "--best" in options
    location = find("minilm").location
    tokenizer = AutoTokenizer.from_pretrained(location)
    splits = {}
    for name in ("train", "test"):
        with (folder / f"{name}.jsonl").open(encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        ids = tokenizer([r["text"] for r in rows], truncation=True, max_length=256)["input_ids"]
        splits[name] = [{"input_ids": i, "labels": r["label"]} for i, r in zip(ids, rows, strict=True)]
    torch.manual_seed(42)
    model = AutoModelForSequenceClassification.from_pretrained(location, num_labels=2)
    settings = (
        {"bf16": True, "train_sampling_strategy": "group_by_length", "learning_rate": 1e-4} if best else {}
    )
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(folder / "trainer"),
            num_train_epochs=1,
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
            logging_strategy="no",
            per_device_eval_batch_size=64,
            **settings,
        ),
        train_dataset=splits["train"],
        data_collator=DataCollatorWithPadding(tokenizer),
    )
    began = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - began
    logits = trainer.predict(splits["test"]).predictions
    accuracy = sum(int(p.argmax()) == r["labels"] for p, r in zip(logits, splits["test"], strict=True))
    print(
        json.dumps(
            {
                "seconds": seconds,
                "accuracy": accuracy / len(splits["test"]),
                "tokens": sum(len(r["input_ids"]) for r in splits["train"]),
                "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
            }
        )
    )


if __name__ == "__main__":
    main()
