"""How soon TensorBoard and Trackio have the same curves for a page, by their own servers and interfaces."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

Values = dict[str, list[dict[str, float]]]
"""By run: the numbers of each update."""
_WITHIN = 180.0


def tensorboard(values: Values) -> str:
    """Return the time from TensorBoard's start until all curves were fetched, the time of fetching, and its memory."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    with tempfile.TemporaryDirectory() as folder:
        for run, steps in values.items():
            writer = EventFileWriter(f"{folder}/{run}")
            for number, numbers in enumerate(steps, start=1):
                told = [Summary.Value(tag=key, simple_value=value) for key, value in numbers.items()]
                writer.add_event(Event(wall_time=1.0 + number, step=number, summary=Summary(value=told)))
            writer.close()
        port = _free_port()
        module = "from tensorboard.main import run_main; run_main()"
        command = [
            sys.executable,
            "-c",
            module,
            "--logdir",
            folder,
            "--port",
            str(port),
            "--host",
            "127.0.0.1",
        ]

        def all_there() -> bool:
            tags = json.loads(_ask(port, "/data/plugin/scalars/tags"))
            return len(tags) == len(values) and all(
                len(each) == len(next(iter(values.values()))[0]) for each in tags.values()
            )

        def fetch() -> int:
            wanted = [(run, key) for run, steps in values.items() for key in steps[0]]
            with ThreadPoolExecutor(6) as browser:
                found = browser.map(
                    lambda one: len(
                        json.loads(
                            _ask(
                                port, f"/data/plugin/scalars/scalars?run={quote(one[0])}&tag={quote(one[1])}"
                            )
                        )
                    ),
                    wanted,
                )
                return sum(found)

        return _measured(command, all_there, fetch, {})


def trackio(values: Values, python: str | None) -> str:
    """Return the same of Trackio, which `python` has."""
    if python is None:
        return "not measured: no interpreter with it was named"
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "TRACKIO_DIR": folder, "PYTHONPATH": ""}
        file = Path(folder) / "values.json"
        file.write_text(json.dumps(values))
        write = (
            "import json,sys; from trackio.sqlite_storage import SQLiteStorage as S\n"
            f"for run, steps in json.load(open({str(file)!r})).items(): S.bulk_log('p', run, steps, list(range(1, len(steps) + 1)))"
        )
        subprocess.run([python, "-c", write], env=environment, check=True, capture_output=True)
        port = _free_port()
        show = f"import trackio; trackio.show('p', open_browser=False, block_thread=True, server_port={port}, host='127.0.0.1')"

        def all_there() -> bool:
            found = json.loads(_ask(port, "/api/get_runs_for_project", {"project": "p"}))["data"]
            return len(found) == len(values)

        def fetch() -> int:
            asked = {"project": "p", "runs": [{"run": run} for run in values], "scalar_only": True}
            return len(_ask(port, "/api/get_logs_batch", asked))

        return _measured([python, "-c", show], all_there, fetch, environment)


def _measured(
    command: list[str], all_there: Callable[[], bool], fetch: Callable[[], int], environment: dict[str, str]
) -> str:
    begun = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment or None, start_new_session=True
    )  # fmt: skip
    try:
        while not _try(all_there):
            if time.perf_counter() - begun > _WITHIN:
                return f"not there after {_WITHIN:.0f} s"
            time.sleep(0.05)
        up = time.perf_counter()
        got = fetch()
        done = time.perf_counter()
        assert got > 0
        return f"{done - begun:.1f} s; {done - up:.1f} s; {_megabytes(process.pid):.0f} MB"
    finally:
        process.kill()
        process.wait()


def _try(check: Callable[[], bool]) -> bool:
    try:
        return check()
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        return False


def _ask(port: int, path: str, body: object = None) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_WITHIN)
    try:
        if body is None:
            connection.request("GET", path)
        else:
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != http.client.OK:
            raise OSError(f"{path}: {answer.status} {text[:200]!r}")
        return text
    finally:
        connection.close()


def _megabytes(pid: int) -> float:
    """Return the memory of a process and of those that it began."""
    total = 0.0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = dict(
                line.split(":\t", 1) for line in (folder / "status").read_text().splitlines() if ":\t" in line
            )
        except OSError:
            continue
        if str(pid) in {status["Pid"].strip(), status["PPid"].strip()} and "VmRSS" in status:
            total += int(status["VmRSS"].split()[0]) / 1024
    return total


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
