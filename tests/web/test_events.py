from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sites import Site, append, ended, evaluation, started, step, write_run

from tunewell.records import Committed, Finding, Rewound
from tunewell.runs.folder import RunFolder

Event = tuple[str, str, Any]


def until(events: Iterator[Event], kind: str) -> Event:
    """Return the next event of a kind."""
    return next(event for event in events if event[0] == kind)


def live_site(tmp_path: Path, serve_runs: Callable[..., Site]) -> Site:
    root = tmp_path / "runs"
    write_run(root / "first", [started(), *map(step, range(1, 11))])
    return serve_runs(root)


def test_new_updates_come_from_the_cursor_on(tmp_path: Path, serve_runs: Callable[..., Site]) -> None:
    site = live_site(tmp_path, serve_runs)
    run = site.client.run_id()
    known = site.client.get(f"/api/runs/{run}/series?keys=loss").json
    append(site.root / "first", step(11), step(12), evaluation(12))
    with site.client.stream(f"/api/events?topics=run:{run}&cursor={known['cursor']}") as events:
        _, cursor, points = until(events, "points")
        assert points["steps"]["step"] == [11, 12]
        assert points["evals"]["eval.validation.loss"][-1] == [12, 0.5]
        _, cursor, overview = until(events, "overview")
        assert overview["overview"]["evals"][-1]["step"] == 12
    append(site.root / "first", step(13))
    with site.client.stream(f"/api/events?topics=run:{run}", {"Last-Event-ID": cursor}) as events:
        assert until(events, "points")[2]["steps"]["step"] == [13]


def test_a_new_update_is_seen_soon_and_once(tmp_path: Path, serve_runs: Callable[..., Site]) -> None:
    site = live_site(tmp_path, serve_runs)
    run = site.client.run_id()
    with site.client.stream(f"/api/events?topics=run:{run}") as events:
        seen: list[int] = []
        for number in range(11, 16):
            append(site.root / "first", step(number))
            while not seen or seen[-1] < number:
                seen += until(events, "points")[2]["steps"]["step"]
        assert seen == [11, 12, 13, 14, 15]


def test_nothing_is_sent_when_nothing_happens(site: Site) -> None:
    run = site.client.run_id()
    overview = site.client.get(f"/api/runs/{run}").json
    heard: list[Event] = []

    def hear() -> None:
        with site.client.stream(f"/api/events?topics=list,run:{run}&cursor={overview['cursor']}") as events:
            heard.extend(events)

    listener = threading.Thread(target=hear)
    listener.start()
    while site.client.get("/metrics").body.find(b"tunewell_streams 1") < 0:
        pass
    threading.Event().wait(1.5)  # the absence of an event is what is asked
    site.client.post("/api/stop", {})
    listener.join(20)
    assert [event[0] for event in heard] == ["bye"]


def test_a_rewound_curve_is_told_to_be_fetched_again(tmp_path: Path, serve_runs: Callable[..., Site]) -> None:
    site = live_site(tmp_path, serve_runs)
    run = site.client.run_id()
    made = Committed(step=5, commit=1, folder="0001-step-5", bytes=1, seconds=0.0, reason="interval")
    with site.client.stream(f"/api/events?topics=run:{run}") as events:
        append(
            site.root / "first", made, Rewound(step=10, to_step=5, commit=1, reason="rollback"), step(6, 9.0)
        )
        assert until(events, "reset")[2] == {"run": run}
    found = site.client.get(f"/api/runs/{run}/series?keys=loss").json
    assert found["x"] == [1, 2, 3, 4, 5, 6]
    assert found["rewound"] == [{"key": "loss", "from": 10, "to": 5, "x": [6, 7, 8, 9, 10], "y": [1.0] * 5}]


def test_a_finding_changes_the_overview_at_once(tmp_path: Path, serve_runs: Callable[..., Site]) -> None:
    site = live_site(tmp_path, serve_runs)
    run = site.client.run_id()
    finding = Finding(
        step=10,
        monitor="loss_spike",
        code="loss_spike",
        severity="critical",
        summary="<img onerror>",
        meaning="m",
    )
    with RunFolder(site.root / "first").hold(), site.client.stream(f"/api/events?topics=run:{run}") as events:
        append(site.root / "first", finding)
        told = until(events, "overview")[2]["overview"]
        while not told["incidents"]:
            told = until(events, "overview")[2]["overview"]
    assert told["headline"].startswith("Needs attention: loss spiked at step 10")
    assert told["run"]["level"] == "bad"
    assert told["incidents"][0]["seen"] == ["<img onerror>"]


@pytest.mark.slow
def test_a_killed_training_is_noticed(tmp_path: Path, serve_runs: Callable[..., Site]) -> None:
    site = live_site(tmp_path, serve_runs)
    run = site.client.run_id()
    with site.client.stream(f"/api/events?topics=run:{run}") as events:
        with RunFolder(site.root / "first").hold():
            append(site.root / "first", evaluation(10))
            while until(events, "overview")[2]["overview"]["run"]["status"] != "running":
                pass
        while until(events, "overview")[2]["overview"]["run"]["status"] != "crashed":
            pass


def test_the_list_tells_of_runs_that_come_go_on_and_go(site: Site) -> None:
    site.client.get("/api/runs")
    with site.client.stream("/api/events?topics=list") as events:
        folder = write_run(site.root / "second", [started("second"), step(1)])
        _, _, told = until(events, "list")
        assert [one["name"] for one in told["rows"]] == ["second"]
        append(folder, *map(step, range(2, 5)), ended(4))
        while told["rows"][0]["status"] != "completed":
            told = until(events, "list")[2]
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
        while not told["gone"]:
            told = until(events, "list")[2]
        assert len(told["gone"]) == 1


def test_several_streams_share_what_is_made_once(tmp_path: Path, serve_runs: Callable[..., Site]) -> None:
    site = live_site(tmp_path, serve_runs)
    run = site.client.run_id()
    heard: list[list[int]] = [[] for _ in range(8)]

    def hear(into: list[int]) -> None:
        with site.client.stream(f"/api/events?topics=run:{run}") as events:
            while not into or into[-1] < 30:
                into += until(events, "points")[2]["steps"]["step"]

    listeners = [threading.Thread(target=hear, args=(each,)) for each in heard]
    for listener in listeners:
        listener.start()
    while site.client.get("/metrics").body.find(b"tunewell_streams 8") < 0:
        pass
    for number in range(11, 31):
        append(site.root / "first", step(number))
    for listener in listeners:
        listener.join(30)
    assert all(each == list(range(11, 31)) for each in heard)


def test_a_client_that_does_not_read_holds_nothing_up(
    tmp_path: Path, serve_runs: Callable[..., Site]
) -> None:
    site = live_site(tmp_path, serve_runs)
    run = site.client.run_id()
    with site.client.stream(f"/api/events?topics=run:{run}"):  # never read
        for first in range(11, 4_000, 400):
            append(site.root / "first", *map(step, range(first, first + 400)))
        with site.client.stream(f"/api/events?topics=run:{run}&cursor={run}=0.10.0") as events:
            assert until(events, "points")[2]["steps"]["step"][-1] >= 11
        assert site.client.get(f"/api/runs/{run}/series?keys=loss&points=20").json["total"] > 3_000


def test_nonsense_is_refused_and_a_strange_cursor_is_no_harm(site: Site) -> None:
    run = site.client.run_id()
    for topics in ("", "all", "run:", "run:xyz", ",".join(f"run:{number:016x}" for number in range(41))):
        assert site.client.get(f"/api/events?topics={topics}").status in {400, 404}
    for cursor in ("x", "list=-1", f"{run}=1.2", f"{run}=9.9.9", "%00" * 50, f"{run}={'9' * 300}.1.1"):
        with site.client.stream(f"/api/events?topics=list,run:{run}&cursor={cursor}"):
            pass


def test_stopping_ends_open_streams_at_once(site: Site) -> None:
    run = site.client.run_id()
    with site.client.stream(f"/api/events?topics=list,run:{run}") as events:
        begun = time.monotonic()
        site.client.post("/api/stop", {})
        assert [event for event, _, _ in events][-1:] == ["bye"]
        assert time.monotonic() - begun < 5
