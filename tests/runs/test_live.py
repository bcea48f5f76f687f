from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sites import append, ended, evaluation, started, step, write_run

from tunewell.inspections import Inspected
from tunewell.records import Committed, Record, Rewound, Step, encode
from tunewell.runs import log as logs
from tunewell.runs.excerpt import excerpt
from tunewell.runs.live import LiveLog
from tunewell.runs.timeline import timeline


def live(folder: Path) -> LiveLog:
    log = LiveLog(folder / "log.jsonl")
    log.advance()
    return log


def commit(number: int, at: int) -> Committed:
    return Committed(
        step=at, commit=number, folder=f"{number:04d}-step-{at}", bytes=1, seconds=0.0, reason="interval"
    )


def rewound(to: int, number: int, reason: str = "rollback") -> Rewound:
    return Rewound(step=99, to_step=to, commit=number, reason=reason)  # type: ignore[arg-type]


def test_updates_become_columns_and_all_else_stays(tmp_path: Path) -> None:
    log = live(
        write_run(
            tmp_path / "a", [started(), step(1, 2.0), step(2, 1.5, skipped=True), evaluation(2), ended(2)]
        )
    )
    assert list(log.columns["step"]) == [1, 2]
    assert list(log.columns["loss"]) == [2.0, 1.5]
    assert list(log.columns["skipped"]) == [0, 1]
    assert list(log.columns.total_tokens) == [100, 200]
    assert [type(one).__name__ for one in log.records] == ["Started", "Eval", "Ended"]
    assert math.isnan(log.columns["given"][0])


def test_only_what_is_new_is_read(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a", [started(), step(1)])
    log = live(folder)
    assert not log.advance()
    append(folder, step(2), evaluation(2))
    with (folder / "log.jsonl").open("ab") as file:
        file.write(encode(step(3))[:40])
    assert log.advance()
    assert list(log.columns["step"]) == [1, 2]
    assert len(log.records) == 2
    with (folder / "log.jsonl").open("ab") as file:
        file.write(encode(step(3))[40:])
    assert log.advance()
    assert list(log.columns["step"]) == [1, 2, 3]
    assert log.generation == 0


def test_what_is_not_a_number_stays_that(tmp_path: Path) -> None:
    log = live(write_run(tmp_path / "a", [step(1, math.nan), step(2, math.inf, gradient_norm=-math.inf)]))
    assert math.isnan(log.columns["loss"][0])
    assert log.columns["loss"][1] == math.inf
    assert log.columns["gradient_norm"][1] == -math.inf


@pytest.mark.parametrize(
    "line", [b"{broken\n", b'{"type":"step","step":"x"}\n', b"\xff\xfe\n", b"\n", b'{"type":"step"}\n']
)
def test_damaged_lines_are_passed_over_and_said(tmp_path: Path, line: bytes) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "log.jsonl").write_bytes(
        encode(step(1)) + line + encode(step(2)) + line + encode(evaluation(2))
    )
    log = live(folder)
    assert list(log.columns["step"]) == [1, 2]
    assert len(log.records) == 1
    assert log.damaged == 2
    assert "2 lines" in log.damage()[0].text


def test_a_log_that_was_trimmed_or_replaced_is_read_anew(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a", [started(), *map(step, range(1, 11))])
    log = live(folder)
    whole = (folder / "log.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "log.jsonl").write_bytes(b"".join(whole[:6]))
    assert log.advance()
    assert list(log.columns["step"]) == [1, 2, 3, 4, 5]
    assert log.generation == 1
    # Trimmed and grown beyond where it was before anybody looked.
    (folder / "log.jsonl").write_bytes(
        b"".join(whole[:4]) + b"".join(encode(step(n, 7.0)) for n in range(4, 30))
    )
    assert log.advance()
    assert log.generation == 2
    assert list(log.columns["loss"][:5]) == [1.0, 1.0, 1.0, 7.0, 7.0]


def test_a_rollback_takes_updates_off_the_curve_and_keeps_them_beside_it(tmp_path: Path) -> None:
    before = [commit(0, 0), *map(step, range(1, 6)), commit(1, 5), *map(step, range(6, 9))]
    log = live(write_run(tmp_path / "a", [started(), *before, rewound(5, 1), step(6, 9.0)]))
    assert list(log.columns["step"]) == [1, 2, 3, 4, 5, 6]
    assert log.columns["loss"][-1] == 9.0
    assert [list(piece.columns["step"]) for piece in log.undone] == [[6, 7, 8]]
    assert log.generation == 1
    assert log.columns.total_tokens[-1] == 600


EVENTS = st.lists(
    st.one_of(st.just("step"), st.just("commit"), st.just("eval"), st.integers(0, 8)), max_size=40
)


def history(events: list[str | int]) -> list[Record]:
    """Return a log in which a number goes back to one of the commits made so far."""
    records: list[Record] = [started(), commit(0, 0)]
    at, made = 0, [(0, 0)]
    for event in events:
        if event == "step":
            at += 1
            records.append(step(at, float(len(records))))
        elif event == "commit":
            made.append((len(made), at))
            records.append(commit(*made[-1]))
        elif event == "eval":
            records.append(evaluation(at))
        elif isinstance(event, int):
            number, at = made[event % len(made)]
            records.append(rewound(at, number))
            made = [one for one in made if one[0] <= number]
    return records


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EVENTS, st.integers(1, 2_000))
def test_the_curve_is_that_of_the_timeline_however_it_arrives(
    tmp_path: Path, events: list[str | int], cut: int
) -> None:
    records = history(events)
    text = b"".join(map(encode, records))
    path = tmp_path / "log.jsonl"
    path.write_bytes(text[: cut % (len(text) + 1)])
    log = LiveLog(path)
    log.advance()
    with path.open("ab") as file:
        file.write(text[cut % (len(text) + 1) :])
    log.advance()
    wanted = [(one.step, one.loss) for one in timeline(records) if isinstance(one, Step)]
    assert list(zip(log.columns["step"], log.columns["loss"], strict=True)) == wanted
    assert log.records == [one for one in records if not isinstance(one, Step)]
    assert log.damaged == 0


def test_looks_inside_are_kept_only_for_memory(tmp_path: Path) -> None:
    looks = [Inspected(step=n, time=float(n), memory_bytes=n, epsilon=1e-8) for n in range(1, 5_000)]
    log = live(write_run(tmp_path / "a", [started(), *looks, Inspected(step=5_000, epsilon=1.0)]))
    assert len(log.records) == 1
    assert 500 < len(log.memory) <= 2_000
    assert log.memory[-1][0] == 4_999


def test_the_excerpt_of_a_short_log_is_all_of_it(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a", [started(), *map(step, range(1, 50)), evaluation(49), ended(49)])
    assert excerpt(live(folder)) == list(logs.read(folder / "log.jsonl"))


def test_the_excerpt_of_a_long_log_holds_what_is_near_a_finding(tmp_path: Path) -> None:
    from tunewell.records import Finding

    finding = Finding(
        step=9_000, monitor="loss_spike", code="loss_spike", severity="warning", summary="a", meaning="b"
    )
    steps = [step(number) for number in range(1, 30_001)]
    folder = write_run(
        tmp_path / "a", [started(total=30_000), *steps[:9_000], finding, *steps[9_000:], ended(30_000)]
    )
    records = excerpt(live(folder))
    numbers = [one.step for one in records if isinstance(one, Step)]
    assert {8_900, 9_000, 9_001, 9_100, 30_000} <= set(numbers)
    assert len(numbers) < 5_000
    assert numbers == sorted(numbers)
    place = records.index(finding)
    assert isinstance(records[place - 1], Step)
    assert records[place - 1].step == 9_000
