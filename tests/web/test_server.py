"""The server as a process: where it listens, how it is found, how it ends."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sites import Client, Site, started, step, write_run

from tunewell.cli import main
from tunewell.problems import RunError
from tunewell.web.access import Access, serving_file, token_of_file, told
from tunewell.web.server import allowed_hosts, bind, is_loopback

Begin = Callable[..., tuple[subprocess.Popen[str], str]]


@pytest.fixture
def watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Begin]:
    """Return a function that runs `tunewell watch` over `tmp_path/runs` and returns the process and its link."""
    monkeypatch.setenv("TUNEWELL_STATE", str(tmp_path / "state"))
    (tmp_path / "runs").mkdir()
    begun: list[subprocess.Popen[str]] = []

    def begin(*arguments: str) -> tuple[subprocess.Popen[str], str]:
        command = [sys.executable, "-m", "tunewell", "watch", "--root", str(tmp_path / "runs"), *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        begun.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline().strip()

    yield begin
    for process in begun:
        process.kill()
        process.communicate()


def client_of(link: str, token: str = "") -> Client:
    return Client(urlsplit(link).port or 0, token)


@pytest.mark.slow
def test_it_listens_on_this_machine_alone_and_leaves_its_token_to_its_owner(
    watch: Begin, tmp_path: Path
) -> None:
    process, link = watch()
    port = urlsplit(link).port
    listening = subprocess.run(
        ["ss", "-ltnH", f"sport = :{port}"], capture_output=True, text=True, check=True
    ).stdout
    assert [line.split()[3] for line in listening.splitlines()] == [f"127.0.0.1:{port}"]
    file = serving_file(tmp_path / "runs")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    serving = told(tmp_path / "runs")
    assert serving is not None
    assert serving.pid == process.pid
    assert serving.token not in " ".join(Path(f"/proc/{process.pid}/cmdline").read_text().split("\0"))
    assert serving.token not in link


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_at_once_even_with_open_streams(
    watch: Begin, tmp_path: Path, end: signal.Signals
) -> None:
    write_run(tmp_path / "runs" / "first", [started(), step(1)])
    process, link = watch()
    serving = told(tmp_path / "runs")
    assert serving is not None
    client = client_of(link, serving.token)
    run = client.run_id()
    with (
        client.stream(f"/api/events?topics=list,run:{run}") as one,
        client.stream("/api/events?topics=list") as other,
    ):
        begun = time.monotonic()
        process.send_signal(end)
        assert process.wait(10) == 0
        assert time.monotonic() - begun < 3
        assert [event for event, _, _ in one][-1:] == ["bye"]
        assert [event for event, _, _ in other][-1:] == ["bye"]
    assert told(tmp_path / "runs") is None
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()


@pytest.mark.slow
def test_a_second_one_finds_the_first_and_gives_a_fresh_link(watch: Begin, tmp_path: Path) -> None:
    first, link = watch()
    second, other = watch()
    assert second.wait(20) == 0
    assert urlsplit(link).netloc == urlsplit(other).netloc
    assert link != other
    for one in (link, other):
        path = urlsplit(one)
        assert client_of(one).get(f"{path.path}?{path.query}").status == 200
    stopping, _ = watch("--stop")
    assert stopping.wait(20) == 0
    assert first.wait(10) == 0


@pytest.mark.slow
def test_another_folder_gets_another_port(watch: Begin, tmp_path: Path) -> None:
    _, link = watch()
    (tmp_path / "others").mkdir()
    _, other = watch("--root", str(tmp_path / "others"))
    assert urlsplit(link).port != urlsplit(other).port


@pytest.mark.slow
def test_a_server_that_was_killed_is_no_hindrance(watch: Begin, tmp_path: Path) -> None:
    first, _ = watch()
    first.kill()
    first.wait()
    assert told(tmp_path / "runs") is not None
    second, link = watch()
    assert second.poll() is None
    assert client_of(link).get("/").status == 401


@pytest.mark.slow
def test_it_loads_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from tunewell.web import app, server; from tunewell.cli import _dashboard;"
        "print([n for n in ('torch','transformers','pyarrow','sklearn','numpy') if n in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_other_addresses_need_a_token_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNEWELL_STATE", str(tmp_path / "state"))
    for host in ("0.0.0.0", "192.168.1.1", "::", "example.test"):
        assert main(["watch", "--root", str(tmp_path), "--host", host]) == 2
        assert "--token-file" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("host", "only"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("10.0.0.1", False)],
)
def test_what_only_this_machine_reaches(host: str, only: bool) -> None:
    assert is_loopback(host) is only


def test_names_that_are_answered() -> None:
    assert allowed_hosts("127.0.0.1", 80) == {"127.0.0.1:80", "localhost:80", "[::1]:80"}
    assert "10.0.0.1:80" in allowed_hosts("10.0.0.1", 80)
    assert "Name:9" not in allowed_hosts("127.0.0.1", 80, ["Name:9"])
    assert "name:9" in allowed_hosts("127.0.0.1", 80, ["Name:9"])


def test_a_used_port_is_refused_and_a_free_one_is_found() -> None:
    with bind("127.0.0.1", 0) as one, bind("127.0.0.1", 0) as other:
        assert one.getsockname()[1] != other.getsockname()[1]
        with pytest.raises(RunError, match="can't listen"):
            bind("127.0.0.1", one.getsockname()[1])


def test_a_token_file_is_made_closed_and_refused_open(tmp_path: Path) -> None:
    file = tmp_path / "token"
    token = token_of_file(file)
    assert token_of_file(file) == token
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o644)
    with pytest.raises(RunError, match="others may read"):
        token_of_file(file)
    file.chmod(0o600)
    file.write_text("short\n")
    with pytest.raises(RunError, match="fewer than"):
        token_of_file(file)


def test_each_start_has_its_own_keys() -> None:
    tokens = {Access().token for _ in range(50)}
    assert len(tokens) == 50
    assert all(len(token) >= 43 for token in tokens)  # 256 bits
    access = Access()
    codes = {access.link_code() for _ in range(50)}
    assert len(codes) == 50
    assert all(re.fullmatch(r"[\w-]{32}", code) for code in codes)


def test_an_old_link_is_worth_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    access = Access()
    code = access.link_code()
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 13 * 3600)
    assert access.open(code) is None


def test_the_first_port_is_a_known_one(serve_runs: Callable[..., Site], tmp_path: Path) -> None:
    assert serve_runs(tmp_path).serving.port >= 7860
    assert os.environ["TUNEWELL_STATE"]
