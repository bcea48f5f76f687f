"""A real training of a tiny model, watched while it trains and looked into afterwards."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sites import Client, Site

from tunewell.document import dump_recipe
from tunewell.recipe import Recipe

pytestmark = pytest.mark.slow


@pytest.fixture
def recipe_file(tmp_path: Path, tiny_recipe: Callable[..., Recipe]) -> Path:
    recipe = tiny_recipe(num_epochs=4).model_copy(update={"output_dir": None, "name": "first"})
    file = tmp_path / "first.yaml"
    file.write_text(dump_recipe(recipe))
    return file


def test_a_training_is_followed_from_its_first_update_to_its_end(
    tmp_path: Path, recipe_file: Path, serve_runs: Callable[..., Site]
) -> None:
    site = serve_runs(tmp_path / "runs")
    (tmp_path / "runs").mkdir(exist_ok=True)
    site.client.get("/api/runs")
    command = [sys.executable, "-m", "tunewell", "train", str(recipe_file)]
    with site.client.stream("/api/events?topics=list") as news:
        training = subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        rows = next(told["rows"] for kind, _, told in news if kind == "list" and told["rows"])
    run = rows[0]["id"]
    seen: list[int] = []
    delays: list[float] = []
    with site.client.stream(f"/api/events?topics=run:{run}&cursor={run}=0.0.0") as events:
        for kind, _, told in events:
            if kind == "points":
                seen += told["steps"]["step"]
                delays.append(time.time() - told["steps"]["time"][-1])
            if kind == "overview" and told["overview"]["run"]["status"] == "completed":
                break
    _, said = training.communicate(timeout=120)
    assert training.returncode == 0, said
    total = site.client.get(f"/api/runs/{run}").json["run"]["total_steps"]
    assert seen == list(range(1, total + 1))
    rows_told = site.client.get(f"/api/runs/{run}/rows?order=loss&limit=5").json
    assert rows_told["total"] > 50
    assert all(one["text"] and one["losses"] for one in rows_told["rows"])
    losses = [one["losses"][-1] for one in rows_told["rows"]]
    assert losses == sorted(losses, reverse=True)
    _check_point(site.client, run)
    _check_predictions(site.client, run)
    report = site.client.get(f"/report/{run}")
    assert report.body == (tmp_path / "runs" / "first" / "report.html").read_bytes()
    assert "sandbox" in report.headers["content-security-policy"]


def _check_point(client: Client, run: str) -> None:
    """The rows of an update are those that made its loss: their losses then, averaged, are near it."""
    told = client.get(f"/api/runs/{run}/points/3").json
    assert len(told["rows"]) > 1, "rows are told before their texts"
    until = time.monotonic() + 60
    while (told := client.get(f"/api/runs/{run}/points/3").json).get("pending"):
        assert time.monotonic() < until
    assert told["why_not"] == ""
    assert all(one["text"] and one["label"] for one in told["rows"])
    for one in told["rows"]:
        then, now = one["predicted_then"], one["predicted_now"]
        assert {then["label"], now["label"]} <= {"good", "bad"}
        assert 0.5 <= then["probability"] <= 1
        assert one["changed"] == (then["label"] != now["label"])
    then = [one["then"] for one in told["rows"]]
    assert sum(then) / len(then) == pytest.approx(told["loss"], rel=0.02)
    assert sum(one["share"] for one in told["rows"]) == pytest.approx(1)
    assert told["branch"].startswith("tunewell branch first@")
    assert client.get(f"/api/runs/{run}/points/99999").status == 404


def _check_predictions(client: Client, run: str) -> None:
    """Rows say what was predicted of them and when; those of which another class is predicted now come first."""
    path = f"/api/runs/{run}/rows?limit=500&order=change"
    steps = client.get(f"/api/runs/{run}").json["run"]["total_steps"]
    rows = client.get(path).json["rows"]
    for row in rows:
        assert [one[0] for one in row["predicted"]] == [steps * epoch // 4 for epoch in (1, 2, 3, 4)]
        assert all(one[1] in {"good", "bad"} and 0.5 <= one[2] <= 1 for one in row["predicted"])
    changed = [row["predicted"][0][1] != row["predicted"][-1][1] for row in rows]
    assert any(changed)
    assert changed == sorted(changed, reverse=True)
    evals = [one for one in client.get(f"/api/runs/{run}").json["evals"] if one["split"] == "validation"]
    validation = client.get(f"{path}&split=validation").json["rows"]
    assert len(validation) == evals[0]["rows"]
    made = [one[0] for one in validation[0]["predicted"]]
    assert made == [one["step"] for one in evals][: len(made)], "but for that of the best weights, at the end"
    right = sum(row["predicted"][-1][1] == row["label"] for row in validation)
    assert right / len(validation) == pytest.approx(evals[len(made) - 1]["metrics"]["accuracy"])
    last = [row["losses"][-1] for row in validation]
    assert sum(last) / len(last) == pytest.approx(evals[len(made) - 1]["loss"], rel=1e-3)
    assert client.get(f"{path}&split=test").status == 400


def test_train_watch_prints_a_link_and_how_to_end_the_server(tmp_path: Path, recipe_file: Path) -> None:
    environment = {**os.environ, "TUNEWELL_STATE": str(tmp_path / "state")}
    command = [sys.executable, "-m", "tunewell", "train", str(recipe_file), "--watch", "--set", "max_steps=5"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    stop = [sys.executable, "-m", "tunewell", "watch", "--root", str(tmp_path / "runs"), "--stop"]
    try:
        assert done.returncode == 0, done.stderr
        link = re.search(r"http://127\.0\.0\.1:(\d+)(/open\?code=\S+)", done.stderr)
        assert link is not None, done.stderr
        assert "--stop" in done.stderr
        answer = Client(int(link[1])).get(link[2])
        assert answer.status == 200
        browser = Client(int(link[1]), cookie=answer.headers["set-cookie"].partition(";")[0])
        (run,) = browser.get("/api/runs").json["runs"]
        assert link[2].endswith(f"run={run['id']}")
        assert run["status"] == "completed"
    finally:
        ended = subprocess.run(
            stop, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
    assert ended.returncode == 0, ended.stderr
    assert "ends" in ended.stderr


def test_the_page_is_in_the_wheel_and_is_served_from_there(tmp_path: Path) -> None:
    project = Path(__file__).parents[2]
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        str(tmp_path),
        str(project),
    ]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("tunewell-*.whl")
    target = tmp_path / "installed"
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(target),
        str(wheel),
    ]
    subprocess.run(install, check=True, capture_output=True)
    source = project / "src" / "tunewell" / "web" / "static"
    files = sorted(path.relative_to(source) for path in source.rglob("*") if path.is_file())
    assert len(files) > 10
    for file in files:
        assert (target / "tunewell" / "web" / "static" / file).read_bytes() == (source / file).read_bytes()
    code = "import tunewell.web.app as app; print(app.STATIC); print((app.STATIC / 'index.html').is_file())"
    environment = {**os.environ, "PYTHONPATH": str(target)}
    found = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.split() == [str(target / "tunewell" / "web" / "static"), "True"]
    environment["TUNEWELL_STATE"] = str(tmp_path / "state")
    command = [sys.executable, "-m", "tunewell", "watch", "--root", str(tmp_path)]
    with subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as served:
        assert served.stdout is not None
        link = re.search(r":(\d+)(/open\S+)", served.stdout.readline())
        assert link is not None
        answer = Client(int(link[1])).get(link[2])
        browser = Client(int(link[1]), cookie=answer.headers["set-cookie"].partition(";")[0])
        for path, file in (
            ("/", "index.html"),
            ("/run/0123456789abcdef/layers", "index.html"),
            ("/static/app.js", "app.js"),
        ):
            assert browser.get(path).body == (source / file).read_bytes()
        served.terminate()
