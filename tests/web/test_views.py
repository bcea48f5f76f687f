"""What the page is told about runs, as it is told: over a real server."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
from sites import BEGAN, Site, append, ended, evaluation, started, step, write_run

from tunewell.actions import ExcludeRows, SetLearningRate
from tunewell.inspections import DataCheck, DataChecked, Inspected, RowsReviewed, Suspect
from tunewell.records import Acted, Committed, Ended, Finding, Record, Rewound
from tunewell.runs.folder import RunFolder
from tunewell.runs.summary import store

HOSTILE = '<img src=x onerror="alert(1)">'


def site_of(tmp_path: Path, serve_runs: Callable[..., Site], *records: Record) -> tuple[Site, str]:
    write_run(tmp_path / "runs" / "first", list(records))
    site = serve_runs(tmp_path / "runs")
    return site, f"/api/runs/{site.client.run_id()}"


def test_the_overview_of_a_finished_run(site: Site) -> None:
    told = site.client.get(f"/api/runs/{site.client.run_id()}").json
    assert told["headline"] == "Completed (all steps done) · step 100 of 100".replace(" (all steps done)", "")
    assert told["run"]["level"] == "good"
    assert told["run"]["metric"] == {"name": "accuracy", "value": 0.75, "step": 100}
    assert told["progress"] == 1
    assert told["eta_seconds"] is None
    assert told["rates"]["steps_per_second"] == pytest.approx(2)
    assert told["facts"]["model"] == "tiny"
    assert "learning_rate: 1e-4" in told["recipe"]
    keys = {one["key"] for one in told["series"]}
    assert {"loss", "gradient_norm", "eval.validation.loss", "eval.validation.accuracy"} <= keys
    assert not {"given", "max_grad_norm", "skipped", "memory_bytes"} & keys
    assert [flag["kind"] for flag in told["flags"]] == ["end"]


def test_time_left_is_of_recent_updates_and_of_evaluations(
    tmp_path: Path, serve_runs: Callable[..., Site]
) -> None:
    slow = step(50, seconds=500.0)  # a stall
    steps = [*map(step, range(1, 50)), slow]
    site, path = site_of(tmp_path, serve_runs, started(total=100), *steps, evaluation(50))
    from tunewell.runs.folder import RunFolder

    with RunFolder(tmp_path / "runs" / "first").hold():
        left = site.client.get(path).json["eta_seconds"]
    assert left == pytest.approx(50 * (0.5 + 1.0 / 50), rel=0.01)


def test_an_incident_carries_what_a_card_needs(tmp_path: Path, serve_runs: Callable[..., Site]) -> None:
    finding = Finding(
        step=30,
        monitor="loss_spike",
        code="loss_spike",
        severity="warning",
        summary=HOSTILE,
        meaning="m",
        rows=[3],
    )
    acted = Acted(
        step=30, action=SetLearningRate(1e-5), by="cautious", reason="loss_spike", outcome="applied",
        detail="1e-4 → 1e-5", code="loss_spike", undo=SetLearningRate(1e-4),
    )  # fmt: skip
    kept = Committed(step=20, commit=1, folder="0001-step-20", bytes=5, seconds=0.1, reason="interval")
    records = [*map(step, range(1, 31)), finding, acted, *map(step, range(31, 40))]
    site, path = site_of(tmp_path, serve_runs, started(), kept, *records)
    (one,) = site.client.get(path).json["incidents"]
    assert one["words"] == "loss spiked at step 30"
    assert one["seen"] == [HOSTILE]
    assert one["deeds"][0]["undo"] == {"do": "set_learning_rate", "value": 1e-4}
    assert not one["deeds"][0]["undone"]
    assert one["spark"]["key"] == "loss"
    assert len(one["spark"]["x"]) == len(one["spark"]["y"]) > 10
    flags = site.client.get(path).json["flags"]
    assert [(flag["kind"], flag["incident"]) for flag in flags if flag["kind"] == "finding"] == [
        ("finding", one["id"])
    ]
    append(
        tmp_path / "runs" / "first",
        Acted(step=41, action=SetLearningRate(1e-4), by="anna", reason="undo", outcome="applied"),
    )
    assert site.client.get(path).json["incidents"][0]["deeds"][0]["undone"]


def test_numbers_that_are_none_are_null_in_curves_and_words_elsewhere(
    tmp_path: Path, serve_runs: Callable[..., Site]
) -> None:
    steps = [step(1), step(2, math.nan), step(3, math.inf)]
    site, path = site_of(tmp_path, serve_runs, started(), *steps, evaluation(3, math.inf))
    told = site.client.get(f"{path}/series?keys=loss,eval.validation.loss").json
    assert told["y"]["loss"] == [1.0, None, None]
    assert told["broken"] == {"loss": [2, 3]}
    assert told["points"]["eval.validation.loss"] == [[3, None, 3]]
    assert site.client.get(path).json["evals"][0]["loss"] == "Infinity"


@pytest.mark.parametrize(
    ("x", "places"),
    [("step", [1, 2, 3]), ("tokens", [100, 200, 300]), ("epoch", [0.02, 0.04, 0.06]), ("time", [1, 2, 3])],
)
def test_every_axis(tmp_path: Path, serve_runs: Callable[..., Site], x: str, places: list[float]) -> None:
    site, path = site_of(tmp_path, serve_runs, started(), *map(step, range(1, 4)), evaluation(2))
    told = site.client.get(f"{path}/series?keys=loss,step,cursor,eval.validation.accuracy&x={x}").json
    assert told["x"] == pytest.approx(places)
    assert told["y"]["step"] == [1, 2, 3]
    assert told["y"]["cursor"] == [0, 1, 2]
    assert told["points"]["eval.validation.accuracy"] == [[pytest.approx(places[1]), 0.75, 2]]


def test_a_window_is_thinned_out_less(site: Site) -> None:
    path = f"/api/runs/{site.client.run_id()}/series?keys=loss&points=10"
    whole, part = site.client.get(path).json, site.client.get(f"{path}&from=40&to=46").json
    assert (len(whole["x"]), whole["raw"], whole["from"], whole["to"]) == (10, False, 1, 100)
    assert part["raw"]
    assert part["x"] == [
        39,
        40,
        41,
        42,
        43,
        44,
        45,
        46,
        47,
    ]  # one more on each side, so that lines reach the edge
    smooth = site.client.get(f"{path}&smooth=5").json
    assert len(smooth["y"]["loss~"]) == 10


@pytest.mark.parametrize(
    "query",
    [
        "keys=nothing",
        "keys=__class__",
        "x=colour",
        "points=1",
        "points=1e9",
        "from=nan",
        "smooth=-1",
        "points=x",
        "keys=" + "loss," * 3 + "(a%2B)%2B%24",
    ],
)
def test_questions_that_make_no_sense(site: Site, query: str) -> None:
    answer = site.client.get(f"/api/runs/{site.client.run_id()}/series?{query}")
    assert answer.status == 400
    assert answer.json["error"]


def test_the_list_is_searched_sorted_and_cut(tmp_path: Path, serve_runs: Callable[..., Site]) -> None:
    for number, name in enumerate(["alpha", "beta", HOSTILE.replace("/", "")]):
        write_run(
            tmp_path / "runs" / name, [started(name), step(number + 1, 3.0 - number), ended(number + 1)]
        )
    site = serve_runs(tmp_path / "runs")
    ask = site.client.get
    assert ask("/api/runs").json["total"] == 3
    assert [one["name"] for one in ask("/api/runs?sort=loss&order=asc").json["runs"]][-1] == "alpha"
    found = ask("/api/runs?search=ALP%20completed").json
    assert (found["matching"], found["runs"][0]["name"]) == (1, "alpha")
    assert ask("/api/runs?search=(a%2B)%2B%24").json["matching"] == 0
    assert len(ask("/api/runs?limit=1&offset=2").json["runs"]) == 1
    assert ask("/api/runs?sort=path").status == 400


def test_layers_memory_and_data(tmp_path: Path, serve_runs: Callable[..., Site]) -> None:
    layers = {"embeddings": 0.5, "head": math.inf}
    steps = [
        step(n, layer_gradients=layers if n % 2 == 0 else None, layer_updates=layers) for n in range(1, 9)
    ]
    look = Inspected(step=8, time=BEGAN + 8, memory_bytes=7, memory_limit=9, disk_free=5)
    checks = {
        "duplicates": DataCheck(count=2, of=8, rows=[1, 2]),
        "signal": DataCheck(why_not="too few rows"),
    }
    review = RowsReviewed(step=8, epoch=1, rows=8, suspects=[Suspect(row=4, confidence=0.9)], expected=0.1)
    finding = Finding(
        step=0, monitor="duplicates", code="duplicates", severity="warning", summary="s", meaning="m"
    )
    site, path = site_of(
        tmp_path, serve_runs, started(), DataChecked(checks=checks), finding, *steps, look, review
    )
    told = site.client.get(f"{path}/layers?what=gradients").json
    assert told["steps"] == [2, 4, 6, 8]
    assert told["layers"] == ["embeddings", "head"]
    assert told["values"] == [[0.5] * 4, [None] * 4]
    assert len(site.client.get(f"{path}/layers?what=updates&points=3").json["steps"]) == 3
    assert site.client.get(f"{path}/series?keys=memory_bytes").json["points"]["memory_bytes"] == [[8, 7, 8]]
    machine = site.client.get(f"{path}/system").json
    assert machine["samples"]["memory"] == [7]
    assert sum(machine["shares"].values()) == pytest.approx(1)
    data = site.client.get(f"{path}/data").json
    assert [(one["name"], one["verdict"]) for one in data["checks"]] == [
        ("duplicates", "seen"),
        ("signal", "blind"),
    ]
    assert data["suspects"][0]["row"] == 4
    assert data["why_not"]


def test_runs_are_compared_where_they_differ(tmp_path: Path, serve_runs: Callable[..., Site]) -> None:
    write_run(
        tmp_path / "runs" / "a", [started("a"), step(1), evaluation(1, 0.5), ended(1)], "model: m\nseed: 1\n"
    )
    write_run(
        tmp_path / "runs" / "b",
        [started("b"), step(1), evaluation(1, 0.4), ended(1)],
        "model: m\nseed: 2\ndata:\n  max_length: 9\n",
    )
    site = serve_runs(tmp_path / "runs")
    told = site.client.get(f"/api/compare?runs={site.client.run_id('a')},{site.client.run_id('b')}").json
    assert told["settings"] == [
        {"key": "seed", "values": [1, 2]},
        {"key": "data.max_length", "values": [None, 9]},
    ]
    loss = next(one for one in told["scores"] if one["metric"] == "validation.loss")
    assert (loss["best"], loss["at_step"]) == ([0.5, 0.4], [1, 1])
    assert [one["name"] for one in told["runs"]] == ["a", "b"]
    assert site.client.get("/api/compare?runs=").status == 400


def test_small_curves(site: Site) -> None:
    run = site.client.run_id()
    (values,) = site.client.get(f"/api/sparks?runs={run}").json.values()
    assert len(values) == 40
    assert values[0] > values[-1]
    assert all(value is not None for value in values)


def test_prometheus_reads_the_metrics(tmp_path: Path, serve_runs: Callable[..., Site]) -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    name = 'we"ird\\name'
    write_run(tmp_path / "runs" / name, [started(name), step(7, math.nan), ended(7)])
    site = serve_runs(tmp_path / "runs")
    families = {
        one.name: one
        for one in parser.text_string_to_metric_families(site.client.get("/metrics").body.decode())
    }
    (sample,) = families["tunewell_run_step"].samples
    assert (sample.labels["run"], sample.value) == (name, 7)
    assert {one.labels["status"]: one.value for one in families["tunewell_runs"].samples}["completed"] == 1


def test_the_log_as_it_is(site: Site) -> None:
    path = f"/api/runs/{site.client.run_id()}/log"
    first = site.client.get(f"{path}?limit=2")
    rest = site.client.get(f"{path}?after={first.headers['x-next']}&limit=10000")
    assert first.body + rest.body == (site.root / "first" / "log.jsonl").read_bytes()


def test_a_damaged_log_is_shown_as_far_as_it_can_be_read(
    tmp_path: Path, serve_runs: Callable[..., Site]
) -> None:
    folder = write_run(tmp_path / "runs" / "first", [started(), step(1)])
    with (folder / "log.jsonl").open("ab") as file:
        file.write(b"{\x00 nonsense\n")
    append(folder, step(2))
    site = serve_runs(tmp_path / "runs")
    told = site.client.get(f"/api/runs/{site.client.run_id()}").json
    assert told["run"]["step"] == 2
    assert "1 line of the log is damaged" in told["notes"][0]


def test_a_folder_without_a_log_and_a_root_without_runs(
    tmp_path: Path, serve_runs: Callable[..., Site]
) -> None:
    site = serve_runs(tmp_path / "runs")
    assert site.client.get("/api/runs").json["runs"] == []
    (tmp_path / "runs" / "first").mkdir(parents=True)
    (tmp_path / "runs" / "first" / "recipe.yaml").write_text("a: &b [*b]\n")
    told = site.client.get(f"/api/runs/{site.client.run_id()}").json
    assert told["facts"]["model"] == ""
    assert site.client.get(f"/api/runs/{site.client.run_id()}/series").json["x"] == []


def test_a_run_without_an_order_of_its_rows_says_so(site: Site) -> None:
    told = site.client.get(f"/api/runs/{site.client.run_id()}/points/7").json
    assert (told["rows"], told["pending"]) == ([], False)
    assert "keeps no order of its rows" in told["why_not"]
    assert told["loss"] == pytest.approx(1.93)


def test_rows_of_a_point_are_those_of_its_own_course_and_time(
    tmp_path: Path, serve_runs: Callable[..., Site]
) -> None:
    from tunewell.data.point_rows import OrderFacts, order_of, write_order
    from tunewell.runs.row_history import RowHistory
    from tunewell.runs.row_predictions import history_of_predictions

    ids, lengths = [100 + n for n in range(40)], [5] * 40
    facts = OrderFacts(version=1, seed=3, batch_size=8, max_tokens=None, group_by_length=False)
    out = ids[int(order_of(lengths, facts).batch_at(3)[0])]
    left = Acted(step=2, action=ExcludeRows([out]), by="anna", reason="r", outcome="applied")
    commit = Committed(step=2, commit=1, folder="0001-step-2", bytes=5, seconds=0.1, reason="interval")
    back = Rewound(step=3, to_step=2, commit=1, reason="rollback")
    undone = step(3, cursor=2)
    records = [step(1), step(2), commit, undone, left, back, step(3, cursor=3, worst_rows=[(ids[1], 9.0)])]
    site, path = site_of(tmp_path, serve_runs, started(), *records)
    rows = tmp_path / "runs" / "first" / "rows"
    history, guesses = RowHistory(rows, ids), history_of_predictions(rows, ids)
    history.note(0, ids, [float(row - 99) for row in ids])
    guesses.note(0, ids, [0.0] * 40, [0.75] * 40)
    guesses.note(1, ids[:20], [1.0] * 20, [0.5] * 20)
    history.write()
    guesses.write()
    write_order(rows, lengths, facts)
    told = site.client.get(f"{path}/points/3").json
    batch = {ids[place] for place in order_of(lengths, facts).batch_at(3)}
    assert {one["row"] for one in told["rows"]} == batch - {out}
    assert [one["then"] for one in told["rows"]] == sorted((row - 99 for row in batch - {out}), reverse=True)
    assert "text can't be" in told["why_not"], "the data of this recipe is not there"
    for one in told["rows"]:
        assert one["changed"] == (one["row"] in ids[:20])
        assert one["predicted_then"] == {"label": "0", "probability": 0.75}


def test_a_report_is_made_of_a_run_as_it_stands(tmp_path: Path, serve_runs: Callable[..., Site]) -> None:
    cut = Ended(time=BEGAN + 9, step=9, status="interrupted", reason=HOSTILE, seconds=9)
    site, path = site_of(tmp_path, serve_runs, started(), *map(step, range(1, 10)), cut)
    run = path.rpartition("/")[2]
    (tmp_path / "runs" / "first" / "report.html").write_text("of before")
    answer = site.client.get(f"/report/{run}")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "sandbox" in answer.headers["content-security-policy"]
    page = answer.body.decode()
    assert "nterrupted" in page
    assert HOSTILE not in page
    assert (tmp_path / "runs" / "first" / "report.html").read_text() == "of before", "reading writes nothing"


def test_a_run_that_only_has_a_recipe_has_no_report(tmp_path: Path, serve_runs: Callable[..., Site]) -> None:
    (tmp_path / "runs" / "first").mkdir(parents=True)
    (tmp_path / "runs" / "first" / "recipe.yaml").write_text("model: tiny\n")
    site = serve_runs(tmp_path / "runs")
    assert site.client.get(f"/report/{site.client.run_id()}").status == 404


@pytest.mark.parametrize("recovers", [True, False])
@pytest.mark.parametrize("trains", [True, False])
def test_the_list_says_what_the_run_s_own_page_says(
    tmp_path: Path, serve_runs: Callable[..., Site], recovers: bool, trains: bool
) -> None:
    found = Finding(
        step=30, monitor="loss_spike", code="loss_spike", severity="critical", summary="s", meaning="m",
        evidence={"expected": 1.0},
    )  # fmt: skip
    after = [step(n, 1.0 if recovers else 8.0) for n in range(31, 90)]
    records = [started(), *map(step, range(1, 30)), step(30, 8.0), found, *after]
    folder = write_run(tmp_path / "runs" / "first", [*records, *([] if trains else [ended(89)])])
    run = RunFolder(folder)
    if not trains:
        store(run)
    with run.hold() if trains else nullcontext():
        site = serve_runs(tmp_path / "runs")
        (row,) = site.client.get("/api/runs").json["runs"]
        page = site.client.get(f"/api/runs/{row['id']}").json
        assert (row["level"], row["words"]) == (page["run"]["level"], page["run"]["words"])
        assert (row["level"] == "good") == all(one["recovered"] for one in page["incidents"])
        assert page["incidents"]
        assert (page["incidents"][0]["recovered"] is True) == recovers
