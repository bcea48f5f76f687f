"""A training that goes on: its points arrive, what is asked of it is applied, and seven tabs follow it at once."""

from __future__ import annotations

from typing import Any

import pytest

from web.page.browsing import Site, until

pytestmark = pytest.mark.slow


def _step(page: Any) -> int:
    return int(page.locator(".where li b").first.inner_text().removeprefix("step ").replace(",", ""))


def _open(context: Any, dashboard: Site, name: str) -> Any:
    page = context.new_page()
    page.goto(f"{dashboard.url}/run/{dashboard.id_of(name)}")
    page.locator(".chart.main .u-over").wait_for()
    return page


def _said(page: Any, text: str) -> None:
    page.locator(".asked li", has_text=text).locator(".stages", has_text="applied").first.wait_for()


def test_points_arrive_and_seven_tabs_follow_over_one_connection(
    context: Any, dashboard: Site, live: str
) -> None:
    streams: list[str] = []
    context.on("request", lambda asked: "/api/events" in asked.url and streams.append(asked.url))
    tabs = [_open(context, dashboard, live) for _ in range(7)]

    for page in tabs:
        before = _step(page)
        until(lambda page=page, before=before: _step(page) > before + 5, "a tab shows newer steps", 60)
    drawn = tabs[6].locator(".chart.main [role=slider]").get_attribute("aria-valuemax")
    until(
        lambda: tabs[6].locator(".chart.main [role=slider]").get_attribute("aria-valuemax") != drawn,
        "the curve itself grows",
    )

    # The first tab leads; each other topic or cursor begins its connection anew, never one for each tab.
    assert len(streams) <= 3
    tabs[0].close()
    before = _step(tabs[6])
    until(lambda: _step(tabs[6]) > before + 5, "another tab takes the lead", 60)


def test_a_learning_rate_set_in_the_page_is_applied_in_the_log(
    context: Any, dashboard: Site, live: str
) -> None:
    page = _open(context, dashboard, live)

    page.get_by_role("button", name="Learning rate…").click()
    rate = page.get_by_label("New learning rate")
    rate.fill("-1")
    assert page.get_by_text("It must be larger than 0.").is_visible()
    rate.fill("2.5e-4")
    page.get_by_role("button", name="Set learning rate").click()

    _said(page, "Set the learning rate to 0.00025")
    acted = until(
        lambda: [one for one in dashboard.log(live) if one["type"] == "acted" and one.get("request")],
        "it is logged",
    )
    assert acted[-1]["outcome"] == "applied"
    assert acted[-1]["action"] == {"do": "set_learning_rate", "value": 2.5e-4}
    assert page.locator(".chart.main button.flag").count() >= 1


def test_pause_resume_and_stop(context: Any, dashboard: Site, stoppable: str) -> None:
    page = _open(context, dashboard, stoppable)
    controls = page.get_by_role("group", name="Controls of this run")

    controls.get_by_role("button", name="Pause").click()
    controls.get_by_role("button", name="Resume").wait_for()
    paused = dashboard.log(stoppable)[-1]
    controls.get_by_role("button", name="Resume").click()
    controls.get_by_role("button", name="Pause").wait_for()
    until(lambda: dashboard.log(stoppable)[-1]["step"] > paused["step"] + 3, "it trains on")
    controls.get_by_role("button", name="Stop and save").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop and save").click()

    page.locator(".controls.over").wait_for()
    ended = [one for one in dashboard.log(stoppable) if one["type"] == "ended"]
    assert [one["status"] for one in ended] in (["stopped"], ["completed"])


def test_a_lost_connection_is_told_and_training_is_said_to_go_on(
    context: Any, dashboard: Site, live: str
) -> None:
    page = _open(context, dashboard, live)
    before = _step(page)
    until(lambda: _step(page) > before, "news arrive")

    context.set_offline(True)
    page.evaluate("dispatchEvent(new Event('online'))")  # it tries again at once, and fails
    lost = page.locator(".connection", has_text="training continues")
    lost.wait_for()
    assert "last update" in lost.inner_text()
    context.set_offline(False)

    lost.wait_for(state="detached")
    before = _step(page)
    until(lambda: _step(page) > before, "news arrive again")
