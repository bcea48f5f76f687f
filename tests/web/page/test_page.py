"""The page over finished runs: what it shows, that text stays text, that it asks nobody else and nothing when idle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from web.page.browsing import HOSTILE, Site, open_context, serving, until

pytestmark = pytest.mark.slow

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
TABS = ["", "/layers", "/data", "/examples", "/system"]


def _screens(dashboard: Site) -> dict[str, str]:
    """Return the address of each screen, and what is there once it is drawn."""
    run = f"/run/{dashboard.id_of('too_fast')}"
    both = f"{dashboard.id_of('too_fast')},{dashboard.id_of('healthy')}"
    return {
        "/": ".run-row a",
        run: ".chart.main .u-over",
        f"{run}?point=3": ".point-row",
        f"{run}/layers": ".heat canvas",
        f"{run}/data": ".split",
        f"{run}/examples": ".example-rows li",
        f"{run}/system": ".shares",
        f"/compare?runs={both}": ".chart.main .u-over",
        "/models": ".empty",
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_any_screen(browser: Any, dashboard: Site, scheme: str) -> None:
    source = AXE.read_text(encoding="utf-8")
    context = open_context(browser, dashboard, color_scheme=scheme)
    page = context.new_page()
    found = []
    for address, drawn in _screens(dashboard).items():
        page.goto(dashboard.url + address)
        page.locator(drawn).first.wait_for()
        page.evaluate(source)
        result = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        found += [
            (address, one["id"], [node["html"][:150] for node in one["nodes"][:3]])
            for one in result["violations"]
            if one["impact"] in {"serious", "critical"}
        ]
    context.close()

    assert found == []


@pytest.mark.parametrize("width", [390, 1440])
def test_no_screen_is_wider_than_the_window(browser: Any, dashboard: Site, width: int) -> None:
    context = open_context(browser, dashboard, viewport={"width": width, "height": 844})
    page = context.new_page()

    for address, drawn in _screens(dashboard).items():
        page.goto(dashboard.url + address)
        page.locator(drawn).first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address
    context.close()


def test_hostile_text_stays_text_and_nobody_else_is_asked(context: Any, dashboard: Site) -> None:
    page = context.new_page()
    asked: list[str] = []
    broken: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.on("console", lambda said: said.type == "error" and broken.append(said.text))
    run = dashboard.id_of(f"hostile {HOSTILE}")

    page.goto(dashboard.url)
    page.get_by_role("link", name=f"hostile {HOSTILE}").wait_for()
    for tab in TABS:
        page.goto(f"{dashboard.url}/run/{run}{tab}")
        page.get_by_role("heading", level=1, name=f"hostile {HOSTILE}").wait_for()
    page.goto(f"{dashboard.url}/run/{run}/examples")
    page.locator(".row-text", has_text=HOSTILE).first.wait_for()
    page.locator(".confusion th", has_text=HOSTILE).first.wait_for()

    assert page.evaluate("window.hacked") is None
    assert page.locator("img").count() == 0
    assert {address.split("/")[2] for address in asked} == {dashboard.url.split("/")[2]}
    assert broken == []


def test_the_card_of_an_alert_opens_from_its_flag_and_can_be_set_aside(context: Any, dashboard: Site) -> None:
    page = context.new_page()
    page.goto(f"{dashboard.url}/run/{dashboard.id_of('too_fast')}")
    flag = page.locator(".chart.main button.flag.bad, .chart.main button.flag.attention").first
    flag.wait_for()

    assert "Step" in str(flag.get_attribute("title"))
    flag.click()
    card = page.locator(".incident.pointed")
    card.wait_for()
    assert card.get_by_text("Action taken").is_visible()
    card.get_by_role("button", name="Branch from checkpoint").click()
    assert "tunewell branch too_fast@" in card.locator("code").inner_text()
    alerts = page.locator(".story > section .incident").count()
    card.get_by_role("button", name="Ignore").click()
    page.locator("summary", has_text="Ignored in this browser").wait_for()

    page.reload()
    page.locator("summary", has_text="Ignored in this browser (1)").wait_for()
    assert page.locator(".story > section > .incident").count() == alerts - 1


def test_a_point_leads_to_its_rows(context: Any, dashboard: Site) -> None:
    page = context.new_page()
    page.goto(f"{dashboard.url}/run/{dashboard.id_of('healthy')}")
    plot = page.locator(".chart.main .u-over")
    plot.wait_for()

    plot.click(position={"x": 200, "y": 80})
    drawer = page.get_by_role("dialog")
    drawer.locator(".point-row").first.wait_for()
    assert "point=" in page.url
    assert drawer.locator(".point-row").count() == 16
    said = drawer.locator(".predicted").first.inner_text()
    assert "predicted then" in said
    assert "%" in said
    assert "tunewell branch healthy@" in drawer.locator("code").last.inner_text()
    page.keyboard.press("Escape")

    drawer.wait_for(state="detached")
    assert "point=" not in page.url


def test_a_stretch_is_zoomed_into_and_the_address_keeps_it(context: Any, dashboard: Site) -> None:
    page = context.new_page()
    page.goto(f"{dashboard.url}/run/{dashboard.id_of('healthy')}")
    plot = page.locator(".chart.main .u-over")
    plot.wait_for()
    box = plot.bounding_box()

    with page.expect_request(lambda asked: "/series" in asked.url and "from=" in asked.url):
        page.mouse.move(box["x"] + 100, box["y"] + 60)
        page.mouse.down()
        page.mouse.move(box["x"] + 400, box["y"] + 80, steps=5)
        page.mouse.up()
    assert "range=" in page.url
    page.get_by_role("button", name="Epoch").first.click()
    assert "x=epoch" in page.url
    assert "range=" not in page.url  # a stretch of steps is none of epochs

    page.go_back()
    assert "range=" not in page.url


def test_the_controls_of_the_page_are_reached_and_used_by_keyboard(context: Any, dashboard: Site) -> None:
    page = context.new_page()
    page.goto(f"{dashboard.url}/run/{dashboard.id_of('healthy')}")
    page.locator(".chart.main .u-over").wait_for()

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keys").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"  # where it was before
    page.keyboard.press("l")
    assert "loss=log" in page.url
    slider = page.locator(".chart.main [role=slider]")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    until(
        lambda: slider.get_attribute("aria-valuenow") != slider.get_attribute("aria-valuemax"),
        "the arrows move",
    )
    page.keyboard.press("Enter")
    page.get_by_role("dialog").locator(".point-row").first.wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    page.keyboard.press("2")
    page.locator(".heat canvas").wait_for()
    page.keyboard.press("g")
    page.locator(".run-row a").first.wait_for()
    page.keyboard.press("/")
    page.keyboard.type("health")
    until(lambda: page.locator(".run-row").count() == 1, "the search finds it")


def test_an_idle_page_asks_nothing(context: Any, dashboard: Site) -> None:
    page = context.new_page()
    page.goto(dashboard.url)
    page.locator(".run-row a").first.wait_for()
    page.goto(f"{dashboard.url}/run/{dashboard.id_of('healthy')}")
    page.locator(".chart.main .u-over").wait_for()
    page.wait_for_load_state("domcontentloaded")
    page.wait_for_timeout(1_500)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    page.wait_for_timeout(5_000)

    assert asked == []


def test_each_chart_has_its_numbers_in_words_and_as_a_table(context: Any, dashboard: Site) -> None:
    page = context.new_page()
    page.goto(f"{dashboard.url}/run/{dashboard.id_of('healthy')}")
    page.locator(".chart.main .u-over").wait_for()

    for chart in page.locator(".chart").all():
        told = chart.locator("p.visually-hidden").inner_text()
        assert "step" in told or "throughout" in told
        chart.get_by_role("button", name="show as a table").click()
        assert chart.locator(".chart-table tbody tr").count() > 1


def test_tags_and_a_note_are_kept_with_the_run(context: Any, dashboard: Site) -> None:
    page = context.new_page()
    page.goto(f"{dashboard.url}/run/{dashboard.id_of('healthy')}")
    page.get_by_role("button", name="Tags and note").click()
    page.get_by_label("Tags, separated by commas").fill("baseline, small")
    page.get_by_role("textbox", name="Note").fill("the first that learned")
    page.get_by_role("button", name="Save").click()

    page.locator(".run-title .tag", has_text="baseline").wait_for()
    page.goto(dashboard.url)
    page.locator(".run-row", has_text="healthy").locator(".tag", has_text="small").wait_for()


def test_an_empty_folder_of_runs_shows_the_command(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "state").mkdir()
    with serving(tmp_path / "none", tmp_path / "state") as site:
        context = open_context(browser, site)
        page = context.new_page()
        page.goto(site.url)

        page.get_by_role("heading", name="No run yet").wait_for()
        assert "tunewell train train.yaml" in page.locator("main").inner_text()
        context.close()
