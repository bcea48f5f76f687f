"""The callback in a real transformers Trainer on a tiny BERT."""

from __future__ import annotations

import random
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import sentence, tiny_tokenizer
from tunewell import cli
from tunewell.actions import EvaluateNow, SaveNow, SetLearningRate
from tunewell.inspections import DataChecked
from tunewell.records import Acted, Ended, Eval, Record, Step
from tunewell.runs import inbox
from tunewell.runs.folder import RunFolder

pytestmark = pytest.mark.slow


def rows(count: int, seed: int) -> list[dict[str, Any]]:
    rng, tokenizer = random.Random(seed), tiny_tokenizer()
    return [
        {**tokenizer(sentence(rng, i % 2 == 0), max_length=24, padding="max_length", truncation=True), "labels": i % 2}
        for i in range(count)
    ]  # fmt: skip


def trained(
    folder: Path, tiny_model: Path, callback: Any = None, change: Any = None, **arguments: Any
) -> tuple[Any, Any]:
    """Train 40 updates with `callback`, after `change` was made to the trainer; return model and trainer."""
    import transformers

    transformers.logging.set_verbosity_error()
    settings = {
        "max_steps": 40, "per_device_train_batch_size": 8, "learning_rate": 1e-3, "eval_strategy": "steps",
        "eval_steps": 20, "save_strategy": "no", "report_to": "none", "disable_tqdm": True, "use_cpu": True, "seed": 0,
    }  # fmt: skip
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tiny_model, num_labels=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = transformers.Trainer(
            model,
            transformers.TrainingArguments(str(folder / "reviews"), **{**settings, **arguments}),
            train_dataset=rows(160, 0),
            eval_dataset=rows(40, 1),
            processing_class=tiny_tokenizer(),
            callbacks=[] if callback is None else [callback],
            compute_metrics=lambda given: {"accuracy": float((given[0].argmax(-1) == given[1]).mean())},
        )
        trainer.remove_callback(transformers.PrinterCallback)
        if change is not None:
            change(trainer)
        trainer.train()
    return model, trainer


def codes(records: list[Record]) -> set[str]:
    return {record.code for record in records if record.__class__.__name__ == "Finding"}  # type: ignore[union-attr]


def test_one_line_finds_a_frozen_head_and_leaves_a_run_that_why_and_runs_read(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tunewell.integrations.transformers import TunewellCallback

    monkeypatch.chdir(tmp_path)
    callback = TunewellCallback()
    trained(tmp_path, tiny_model, callback, lambda trainer: trainer.model.classifier.requires_grad_(False))
    watch = callback.watch
    assert watch is not None
    assert "frozen_head" in codes(watch.records)
    assert sum(isinstance(record, Step) for record in watch.records) == 40
    assert [record.metrics.keys() for record in watch.records if isinstance(record, Eval)] == [
        {"accuracy"}
    ] * 2
    assert sum(isinstance(record, DataChecked) for record in watch.records) == 1
    assert isinstance(watch.records[-1], Ended)
    assert watch.folder is not None
    assert watch.folder.resolve() == (tmp_path / "runs" / "reviews").resolve()
    capsys.readouterr()
    assert cli.main(["why", "reviews"]) == 0
    assert "frozen head" in capsys.readouterr().out.replace("\n", " ")
    assert cli.main(["runs"]) == 0
    assert "completed" in capsys.readouterr().out


def test_a_watched_training_is_bit_equal_to_an_unwatched_one(tmp_path: Path, tiny_model: Path) -> None:
    from tunewell.integrations.transformers import TunewellCallback

    callback = TunewellCallback(folder=None)
    watched, _ = trained(tmp_path, tiny_model, callback)
    alone, _ = trained(tmp_path, tiny_model)
    for one, other in zip(watched.parameters(), alone.parameters(), strict=True):
        assert torch.equal(one, other)
    assert callback.watch is not None
    assert codes(callback.watch.records) & {"frozen_head", "training_in_evaluation_mode"} == set()


def in_evaluation_mode(trainer: Any) -> None:
    compute_loss = trainer.compute_loss

    def without_dropout(model: Any, *args: Any, **kwargs: Any) -> Any:
        if torch.is_grad_enabled():
            model.bert.eval()
        return compute_loss(model, *args, **kwargs)

    trainer.compute_loss = without_dropout


@pytest.mark.parametrize(
    ("code", "change", "arguments"),
    [
        ("training_in_evaluation_mode", in_evaluation_mode, {}),
        ("learning_rate_too_high", None, {"learning_rate": 0.3}),
    ],
)
def test_planted_faults_are_named(
    tmp_path: Path, tiny_model: Path, code: str, change: Any, arguments: dict[str, Any]
) -> None:
    from tunewell.integrations.transformers import TunewellCallback

    callback = TunewellCallback(folder=None)
    trained(tmp_path, tiny_model, callback, change, max_steps=60, **arguments)
    assert callback.watch is not None
    assert code in codes(callback.watch.records)


def test_a_policy_acts_and_ends_the_training(tmp_path: Path, tiny_model: Path) -> None:
    from tunewell.integrations.transformers import TunewellCallback

    callback = TunewellCallback(folder=None, policy="autopilot")
    model, _ = trained(
        tmp_path, tiny_model, callback, lambda trainer: trainer.model.classifier.requires_grad_(False)
    )
    assert callback.watch is not None
    acted = [r for r in callback.watch.records if isinstance(r, Acted) and r.outcome == "applied"]
    assert "Unfreeze" in {type(record.action).__name__ for record in acted}
    assert model.classifier.weight.requires_grad

    callback = TunewellCallback(folder=None, on={"frozen_head": "stop"})
    _, trainer = trained(
        tmp_path, tiny_model, callback, lambda trainer: trainer.model.classifier.requires_grad_(False)
    )
    assert callback.watch is not None
    assert trainer.state.global_step < 40
    ended = callback.watch.records[-1]
    assert isinstance(ended, Ended)
    assert ended.status == "stopped"


def test_a_loss_that_the_model_does_not_compute_is_seen_too(tmp_path: Path, tiny_model: Path) -> None:
    from tunewell.integrations.transformers import TunewellCallback

    callback = TunewellCallback(folder=None)
    _, trainer = trained(tmp_path, tiny_model, callback, label_smoothing_factor=0.1)
    assert callback.watch is not None
    steps = [record for record in callback.watch.records if isinstance(record, Step)]
    assert len(steps) == 40
    (checked,) = (record for record in callback.watch.records if isinstance(record, DataChecked))
    assert checked.checks["leakage"].of > 0
    assert "compute_loss" not in vars(trainer)


def test_a_person_asks_the_trainer_to_evaluate_and_to_save(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    from tunewell.integrations.transformers import TunewellCallback

    monkeypatch.chdir(tmp_path)
    callback = TunewellCallback()

    class Asks(transformers.TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == 5:
                assert callback.watch is not None
                assert callback.watch.folder is not None
                run = RunFolder(callback.watch.folder)
                for action in (EvaluateNow(), SaveNow(), SetLearningRate(1e-4)):
                    inbox.send(run, "anna", action=action)

    trained(tmp_path, tiny_model, callback, lambda trainer: trainer.add_callback(Asks()))
    assert callback.watch is not None
    records = callback.watch.records
    assert [record.outcome for record in records if isinstance(record, Acted)] == ["applied"] * 3
    assert [record.step for record in records if isinstance(record, Eval)] == [6, 20, 40]
    assert [path.name for path in (tmp_path / "reviews").glob("checkpoint-*")] == ["checkpoint-6"]
    rates = {record.step: record.learning_rate for record in records if isinstance(record, Step)}
    assert rates[6] > 5e-4
    assert rates[7] == pytest.approx(1e-4, rel=0.05)
