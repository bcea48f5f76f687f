"""Which layer each parameter belongs to: `embeddings`, `layer.0` … `layer.N-1`, `head`, from input to output."""

from __future__ import annotations

from typing import Any

from torch import nn

EMBEDDINGS, HEAD = "embeddings", "head"


def layer_by_parameter(model: nn.Module) -> dict[str, str]:
    """Return the layer name of every parameter of a transformers model, in the model's order.

    The repeated blocks are the longest list of modules in the base model (BERT's `encoder.layer`, GPT's `h` …).
    What stands outside the base model, and its pooler, is the head; the rest are embeddings.
    """
    base_name = getattr(model, "base_model_prefix", "")
    base = getattr(model, base_name, None) if base_name else None
    base = base if isinstance(base, nn.Module) else model
    prefix = f"{base_name}." if base is not model else ""
    blocks = _blocks(base)
    names = {}
    for name, _ in model.named_parameters():
        inner = name.removeprefix(prefix)
        if not name.startswith(prefix) or inner.startswith("pooler.") or (base is model and _is_head(inner)):
            names[name] = HEAD
        elif blocks and inner.startswith(f"{blocks}."):
            names[name] = f"layer.{inner.removeprefix(f'{blocks}.').split('.')[0]}"
        else:
            names[name] = EMBEDDINGS
    return names


def layer_order(layers: dict[str, str]) -> list[str]:
    """Return the distinct layer names from input to output."""
    blocks = sorted(
        {n for n in layers.values() if n.startswith("layer.")}, key=lambda n: int(n.split(".")[1])
    )
    return [EMBEDDINGS, *blocks, HEAD]


def word_embeddings(model: nn.Module) -> nn.Embedding | None:
    """Return the token embedding table, or None for a model without one."""
    ask: Any = getattr(model, "get_input_embeddings", None)
    table = ask() if ask is not None else None
    return table if isinstance(table, nn.Embedding) else None


def _blocks(base: nn.Module) -> str:
    lists = [
        (name, len(module)) for name, module in base.named_modules() if isinstance(module, nn.ModuleList)
    ]
    outermost = [
        (name, size) for name, size in lists if not any(name.startswith(f"{other}.") for other, _ in lists)
    ]
    return max(outermost, key=lambda item: item[1])[0] if outermost else ""


def _is_head(name: str) -> bool:
    return name.split(".", 1)[0] in {"classifier", "score", "head", "lm_head", "pre_classifier", "qa_outputs"}
