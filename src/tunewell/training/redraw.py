"""New weights for layers that were not pre-trained."""

from __future__ import annotations

import torch

from tunewell.training.state import TrainState

USUAL_STD = 0.02
"""Standard deviation of new weights in the transformers family where a model's configuration names none."""


@torch.no_grad()
def redraw(state: TrainState, names: list[str]) -> float:
    """Draw the parameters `names` anew, as the model's own code draws new layers, and forget what the optimizer knows.

    Matrices are normal with the configuration's ``initializer_range``, biases 0, scales of normalisations 1. The numbers
    are a function of seed and position. Returns the root mean square of the new matrices, read back from the model.
    """
    std = float(getattr(getattr(state.model, "config", None), "initializer_range", USUAL_STD))
    seed = state.recipe.seed + 1_000_003 * state.progress.step + 7_919 * state.adjustments.cursor
    generator = torch.Generator().manual_seed(seed % 2**63)
    drawn = {}
    for name in names:
        master = state.weights.masters[name]
        if master.dim() >= 2:
            new = torch.empty(master.shape).normal_(0.0, std, generator=generator)
        else:
            new = torch.full(master.shape, 0.0 if name.endswith("bias") else 1.0)
        drawn[name] = new.to(master.device)
    state.weights.load({**{n: m.detach().clone() for n, m in state.weights.masters.items()}, **drawn})
    state.optimizers.forget(names)
    if state.average is not None:
        for name in set(names) & set(state.average):
            state.average[name].copy_(state.weights.masters[name])
    matrices = [state.weights.used[name].float().square().mean() for name in names if drawn[name].dim() >= 2]
    return float(torch.stack(matrices).mean().sqrt()) if matrices else 0.0
