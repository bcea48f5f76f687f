"""What the tests of the dashboard share: made-up runs, and a client that says exactly what it is told to say."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunewell.records import Ended, Eval, Record, Started, Step, encode
from tunewell.web.access import Access, Serving

BEGAN = 1_790_000_000.0


def started(name: str = "first", total: int = 100) -> Started:
    return Started(
        time=BEGAN, run=name, recipe_hash="a", data_hash="b", fingerprint={"python": "3.11"}, total_steps=total,
        batches_per_epoch=50, num_rows={"train": 400, "validation": 40}, trainable_parameters=10, total_parameters=20,
    )  # fmt: skip


def step(number: int, loss: float = 1.0, **more: Any) -> Step:
    values = {
        "time": BEGAN + number, "step": number, "cursor": number - 1, "epoch": number / 50, "stage": 0, "loss": loss,
        "learning_rate": 1e-4, "gradient_norm": 1.0, "rows": 8, "tokens": 100, "seconds": 0.5,
    }  # fmt: skip
    return Step(**{**values, **more})


def evaluation(number: int, loss: float = 0.5, split: str = "validation") -> Eval:
    return Eval(
        time=BEGAN + number, step=number, epoch=number / 50, split=split, loss=loss, metrics={"accuracy": 0.75},
        rows=40, seconds=1.0,
    )  # fmt: skip


def ended(number: int) -> Ended:
    return Ended(
        time=BEGAN + number, step=number, status="completed", reason="all steps done", seconds=number
    )


def write_run(
    folder: Path, records: list[Record], recipe: str = "model: tiny\nlearning_rate: 1e-4\n"
) -> Path:
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(recipe)
    (folder / "log.jsonl").write_bytes(b"".join(map(encode, records)))
    return folder


def append(folder: Path, *records: Record) -> None:
    with (folder / "log.jsonl").open("ab") as file:
        file.write(b"".join(map(encode, records)))


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Client:
    """Asks one server; without `token` and `cookie` as a stranger."""

    port: int
    token: str = ""
    cookie: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] = {}
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
            for name, value in {**self._keys(), **self.headers, **headers}.items():
                connection.putheader(name, value)
            if body is not None and "Content-Length" not in headers:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())
        finally:
            connection.close()

    def get(self, path: str, headers: Mapping[str, str] = {}) -> Answer:
        return self.ask("GET", path, None, headers)

    def post(self, path: str, value: Any, headers: Mapping[str, str] = {}) -> Answer:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        sent = {
            "X-Tunewell": "1",
            "Content-Type": "application/json",
            "Origin": f"http://127.0.0.1:{self.port}",
        }
        return self.ask("POST", path, body, {**sent, **headers})

    @contextmanager
    def stream(self, path: str, headers: Mapping[str, str] = {}) -> Iterator[Iterator[tuple[str, str, Any]]]:
        """Open a stream of events: (name, id, data) each."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", path, None, {**self._keys(), **headers})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        try:
            yield _events(answer)
        finally:
            answer.close()
            connection.close()

    def _keys(self) -> dict[str, str]:
        keys = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return {**keys, "Cookie": self.cookie} if self.cookie else keys

    def run_id(self, name: str = "first") -> str:
        return next(one["id"] for one in self.get("/api/runs").json["runs"] if one["name"] == name)


def _events(answer: http.client.HTTPResponse) -> Iterator[tuple[str, str, Any]]:
    event: dict[str, str] = {}
    while line := answer.readline():
        text = line.decode().rstrip("\n")
        if text.startswith(":"):
            continue
        if text:
            name, _, value = text.partition(": ")
            event[name] = value
        elif event:
            yield event.get("event", ""), event.get("id", ""), json.loads(event["data"])
            event = {}


@dataclass
class Site:
    """A server that runs, and who may ask it."""

    root: Path
    serving: Serving
    access: Access
    client: Client
    stranger: Client
