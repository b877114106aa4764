"""The page: well formed, self-contained, readable without seeing it, and harmless whatever keys and messages hold."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from registration_pipeline.objects import RejectionReason
from registration_pipeline.report.files import page_bytes
from registration_pipeline.report.page import render
from registration_pipeline_tests.unit.report.figures import (
    HOSTILE,
    NOW,
    breakdown,
    busy_source,
    empty_source,
    report_of,
    row,
)

VOID = {"meta", "input"}
SAFE = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "a",
    "header",
    "main",
    "section",
    "footer",
    "div",
    "span",
    "p",
} | {
    *("h1", "h2", "h3", "h4", "b", "strong", "small", "code", "bdi", "ul", "ol", "li", "dl", "dt", "dd"),
    *("table", "thead", "tbody", "tr", "th", "td", "figure", "figcaption", "svg", "path", "rect", "details", "summary"),
    *("fieldset", "legend", "label", "input"),
}
REPORTS = {
    "one": report_of(busy_source()),
    "several": report_of(busy_source(), empty_source(), replace(busy_source("other", nights=1), audit=None)),
    "never listed": report_of(empty_source()),
    "no source": report_of(),
}


class Page(HTMLParser):
    """Collects elements, and refuses a page whose elements are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, Any]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(params=list(REPORTS.values()), ids=list(REPORTS))
def page(request: pytest.FixtureRequest) -> Page:
    return Page(render(request.param))


def test_it_holds_only_elements_that_can_do_nothing(page: Page) -> None:
    assert {tag for tag, _ in page.elements} - SAFE - {"title"} == set()
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]


def test_it_refers_to_nothing_outside(page: Page) -> None:
    references = [
        value
        for _, attributes in page.elements
        for name, value in attributes.items()
        if name in {"src", "href", "action", "data", "poster", "srcset", "xlink:href"}
    ]
    styles = " ".join(
        value or "" for _, attributes in page.elements for name, value in attributes.items() if name == "style"
    )

    assert all(value is not None and value.startswith("#") for value in references)
    assert "url(" not in styles
    assert not re.search(r"url\(|@import|@font-face", render(REPORTS["one"]).split("</style>")[0])
    policy = next(one["content"] for one in page.all("meta") if one.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def test_it_can_be_read_without_seeing_it(page: Page) -> None:
    names = Counter(attributes["id"] for _, attributes in page.elements if "id" in attributes)
    labelled = [value for _, attributes in page.elements if (value := attributes.get("aria-labelledby"))]
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]

    assert max(names.values()) == 1
    assert set(labelled) <= set(names)
    assert {link["href"].removeprefix("#") for link in page.all("a")} <= set(names)
    assert all(one.get("role") == "img" and one.get("aria-label") for one in page.all("svg"))
    assert all(one.get("scope") in {"row", "col"} for one in page.all("th"))
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert page.all("html")[0]["lang"] == "en"


def test_hostile_texts_are_shown_as_they_are_and_obeyed_by_nothing() -> None:
    data = page_bytes(REPORTS["one"])
    page = Page(data.decode())

    assert "\u202e" not in data.decode()
    assert "\x1b" not in data.decode()
    assert b"<script" not in data
    assert "<img" not in data.decode()
    shown = (
        'raw/<script src="https://evil.example/x.js">&"\'/\\u202egpj.exe\\n\\x1b[31m\\udcff'
        "<img src=x onerror=alert(1)>.jpg"
    )
    assert page.text.count(shown) >= 2
    assert HOSTILE not in "".join(page.text)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "50 objects need attention"),
        ({"failed": 0, "rejected": 0}, "100 objects pending"),
        ({"failed": 0, "rejected": 0, "pending": 0}, "Everything is registered"),
        ({"failed": 1, "rejected": 0}, "1 object needs attention"),
        ({"inventory_id": None}, "Not listed yet"),
        ({"disagreements": ("They differ.",)}, "The numbers do not add up"),
        ({"failed": 0, "rejected": 0, "last_sync_at": NOW.replace(day=20)}, "No sync for more than 36 hours"),
        ({"failed": 0, "rejected": 0, "pending": 0, "objects": 0}, "The bucket is empty"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_first_line_says_what_a_source_comes_to(changes: dict[str, Any], verdict: str) -> None:
    source = busy_source()

    text = Page(render(report_of(replace(source, status=replace(source.status, **changes))))).text

    assert verdict in text


def test_rejections_that_are_accepted_need_no_attention() -> None:
    source = busy_source()
    reasons = tuple(
        replace(one, is_accepted=one.reason == RejectionReason.UNSUPPORTED_TYPE) for one in source.failures.reasons
    )

    changed = replace(source, failures=replace(source.failures, reasons=reasons))

    assert (source.attention, changed.attention) == (50, 41)


def test_its_size_does_not_follow_from_how_much_there_is() -> None:
    assert len(page_bytes(REPORTS["one"])) < 100_000


def test_times_come_first_and_ages_are_those_of_the_report() -> None:
    text = " ".join(Page(render(REPORTS["several"])).text)

    assert "Last sync" not in text
    assert " ago" not in text
    assert re.search(r"Last run 27 Nov 2026, \d\d:\d\d UTC\s+4 h before this report", " ".join(text.split()))


@pytest.mark.parametrize(
    ("rows", "title"),
    [pytest.param(7, "All 7", id="all are shown"), pytest.param(50, "The first 10 of 50", id="more than are shown")],
)
def test_the_heading_of_the_first_failures_says_whether_they_are_all(rows: int, title: str) -> None:
    failures = breakdown(row(f"raw/{number}.jpg") for number in range(rows)).figures()

    assert title in Page(render(report_of(replace(busy_source(), failures=failures)))).text


@pytest.mark.parametrize(
    ("nights", "charts"),
    [
        pytest.param(2, 0, id="two points are a sentence"),
        pytest.param(3, 5, id="three points are a chart"),
    ],
)
def test_a_chart_is_drawn_from_three_points_on(nights: int, charts: int) -> None:
    page = Page(render(report_of(busy_source(nights=nights))))

    assert len(page.all("svg")) == charts
    assert len(page.all("figure")) == 5
    assert f"{nights} inventories since" in " ".join(page.text)
