"""How new weights begin when not as the model's own code draws them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


def initialize(model: nn.Module, names: Sequence[str], method: str, seed: int) -> None:
    """Draw the parameters `names` anew by `method`: ``xavier``, ``kaiming`` or ``orthogonal``; biases become 0.

    Sources: Glorot & Bengio 2010 (uniform), He et al. 2015 (normal, fan in), Saxe et al. 2014. Normalisation
    weights (one dimension, not a bias) are left alone.
    """
    generator = torch.Generator().manual_seed(seed)
    draw = {
        "xavier": lambda weight: nn.init.xavier_uniform_(weight, generator=generator),
        "kaiming": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="linear", generator=generator),
        "orthogonal": lambda weight: nn.init.orthogonal_(weight, generator=generator),
    }[method]
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name in names:
            parameter = parameters.get(name)
            if parameter is None:
                continue
            if parameter.dim() >= 2:
                draw(parameter)
            elif name.endswith("bias"):
                parameter.zero_()
