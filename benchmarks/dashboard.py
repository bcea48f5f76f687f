"""What the dashboard costs and how soon it shows: each figure measured on this machine, now.

    .venv/bin/python -m benchmarks.dashboard [--trackio PYTHON] [--write docs/dashboard_figures.md] [--only NAME …]

`--trackio` is an interpreter that has Trackio; TensorBoard is asked in this one. All read the same 20 runs in the same minute.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import math
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import dashboard_others
from tunewell.inspections import Inspected
from tunewell.records import Ended, Eval, Record, Started, Step, encode
from tunewell.runs.log import LogWriter
from tunewell.web.access import Serving, told

BEGAN = 1_790_000_000.0
RUNS, STEPS = 20, 2_000
KEYS = ("loss", "gradient_norm", "learning_rate", "tokens_per_second")


@dataclass
class Figure:
    """One line of the table."""

    what: str
    wanted: str
    found: str


def records(name: str, steps: int, seed: int = 0) -> Iterator[Record]:
    """Yield the records of a run as training logs them: layers each 200 updates, an evaluation each 2,000."""
    rng = random.Random(seed)
    yield Started(
        time=BEGAN, run=name, recipe_hash="a", data_hash="b", fingerprint={"python": "3"}, total_steps=steps,
        batches_per_epoch=1_000, num_rows={"train": 32_000, "validation": 1_000}, trainable_parameters=10,
        total_parameters=10,
    )  # fmt: skip
    for number in range(1, steps + 1):
        layers = {f"layer.{layer}": rng.random() for layer in range(8)} if number % 200 == 0 else None
        now = BEGAN + number / 10
        yield Step(
            time=now, step=number, cursor=number - 1, epoch=number / 1_000, stage=0,
            loss=2 * math.exp(-3 * number / steps) + 0.1 * rng.random(), learning_rate=5e-5 * (1 - number / steps),
            gradient_norm=0.5 + rng.random(), max_grad_norm=1.0, rows=32, tokens=800 + rng.randrange(200),
            seconds=0.1 + 0.01 * rng.random(), data_seconds=0.0003, layer_gradients=layers, layer_updates=layers,
        )  # fmt: skip
        if layers:
            yield Inspected(time=now, step=number, memory_bytes=10**9, epsilon=1e-8)
        if number % 2_000 == 0:
            scores = {"accuracy": 0.8, "macro_f1": 0.79, "mcc": 0.6}
            yield Eval(
                time=now,
                step=number,
                epoch=number / 1_000,
                split="validation",
                loss=1.0,
                metrics=scores,
                rows=1_000,
                seconds=0.5,
            )
    yield Ended(
        time=BEGAN + steps / 10, step=steps, status="completed", reason="all steps done", seconds=steps / 10
    )


def write_run(root: Path, name: str, steps: int, seed: int = 0) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(f"model: tiny\nseed: {seed}\n")
    with (folder / "log.jsonl").open("wb") as file:
        file.writelines(map(encode, records(name, steps, seed)))
    return folder


class Server:
    """A dashboard in a process of its own."""

    def __init__(self, process: subprocess.Popen[bytes], serving: Serving, up: float) -> None:
        self.process, self.serving, self.up = process, serving, up

    def get(self, path: str) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.serving.port, timeout=300)
        connection.request("GET", path, headers={"Authorization": f"Bearer {self.serving.token}"})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        assert answer.status == 200, body[:500]
        return body

    def run_ids(self) -> list[str]:
        return [one["id"] for one in json.loads(self.get("/api/runs?limit=1000"))["runs"]]

    @property
    def megabytes(self) -> float:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
        return math.nan

    @property
    def cpu_seconds(self) -> float:
        parts = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def server(root: Path) -> Iterator[Server]:
    state = tempfile.mkdtemp()
    command = [sys.executable, "-m", "tunewell", "watch", "--root", str(root)]
    os.environ["TUNEWELL_STATE"] = state
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    process.stdout.readline()  # its link: it answers
    up = time.perf_counter() - begun
    serving = told(root)
    assert serving is not None
    try:
        yield Server(process, serving, up)
    finally:
        process.terminate()
        process.communicate(timeout=20)
        shutil.rmtree(state, ignore_errors=True)


def timed(work: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def best_of(times: int, measure: Callable[[], float]) -> tuple[float, float]:
    """Return the least and the median of several measurements: other programs run beside them."""
    found = sorted(measure() for _ in range(times))
    return found[0], statistics.median(found)


def measure_start(folder: Path) -> Iterator[Figure]:
    write_run(folder, "one", 454)
    write_run(folder, "two", 454, 1)
    ups, sizes, used = [], [], []
    for _ in range(5):
        with server(folder) as running:
            ups.append(running.up)
            used.append(running.cpu_seconds)
            sizes.append(running.megabytes)
            running.get(f"/api/runs/{running.run_ids()[0]}")
            looked = running.megabytes
    yield Figure(
        "server up, from the command to its link",
        "≤ 0.6 s",
        f"{min(ups):.2f} s (median {statistics.median(ups):.2f}; {min(used):.2f} s of a processor)",
    )
    yield Figure(
        "memory of the server: started; with a run looked at",
        "≤ 70 MB",
        f"{max(sizes):.0f} MB; {looked:.0f} MB",
    )


def measure_million(folder: Path) -> Iterator[Figure]:
    write_run(folder, "million", 1_000_000)

    def opened() -> float:
        with server(folder) as running:
            run = running.run_ids()[0]
            found = timed(
                lambda: (
                    running.get(f"/api/runs/{run}"),
                    running.get(f"/api/runs/{run}/series?keys=loss,gradient_norm"),
                )
            )
            used.append(running.cpu_seconds)
            again.append(
                timed(
                    lambda: running.get(
                        f"/api/runs/{run}/series?keys=loss,gradient_norm,learning_rate&from=200000&to=700000"
                    )
                )
            )
            sizes.append(running.megabytes)
            return found

    again: list[float] = []
    sizes: list[float] = []
    used: list[float] = []
    least, median = best_of(3, opened)
    yield Figure(
        "a run of 1,000,000 updates opened: overview and two curves, from its log alone",
        "≤ 1.5 s",
        f"{least:.2f} s (median {median:.2f}; {min(used):.2f} s of a processor, the start included)",
    )
    yield Figure(
        "zoom into half of it, three curves; memory of the server then",
        "",
        f"{min(again):.2f} s; {max(sizes):.0f} MB",
    )


def measure_many(folder: Path) -> Iterator[Figure]:
    from tunewell.runs import summary
    from tunewell.runs.folder import RunFolder

    first = write_run(folder, "run-00000", 200)
    summary.store(RunFolder(first))
    for number in range(1, 10_000):
        shutil.copytree(first, folder / f"run-{number:05d}")

    def listed() -> float:
        with server(folder) as running:
            found = timed(lambda: running.get("/api/runs?limit=100"))
            again.append(timed(lambda: running.get("/api/runs?limit=100&offset=5000&search=run-0")))
            return found

    again: list[float] = []
    least, median = best_of(3, listed)
    yield Figure(
        "10,000 runs listed; searched after that",
        "≤ 2 s",
        f"{least:.2f} s (median {median:.2f}); {min(again):.2f} s",
    )


def measure_first_chart(folder: Path, trackio: str | None) -> Iterator[Figure]:
    for number in range(RUNS):
        write_run(folder, f"run-{number}", STEPS, number)

    def charted() -> float:
        with server(folder) as running:
            begun = time.perf_counter()
            ids = running.run_ids()
            ask = f"/series?keys={','.join(KEYS)}&points=1200"
            with ThreadPoolExecutor(6) as browser:  # as many connections as a browser opens
                list(browser.map(lambda run: running.get(f"/api/runs/{run}{ask}"), ids))
            whole.append(running.up + time.perf_counter() - begun)
            return time.perf_counter() - begun

    whole: list[float] = []
    least, median = best_of(3, charted)
    what = (
        f"{RUNS} runs × {STEPS:,} updates × {len(KEYS)} curves, all data in the page; from the server's start"
    )
    yield Figure(what, "≤ 1 s", f"{least:.2f} s (median {median:.2f}); {min(whole):.2f} s")
    values = {
        f"run-{n}": [_values(one) for one in records("x", STEPS, n) if isinstance(one, Step)]
        for n in range(RUNS)
    }
    yield Figure(
        "the same from TensorBoard's start, its API, its memory", "", dashboard_others.tensorboard(values)
    )
    yield Figure(
        "the same from Trackio's start, its API, its memory", "", dashboard_others.trackio(values, trackio)
    )


def _values(step: Step) -> dict[str, float]:
    return {
        "loss": step.loss, "gradient_norm": step.gradient_norm, "learning_rate": step.learning_rate,
        "tokens_per_second": step.tokens / step.seconds,
    }  # fmt: skip


def measure_live(folder: Path) -> Iterator[Figure]:
    run = folder / "live"
    run.mkdir(parents=True)
    (run / "recipe.yaml").write_text("model: tiny\n")
    log = LogWriter(run / "log.jsonl")
    log.append(next(records("live", 10_000)))
    log.flush()
    with server(folder) as running:
        delays: list[float] = []
        done = threading.Event()

        def listen() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", running.serving.port, timeout=60)
            topic = f"/api/events?topics=run:{running.run_ids()[0]}"
            connection.request("GET", topic, headers={"Authorization": f"Bearer {running.serving.token}"})
            answer = connection.getresponse()
            while not done.is_set() and (line := answer.readline()):
                if line.startswith(b"data: ") and b'"steps"' in line:
                    now = time.time() - BEGAN
                    delays.extend(now - at for at in json.loads(line[6:])["steps"]["time"])

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        time.sleep(1)
        for number in range(1, 301):  # 20 updates a second
            time.sleep(0.05)
            log.append(_step(number))
        done.set()
    log.close()
    delays.sort()
    middle, most = delays[len(delays) // 2], delays[int(0.99 * len(delays))]
    yield Figure(
        "a new update in the page, after it was logged: median; 99 of 100",
        "≤ 250 ms",
        f"{1e3 * middle:.0f} ms; {1e3 * most:.0f} ms",
    )


def _step(number: int, seconds: float = 0.05) -> Step:
    return Step(
        time=time.time(), step=number, cursor=number, epoch=0.0, stage=0, loss=1.0, learning_rate=1e-4,
        gradient_norm=1.0, rows=8, tokens=100, seconds=seconds,
    )  # fmt: skip


def measure_idle(folder: Path) -> Iterator[Figure]:
    write_run(folder, "one", 454)
    with server(folder) as running, socket.socket() as stream:
        stream.connect(("127.0.0.1", running.serving.port))
        topics = f"list,run:{running.run_ids()[0]}"
        stream.sendall(
            f"GET /api/events?topics={topics} HTTP/1.1\r\nHost: 127.0.0.1:{running.serving.port}\r\n"
            f"Authorization: Bearer {running.serving.token}\r\n\r\n".encode()
        )
        time.sleep(2)
        stream.recv(1 << 20)
        stream.settimeout(10)
        before = running.cpu_seconds
        got = b""
        with contextlib.suppress(TimeoutError):
            got = stream.recv(1 << 20)
        spent = running.cpu_seconds - before
    yield Figure(
        "nothing happens for 10 s while a page is open: bytes sent; processor time of the server",
        "0",
        f"{len(got)}; {1e3 * spent:.0f} ms",
    )


def measure_crowd(
    folder: Path, clients: int = 500, rounds: int = 6, seconds: float = 6.0
) -> Iterator[Figure]:
    """Let a training of 20 ms an update run beside a server with and without a crowd, by turns."""
    run = folder / "live"
    run.mkdir(parents=True)
    (run / "recipe.yaml").write_text("model: tiny\n")
    log = LogWriter(run / "log.jsonl")
    log.append(next(records("live", 1_000_000)))
    log.flush()
    alone: list[float] = []
    watched: list[float] = []
    used: list[float] = []
    with server(folder) as running:
        topic = f"/api/events?topics=run:{running.run_ids()[0]}"
        number = 0
        for turn in range(2 * rounds):
            crowd = _crowd(running, topic, clients) if turn % 2 else None
            before = running.cpu_seconds
            into = watched if turn % 2 else alone
            until = time.perf_counter() + seconds
            while time.perf_counter() < until:
                number += 1
                took = timed(_work)
                log.append(_step(number, took))
                into.append(took)
            if crowd is not None:
                used.append((running.cpu_seconds - before) / seconds)
                crowd.kill()
                crowd.communicate()
    log.close()
    ratio = _p99(watched) / _p99(alone) - 1
    middle = statistics.median(watched) / statistics.median(alone) - 1
    told_ = f"{100 * ratio:+.1f} % (median {100 * middle:+.1f} %; p99 {1e3 * _p99(alone):.1f} ms alone); the server took {100 * statistics.median(used):.1f} % of a processor"
    yield Figure(f"{clients} slow pages follow a training: 99th percentile of its update", "≤ +1 %", told_)


def _p99(values: list[float]) -> float:
    return sorted(values)[int(0.99 * len(values))]


def _work() -> None:
    """Compute for about 20 ms, as an update of a small model does."""
    total = 0.0
    for number in range(200_000):
        total += number * 0.5


def _crowd(running: Server, topic: str, clients: int) -> subprocess.Popen[bytes]:
    arguments = [str(running.serving.port), running.serving.token, topic, str(clients)]
    crowd = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.dashboard_crowd", *arguments], stdout=subprocess.PIPE
    )
    assert crowd.stdout is not None
    crowd.stdout.readline()  # all are connected
    return crowd


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trackio", help="an interpreter that has Trackio")
    parser.add_argument("--write", type=Path, help="file to write the table to")
    parser.add_argument("--only", nargs="*", default=[])
    asked = parser.parse_args()
    parts: dict[str, Callable[[Path], Iterator[Figure]]] = {
        "start": measure_start,
        "million": measure_million,
        "many": measure_many,
        "first_chart": lambda folder: measure_first_chart(folder, asked.trackio),
        "live": measure_live,
        "idle": measure_idle,
        "crowd": measure_crowd,
    }
    found: list[Figure] = []
    for name, measure in parts.items():
        if not asked.only or name in asked.only:
            with tempfile.TemporaryDirectory() as folder:
                for figure in measure(Path(folder) / "runs"):
                    found.append(figure)
                    print(f"{figure.what}: {figure.found}  (wanted {figure.wanted or '–'})", flush=True)
    if asked.write:
        asked.write.write_text(_page(found))


def _page(found: list[Figure]) -> str:
    lines = [f"| {one.what} | {one.wanted or '–'} | {one.found} |" for one in found]
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    return (
        "# What the dashboard costs\n\n```sh\n.venv/bin/python -m benchmarks.dashboard\n```\n\n"
        f"Measured on {os.cpu_count()} cores while other programs ran (load {load} over 1, 5 and 15 minutes): the least of "
        "several measurements, the median beside it.\n\n"
        "| what | wanted | found |\n|---|---|---|\n" + "\n".join(lines) + "\n"
    )


if __name__ == "__main__":
    main()
