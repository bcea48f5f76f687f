"""Weights & Biases: online where you are logged in, otherwise files that `wandb sync` uploads."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from typing import Any, ClassVar

from tunewell.runs.forwarding import Item, Message, Opening, Point

_STEP = "train/global_step"
_LEVELS = {"info": "INFO", "warning": "WARN", "critical": "ERROR"}


class Wandb:
    """Logs to the project of ``WANDB_PROJECT``, or `tunewell`; findings are alerts.

    Without ``WANDB_MODE`` and without an account on this machine it stays offline and never asks for a key.
    """

    library: ClassVar[str] = "wandb"

    def __init__(self, run: Opening) -> None:
        import wandb

        mode: Any = os.environ.get("WANDB_MODE")
        if mode is None:
            mode = "online" if wandb.login(prompt=False) else "offline"
        name = run.remembered("wandb") or uuid.uuid4().hex[:8]
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "tunewell"),
            name=run.name,
            id=name,
            resume="allow",
            dir=str(run.folder),
            config=run.settings,
            mode=mode,
            settings=wandb.Settings(silent=True, console="off"),
        )
        run.remember("wandb", name)
        # Steps repeat after a rollback, and wandb's own counter may not: the step is a number like others.
        self._run.define_metric(_STEP)
        self._run.define_metric("*", step_metric=_STEP)

    def take(self, items: Sequence[Item]) -> None:
        """Log `items`."""
        for one in items:
            if isinstance(one, Point):
                self._run.log({**one.values, _STEP: one.step})
            elif isinstance(one, Message):
                self._run.alert(title=one.title[:64], text=one.text, level=_LEVELS[one.level])

    def close(self, status: str) -> None:
        """Finish the run there; one that only paused can be gone on with."""
        if status not in {"completed", "stopped"}:
            self._run.summary["status"] = status
        self._run.finish(exit_code=1 if status == "failed" else 0)
