"""Logs, run folders and command lines for the fuzzer: real ones, broken in every way, and what must hold of each."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import strategies as st

from benchmarks.reliability.fuzz_cases import ROWS, Surface, mutated, valid
from benchmarks.reliability.tiny import make_tiny_bert, tiny_recipe, write_reviews

CODES = {0, 1, 2, 3, 130, 143}
"""What a verb may exit with; 1: a run that failed, or one that `verify` finds damaged."""
_RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What must not reach the screen from an input."""


def surfaces(folder: Path) -> list[Surface]:
    """Train a tiny run in `folder` and return the surfaces of what lies in its folder, and of the command line."""
    from tunewell.training import driver

    recipe = tiny_recipe(folder, make_tiny_bert(folder / "model"), max_steps=6, save_steps=2, probe_steps=2)
    list(driver.train(recipe, folder))
    run = (folder / "run").rename(folder / "kept-run")
    return [
        Surface("logs", mutated((run / "log.jsonl").read_bytes()), _feed_log(folder)),
        Surface("records", _record_lists(run), _feed_log(folder)),
        Surface("run folders", _changes(run), _feed_run(folder, run)),
        Surface("model folders", _changes(folder / "model"), _feed_model(folder)),
        Surface("model settings", _changed_settings(folder / "model"), _feed_model(folder)),
        Surface("command line", _command_lines(), _feed_command(folder, run)),
    ]


def _record_lists(run: Path) -> st.SearchStrategy[bytes]:
    """Return logs of real records in any order, some with a field that is another value or gone."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    leaf = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=5)
        | st.sampled_from([[], {}, "\x1b[2J\u202e"])
    )

    def changed(drawn: tuple[dict[str, Any], int, Any, bool]) -> dict[str, Any]:
        record, which, value, is_changed = drawn
        key = list(record)[which % len(record)]
        return {**record, key: value} if is_changed else record

    record = st.tuples(st.sampled_from(lines), st.integers(0, 30), leaf, st.booleans()).map(changed)
    return st.lists(record, max_size=12).map(lambda found: valid("jsonl", found) if found else b"")


def _feed_log(folder: Path) -> Callable[[bytes], None]:
    from tunewell.runs import log as logs
    from tunewell.runs import story
    from tunewell.runs.summary import list_runs, summarize
    from tunewell.runs.timeline import curve, timeline

    root = folder / "logged" / "runs"
    (root / "one").mkdir(parents=True, exist_ok=True)

    def feed(content: bytes) -> None:
        shutil.rmtree(root / "one")
        (root / "one").mkdir()
        (root / "one" / "log.jsonl").write_bytes(content)
        assert len(list_runs(root)) == 1
        summarize(root / "one")
        records = list(logs.read(root / "one" / "log.jsonl"))
        timeline(records)
        curve(records, "loss")
        assert story.as_text(story.why(records))
        for tokens in (["why", "one"], ["runs", "runs"]):
            _check_screen(tokens, root.parent)

    return feed


def _changes(run: Path) -> st.SearchStrategy[list[tuple[str, bytes | None]]]:
    """Return files of a folder by name, each with other content, or None: it is gone."""
    files = [path for path in sorted(run.rglob("*")) if path.is_file()]
    change = st.one_of(
        [
            st.tuples(
                st.just(path.relative_to(run).as_posix()), st.none() | mutated(path.read_bytes()[:100_000])
            )
            for path in files
        ]
    )
    return st.lists(change, min_size=1, max_size=3)


def _changed_settings(model: Path) -> st.SearchStrategy[list[tuple[str, bytes | None]]]:
    """Return settings of a model's JSON files with some values that are others."""
    values = st.sampled_from(
        [None, True, -1, 0, 1, 7, 10**6, 10**9, 1e308, "", "relu", "x", [], [1], {}, {"a": 1}]
    )
    found = []
    for name in ("config.json", "tokenizer_config.json"):
        settings = json.loads((model / name).read_text())
        keys = st.sampled_from([*settings, "auto_map", "quantization_config", "num_labels", "rope_scaling"])
        changes = st.dictionaries(keys, values, min_size=1, max_size=3)
        contents = changes.map(
            lambda changed, settings=settings: json.dumps({**settings, **changed}).encode()
        )
        found.append(st.tuples(st.just(name), contents))
    return st.lists(st.one_of(found), min_size=1, max_size=2)


def _feed_run(folder: Path, run: Path) -> Callable[[list[tuple[str, bytes | None]]], None]:
    from tunewell.runs import checkpoints, story
    from tunewell.runs import folder as run_folders
    from tunewell.runs import log as logs
    from tunewell.runs.summary import list_runs, summarize
    from tunewell.runs.verify import outlook, verify

    root = folder / "changed" / "runs"

    def feed(changes: list[tuple[str, bytes | None]]) -> None:
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(run, root / "one")
        _apply(changes, root / "one")
        assert len(list_runs(root)) <= 1
        found = run_folders.find(str(root / "one"))
        summarize(found.path)
        parts = verify(found, repair=True)
        assert outlook(found, parts).text
        checkpoints.newest_valid(found.checkpoints)
        if found.log.is_file():
            assert story.as_text(story.why(list(logs.read(found.log))))
        for tokens in (["why", "one"], ["runs", "runs"], ["verify", "one"], ["pin", "one"]):
            _check_screen(tokens, root.parent)

    return feed


def _feed_model(folder: Path) -> Callable[[list[tuple[str, bytes | None]]], None]:
    from tunewell.training import setup

    changed = folder / "changed-model"
    rows = write_reviews(folder / "few.jsonl", 24)

    def feed(changes: list[tuple[str, bytes | None]]) -> None:
        shutil.rmtree(changed, ignore_errors=True)
        shutil.copytree(folder / "model", changed)
        _apply(changes, changed)
        recipe = tiny_recipe(folder, changed, {"train": str(rows), "validation": None})
        setup.build_weights(setup.prepare_run(recipe, folder))

    return feed


def _apply(changes: list[tuple[str, bytes | None]], folder: Path) -> None:
    for name, content in changes:
        if content is None:
            (folder / name).unlink(missing_ok=True)
        else:
            (folder / name).write_bytes(content)


def _command_lines() -> st.SearchStrategy[list[str]]:
    verbs = [
        "train", "check", "init", "predict", "evaluate", "resume", "runs", "schema", "why", "verify", "pin", "branch",
    ]  # fmt: skip
    words = [
        "r.yaml", "none.yaml", "a.csv", "runs", "one", "runs/one", "one@2", "one@best", "one@x", "@", ".", "..", "",
        "--set", "seed=1", "data.train=a.csv", "=", "--name", "../x", "--json", "--help", "--version", "--out", "x.yaml",
        "--dry-run", "--skip-bad", "--max-length", "-1", "1e9", "--text", "text", "--file", "--remove", "--bad", "-x",
        "--tokenizer", "hub:x", "csv:a.csv", "photos", "a" * 300, "\x1b[2J", "é", "\udcff", "--",
    ]  # fmt: skip
    word = st.sampled_from(words) | st.text(max_size=8)
    return st.tuples(st.sampled_from(verbs), st.lists(word, max_size=5)).map(lambda both: [both[0], *both[1]])


def _feed_command(folder: Path, run: Path) -> Callable[[list[str]], None]:
    kept, here = folder / "kept", folder / "here"
    (kept / "photos").mkdir(parents=True)
    shutil.copytree(run, kept / "runs" / "one")
    (kept / "r.yaml").write_text("model: ./nowhere\ndata: {train: a.csv}\ndevice: cpu\n")
    (kept / "a.csv").write_bytes(valid("csv", ROWS))

    def feed(tokens: list[str]) -> None:
        shutil.rmtree(here, ignore_errors=True)
        shutil.copytree(kept, here)
        _check_screen(tokens, here)

    return feed


def _check_screen(tokens: list[str], here: Path) -> None:
    """Run one command line in `here` and hold that it ends as it may and shows nothing raw."""
    code, shown = _run(tokens, here)
    assert code in CODES, code
    assert "did not expect" not in shown, shown[-2000:]
    assert "Traceback" not in shown, shown[-2000:]
    raw = next((found for found in _RAW.finditer(shown) if found[0] not in "".join(tokens)), None)
    assert raw is None, f"{raw!r} on the screen: {shown[-500:]!r}"


def _run(tokens: list[str], here: Path) -> tuple[int, str]:
    """Run one command line in `here`, with streams like a terminal's; return its exit code and what it shows."""
    from tunewell.cli import main

    out = io.TextIOWrapper(io.BytesIO(), "utf-8")
    err = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace")
    before = Path.cwd()
    os.chdir(here)
    try:
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            mock.patch("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a film\n"))),
        ):
            code = main(tokens)
    finally:
        os.chdir(before)
    out.flush()
    err.flush()
    return code, (out.buffer.getvalue() + err.buffer.getvalue()).decode("utf-8", "replace")
