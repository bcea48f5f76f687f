"""What a watched run begins with: what can't be watched, where it computes, what it is called."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from torch.optim import LBFGS, Optimizer

from tunewell.problems import Problem, RunError
from tunewell.training.device import Compute, torch_facts


def refuse_unusable(model: object, optimizer: object) -> None:
    """Raise `RunError` where these can't be watched."""
    if not isinstance(model, nn.Module):
        raise RunError(Problem("run", f"a model is a torch.nn.Module, and this is {type(model).__name__}"))
    if not isinstance(optimizer, Optimizer):
        what = f"an optimizer is a torch.optim.Optimizer, and this is {type(optimizer).__name__}"
        raise RunError(Problem("run", what))
    if isinstance(optimizer, LBFGS):
        what = "LBFGS computes its loss many times within one step, so its updates can't be told apart"
        raise RunError(Problem("run", what, fix="watch a training by another optimizer, such as AdamW"))


def computes_on(parameters: Sequence[nn.Parameter]) -> dict[str, str]:
    """Return where a model of these parameters computes, for the fingerprint."""
    device = parameters[0].device if parameters else torch.device("cpu")
    precision = str(parameters[0].dtype).removeprefix("torch.") if parameters else "fp32"
    return torch_facts(Compute(device, precision))


def stem_of(name: str | None) -> str:
    """Return what a run is called: `name`, or the script that trains."""
    if name is not None:
        return name
    script = Path(sys.argv[0]).stem if sys.argv and sys.argv[0] else ""
    return script.lstrip("-_") or "watched"
