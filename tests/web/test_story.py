"""The story of a run is told of its log without all of its updates."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sites import evaluation, started, step

from tunewell.records import Committed, Record, Rewound, Step, encode
from tunewell.runs.live import LiveLog
from tunewell.runs.timeline import timeline
from tunewell.web.story import timeline_of


def _log(moves: list[str | int]) -> list[Record]:
    """Return a log in which a number goes back to one of the checkpoints made so far."""
    records: list[Record] = [started(), _commit(0, 0)]
    at, made = 0, [0]
    for move in moves:
        if move == "step":
            at += 1
            records.append(step(at, float(len(records))))
        elif move == "commit":
            records.append(_commit(len(made), at))
            made.append(at)
        elif move == "eval":
            records.append(evaluation(at))
        elif isinstance(move, int):
            number = move % len(made)
            records.append(Rewound(step=at, to_step=made[number], commit=number, reason="rollback"))
            at = made[number]
    return records


def _commit(number: int, at: int) -> Committed:
    return Committed(step=at, commit=number, folder="x", bytes=1, seconds=0.0, reason="interval")


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(st.sampled_from(["step", "commit", "eval"]), st.integers(0, 8)), max_size=40))
def test_of_all_updates_the_last_that_counts_is_enough(tmp_path: Path, moves: list[str | int]) -> None:
    records = _log(moves)
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"".join(map(encode, records)))
    log = LiveLog(path)
    log.advance()
    whole = timeline(records)
    last = max((place for place, one in enumerate(whole) if isinstance(one, Step)), default=-1)
    wanted = [one for place, one in enumerate(whole) if not isinstance(one, Step) or place == last]
    found = timeline_of(log)
    assert [_short(one) for one in found] == [_short(one) for one in wanted]


def _short(record: Record) -> tuple[object, ...]:
    return type(record).__name__, getattr(record, "step", 0), getattr(record, "loss", None)
