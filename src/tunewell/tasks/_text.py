"""Texts into token ids, cut to length by choice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tunewell.data.cache import Encoded
from tunewell.data.example import Example
from tunewell.problems import DataError, ModelError, Problem


class TextEncoder:
    """A fast tokenizer with one way of cutting long texts.

    `truncation` is ``head``, ``tail``, ``head_tail`` (a third from the head, the rest from the tail) or ``refuse``.
    Special tokens are always kept; of two texts the longer one is cut first.
    """

    def __init__(self, tokenizer: Any, max_length: int, truncation: str) -> None:
        self.backend: Any = getattr(tokenizer, "backend_tokenizer", None)
        if self.backend is None:
            raise ModelError(
                Problem(
                    "model",
                    f"{type(tokenizer).__name__} is not a fast tokenizer",
                    field="model",
                    fix="save it with tokenizer.json (AutoTokenizer converts most), or choose another model",
                )
            )
        if tokenizer.pad_token_id is None:
            if tokenizer.eos_token_id is None:
                raise ModelError(
                    Problem(
                        "model",
                        "the tokenizer has no padding token",
                        field="model",
                        fix="add one: tokenizer.add_special_tokens({'pad_token': '[PAD]'}) and save the model",
                    )
                )
            tokenizer.pad_token = tokenizer.eos_token
        self.backend.no_truncation()
        self.backend.no_padding()
        self.pad_id: int = tokenizer.pad_token_id
        self.has_type_ids = "token_type_ids" in tokenizer.model_input_names
        self.max_length, self.truncation = max_length, truncation

    def __call__(
        self, texts: Sequence[str], pairs: Sequence[str | None], places: Sequence[str]
    ) -> list[tuple[list[int], list[int] | None, bool]]:
        """Return (token ids, token type ids or None, was cut) of each text; `places` name rows in errors."""
        encodings = self._encodings(texts, pairs)
        if self.truncation == "refuse":
            self._refuse_longer(encodings, places)
        rows = []
        for encoding in encodings:
            too_long = len(encoding) > self.max_length
            kept = self._kept(encoding) if too_long else None
            ids, types = encoding.ids, encoding.type_ids if self.has_type_ids else None
            if kept is not None:
                ids = [ids[i] for i in kept]
                types = [types[i] for i in kept] if types is not None else None
            rows.append((ids, types, too_long))
        return rows

    def count_longer(self, examples: Sequence[Example]) -> int:
        """Return how many of `examples` have more than `max_length` tokens."""
        encodings = self._encodings([e.text for e in examples], [e.text_pair for e in examples])
        return sum(len(encoding) > self.max_length for encoding in encodings)

    def _encodings(self, texts: Sequence[str], pairs: Sequence[str | None]) -> list[Any]:
        inputs = [text if pair is None else (text, pair) for text, pair in zip(texts, pairs, strict=True)]
        try:
            encodings: list[Any] = self.backend.encode_batch(inputs)
        except BaseException as error:  # a panic of the Rust library is no Exception
            if type(error).__name__ != "PanicException":
                raise
            what, fix = (
                f"the tokenizer can't encode: {error}",
                "its tokenizer.json is damaged: get the model again",
            )
            raise ModelError(Problem("model", what, field="model", fix=fix)) from error
        return encodings

    def _refuse_longer(self, encodings: Sequence[Any], places: Sequence[str]) -> None:
        problems = []
        for encoding, place in zip(encodings, places, strict=True):
            if len(encoding) > self.max_length:
                file, _, line = place.rpartition(":")
                what = f"the text of {len(encoding)} tokens is longer than max_length {self.max_length}"
                fix = "shorten it, or set data.truncation to head, tail or head_tail"
                problems.append(Problem("data", what, file, int(line), fix=fix))
        if problems:
            raise DataError(problems)

    def _kept(self, encoding: Any) -> list[int]:
        """Return the positions that stay of an encoding that is too long."""
        owner = encoding.sequence_ids
        special = [i for i, o in enumerate(owner) if o is None]
        content = [[i for i, o in enumerate(owner) if o == part] for part in (0, 1)]
        room = self.max_length - len(special)
        shorter, longer = sorted((0, 1), key=lambda part: len(content[part]))
        content[shorter] = self._cut(content[shorter], max(room // 2, room - len(content[longer])))
        content[longer] = self._cut(content[longer], room - len(content[shorter]))
        return sorted([*special, *content[0], *content[1]])

    def _cut(self, positions: list[int], size: int) -> list[int]:
        if len(positions) <= size:
            return positions
        if self.truncation == "head":
            return positions[:size]
        if self.truncation == "tail":
            return positions[len(positions) - size :]
        head = size // 3
        return positions[:head] + positions[len(positions) - (size - head) :]


def pad(rows: Sequence[list[int] | np.ndarray], value: int) -> Tensor:
    """Return the rows as one (batch, longest) int64 tensor, filled up on the right with `value`."""
    longest = max(len(row) for row in rows)
    table = np.full((len(rows), longest), value, dtype=np.int64)
    for i, row in enumerate(rows):
        table[i, : len(row)] = row
    return torch.from_numpy(table)


def collate_text(encoded: Encoded, indexes: np.ndarray, pad_id: int, has_type_ids: bool) -> dict[str, Tensor]:
    """Return ``input_ids``, ``attention_mask`` and, where the model has them, ``token_type_ids`` of rows `indexes`."""
    ids = [encoded.ids(int(i)) for i in indexes]
    input_ids = pad(ids, pad_id)
    lengths = torch.tensor([len(row) for row in ids])
    inputs = {
        "input_ids": input_ids,
        "attention_mask": (torch.arange(input_ids.shape[1]) < lengths[:, None]).long(),
    }
    if has_type_ids:
        types = [encoded.type_ids(int(i)) for i in indexes]
        if all(row is not None for row in types):
            inputs["token_type_ids"] = pad([row for row in types if row is not None], 0)
    return inputs
