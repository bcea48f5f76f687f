"""Who gets in: every route, with every wrong key, name and origin."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from sites import Client, Site, started, write_run
from starlette.routing import BaseRoute, Mount, Route

from tunewell.web.access import Access
from tunewell.web.app import make
from tunewell.web.gate import MOST_ADDRESS, MOST_BODY, OPEN
from tunewell.web.root import Root

PAGE = {"Accept": "text/html"}
"""What a browser says that goes to a page."""


def every_route() -> list[tuple[str, str]]:
    """Return method and address of all routes there are, as the application itself knows them."""
    inner = make(Path("nowhere"), Access(), frozenset(), "c").inner
    return sorted({found for route in inner.routes for found in addresses(route)})


def addresses(route: BaseRoute) -> list[tuple[str, str]]:
    if isinstance(route, Mount):
        return [("GET", f"{route.path}/app.js")]
    assert isinstance(route, Route)
    path = route.path.replace("{run}", "0" * 16).replace("{step:int}", "1").replace("{tab}", "layers")
    return [(method, path) for method in route.methods or () if method != "HEAD"]


ROUTES = every_route()
CLOSED = [(method, path) for method, path in ROUTES if path != OPEN]


def test_all_routes_are_walked() -> None:
    paths = {path for _, path in ROUTES}
    assert {"/", "/api/runs", "/api/events", "/metrics", "/static/app.js", OPEN} <= paths
    assert len(CLOSED) >= 20


def ask(client: Client, method: str, path: str, headers: dict[str, str]) -> int:
    """Return the status of a well-formed request."""
    if method == "POST":
        return client.post(path, {"id": "x", "action": {"do": "pause"}}, headers).status
    return client.get(path, headers).status


@pytest.mark.parametrize(
    "key",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic dTpw"},
        {"Cookie": "{cookie}=wrong"},
        {"Cookie": "{cookie}="},
        {"Cookie": "tunewell={token}"},
        {"X-Token": "{token}"},
    ],
    ids=str,
)
def test_nothing_is_told_without_a_key(site: Site, key: dict[str, str]) -> None:
    names = {"token": site.access.token, "cookie": f"tunewell_{site.serving.port}"}
    headers = {name: value.format(**names) for name, value in key.items()}
    for method, path in CLOSED:
        assert ask(site.stranger, method, path, headers) == 401, (method, path)
    assert site.stranger.get(f"/api/runs?token={site.access.token}", headers).status == 401


def test_addresses_that_do_not_exist_are_closed_too(site: Site) -> None:
    for path in ("/nothing", "/api/new", "/docs", "/openapi.json", "/static/../server.py"):
        assert site.stranger.get(path).status == 401


@pytest.mark.parametrize(
    "host",
    [
        "evil.test",
        "evil.test:{port}",
        "127.0.0.1",
        "localhost",
        "127.0.0.1:1",
        "127.0.0.1.evil.test:{port}",
        "",
        "0.0.0.0:{port}",
    ],
)
def test_other_names_are_refused_everywhere(site: Site, host: str) -> None:
    headers = {"Host": host.format(port=site.serving.port)}
    for method, path in ROUTES:
        assert ask(site.client, method, path, headers) == 421, (method, path)


def test_both_names_of_this_machine_are_answered(site: Site) -> None:
    for name in ("127.0.0.1", "localhost", "LOCALHOST"):
        assert site.client.get("/api/runs", {"Host": f"{name}:{site.serving.port}"}).status == 200


ORIGINS = ["http://evil.test", "null", "http://127.0.0.1:1", "http://localhost.evil.test", "file://"]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("origin", ORIGINS)
def test_other_origins_are_refused(site: Site, method: str, origin: str) -> None:
    for verb, path in CLOSED:
        if verb == method:
            assert ask(site.client, verb, path, {"Origin": origin}) == 403, path


@pytest.mark.parametrize("where", ["cross-site", "same-site"])
def test_requests_that_another_page_makes_are_refused(site: Site, where: str) -> None:
    for verb, path in CLOSED:
        assert ask(site.client, verb, path, {"Sec-Fetch-Site": where, "Sec-Fetch-Mode": "cors"}) == 403, path


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X-Tunewell": ""}, 403),
        ({"X-Tunewell": "0"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "multipart/form-data"}, 415),
        ({"Content-Type": ""}, 415),
    ],
)
def test_a_form_of_another_page_changes_nothing(site: Site, headers: dict[str, str], status: int) -> None:
    browser = open_page(site)
    for method, path in CLOSED:
        if method == "POST":
            assert browser.post(path, {"id": "x", "action": {"do": "pause"}}, headers).status == status, path


def test_a_cookie_alone_changes_nothing(site: Site) -> None:
    browser = open_page(site)
    path = f"/api/runs/{site.client.run_id()}/requests"
    body = json.dumps({"id": "x", "label": {"tags": ["a"]}}).encode()
    plain = {"X-Tunewell": "1", "Content-Type": "application/json"}
    assert browser.ask("POST", path, body, plain).status == 403  # no Origin
    assert (
        browser.ask("POST", path, body, {**plain, "Origin": f"http://127.0.0.1:{site.serving.port}"}).status
        == 202
    )


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND"])
def test_other_methods_are_refused(site: Site, method: str) -> None:
    answer = site.client.ask(method, "/api/runs")
    assert answer.status == 405
    assert not any(name.startswith("access-control") for name in answer.headers)


def test_reading_changes_nothing(site: Site) -> None:
    before = contents(site.root)
    for method, path in ROUTES:
        real = path.replace("0" * 16, site.client.run_id())
        if method == "GET" and path not in {"/api/events"}:
            site.client.get(real)
    assert contents(site.root) == before


def contents(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_every_answer_carries_the_policy_and_no_other_page_may_read_it(site: Site) -> None:
    answers = [site.client.get(path) for method, path in CLOSED if method == "GET" and path != "/api/events"]
    answers += [site.stranger.get("/"), site.stranger.get(OPEN), site.client.get("/", {"Host": "evil.test"})]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy or "sandbox allow-scripts" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert not any(name.startswith("access-control") for name in answer.headers)


def test_a_report_runs_in_a_sandbox(site: Site) -> None:
    (site.root / "first" / "report.html").write_text("<script>1</script>")
    answer = site.client.get(f"/report/{site.client.run_id()}")
    assert answer.status == 200
    policy = answer.headers["content-security-policy"]
    assert "sandbox allow-scripts" in policy
    assert "allow-same-origin" not in policy


def test_bodies_and_addresses_are_bounded(site: Site) -> None:
    path = f"/api/runs/{site.client.run_id()}/requests"
    assert site.client.post(path, b"[" + b" " * MOST_BODY + b"]").status == 413
    assert site.client.post(path, b"{}", {"Content-Length": "9" * 30}).status in {400, 413}
    assert site.client.get(f"/api/runs?search={'a' * MOST_ADDRESS}").status == 414


def test_a_body_that_grows_past_its_bound_is_cut_off(site: Site) -> None:
    path = f"/api/runs/{site.client.run_id()}/requests"
    piece = b"1000\r\n" + b" " * 0x1000 + b"\r\n"
    body = piece * (MOST_BODY // 0x1000 + 2) + b"0\r\n\r\n"
    sent = {"X-Tunewell": "1", "Content-Type": "application/json", "Transfer-Encoding": "chunked"}
    connection = http.client.HTTPConnection("127.0.0.1", site.serving.port, timeout=20)
    try:
        connection.putrequest("POST", path)
        for name, value in {**sent, "Authorization": f"Bearer {site.access.token}"}.items():
            connection.putheader(name, value)
        connection.endheaders()
        connection.send(body)
        assert connection.getresponse().status == 413
    finally:
        connection.close()


def test_a_link_opens_once(site: Site) -> None:
    code = site.access.link_code()
    assert site.stranger.ask("HEAD", f"{OPEN}?code={code}").status == 200  # a preview uses nothing up
    first = site.stranger.get(f"{OPEN}?code={code}")
    cookie = first.headers["set-cookie"]
    assert first.status == 200
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert site.access.token not in cookie
    for again in (code, "", "wrong", "é"):
        answer = site.stranger.get(f"{OPEN}?code={quote(again)}")
        assert answer.status == 401
        assert "set-cookie" not in answer.headers


def test_a_page_can_not_ask_for_what_is_the_token_holders(site: Site) -> None:
    browser = open_page(site)
    for path in ("/api/link", "/api/stop"):
        assert browser.post(path, {}).status == 403


def open_page(site: Site) -> Client:
    """Return a browser that opened a link: it holds the cookie alone."""
    answer = site.stranger.get(f"{OPEN}?code={site.access.link_code()}")
    return Client(site.serving.port, cookie=answer.headers["set-cookie"].partition(";")[0])


def test_without_a_key_a_browser_is_told_how_to_get_one(site: Site) -> None:
    answer = site.stranger.get("/", PAGE)
    assert answer.status == 401
    assert answer.headers["content-type"].startswith("text/html")
    assert b"tunewell watch" in answer.body
    assert str(site.root).encode() not in answer.body


@pytest.mark.parametrize(
    "name",
    [
        "..", "%2e%2e", "%252e%252e", "..%2f..%2fetc", "%5c..%5c", "a%00b", "first", "%66irst", "0" * 15, "g" * 16,
        "0" * 17, "FFFFFFFFFFFFFFFF", "0" * 16,
    ],
)  # fmt: skip
def test_names_of_runs_lead_nowhere_else(site: Site, name: str) -> None:
    for path in ("/api/runs/{}", "/api/runs/{}/log", "/api/runs/{}/series", "/report/{}"):
        assert site.client.get(path.format(name)).status in {400, 404}, name
    assert site.client.get(f"/api/events?topics=run:{name}").status in {400, 404}


@pytest.mark.parametrize(
    "path",
    [
        "..%2fserver.py",
        "%2e%2e/server.py",
        "..%5cserver.py",
        "%252e%252e/server.py",
        "a%00.js",
        "/etc/passwd",
    ],
)
def test_static_files_lead_nowhere_else(site: Site, path: str) -> None:
    assert site.client.get(f"/static/{path}").status in {400, 404}


def test_links_out_of_the_folder_are_refused(tmp_path: Path, serve_runs: Callable[..., Site]) -> None:
    write_run(tmp_path / "elsewhere" / "secret", [started("secret")])
    root = tmp_path / "runs"
    write_run(root / "inside", [started("inside")])
    (root / "outside").symlink_to(tmp_path / "elsewhere" / "secret")
    (root / "alias").symlink_to(root / "inside")
    write_run(root / "log_outside", [started("x")])
    (root / "log_outside" / "log.jsonl").unlink()
    (root / "log_outside" / "log.jsonl").symlink_to(tmp_path / "elsewhere" / "secret" / "log.jsonl")
    (root / "inside" / "report.html").symlink_to(tmp_path / "elsewhere" / "secret" / "log.jsonl")
    site = serve_runs(root)
    names = {one["name"] for one in site.client.get("/api/runs").json["runs"]}
    assert "outside" not in names
    assert {"inside", "alias"} <= names
    assert site.client.get(f"/api/runs/{Root(root).id_of('outside')}").status == 404
    linked = site.client.get(f"/api/runs/{Root(root).id_of('log_outside')}/log")
    assert linked.status == 404
    assert site.client.get(f"/api/runs/{Root(root).id_of('log_outside')}/series").status == 404
    assert site.client.get(f"/report/{Root(root).id_of('inside')}").status == 404
