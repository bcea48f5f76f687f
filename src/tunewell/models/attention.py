"""Attention for processors: plain matrix products, which PyTorch's fused CPU kernel is slower than when training.

The fused kernel recomputes the scores in its backward pass without the processor's bf16 matrix instructions; on
2 cores with AVX512-BF16 a MiniLM training step takes 1.3 to 1.7 times as long with it. Where memory is no
concern, keeping the probabilities and multiplying plainly is the faster way. Same mathematics: softmax(QKᵀ·s + mask)V.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import sdpa_mask

NAME = "tunewell_cpu"


def fast_attention(auto_class: Any, config: Any, device: str) -> str | None:
    """Return the attention implementation to ask transformers for, or None for the model's default."""
    if not device.startswith("cpu"):
        return None
    try:
        model_class = auto_class._model_mapping[type(config)]
    except (AttributeError, KeyError):
        return None
    return NAME if getattr(model_class, "_supports_attention_backend", False) else None


class _Attention(torch.autograd.Function):
    """softmax(q kᵀ · scale + mask) v for (batch · heads, length, size) tensors, in place where that is safe."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float) -> Tensor:
        batch, heads, queries, size = q.shape
        q, k, v = (t.reshape(batch * heads, t.shape[2], size) for t in (q, k, v))
        scores = torch.bmm(q, k.transpose(1, 2)).mul_(scale)
        if mask is not None:
            scores.view(batch, heads, queries, -1).add_(mask)
        weights = torch.softmax(scores, -1, out=scores) if not scores.requires_grad else scores.softmax(-1)
        ctx.save_for_backward(q, k, v, weights)
        ctx.scale, ctx.shape = scale, (batch, heads)
        return torch.bmm(weights, v).view(batch, heads, queries, size)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, weights = ctx.saved_tensors
        grad = gradients[0].reshape(q.shape)
        grad_v = torch.bmm(weights.transpose(1, 2), grad)
        grad_weights = torch.bmm(grad, v.transpose(1, 2))
        grad_scores = torch._softmax_backward_data(grad_weights, weights, -1, weights.dtype).mul_(ctx.scale)
        grad_q, grad_k = torch.bmm(grad_scores, k), torch.bmm(grad_scores.transpose(1, 2), q)
        batch, heads = ctx.shape
        return (*(t.view(batch, heads, -1, t.shape[-1]) for t in (grad_q, grad_k, grad_v)), None, None)


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention in transformers' interface: (batch, heads, length, size) in, (batch, length, heads, size) out."""
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = (t.repeat_interleave(groups, dim=1) for t in (key, value))
    if dropout > 0.0:
        scores = torch.matmul(query * scale, key.transpose(2, 3))
        weights = (scores if attention_mask is None else scores + attention_mask).softmax(-1)
        weights = torch.nn.functional.dropout(weights, dropout, training=module.training)
        mixed = torch.matmul(weights, value)
    else:
        mixed = _Attention.apply(query, key, value, attention_mask, scale)
    return mixed.transpose(1, 2), None


def additive_mask(*, dtype: torch.dtype = torch.float32, **where: Any) -> Tensor | None:
    """The mask as a number to add to the scores, or None when nothing is padded."""
    # A causal mask may be left out only where the attention is told that it is causal: `attend` is not.
    allowed = sdpa_mask(**{**where, "allow_is_causal_skip": False})
    if allowed is None:
        return None
    return torch.zeros((), dtype=dtype).masked_fill(~allowed, torch.finfo(dtype).min)


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, additive_mask)
