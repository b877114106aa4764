"""Building blocks of the admin page: elements that escape what they are given, tables, and the page around them.

What does not belong here: what the page shows.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

STYLE = """
:root { color-scheme: light; --ink: #1c2430; --soft: #5f6b7a; --line: #e3e7ec; --ground: #f5f7f9; --accent: #3757c9;
  --good: #1a7f4b; --bad: #b3261e; --wait: #8a5a00; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 14px/1.45 system-ui, "Segoe UI", Roboto, sans-serif; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
header { background: #fff; border-bottom: 1px solid var(--line); padding: 16px 28px 0; }
header h1 { margin: 0; font-size: 20px; }
header p { margin: 2px 0 12px; color: var(--soft); }
nav { display: flex; flex-wrap: wrap; gap: 20px; padding-bottom: 10px; }
main { max-width: 1360px; margin: 0 auto; padding: 20px 28px 60px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin-bottom: 20px; }
.tile { background: #fff; border: 1px solid var(--line); border-radius: 8px; padding: 10px 14px; }
.tile strong { display: block; font-size: 24px; line-height: 1.3; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); }
.tile.bad strong { color: var(--bad); }
section { background: #fff; border: 1px solid var(--line); border-radius: 8px; margin-bottom: 20px; overflow: hidden; }
section > h2 { margin: 0; padding: 12px 16px; font-size: 15px; border-bottom: 1px solid var(--line); }
section > h2 small { color: var(--soft); font-weight: normal; margin-left: 8px; }
section > h3 { margin: 0; padding: 14px 16px 4px; font-size: 13px; color: var(--soft); font-weight: 600; }
section > p, section > form, section > pre { margin: 0; padding: 12px 16px; color: var(--soft); }
.columns { display: grid; grid-template-columns: minmax(0, 2fr) minmax(0, 3fr); gap: 20px; align-items: start; }
.scroll { overflow-x: auto; max-height: 520px; overflow-y: auto; }
table { border-collapse: collapse; width: 100%; min-width: 520px; }
th, td { text-align: left; padding: 6px 12px; vertical-align: top; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { padding-left: 16px; }
th:last-child, td:last-child { padding-right: 16px; }
tr:last-child td { border-bottom: 0; }
th { position: sticky; top: 0; background: #fafbfc; color: var(--soft); font-weight: 600; font-size: 12px;
  white-space: nowrap; }
td { overflow-wrap: anywhere; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.time, td.tight { white-space: nowrap; overflow-wrap: normal; }
td.time, td.faint { color: var(--soft); }
code, pre { font: 12px/1.5 ui-monospace, "DejaVu Sans Mono", Consolas, monospace; }
.badge { display: inline-block; padding: 1px 8px; border-radius: 10px; font-size: 12px; font-weight: 600; white-space: nowrap;
  background: #eceff3; color: var(--soft); }
.badge.good { background: #e2f4ea; color: var(--good); }
.badge.bad { background: #fbe6e4; color: var(--bad); }
.badge.wait { background: #fdf1d7; color: var(--wait); }
.bar { display: flex; width: 110px; height: 8px; margin-top: 6px; border-radius: 4px; overflow: hidden; background: #e3e7ec; }
.bar i { display: block; }
.bar .good { background: #3aa873; } .bar .bad { background: #d8554c; } .bar .skip { background: #8d9bd8; }
.bar .stop { background: #b9c0c9; }
input { font: inherit; padding: 5px 10px; border: 1px solid #c6cdd6; border-radius: 6px; width: 320px; }
button { font: inherit; padding: 5px 14px; border: 1px solid #c6cdd6; border-radius: 6px; background: #fff; cursor: pointer; }
.columns table { min-width: 0; }
@media (max-width: 1000px) { .columns { grid-template-columns: minmax(0, 1fr); } }
"""


Headings: TypeAlias = "Sequence[str | tuple[str, str]]"
"""Of a table: text, or text and the class of the column's cells."""


class Html(str):
    """Markup, as opposed to text that must be escaped."""

    __slots__ = ()


def join(parts: Iterable[object]) -> Html:
    """Put markup and text side by side; text is escaped."""
    return Html("".join(part if isinstance(part, Html) else escape(str(part)) for part in parts))


def tag(name: str, /, *children: object, **attributes: object) -> Html:
    """An element; an attribute named ``class_`` becomes ``class``."""
    return Html(f"<{name}{_attributes(attributes)}>{join(children)}</{name}>")


def void(name: str, /, **attributes: object) -> Html:
    """An element that has no content."""
    return Html(f"<{name}{_attributes(attributes)}>")


def _attributes(attributes: dict[str, object]) -> str:
    return "".join(f' {key.rstrip("_")}="{escape(str(value))}"' for key, value in attributes.items())


def badge(text: object, mood: str = "") -> Html:
    """A short word in colour: ``good``, ``bad``, ``wait`` or none."""
    return tag("span", text, class_=f"badge {mood}".strip())


def table(headings: Headings, rows: Iterable[Sequence[object]], *, empty: str) -> Html:
    """A table whose cells are escaped.

    Args:
        headings: one per column.
        rows: cells.
        empty: said instead of a table without rows.
    """
    columns = [(heading, "") if isinstance(heading, str) else heading for heading in headings]
    body = [
        tag("tr", *(tag("td", cell, class_=css) for cell, (_, css) in zip(row, columns, strict=True))) for row in rows
    ]
    if not body:
        return tag("p", empty)
    head = tag("tr", *(tag("th", heading, class_=css) for heading, css in columns))
    return tag("div", tag("table", tag("thead", head), tag("tbody", *body)), class_="scroll")


def section(anchor: str, title: str, *children: object, note: str = "") -> Html:
    """A card with a heading."""
    return tag("section", tag("h2", title, tag("small", note)), *children, id=anchor)


def document(title: str, header: Html, main: Html) -> str:
    """The whole page."""
    head = join(
        [
            void("meta", charset="utf-8"),
            void("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("title", title),
            tag("style", Html(STYLE)),
        ]
    )
    body = tag("body", tag("header", header), tag("main", main))
    return f"<!doctype html>\n{tag('html', tag('head', head), body, lang='en')}\n"
