"""Recipes and data for the fuzzer: valid ones of every kind, broken in every way, and what must hold of each."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tunewell.data.source import SMALL

ROWS = [{"text": f"some, \"text\" {i}\n'é'", "label": ["a", "b"][i % 2], "id": i} for i in range(8)]
CHATS = [
    {"messages": [{"role": "user", "content": f"what {i}?"}, {"role": "assistant", "content": "that"}]}
    for i in range(4)
]
RECIPES = [
    "data:\n  train: a.jsonl\nnum_epochs: 2\nlearning_rate: 1e-4\n",
    "model: minilm\ndata: {train: [a.csv, b.csv], validation: 0.2, labels: [neg, pos]}\nstages:\n"
    "  - train: head\n    num_epochs: 1\n  - {train: all, learning_rate: 2e-5}\nmonitors: {loss_spike: false}\n",
    "data:\n  train: a.jsonl\n  text: 'te''xt'\n  clean: [trim]\nclass_weights: {a: 1.5, b: .5}\nseed: 7\n",
]
PIECES = [
    b"", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\x80", b"\r", b"\n", b"\t", b" ", b'"', b"'", b",", b";", b":", b"- ",
    b"{", b"}", b"[", b"]", b"[" * 3000, b"{a: " * 50, b"&a ", b"*a", b"<<: *a", b"!!python/object:os.system ",
    b"---\n", b"...\n", b"%YAML 9\n", b"? ", b"| \n", b"#", b"null", b"~", b"no", b"012", b"1e999", b"-1", b"NaN",
    b".inf", b"9" * 5000, b"0x1f", b"1_0", b"true", b"\\ud800", b"\\u0000", b"\\u001b[2J\\u202e", b"\x1b[2J", b"\xe2\x80\xae", b"\xc2\x85",
    b"99999999999999999999", b"train", b"label", b"data", b"type", b"step", b'"type":"ended"', b"0" * 64,
]  # fmt: skip
"""Bytes that readers stumble over."""
YAML_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
    | st.sampled_from(["1e-4", "auto", "head", "top 2", "minilm", "a.csv", "hub:x", "no", "012", "x" * 500, "cuda:99"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@dataclass(frozen=True)
class Surface:
    """One kind of input: how to make one, and what is done with it."""

    name: str
    inputs: st.SearchStrategy[Any]
    feed: Callable[[Any], None]
    """Raises nothing but an `InputError`, whatever it is given."""


def mutated(*contents: bytes) -> st.SearchStrategy[bytes]:
    """Return one of `contents` with some bytes taken out, put in, turned over, or with its end cut off."""
    edit = st.tuples(
        st.floats(0, 1),
        st.sampled_from(PIECES) | st.binary(max_size=4),
        st.sampled_from([0, 0, 1, 2, 8, 100]),
    )

    def broken(drawn: tuple[bytes, list[tuple[float, bytes, int]], float]) -> bytes:
        content, edits, cut = drawn
        changed = bytearray(content)
        for share, inserted, removed in edits:
            start = int(share * len(changed))
            changed[start : start + removed] = inserted
        return bytes(changed[: int(cut * len(changed))] if cut < 1 else changed)

    cuts = st.just(1.0) | st.floats(0, 1)
    return st.tuples(st.sampled_from(contents), st.lists(edit, max_size=5), cuts).map(broken)


def surfaces(folder: Path) -> list[Surface]:
    """Return the surfaces of recipes and data; `folder` is where their files are written, again and again."""
    return [
        Surface("recipe bytes", mutated(*(text.encode() for text in RECIPES)), _feed_recipe(folder)),
        Surface("recipe values", _recipe_values(), _feed_values),
        Surface("recipe overrides", st.lists(_override(), max_size=4), _feed_overrides(folder)),
        Surface("data bytes", _data_files(), _feed_data(folder)),
        Surface("data values", _data_values(), _feed_data(folder)),
        Surface("packed data", _packed_files(), _feed_data(folder)),
        Surface("chats", _chat_files(), _feed_chats(folder)),
        Surface("images", _image_files(), _feed_images(folder)),
        Surface("recordings", _audio_files(), _feed_audio(folder)),
    ]


def _feed_recipe(folder: Path) -> Callable[[bytes], None]:
    from tunewell.document import load_document

    def feed(content: bytes) -> None:
        (folder / "r.yaml").write_bytes(content)
        _round_trip(load_document(folder / "r.yaml").recipe)

    return feed


def _round_trip(recipe: Any) -> None:
    from tunewell.document import dump_recipe, parse_recipe

    assert parse_recipe(dump_recipe(recipe), "again") == recipe


def _recipe_values() -> st.SearchStrategy[Any]:
    from tunewell.recipe import ALIASES, Data, Recipe

    values = YAML_VALUES | st.integers(1, 99) | st.floats(0, 1, exclude_max=True) | st.none() | st.booleans()
    data = st.dictionaries(st.sampled_from([*Data.model_fields, "x"]), values, max_size=3)
    keys = st.sampled_from([*Recipe.model_fields, *ALIASES, "x"])
    whole = st.dictionaries(keys, values, max_size=4)
    return st.tuples(whole, data).map(lambda both: {**both[0], "data": {"train": "a.csv", **both[1]}})


def _feed_values(values: Any) -> None:
    from tunewell.document import dump_value, parse_recipe

    _round_trip(parse_recipe(dump_value(values), "r.yaml"))


def _override() -> st.SearchStrategy[str]:
    keys = st.sampled_from(
        ["seed", "data.train", "stages.0.train", "stages", "data", "a.b.c", "monitors.plateau", ""]
    )
    return st.tuples(keys, st.sampled_from(["=", "", "=="]), st.text(max_size=12)).map("".join)


def _feed_overrides(folder: Path) -> Callable[[list[str]], None]:
    from tunewell.document import load_document

    def feed(overrides: list[str]) -> None:
        (folder / "r.yaml").write_text(RECIPES[1])
        _round_trip(load_document(folder / "r.yaml", overrides).recipe)

    return feed


def valid(suffix: str, rows: list[dict[str, Any]]) -> bytes:
    if suffix == "jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    if suffix == "json":
        return json.dumps({"rows": rows}, indent=1).encode()
    if suffix == "parquet":
        import pyarrow
        import pyarrow.parquet

        sink = pyarrow.BufferOutputStream()
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), sink)
        return bytes(sink.getvalue().to_pybytes())
    separator = "," if suffix == "csv" else "\t"
    quoted = [['"' + str(value).replace('"', '""') + '"' for value in row.values()] for row in rows]
    return "\n".join(separator.join(fields) for fields in [list(rows[0]), *quoted]).encode()


_OPTIONS = st.fixed_dictionaries(
    {"skip_bad": st.booleans(), "leakage": st.sampled_from(["block", "drop", "allow"])},
    optional={
        "validation": st.none() | st.floats(0.01, 0.9),
        "clean": st.just(["strip_html", "normalize_unicode", "collapse_spaces"]),
        "labels": st.just(["a", "b"]),
        "max_rows": st.integers(1, 5),
        "drop_duplicates": st.booleans(),
        "id": st.just("id"),
    },
)
"""Settings of a recipe's `data`."""
_PROBLEMS = st.sampled_from([None, "single_label", "multi_label", "regression"])


def _data_files() -> st.SearchStrategy[Any]:
    return st.one_of(
        [
            st.tuples(st.just(f"a.{suffix}"), mutated(valid(suffix, ROWS)), _OPTIONS, _PROBLEMS)
            for suffix in ("jsonl", "json", "csv", "tsv", "parquet")
        ]
        + [
            st.tuples(
                st.just("a.csv"), st.text(max_size=60).map(lambda t: t.encode("utf-16")), _OPTIONS, _PROBLEMS
            )
        ]
    )


def _data_values() -> st.SearchStrategy[Any]:
    value = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["a", "b", "1"]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
        max_leaves=4,
    )  # fmt: skip
    odd = st.dictionaries(
        st.sampled_from(["text", "label", "id", "x"]) | st.text(max_size=3), value, max_size=4
    )
    labels = st.sampled_from(["a", "b", "A ", "1", "1.0", 1, 0, 2.5, None, "-1", ["a"], "a|b", True])
    sound = st.tuples(st.text(min_size=1, max_size=12), labels).map(
        lambda row: {"text": row[0], "label": row[1]}
    )
    rows = st.lists(sound | sound | sound | odd, min_size=1, max_size=16)
    return st.tuples(st.just("a.jsonl"), rows.map(lambda found: valid("jsonl", found)), _OPTIONS, _PROBLEMS)


def _packed_files() -> st.SearchStrategy[Any]:
    content = valid("jsonl", ROWS)
    bomb = b" " * (SMALL + (8 << 20))
    packed = {
        "a.jsonl.gz": [gzip.compress(content), gzip.compress(bomb, 1)],
        "a.jsonl.xz": [lzma.compress(content), lzma.compress(bomb, preset=0)],
    }
    named = [
        st.tuples(st.just(name), st.sampled_from(whole) | mutated(*whole), _OPTIONS, _PROBLEMS)
        for name, whole in packed.items()
    ]
    other = st.tuples(st.just("a.jsonl.gz"), mutated(bz2.compress(content)), _OPTIONS, _PROBLEMS)
    return st.one_of(named) | other | st.tuples(st.just("a.parquet"), _parquet_bombs(), _OPTIONS, _PROBLEMS)


def _parquet_bombs() -> st.SearchStrategy[bytes]:
    import pyarrow
    import pyarrow.parquet

    sink = pyarrow.BufferOutputStream()
    many = pyarrow.array(["a" * 1000]).take(pyarrow.array([0] * 300_000))
    table = pyarrow.table({"text": many.dictionary_encode(), "label": many.dictionary_encode()})
    pyarrow.parquet.write_table(pyarrow.concat_tables([table] * 10), sink, compression="zstd")
    return mutated(sink.getvalue().to_pybytes())


def _feed_data(folder: Path) -> Callable[[Any], None]:
    from tunewell.data.prepare import prepare
    from tunewell.document import dump_value, parse_recipe

    def feed(case: tuple[str, bytes, dict[str, Any], str | None]) -> None:
        name, content, options, problem = case
        (folder / name).write_bytes(content)
        recipe = parse_recipe(dump_value({"data": {"train": name, **options}, "problem": problem}), "r.yaml")
        dataset = prepare(recipe, folder)
        assert dataset.ledger.lines()
        read = sum(split.read for split in dataset.ledger.splits.values())
        dropped = sum(found.count for s in dataset.ledger.splits.values() for found in s.dropped.values())
        assert read == dropped + sum(map(len, dataset.splits.values()))

    return feed


def _chat_files() -> st.SearchStrategy[bytes]:
    leaf = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
    turn = st.fixed_dictionaries(
        {},
        optional={
            "role": st.sampled_from(["user", "assistant", "system", "tool", "gpt", "humn", "User "]) | leaf,
            "from": leaf,
            "content": leaf | st.lists(st.fixed_dictionaries({"text": leaf}) | leaf, max_size=2),
            "tool_calls": st.just([1]),
        },
    )
    turns = st.lists(turn | leaf, max_size=5) | leaf
    row = st.one_of(
        [st.fixed_dictionaries({name: turns}) for name in ("messages", "conversations")]
        + [st.fixed_dictionaries({"prompt": turns, "completion": turns, "input": leaf})]
    )
    rows = st.lists(row, min_size=1, max_size=5).map(lambda found: valid("jsonl", found))
    return rows | mutated(valid("jsonl", CHATS))


def _feed_chats(folder: Path) -> Callable[[bytes], None]:
    from tunewell.data.chat import check_chats
    from tunewell.data.read import read

    def feed(content: bytes) -> None:
        (folder / "chats.jsonl").write_bytes(content)
        tables = read([str(folder / "chats.jsonl")], folder, skip_bad=True)
        found = check_chats(tables, skip_bad=True, count=lambda texts: [len(t) for t in texts], max_length=8)
        assert found.read == found.kept + sum(places.count for places in found.dropped.values())
        assert found.lines()

    return feed


def _image_files() -> st.SearchStrategy[tuple[str, bytes]]:
    from PIL import Image

    wholes = []
    for suffix, kind in (
        ("jpg", "JPEG"), ("png", "PNG"), ("gif", "GIF"), ("bmp", "BMP"), ("webp", "WEBP"), ("tiff", "TIFF"),
    ):  # fmt: skip
        for mode in ("RGB", "L", "P", "RGBA", "CMYK", "1"):
            sink = io.BytesIO()
            try:
                Image.effect_noise((24, 16), 60).convert("RGB").convert(mode).save(sink, kind)
            except (OSError, ValueError):
                continue  # a mode that the format does not know
            wholes.append((f"a.{suffix}", sink.getvalue()))
    return st.one_of([st.tuples(st.just(name), mutated(content)) for name, content in wholes])


def _feed_images(folder: Path) -> Callable[[tuple[str, bytes]], None]:
    from tunewell.data.images import read_image

    def feed(case: tuple[str, bytes]) -> None:
        name, content = case
        (folder / name).write_bytes(content)
        pixels, _ = read_image(folder / name)
        assert (pixels.ndim, pixels.shape[2], str(pixels.dtype)) == (3, 3, "uint8")

    return feed


def _audio_files() -> st.SearchStrategy[tuple[str, bytes]]:
    import numpy as np
    import soundfile

    wholes = []
    for suffix in ("wav", "flac", "ogg", "mp3"):
        sink = io.BytesIO()
        noise = np.random.default_rng(0).normal(0, 0.1, (2000, 2))
        soundfile.write(sink, noise, 8000, format=suffix)
        wholes.append((f"a.{suffix}", sink.getvalue()))
    long = bytearray(wholes[0][1])
    long[40:44] = struct.pack("<I", 0x7FFFFFF0)
    wholes.append(("a.wav", bytes(long)))
    return st.one_of([st.tuples(st.just(name), mutated(content)) for name, content in wholes])


def _feed_audio(folder: Path) -> Callable[[tuple[str, bytes]], None]:
    from tunewell.data.audio import read_audio

    def feed(case: tuple[str, bytes]) -> None:
        name, content = case
        (folder / name).write_bytes(content)
        mono, _ = read_audio(folder / name)
        assert (mono.ndim, str(mono.dtype)) == (1, "float32")

    return feed
