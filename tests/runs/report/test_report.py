"""The report of a run: whole, self-contained, escaped, small, and made from the record alone."""

from __future__ import annotations

import html.parser
import math
import re
import time
from pathlib import Path

import pytest

from tunewell.actions import Rollback, ScaleLearningRate
from tunewell.inspections import DataCheck, DataChecked, RowsReviewed, Suspect, Tested
from tunewell.problems import RunError
from tunewell.records import (
    Acted,
    Committed,
    Effect,
    Ended,
    Eval,
    Finding,
    Note,
    Record,
    Rewound,
    Started,
    Step,
    encode,
)
from tunewell.runs.folder import RunFolder
from tunewell.runs.report import render, write

HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)>\u202e\x1b[31m'


def step(number: int, loss: float | None = None, cursor: int | None = None, **more: object) -> Step:
    return Step(
        time=1000.0 + number,
        step=number,
        cursor=number - 1 if cursor is None else cursor,
        epoch=number / 100,
        stage=0,
        loss=2.0 / (1 + number / 50) + 0.1 * math.sin(number) if loss is None else loss,
        learning_rate=1e-4,
        gradient_norm=1.0 + 0.5 * math.cos(number),
        max_grad_norm=1.0,
        rows=32,
        tokens=900,
        seconds=0.1,
        **more,  # type: ignore[arg-type]
    )


def evaluated(number: int, accuracy: float, split: str = "validation") -> Eval:
    right = round(100 * accuracy)
    return Eval(
        step=number,
        epoch=number / 100,
        split=split,
        loss=1 - accuracy,
        metrics={"accuracy": accuracy},
        rows=200,
        seconds=1.0,
        best=split == "validation",
        recalls={"bad": accuracy, "good": accuracy},
        class_rows={"bad": 100, "good": 100},
        confusion=[[right, 100 - right], [100 - right, right]],
    )


def beginning(name: str = "demo", total: int = 120) -> Started:
    return Started(
        time=1000.0,
        run=name,
        recipe_hash="12",
        data_hash="34",
        fingerprint={"python": "3.11", "device": "cpu"},
        total_steps=total,
        batches_per_epoch=100,
        num_rows={"train": 3200, "validation": 200},
        trainable_parameters=5,
        total_parameters=10,
        num_classes=2,
        class_counts={"good": 2000, "bad": 1200},
    )


def a_story() -> list[Record]:
    """A run that spikes, goes back, and recovers."""
    spike = Finding(
        step=60,
        monitor="loss_spike",
        code="loss_spike",
        severity="critical",
        summary="The loss rose to 9.0.",
        meaning="The weights may be harmed.",
        causes=["a bad batch"],
        advice=["lower `learning_rate`"],
        evidence={"curve": [1.0, 1.1, 9.0], "loss": 9.0},
        rows=[7],
    )
    action = Rollback(before=60, learning_rate_factor=0.5)
    return [
        beginning(),
        Tested(name="first_loss", passed=True, detail="The first loss is that of guessing."),
        DataChecked(checks={"duplicates": DataCheck(count=3, of=3200, detail="a.csv:3 = a.csv:9")}),
        evaluated(0, 0.5, "test"),
        evaluated(0, 0.5),
        *(step(number) for number in range(1, 51)),
        Committed(commit=0, step=50, folder="0000-step-50", bytes=1_000_000, seconds=0.1, reason="interval"),
        *(step(number) for number in range(51, 60)),
        step(60, loss=9.0, worst_rows=[(7, 280.0)]),
        spike,
        Acted(step=60, action=action, by="cautious", reason="because", outcome="applied", code="loss_spike"),
        Rewound(step=60, to_step=50, commit=0, reason="rollback"),
        *(step(number, cursor=number + 10) for number in range(51, 121)),
        Effect(
            step=80,
            acted_step=60,
            action=action,
            code="loss_spike",
            helped=True,
            measure="training loss",
            before=9.0,
            after=1.0,
            text="Training loss: 9 before, 1 now: it helped.",
        ),
        RowsReviewed(
            step=100, epoch=1, rows=3200, suspects=[Suspect(row=7, confidence=0.9)], expected=2.0, file="review.csv"
        ),
        evaluated(120, 0.9),
        Note(step=120, text="non finite: checked and fine: loss and gradient were finite", topic="verdict"),
        Note(step=120, text="plateau: could not be checked: it takes 4 evaluations", topic="verdict"),
        evaluated(120, 0.92, "test"),
        Ended(
            time=1200.0,
            step=120,
            status="completed",
            reason="all steps done",
            best_step=120,
            best_value=0.9,
            best_metric="accuracy",
            seconds=60.0,
        ),
    ]  # fmt: skip


def kept(folder: Path, records: list[Record]) -> RunFolder:
    folder.mkdir(parents=True, exist_ok=True)
    run = RunFolder(folder)
    run.log.write_bytes(b"".join(map(encode, records)))
    return run


class Page(html.parser.HTMLParser):
    """Collects the elements and the text of a page, and what it would load."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.outside: list[str] = []
        self.handlers: list[str] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in {"meta", "br", "img", "link", "circle", "path"}:
            self.open.append(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        self.outside += [
            str(value) for name, value in attrs if name in {"src", "href"} and not str(value).startswith("#")
        ]

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def test_it_tells_the_run(tmp_path):
    page = Page(render(kept(tmp_path / "demo", a_story())))
    for told in (
        "Completed at step 120 with 1 incident: loss spike at step 60 (training recovered).",
        "0.5 → 0.92",
        "The gain is more than chance.",
        "Loss spike at step 60",
        "recovered",
        "A bad batch",
        "rolled back to the last healthy checkpoint before step 60",
        "it helped",
        "Row 7",
        "Checked and fine (1)",
        "Could not be checked (1)",
        "First loss: The first loss is that of guessing.",
        "3 of 3,200 rows stood before (a.csv:3 = a.csv:9)",
        "told as good",
        "0000-step-50",
        "1.0 MB",
        "device",
        "Training rows by class",
        "1 row after epoch 1; chance alone would give about 2",
    ):
        assert told in page.text, told
    assert page.open in ([], ["html"], ["body", "html"])


def test_the_page_needs_nothing_else(tmp_path):
    page = Page(render(kept(tmp_path / "demo", a_story())))
    assert page.outside == []
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert "svg" in page.tags


def test_hostile_words_stay_words(tmp_path):
    records = a_story()
    finding = Finding(
        step=70,
        monitor="m",
        code="label_noise",
        severity="warning",
        summary=HOSTILE,
        meaning=f"`{HOSTILE}`",
        causes=[HOSTILE],
        advice=[HOSTILE],
        evidence={HOSTILE: [HOSTILE]},
    )
    final = Eval(
        step=121,
        epoch=1.2,
        split="test",
        loss=0.1,
        metrics={HOSTILE: 0.5},
        rows=4,
        seconds=1,
        recalls={HOSTILE: 1.0, "</td>": 0.5},
        class_rows={HOSTILE: 2, "</td>": 2},
        confusion=[[2, 0], [1, 1]],
    )
    started = beginning(name=HOSTILE)
    action = ScaleLearningRate(0.5)
    acted = Acted(step=70, action=action, by=HOSTILE, reason=HOSTILE, outcome="applied", detail=HOSTILE)
    run = kept(tmp_path / "demo", [started, *records[1:-1], finding, acted, final, records[-1]])
    (run.path / "data.json").write_text(
        '{"splits": {"<b>train": {"files": ["<script>.csv"], "read": 1, "kept": 1, "dropped": {"<script>": {"count": 1}}}},'
        '"notes": ["<script>alert(2)</script>"]}'
    )
    (run.path / "review.csv").write_text(
        f"row,place,confidence,given,suggested,reasons,text,text_pair\n7,a,0.9,x,y,z,{HOSTILE.replace(chr(34), '')},\n"
    )
    text = render(run)
    page = Page(text)
    assert "script" not in page.tags
    assert "img" not in page.tags
    assert page.handlers == []
    assert 'alert("x")' in page.text
    assert "\u202e" not in text
    assert "\x1b" not in text


def test_no_folder_of_this_machine_is_told(tmp_path):
    records = a_story()
    records.insert(-1, Note(step=1, text="read /home/anna/secret/data.csv:3", topic="verdict"))
    run = kept(tmp_path / "demo", records)
    (run.path / "recipe.yaml").write_text(
        "data: {train: /home/anna/secret/a.csv}\noutput_dir: /home/anna/x\n"
    )
    text = render(run)
    assert "anna" not in text
    assert "a.csv" in text
    assert "data.csv:3" in text


def test_undone_updates_are_drawn_apart(tmp_path):
    text = render(kept(tmp_path / "demo", a_story()))
    loss = text[text.index("<svg") : text.index("</svg>")]
    assert loss.count('class="undone raw"') == 1
    assert loss.count('class="flag critical"') == 1


def test_not_a_number_is_marked_and_nothing_breaks(tmp_path):
    records = [beginning(), *(step(n, loss=math.nan if n % 3 == 0 else math.inf) for n in range(1, 30))]
    text = render(kept(tmp_path / "demo", records))
    assert "nan" not in re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL).lower()
    mixed = [beginning(), *(step(n, loss=math.nan if n == 7 else 1.0) for n in range(1, 30))]
    assert render(kept(tmp_path / "mixed", mixed)).count('class="cross"') == 1


@pytest.mark.parametrize("end", [0, 1, 2, 5, 7, 40, 56, 66, 70])
def test_any_beginning_of_a_run_has_a_report(tmp_path, end):
    assert "<h1>" in render(kept(tmp_path / "demo", a_story()[:end]))


def test_without_a_log_there_is_none(tmp_path):
    with pytest.raises(RunError, match="no log"):
        render(RunFolder(tmp_path))


def test_damaged_files_beside_the_log_are_done_without(tmp_path):
    run = kept(tmp_path / "demo", a_story())
    for name in ("data.json", "recipe.yaml", "review.csv"):
        (run.path / name).write_bytes(b"\xff\x00{[")
    assert "<h1>demo</h1>" in render(run)


def test_it_is_written_into_the_run_or_elsewhere(tmp_path):
    run = kept(tmp_path / "demo", a_story())
    assert write(run) == run.path / "report.html"
    assert write(run, tmp_path / "x.html").read_text("utf-8").startswith("<!doctype html>")


def test_rows_are_shown_where_they_can_be_read(tmp_path):
    run = kept(tmp_path / "demo", a_story())
    assert "“a &lt;b&gt; film”" in render(run, rows=lambda row: "“a <b> film”")


@pytest.mark.parametrize(("steps", "most"), [(454, 300_000), (10_000, 500_000)])
def test_it_is_small_and_quick(tmp_path, steps, most):
    records = [beginning(total=steps), *map(step, range(1, steps + 1)), evaluated(steps, 0.9)]
    run = kept(tmp_path / "demo", records)
    began = time.perf_counter()
    text = render(run)
    assert time.perf_counter() - began < 4  # 0.3 s on a free machine
    assert len(text) < most


def test_a_spike_of_one_update_among_many_is_in_the_picture(tmp_path):
    records = [beginning(total=9000), *(step(n, loss=50.0 if n == 4321 else 1.0) for n in range(1, 9001))]
    text = render(kept(tmp_path / "demo", records))
    raw = re.search(r'class="train raw" d="([^"]+)"', text)
    assert raw is not None
    heights = [float(point.split()[1]) for point in raw[1].lstrip("M").split("L")]
    assert min(heights) < 60
    assert max(heights) > 200
