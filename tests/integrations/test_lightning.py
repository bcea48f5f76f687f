"""The callback in a real Lightning Trainer on a small net."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tunewell import cli
from tunewell.inspections import Inspected
from tunewell.records import Acted, Ended, Eval, Finding, Record, Step

pytestmark = pytest.mark.slow


def fitted(callback: Any = None, change: Any = None, **arguments: Any) -> tuple[Any, Any]:
    """Train 3 epochs of 20 updates with `callback`, after `change` was made to the net; return module and trainer."""
    import lightning

    class Blobs(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 4))
            self.rate = 3e-3
            self.in_evaluation = False

        def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
            if self.in_evaluation:
                self.net.eval()
            return F.cross_entropy(self.net(batch[0]), batch[1])

        def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
            outputs = self.net(batch[0])
            self.log("val_loss", F.cross_entropy(outputs, batch[1]))
            self.log("val_acc", (outputs.argmax(1) == batch[1]).float().mean())

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=self.rate)

    # Its messages go to the stream that was standard error when it was imported, which may be closed by now.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    targets = torch.arange(320) % 4
    inputs = torch.randn(4, 8)[targets] + torch.randn(320, 8)
    sets = torch.utils.data.TensorDataset(inputs, targets)
    module = Blobs()
    if change is not None:
        change(module)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = lightning.Trainer(
            max_epochs=3, accelerator="cpu", num_sanity_val_steps=0, logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, callbacks=[] if callback is None else [callback], **arguments,
        )  # fmt: skip
        loader = torch.utils.data.DataLoader(sets, 16, shuffle=True)
        trainer.fit(module, loader, torch.utils.data.DataLoader(sets, 160))
    return module, trainer


def codes(records: list[Record]) -> set[str]:
    return {record.code for record in records if isinstance(record, Finding) and record.severity != "info"}


def test_one_line_watches_a_sound_training_and_leaves_a_run_that_why_and_runs_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tunewell.integrations.lightning import TunewellCallback

    monkeypatch.chdir(tmp_path)
    callback = TunewellCallback(name="blobs")
    fitted(callback, gradient_clip_val=1.0)
    assert callback.watch is not None
    records = callback.watch.records
    assert codes(records) == set()
    steps = [record for record in records if isinstance(record, Step)]
    assert len(steps) == 60
    assert all(step.learning_rate == 3e-3 and step.gradient_norm > 0 and step.rows == 16 for step in steps)
    assert [set(record.metrics) for record in records if isinstance(record, Eval)] == [{"accuracy"}] * 3
    assert all(record.in_training == [] for record in records if isinstance(record, Eval))
    look = next(record for record in records if isinstance(record, Inspected))
    assert (look.stale_gradient, look.in_evaluation, look.output_layer) == (0.0, [], "net.3")
    assert isinstance(records[-1], Ended)
    assert cli.main(["why", "blobs"]) == 0
    assert "no fault was seen" in capsys.readouterr().out.replace("\n", " ")
    assert cli.main(["runs"]) == 0
    assert "completed" in capsys.readouterr().out


def test_a_watched_training_is_bit_equal_to_an_unwatched_one() -> None:
    from tunewell.integrations.lightning import TunewellCallback

    watched, _ = fitted(TunewellCallback(folder=None), accumulate_grad_batches=2)
    alone, _ = fitted(accumulate_grad_batches=2)
    for one, other in zip(watched.parameters(), alone.parameters(), strict=True):
        assert torch.equal(one, other)


def frozen_head(module: Any) -> None:
    module.net[3].requires_grad_(False)


def in_evaluation_mode(module: Any) -> None:
    module.in_evaluation = True


@pytest.mark.parametrize(
    ("code", "change"),
    [("frozen_head", frozen_head), ("training_in_evaluation_mode", in_evaluation_mode)],
)
def test_planted_faults_are_named(code: str, change: Any) -> None:
    from tunewell.integrations.lightning import TunewellCallback

    callback = TunewellCallback(folder=None)
    fitted(callback, change)
    assert callback.watch is not None
    assert code in codes(callback.watch.records)


def test_a_policy_acts_and_ends_the_training() -> None:
    from tunewell.integrations.lightning import TunewellCallback

    callback = TunewellCallback(folder=None, policy="autopilot")
    module, _ = fitted(callback, frozen_head)
    assert callback.watch is not None
    acted = [r for r in callback.watch.records if isinstance(r, Acted) and r.outcome == "applied"]
    assert "Unfreeze" in {type(record.action).__name__ for record in acted}
    assert module.net[3].weight.requires_grad

    callback = TunewellCallback(folder=None, on={"frozen_head": "stop"})
    _, trainer = fitted(callback, frozen_head, min_epochs=1)
    assert callback.watch is not None
    assert trainer.global_step < 60
    assert isinstance(callback.watch.records[-1], Ended)
    assert callback.watch.records[-1].status == "stopped"


def test_an_error_ends_the_record() -> None:
    from tunewell.integrations.lightning import TunewellCallback

    def broken(module: Any) -> None:
        module.net[3] = nn.Linear(7, 4)

    callback = TunewellCallback(folder=None)
    with pytest.raises(RuntimeError, match="shapes"):
        fitted(callback, broken)
    assert callback.watch is not None
    ended = callback.watch.records[-1]
    assert isinstance(ended, Ended)
    assert ended.status == "failed"
    assert ended.reason.startswith("RuntimeError: mat1 and mat2 shapes")
