"""The dashboard from the terminal: find the server of a folder or begin one, and tell its link."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from tunewell.cli._codes import DONE
from tunewell.cli._terminal import say
from tunewell.problems import Problem, RunError
from tunewell.runs.folder import find
from tunewell.web.access import Access, Serving, state_folder, token_of_file, told

_ANSWERS_WITHIN = 5.0
_UP_WITHIN = 20.0


def begin(
    run: str | None,
    root: Path,
    *,
    host: str,
    port: int,
    token_file: Path | None,
    also: Sequence[str],
    open_page: bool,
    stop: bool,
) -> int:
    """Serve the runs in `root` until Ctrl-C, or tell the link of the server that does; see `tunewell watch`."""
    from tunewell.web.root import Root
    from tunewell.web.server import bind, is_loopback, serve

    if run is not None:
        folder = find(run, root)
        root = folder.path.resolve().parent
    page = "" if run is None else Root(root).id_of(folder.name)
    present = reach(root)
    if stop:
        return _stop(present, root)
    if present is not None:
        say(f"The runs in {root} are served already, by process {present.pid}.")
        _tell(link(present, page), open_page)
        return DONE
    if not is_loopback(host) and token_file is None:
        what = f"{host} can be reached from other machines"
        fix = "give --token-file FILE too: whoever holds its token may read all and act on every run"
        raise RunError(Problem("run", what, field="--host", fix=fix))
    token = token_of_file(token_file) if token_file is not None else None
    if not root.is_dir():
        say(f"There are no runs in {root} yet; they appear in the page when one begins.")
    listening = bind(host, port)

    def said(serving: Serving, access: Access) -> None:
        say(f"Serving the runs in {root}. The link opens once, in one browser; Ctrl-C ends the server.")
        _tell(_link(serving, access.link_code(), page), open_page)

    serve(root, listening, host=host, token=token, also=also, said=said)
    return DONE


def spawn(root: Path, page: str = "") -> str:
    """Begin a server of `root` that lives on by itself, unless one runs, and return a link to it."""
    present = reach(root)
    if present is None:
        output = state_folder() / "last.log"
        with output.open("wb") as file:
            subprocess.Popen(
                [sys.executable, "-m", "tunewell", "watch", "--root", str(root.resolve())],
                stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True,
            )  # fmt: skip
        until = time.monotonic() + _UP_WITHIN
        while present is None:
            if time.monotonic() > until:
                said = output.read_text(errors="replace").strip().splitlines()
                what = f"the dashboard did not start: {said[-1] if said else 'it said nothing'}"
                raise RunError(Problem("run", what, str(output), fix="tunewell watch"))
            time.sleep(0.05)
            present = reach(root)
    return link(present, page)


def reach(root: Path) -> Serving | None:
    """Return the server of `root` if one answers."""
    serving = told(root)
    if serving is None:
        return None
    try:
        return serving if _post(serving, "/api/ping").get("root") == serving.root else None
    except (OSError, http.client.HTTPException, ValueError):
        return None


def link(serving: Serving, page: str = "") -> str:
    """Return a fresh one-time link of a server that runs."""
    return _link(serving, str(_post(serving, "/api/link")["code"]), page)


def _link(serving: Serving, code: str, page: str) -> str:
    return f"{serving.url}/open?code={code}" + (f"&run={page}" if page else "")


def _stop(serving: Serving | None, root: Path) -> int:
    if serving is None:
        say(f"No server serves the runs in {root}.")
        return DONE
    _post(serving, "/api/stop")
    say(f"The server of the runs in {root} ends.")
    return DONE


def _tell(url: str, open_page: bool) -> None:
    print(url, flush=True)
    if open_page:
        webbrowser.open(url)


def _post(serving: Serving, path: str) -> dict[str, object]:
    host, _, port = serving.url.removeprefix("http://").rpartition(":")
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=_ANSWERS_WITHIN)
    try:
        headers = {
            "Authorization": f"Bearer {serving.token}", "X-Tunewell": "1", "Content-Type": "application/json",
        }  # fmt: skip
        connection.request("POST", path, b"{}", headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != http.client.OK:
            raise ValueError(f"the server answered {answer.status}")
        read: dict[str, object] = json.loads(body)
        return read
    finally:
        connection.close()
