"""Our attention on processors is transformers' eager attention: outputs and gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    ElectraConfig,
    GPT2Config,
    LlamaConfig,
    RobertaConfig,
)

from tunewell.models.attention import NAME, fast_attention

SMALL = {
    "vocab_size": 40,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "pad_token_id": 0,
    "initializer_range": 0.2,
}
CONFIGS: dict[str, Any] = {
    "bert": BertConfig(**SMALL),
    "roberta": RobertaConfig(**SMALL, max_position_embeddings=40),
    "electra": ElectraConfig(**SMALL, embedding_size=16),
    "distilbert": DistilBertConfig(
        vocab_size=40, dim=32, n_layers=2, n_heads=4, hidden_dim=48, dropout=0.0, attention_dropout=0.0
    ),
    "gpt2": GPT2Config(
        vocab_size=40,
        n_embd=32,
        n_layer=2,
        n_head=4,
        attn_pdrop=0.0,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        pad_token_id=0,
    ),
    "llama": LlamaConfig(**SMALL, num_key_value_heads=2),
}


def outputs_and_gradients(config: Any, attention: str, padded: bool) -> dict[str, Tensor]:
    torch.manual_seed(1)
    model = AutoModelForSequenceClassification.from_config(config, attn_implementation=attention)
    model.train()
    ids = torch.randint(1, 40, (3, 11))
    mask = torch.ones_like(ids)
    if padded:
        mask[0, 4:] = mask[2, 9:] = 0
        ids = ids * mask
    logits = model(input_ids=ids, attention_mask=mask).logits
    logits.square().sum().backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {"logits": logits.detach(), **gradients}


CASES = [pytest.param(name, padded) for name in CONFIGS for padded in (False, True)]


@pytest.mark.parametrize(("name", "padded"), CASES)
def test_equals_eager_attention(name: str, padded: bool) -> None:
    config = CONFIGS[name]
    chosen = fast_attention(AutoModelForSequenceClassification, config, "cpu")
    expected = outputs_and_gradients(config, "eager", padded)
    found = outputs_and_gradients(config, chosen or "eager", padded)
    assert found.keys() == expected.keys()
    for key, tensor in expected.items():
        torch.testing.assert_close(found[key], tensor, rtol=1e-5, atol=1e-5)


def test_encoders_get_it_on_a_processor_and_nothing_gets_it_elsewhere() -> None:
    for name in ("bert", "roberta", "electra", "distilbert"):
        assert fast_attention(AutoModelForSequenceClassification, CONFIGS[name], "cpu") == NAME
        assert fast_attention(AutoModelForSequenceClassification, CONFIGS[name], "cuda") is None


def test_dropout_of_the_probabilities_is_drawn_as_eager_attention_draws_it() -> None:
    config = BertConfig(**{**SMALL, "attention_probs_dropout_prob": 0.4})
    results = []
    for attention in ("eager", NAME):
        torch.manual_seed(1)
        model: nn.Module = BertForSequenceClassification._from_config(config, attn_implementation=attention)
        model.train()
        torch.manual_seed(2)
        results.append(model(input_ids=torch.arange(1, 9).reshape(2, 4)).logits)
        model.eval()
        results.append(model(input_ids=torch.arange(1, 9).reshape(2, 4)).logits)
    eager, eager_eval, ours, ours_eval = results
    torch.testing.assert_close(ours, eager, rtol=0, atol=1e-5)
    torch.testing.assert_close(ours_eval, eager_eval, rtol=0, atol=1e-5)
    assert not torch.allclose(ours, ours_eval, atol=1e-3)


def test_a_model_that_was_loaded_with_it_is_saved_without_a_trace(tmp_path: Path) -> None:
    model = BertForSequenceClassification._from_config(CONFIGS["bert"], attn_implementation=NAME)
    model.save_pretrained(tmp_path)
    assert NAME not in (tmp_path / "config.json").read_text()
