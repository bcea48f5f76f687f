"""Texts into token ids: which end of a long text stays, alone and in pairs; padding."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from conftest import GOOD, tiny_tokenizer
from tunewell.problems import DataError, ModelError
from tunewell.tasks._text import TextEncoder, pad

CLS, SEP = 2, 3
WORDS = [
    "lovely",
    "superb",
    "moving",
    "warm",
    "clever",
    "rich",
    "dull",
    "clumsy",
    "tired",
    "empty",
    "noisy",
    "stale",
]


def ids_of(text: str) -> list[int]:
    return list(tiny_tokenizer().backend_tokenizer.encode(text, add_special_tokens=False).ids)


def encode(
    text: str, pair: str | None = None, *, length: int, truncation: str
) -> tuple[list[int], list[int], bool]:
    encoder = TextEncoder(tiny_tokenizer(), length, truncation)
    [(ids, types, cut)] = encoder([text], [pair], ["rows.jsonl:1"])
    assert types is not None
    return ids, types, cut


@pytest.mark.parametrize(
    ("truncation", "kept"),
    [("head", [0, 1, 2, 3, 4, 5]), ("tail", [6, 7, 8, 9, 10, 11]), ("head_tail", [0, 1, 8, 9, 10, 11])],
)
def test_which_end_stays(truncation: str, kept: list[int]) -> None:
    words = ids_of(" ".join(WORDS))
    ids, types, cut = encode(" ".join(WORDS), length=8, truncation=truncation)
    assert ids == [CLS, *(words[i] for i in kept), SEP]
    assert types == [0] * 8
    assert cut
    assert encode(" ".join(WORDS[:6]), length=8, truncation=truncation)[2] is False


@pytest.mark.parametrize("truncation", ["head", "tail", "head_tail"])
@given(first=st.integers(1, 20), second=st.integers(1, 20), length=st.integers(6, 30))
def test_of_a_pair_the_longer_is_cut_and_no_room_is_left_empty(
    truncation: str, first: int, second: int, length: int
) -> None:
    ids, types, cut = encode("film " * first, "plot " * second, length=length, truncation=truncation)
    film, plot = ids_of("film")[0], ids_of("plot")[0]
    firsts, seconds = ids.count(film), ids.count(plot)
    room = length - 3
    assert ids == [CLS, *[film] * firsts, SEP, *[plot] * seconds, SEP]
    assert types == [0] * (firsts + 2) + [1] * (seconds + 1)
    assert firsts + seconds == min(room, first + second)
    assert cut == (first + second > room)
    assert firsts >= min(first, room // 2)
    assert seconds >= min(second, room // 2)


def test_refusing_names_the_row() -> None:
    with pytest.raises(DataError, match="14 tokens is longer than max_length 8") as caught:
        encode(" ".join(WORDS), length=8, truncation="refuse")
    assert caught.value.problems[0].file == "rows.jsonl"
    assert encode(" ".join(WORDS), length=14, truncation="refuse")[2] is False


def without_pad(**special: str) -> Any:
    backend = tiny_tokenizer().backend_tokenizer
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]", **special)


def test_the_end_of_text_pads_where_there_is_no_padding() -> None:
    assert TextEncoder(without_pad(eos_token="[SEP]"), 8, "head").pad_id == SEP
    with pytest.raises(ModelError, match="no padding token") as caught:
        TextEncoder(without_pad(), 8, "head")
    assert "add_special_tokens" in caught.value.problems[0].fix


def test_a_slow_tokenizer_is_refused() -> None:
    with pytest.raises(ModelError, match="not a fast tokenizer"):
        TextEncoder(object(), 8, "head")


def test_a_tokenizer_that_panics_is_refused_in_words() -> None:
    facts = json.loads(tiny_tokenizer().backend_tokenizer.to_str())
    facts["post_processor"]["special_tokens"] = {}  # its template names what is not there
    damaged = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(facts)), pad_token="[PAD]", unk_token="[UNK]"
    )
    with pytest.raises(ModelError, match="the tokenizer can't encode: no entry found"):
        TextEncoder(damaged, 8, "head")(["a lovely film"], [None], ["rows.jsonl:1"])


def test_padding_is_on_the_right() -> None:
    padded = pad([[5, 6, 7], np.array([8], dtype=np.int32)], 9)
    assert torch.equal(padded, torch.tensor([[5, 6, 7], [8, 9, 9]]))


def test_type_ids_only_where_the_model_has_them() -> None:
    encoder = TextEncoder(without_pad(eos_token="[SEP]", model_input_names=["input_ids"]), 8, "head")
    [(ids, types, _)] = encoder([GOOD[0]], [None], ["x"])
    assert types is None
    assert len(ids) == 3
