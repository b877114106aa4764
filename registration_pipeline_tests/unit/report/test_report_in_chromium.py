"""The page in Chromium: nothing is cut or overlaps at the width of a phone and of a screen, in both modes, and on paper."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.report.files import page_bytes
from registration_pipeline_tests.unit.report.figures import busy_source, empty_source, report_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

pytestmark = pytest.mark.ui

CHROMIUM = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
CONTRAST = """() => {
  const channel = value => { value /= 255; return value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4 };
  const parse = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([red, green, blue]) => 0.2126 * channel(red) + 0.7152 * channel(green) + 0.0722 * channel(blue);
  const behind = element => {
    for (let one = element; one; one = one.parentElement) {
      const colour = parse(getComputedStyle(one).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), bad = [];
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement, text = walker.currentNode.textContent.trim();
    if (!text || !element.getClientRects().length || element.closest(".skip, legend")) continue;
    const [one, other] = [light(parse(getComputedStyle(element).color)), light(behind(element))].sort((a, b) => b - a);
    if ((one + 0.05) / (other + 0.05) < 4.5) bad.push(text);
  }
  return bad;
}"""
OVERLAPS = """() => [...document.querySelectorAll(".plot .x, .plot .y")].flatMap(axis => {
  const boxes = [...axis.children].map(label => label.getBoundingClientRect());
  return boxes.flatMap((one, place) => boxes.slice(place + 1).filter(other =>
    one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom));
}).length"""
OUTSIDE = """() => [...document.querySelectorAll("main *")].filter(element => {
  if (element.closest("details .scroll") && !element.matches(".scroll")) return false;  // a table that scrolls by itself
  const box = element.getBoundingClientRect();
  return box.width && (box.right > innerWidth + 1 || box.left < -1);
}).map(element => element.outerHTML.slice(0, 200))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_bytes(page_bytes(report_of(busy_source(), busy_source("young", nights=1), empty_source())))
    return path.as_uri()


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("mode", ["light", "dark"])
def test_everything_can_be_read(browser: Browser, url: str, width: int, mode: Any) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=mode)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("request", lambda request: said.append(request.url))

    page.goto(url)

    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(OUTSIDE) == []
    assert page.evaluate(OVERLAPS) == 0
    assert page.evaluate(CONTRAST) == []
    assert said == [url]
    page.close()


def test_the_switch_overrides_the_browser_and_paper_is_light(browser: Browser, url: str) -> None:
    page = browser.new_page(color_scheme="light")
    page.goto(url)
    background = "getComputedStyle(document.querySelector('.card')).backgroundColor"
    light = page.evaluate(background)

    page.get_by_text("Dark", exact=True).click()
    dark = page.evaluate(background)
    page.emulate_media(media="print")

    assert light == "rgb(255, 255, 255)"
    assert dark != light
    assert page.evaluate(background) == light
    assert not page.get_by_text("Dark", exact=True).is_visible()
    page.close()


@pytest.mark.parametrize("width", [390, 1440])
def test_a_few_failures_among_many_objects_are_seen(browser: Browser, tmp_path: Path, width: int) -> None:
    source = busy_source()
    many = replace(source.status, objects=1_000_000, excluded=0, rejected=1, registered=999_996, pending=1, failed=2)
    path = tmp_path / "report.html"
    path.write_bytes(page_bytes(report_of(replace(source, status=many))))
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(path.as_uri())

    parts = (
        "[...document.querySelectorAll('.states span, .funnel .gone')].map(one => one.getBoundingClientRect().width)"
    )
    right = "[...document.querySelectorAll('.gone')].every(one => one.getBoundingClientRect().right <= innerWidth)"
    widths = page.evaluate(parts)

    assert len(widths) == 4 + 3
    assert min(widths) >= 3
    assert page.evaluate(right)
    page.close()


def test_a_number_and_its_share_stay_together_on_a_phone(browser: Browser, url: str) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 900})
    page.goto(url)

    gap = """() => {
      const cell = document.querySelector("td[data-label=Registered]"), share = cell.querySelector("small");
      const range = document.createRange();
      range.selectNodeContents(share.previousSibling);
      return share.getBoundingClientRect().left - range.getBoundingClientRect().right;
    }"""
    assert 0 <= page.evaluate(gap) < 8
    page.close()
