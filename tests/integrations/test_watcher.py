"""`tunewell.watch` over plain loops: what it records, that it finds planted faults, and that it changes nothing."""

from __future__ import annotations

import math
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD, AdamW

import tunewell
from integrations.watched_loops import (
    CLASSES,
    IMAGES,
    batches,
    cnn,
    codes_of,
    looks_of,
    steps_of,
    train,
    watched,
)
from tunewell.integrations import update
from tunewell.problems import DataError, RecipeError, RunError
from tunewell.records import Ended, Eval, Note, Started
from tunewell.runs import log


def test_a_healthy_training_is_recorded_and_nothing_is_said() -> None:
    model = cnn()
    optimizer, watch = watched(model)
    train(model, optimizer, watch, 45)
    watch.close()
    started, ended = watch.records[0], watch.records[-1]
    assert isinstance(started, Started)
    assert started.num_classes == 10
    assert started.total_parameters == sum(p.numel() for p in model.parameters())
    assert isinstance(ended, Ended)
    assert (ended.step, ended.status) == (45, "completed")
    assert [step.step for step in steps_of(watch)] == list(range(1, 46))
    assert [look.step for look in looks_of(watch)] == [1, 2, 3, 11, 21, 31, 41]
    assert not codes_of(watch)
    assert watch.verdicts()["gradients_not_cleared"].kind == "fine"


def test_what_a_step_tells_is_what_was() -> None:
    model = cnn()
    optimizer, watch = watched(model, AdamW(model.parameters(), 2e-3))
    rows = batches(1)[0]
    loss = F.cross_entropy(model(IMAGES[rows]), CLASSES[rows])
    watch.loss(loss)
    loss.backward()
    norm = torch.linalg.vector_norm(
        torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    )
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
    optimizer.step()
    (step,) = steps_of(watch)
    assert step.loss == pytest.approx(loss.item())
    assert step.gradient_norm == pytest.approx(norm.item()), "before the loop's own clipping"
    assert (step.learning_rate, step.rows, step.max_grad_norm) == (2e-3, 32, None)
    assert sum((step.label_counts or {}).values()) == 32
    assert list(step.layer_gradients or {}) == list(step.layer_updates or {}) == ["0", "2", "6"]


def test_updates_that_wait_to_be_written_hold_no_gradients() -> None:
    model = cnn()
    optimizer, watch = watched(model)
    gradients = []
    for rows in batches(6):  # the fourth to sixth wait to be written together
        loss = F.cross_entropy(model(IMAGES[rows]), CLASSES[rows])
        watch.loss(loss)
        loss.backward()
        gradients += [weakref.ref(p.grad) for p in model.parameters() if p.grad is not None]
        optimizer.step()
        optimizer.zero_grad()
        del loss
    assert [found for found in gradients if found() is not None] == []
    watch.close()
    assert all(step.gradient_norm > 0 for step in steps_of(watch))


def test_updates_that_hold_much_do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(update, "WAITING_BYTES", 2 * 32 * 10 * 4)  # log-probabilities of two batches
    model = cnn()
    optimizer, watch = watched(model)
    seen = []
    for rows in batches(9):
        loss = 2 * F.cross_entropy(model(IMAGES[rows]), CLASSES[rows])  # not plain: each loss is read whole
        watch.loss(loss)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        seen.append(len(watch._waiting))
    watch.close()
    assert max(seen) == 1


def test_a_watched_training_is_equal_to_the_last_bit() -> None:
    alone, seen = cnn(), cnn()
    torch.manual_seed(3)
    train(alone, AdamW(alone.parameters(), 1e-3), None, 25)
    optimizer, watch = watched(
        seen, monitors={}, train=(IMAGES, CLASSES), validation=(IMAGES[:50], CLASSES[:50])
    )
    torch.manual_seed(3)
    train(seen, optimizer, watch, 25)
    watch.close()
    assert all(torch.equal(a, b) for a, b in zip(alone.parameters(), seen.parameters(), strict=True))


@pytest.mark.slow
def test_a_watched_transformer_with_dropout_is_equal_to_the_last_bit(tiny_model: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    results = []
    for is_watched in (False, True):
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_pretrained(tiny_model, num_labels=2).train()
        optimizer = AdamW(model.parameters(), 1e-3)
        watch = tunewell.watch(model, optimizer, folder=None) if is_watched else None
        torch.manual_seed(1)
        for _ in range(25):
            ids = torch.randint(5, 20, (8, 12))
            loss = model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=ids[:, 0] % 2).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        results.append([p.detach().clone() for p in model.parameters()])
        if watch is not None:
            assert len(steps_of(watch)) == 25, "the output's own loss is taken"
            assert steps_of(watch)[0].tokens == 96
            look = looks_of(watch)[0]
            assert look.switching
            assert look.outputs_are_probabilities is False
            assert any("gelu" in name for name in look.silent_units or {})
            watch.close()
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_three_lines_find_a_frozen_head() -> None:
    model = cnn()
    for parameter in model[-1].parameters():
        parameter.requires_grad_(False)
    optimizer, watch = watched(model)
    train(model, optimizer, watch, 25)
    watch.close()
    assert "frozen_head" in codes_of(watch)
    assert "6" in watch.why()


def test_three_lines_find_a_forgotten_zero_grad() -> None:
    model = cnn()
    optimizer, watch = watched(model)
    train(model, optimizer, watch, 5, clears=False)
    watch.close()
    assert "gradients_not_cleared" in codes_of(watch)


def test_three_lines_find_evaluation_mode() -> None:
    model = cnn()
    model.eval()
    optimizer, watch = watched(model)
    train(model, optimizer, watch, 5)
    watch.close()
    assert "training_in_evaluation_mode" in codes_of(watch)


def test_a_mode_that_changes_between_two_looks_is_looked_at_at_once() -> None:
    model = cnn()
    optimizer, watch = watched(model)
    train(model, optimizer, watch, 30)
    model.eval()  # as for an evaluation, and never back
    train(model, optimizer, watch, 3)
    watch.close()
    assert 31 in [look.step for look in looks_of(watch)]
    assert "training_in_evaluation_mode" in codes_of(watch)


def test_a_head_replaced_behind_the_optimizers_back_is_named() -> None:
    model = cnn()
    optimizer, watch = watched(model)
    model[-1] = nn.Linear(512, 10)
    train(model, optimizer, watch, 25)
    watch.close()
    assert looks_of(watch)[0].not_optimized == ["6.weight", "6.bias"]
    assert "parameters_not_updating" in codes_of(watch)


def test_accumulation_is_told_from_the_graph_whether_divided_or_not() -> None:
    for divided in (True, False):
        model = cnn()
        optimizer, watch = watched(model)
        for number, rows in enumerate(batches(40, 8)):
            loss = F.cross_entropy(model(IMAGES[rows]), CLASSES[rows])
            loss = watch.loss(loss / 4 if divided else loss)
            loss.backward()
            if number % 4 == 3:
                optimizer.step()
                optimizer.zero_grad()
        watch.close()
        look = looks_of(watch)[0]
        assert (look.backward_passes, steps_of(watch)[0].rows) == (4, 32)
        assert look.objective == pytest.approx((1 if divided else 4) * (look.mean_loss or 0), rel=1e-5)
        assert steps_of(watch)[-1].loss < 2.5, "the mean of the rows, however it was scaled"
        assert ("accumulation_not_divided" in codes_of(watch)) is not divided


def test_accumulation_by_the_tokens_of_the_whole_update_is_right() -> None:
    model = cnn()
    optimizer, watch = watched(model)
    for number, rows in enumerate(batches(8, 8)):
        loss = F.cross_entropy(model(IMAGES[rows]), CLASSES[rows], reduction="sum") / 32
        watch.loss(loss).backward()
        if number % 4 == 3:
            optimizer.step()
            optimizer.zero_grad()
    watch.close()
    look = looks_of(watch)[0]
    assert look.objective == pytest.approx(look.mean_loss, rel=1e-5)
    assert steps_of(watch)[0].loss == pytest.approx(look.mean_loss, rel=1e-5)


def test_a_loss_that_scaled_is_multiplied_later_is_told_as_it_was_given() -> None:
    model = cnn()
    optimizer, watch = watched(model)
    rows = batches(1)[0]
    loss = watch.loss(F.cross_entropy(model(IMAGES[rows]), CLASSES[rows]))
    (3 * loss).backward()
    optimizer.step()
    watch.close()
    assert steps_of(watch)[0].loss == pytest.approx(loss.item())
    assert looks_of(watch)[0].objective == pytest.approx(3 * loss.item())


def test_under_a_gradient_scaler_norms_are_unscaled_and_the_objective_is_not_told() -> None:
    model = cnn()
    optimizer, watch = watched(model)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12)
    for rows in batches(4):
        loss = watch.loss(F.cross_entropy(model(IMAGES[rows]), CLASSES[rows]))
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
    watch.close()
    assert len(steps_of(watch)) == 4
    assert steps_of(watch)[-1].gradient_norm < 50
    assert looks_of(watch)[0].objective is None
    assert watch.verdicts()["accumulation_not_divided"].kind != "seen"


def test_an_update_that_a_gradient_scaler_passes_over_is_none() -> None:
    model = cnn()
    optimizer, watch = watched(model)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12)
    for number, rows in enumerate(batches(4)):
        loss = watch.loss(F.cross_entropy(model(IMAGES[rows]), CLASSES[rows]))
        scaler.scale(loss).backward()
        if number == 2:
            model[0].weight.grad.fill_(math.inf)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
    watch.close()
    assert len(steps_of(watch)) == 3
    assert "non_finite" not in codes_of(watch)
    assert [look.backward_passes for look in looks_of(watch)] == [1, 1, 1]
    assert any("1 gradients were cleared" in r.text for r in watch.records if isinstance(r, Note))


def test_shared_weights_and_several_groups_are_watched() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(50, 16)
            self.body = nn.Linear(16, 16)
            self.head = nn.Linear(16, 50, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.head(torch.relu(self.body(self.embed(ids))))

    torch.manual_seed(0)
    model = Tied()
    optimizer = AdamW(
        [
            {"params": model.body.parameters(), "lr": 3e-3},
            {"params": [model.embed.weight], "weight_decay": 0.0},
        ],
        1e-3,
    )
    watch = tunewell.watch(model, optimizer, folder=None)
    for _ in range(4):
        ids = torch.randint(50, (8, 10))
        watch.loss(F.cross_entropy(model(ids).transpose(1, 2), ids)).backward()
        optimizer.step()
        optimizer.zero_grad()
    watch.close()
    step, look = steps_of(watch)[0], looks_of(watch)[0]
    assert step.learning_rate == 3e-3
    assert (step.rows, step.tokens) == (8, 80)
    assert set(step.layer_gradients or {}) == {"embed", "body"}
    assert (look.output_layer, look.output_frozen) == ("head", False)
    assert "embed" not in (look.zero_gradients or {})


def test_an_evaluation_tells_modes_recalls_and_the_gap() -> None:
    model = cnn()
    optimizer, watch = watched(model)
    train(model, optimizer, watch, 5)
    with torch.no_grad():  # and no model.eval()
        logits = model(IMAGES[:200])
    watch.evaluated(
        F.cross_entropy(logits, CLASSES[:200]), targets=CLASSES[:200], predictions=logits.argmax(1)
    )
    model.eval()
    train(model, optimizer, watch, 1)
    with torch.no_grad():
        model(IMAGES[:10])
    watch.evaluated(1.0, {"f1": 0.5})
    watch.close()
    first, second = (record for record in watch.records if isinstance(record, Eval))
    assert first.in_training == ["5"]
    assert (first.rows, len(first.recalls), sum(map(sum, first.confusion or []))) == (200, 10, 200)
    assert first.metrics["accuracy"] == pytest.approx(
        (logits.argmax(1) == CLASSES[:200]).float().mean().item()
    )
    assert first.train_loss is not None
    assert (second.in_training, second.metrics) == ([], {"f1": 0.5})


def test_rows_are_named_where_they_are_known() -> None:
    model = cnn()
    optimizer, watch = watched(model)
    for rows in watch.batches(batches(3)):
        losses = F.cross_entropy(model(IMAGES[rows]), CLASSES[rows], reduction="none")
        losses = losses * torch.tensor([100.0 if place == 5 else 1.0 for place in range(32)])
        watch.loss(losses.mean(), row_losses=losses).backward()
        optimizer.step()
        optimizer.zero_grad()
    watch.close()
    assert [step.worst_rows[0][0] for step in steps_of(watch)] == [rows[5] for rows in batches(3)]


def test_data_are_checked_and_rows_reviewed_where_they_are_given() -> None:
    model = cnn()
    images, classes = IMAGES[:128], CLASSES[:128]
    optimizer, watch = watched(model, train=(images, classes), validation=(IMAGES[100:150], CLASSES[100:150]))
    order = [list(range(start, start + 32)) for start in range(0, 128, 32)]
    for _ in range(2):
        for rows in watch.batches(order):
            watch.loss(F.cross_entropy(model(images[rows]), classes[rows])).backward()
            optimizer.step()
            optimizer.zero_grad()
    watch.close()
    kinds = [type(record).__name__ for record in watch.records]
    assert kinds[0] == "Started"
    assert kinds.index("DataChecked") < kinds.index("Step")
    assert kinds.count("RowsReviewed") == 2
    assert watch.records[0].class_counts["3"] == int((classes == 3).sum())  # type: ignore[union-attr]
    assert "leakage" in codes_of(watch)


def test_a_data_set_of_pairs_is_read_without_moving_the_random_numbers() -> None:
    class Noisy(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
        def __len__(self) -> int:
            return 60

        def __getitem__(self, place: int) -> tuple[torch.Tensor, int]:
            return IMAGES[place] + 0.1 * torch.randn(1, 8, 8), int(CLASSES[place])

    torch.manual_seed(7)
    before = torch.get_rng_state()
    model = nn.Linear(2, 2)
    torch.set_rng_state(before)
    watch = tunewell.watch(model, SGD(model.parameters(), 0.1), train=Noisy(), folder=None)
    watch.close()
    assert torch.equal(torch.get_rng_state(), before)


def test_the_record_is_a_run_that_the_commands_read(tmp_path: Path) -> None:
    model = cnn()
    optimizer, watch = watched(model, folder=tmp_path / "runs", name="script")
    with watch:
        train(model, optimizer, watch, 4)
    assert watch.folder == tmp_path / "runs" / "script"
    written = log.read(watch.folder / "log.jsonl")
    assert [type(record) for record in written] == [type(record) for record in watch.records]
    command = [sys.executable, "-m", "tunewell", "why", str(watch.folder)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "script completed at step 4" in told
    _, again = watched(model, optimizer, folder=tmp_path / "runs", name="script")
    again.close()
    assert again.folder == tmp_path / "runs" / "script-2"


def test_a_loop_that_breaks_is_recorded_as_failed() -> None:
    model = cnn()
    optimizer, watch = watched(model)

    def breaks() -> None:
        raise ZeroDivisionError("division by zero")

    with pytest.raises(ZeroDivisionError), watch:
        train(model, optimizer, watch, 2, after_step=breaks)
    ended = watch.records[-1]
    assert isinstance(ended, Ended)
    assert (ended.status, ended.reason) == ("failed", "ZeroDivisionError: division by zero")
    train(model, optimizer, watch, 2)  # not watched any more, and not hindered
    assert watch.records[-1] is ended


def test_updates_without_a_loss_are_said() -> None:
    model = cnn()
    optimizer, watch = watched(model)
    rows = batches(1)[0]
    F.cross_entropy(model(IMAGES[rows]), CLASSES[rows]).backward()
    optimizer.step()
    watch.close()
    assert not steps_of(watch)
    assert any("1 updates could not be watched" in r.text for r in watch.records if isinstance(r, Note))


def test_what_can_not_be_watched_is_refused_in_words() -> None:
    model = nn.Linear(4, 2)
    with pytest.raises(RunError, match="LBFGS"):
        tunewell.watch(model, torch.optim.LBFGS(model.parameters()), folder=None)
    with pytest.raises(RunError, match="a model is"):
        tunewell.watch("model", SGD(model.parameters(), 0.1), folder=None)  # type: ignore[arg-type]
    with pytest.raises(RunError, match="an optimizer is"):
        tunewell.watch(model, 0.1, folder=None)  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match="no_such"):
        tunewell.watch(model, SGD(model.parameters(), 0.1), folder=None, policy="no_such")
    with pytest.raises(RecipeError, match="no_such"):
        tunewell.watch(model, SGD(model.parameters(), 0.1), folder=None, monitors={"no_such": False})
    with pytest.raises(DataError, match="3 inputs and 2 targets"):
        tunewell.watch(model, SGD(model.parameters(), 0.1), folder=None, train=([1, 2, 3], [0, 1]))


def test_a_wrong_loss_is_refused_in_words() -> None:
    model = cnn()
    optimizer, watch = watched(model)
    losses = F.cross_entropy(model(IMAGES[:4]), CLASSES[:4], reduction="none")
    with pytest.raises(RunError, match="a loss is one number"):
        watch.loss(losses)
    loss = losses.mean()
    loss.backward()
    with pytest.raises(RunError, match="went backward already"):
        watch.loss(loss)
    with pytest.raises(DataError, match="targets have the shape"):
        watch.evaluated(1.0, targets=[1, 2], predictions=[1])
    optimizer.step()
    watch.close()


def test_rows_are_reviewed_where_targets_are_tokens() -> None:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(8, (128, 6), generator=generator)
    targets = (tokens + 1) % 8
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(8, 16), nn.Linear(16, 8))
    optimizer = AdamW(model.parameters(), lr=0.05)
    with tunewell.watch(model, optimizer, train=(tokens, targets), folder=None) as watch:
        for _ in range(2):
            for rows in torch.arange(128).split(16):
                loss = F.cross_entropy(model(tokens[rows]).transpose(1, 2), targets[rows])
                watch.loss(loss, rows=rows).backward()
                optimizer.step()
                optimizer.zero_grad()
    reviews = [record for record in watch.records if type(record).__name__ == "RowsReviewed"]
    assert [(one.epoch, one.estimate) for one in reviews] == [(1, 0.0), (2, 0.0)]
    assert watch.verdicts()["label_noise"].kind == "fine"
