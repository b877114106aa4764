"""The admin page: folders, jobs, items, duplicates, violations, faults and requests of one sandbox as HTML.

What does not belong here: reading what the sandbox holds, and HTTP.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from registration_pipeline.sandbox.admin.html import Headings, Html, badge, document, join, section, table, tag, void
from registration_pipeline.sandbox.faults.plan import dump_fault, dump_profile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from registration_pipeline.sandbox.admin.insight import (
        DatasetRecord,
        DuplicateRecord,
        FolderRecord,
        JobRecord,
        RegisteredItem,
        ViolationRecord,
    )
    from registration_pipeline.sandbox.api.traffic import EndpointTraffic, RequestRecord
    from registration_pipeline.sandbox.faults.plan import FaultRecord, ScriptedFault
    from registration_pipeline.sandbox.faults.random_profile import RandomFaults

SHOWN_ROWS = 50
"""Rows of each table on the first page."""
SHOWN_ITEMS = 100
"""Items on a page of a folder."""

_MOODS = {"DONE": "good", "PENDING": "wait", "ERROR": "bad", "CANCELLED": ""}
_FIRST_ERROR = 400
_SHOWN_METADATA = 300
_PLANT = """curl {admin}/faults --json '{{"effect": "cut", "when": "after", "endpoint": "start_job", "times": 3}}'"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """Everything on the first page; lists are cut to ``SHOWN_ROWS``, latest first where there is a time."""

    domain: str
    admin: str
    data: str
    counts: Mapping[str, Any]
    folders: Sequence[FolderRecord]
    datasets: Sequence[DatasetRecord]
    jobs: Sequence[JobRecord]
    duplicates: Sequence[DuplicateRecord]
    violations: Sequence[ViolationRecord]
    metadata_schema: Mapping[str, Any]
    scripted: Sequence[ScriptedFault]
    profile: RandomFaults | None
    strikes: Mapping[str, int]
    strike_log: Sequence[FaultRecord]
    traffic: Mapping[str, EndpointTraffic]
    requests: Sequence[RequestRecord]


def overview_page(overview: Overview) -> str:
    """The first page."""
    places = ("folders", "datasets", "jobs", "duplicates", "violations", "schema", "faults", "requests")
    header = join(
        [
            tag("h1", "Encord sandbox"),
            tag("p", overview.domain, " · data in ", overview.data),
            tag(
                "nav",
                *(tag("a", place.capitalize(), href=f"#{place}") for place in places),
                tag("a", "State as JSON", href="/state"),
            ),
        ]
    )
    main = join(
        [
            _tiles(overview),
            _folders(overview),
            _datasets(overview),
            _jobs(overview),
            _duplicates(overview),
            _violations(overview),
            _metadata_schema(overview),
            _faults(overview),
            _requests(overview),
        ]
    )
    return document("Encord sandbox", header, main)


def _tiles(overview: Overview) -> Html:
    counts = overview.counts
    jobs = ", ".join(f"{count:,} {status.lower()}" for status, count in counts["jobs"].items())
    tiles = [
        (counts["folders"], "folders", False),
        (counts["items"], "items", False),
        (counts["links"], f"links to {counts['datasets']:,} datasets", False),
        (sum(counts["jobs"].values()), f"jobs: {jobs}" if jobs else "jobs", False),
        (counts["duplicates"], "duplicate URLs", True),
        (counts["refused_in_folders"], "refused manifests", True),
        (sum(overview.strikes.values()), "faults struck", False),
        (sum(entry.requests for entry in overview.traffic.values()), "requests", False),
    ]
    return tag(
        "div",
        *(
            tag("div", tag("strong", f"{count:,}"), tag("span", label), class_="tile bad" if bad and count else "tile")
            for count, label, bad in tiles
        ),
        class_="tiles",
    )


def _shown(rows: Sequence[object], total: int | None = None) -> str:
    if total is not None and total > len(rows):
        return f"{len(rows):,} of {total:,}"
    return f"the latest {len(rows)}" if len(rows) == SHOWN_ROWS else ""


def _folder_link(uuid: str, name: str | None) -> Html:
    return tag("a", name or uuid, href=f"/folders/{uuid}")


def _time(iso: str | None) -> str:
    return iso[11:23] if iso else ""


def _number(value: float) -> str:
    return f"{value:,}"


def _folders(overview: Overview) -> Html:
    rows = [
        (
            _folder_link(folder.uuid, folder.path),
            _number(folder.items),
            _number(folder.jobs),
            tag("code", folder.uuid),
        )
        for folder in overview.folders
    ]
    shown = table(
        ["Folder", ("Items", "number"), ("Jobs", "number"), ("UUID", "faint")], rows, empty="No folder was made yet."
    )
    return section("folders", "Folders", shown, note=_shown(overview.folders, overview.counts["folders"]))


def _datasets(overview: Overview) -> Html:
    rows = [
        (entry.title, _number(entry.items), _number(entry.links), tag("code", entry.uuid))
        for entry in overview.datasets
    ]
    headings: Headings = ["Dataset", ("Items", "number"), ("Rows", "number"), ("UUID", "faint")]
    shown = table(headings, rows, empty="No dataset was made yet.")
    return section("datasets", "Datasets", shown, note=_shown(overview.datasets, overview.counts["datasets"]))


def _jobs(overview: Overview) -> Html:
    rows = [
        (
            _time(job.created_at),
            tag("code", job.file_name or "no file name"),
            _folder_link(job.folder_uuid, job.folder_name),
            join([badge(job.status, _MOODS.get(job.status, "")), " ", badge(job.fate, "wait") if job.fate else ""]),
            _bar(job),
            *map(_number, (job.units, job.done, job.failed, job.skipped, job.cancelled)),
        )
        for job in overview.jobs
    ]
    counts = [(name, "number") for name in ("Units", "Done", "Failed", "Skipped", "Cancelled")]
    headings: Headings = [("Started", "time"), "File name", "Folder", ("Status", "tight"), "", *counts]
    shown = table(headings, rows, empty="No upload job was started yet.")
    return section("jobs", "Upload jobs", shown, note=_shown(overview.jobs, sum(overview.counts["jobs"].values())))


def _bar(job: JobRecord) -> Html:
    parts = (("good", job.done), ("bad", job.failed), ("skip", job.skipped), ("stop", job.cancelled))
    units = max(job.units, 1)
    return tag(
        "div",
        *(tag("i", class_=css, style=f"width: {100 * count / units:.1f}%") for css, count in parts if count),
        class_="bar",
    )


def _duplicates(overview: Overview) -> Html:
    rows = [
        (_folder_link(entry.folder_uuid, entry.folder_name), tag("code", entry.url), _number(entry.times))
        for entry in overview.duplicates
    ]
    shown = table(["Folder", "URL", ("Times", "number")], rows, empty="None: every URL is in its folder once.")
    return section("duplicates", "Duplicates", shown, note=_shown(overview.duplicates, overview.counts["duplicates"]))


def _violation_badge(entry: ViolationRecord) -> Html:
    if not entry.refused:
        return badge("remark", "wait")
    return badge("refused", "bad") if entry.folder_name is not None else badge("refused, folder removed", "wait")


def _violations(overview: Overview) -> Html:
    rows = [
        (
            _time(entry.at),
            _violation_badge(entry),
            _folder_link(entry.folder_uuid, entry.folder_name),
            tag("code", entry.file_name or "no file name"),
            entry.message,
        )
        for entry in overview.violations
    ]
    headings: Headings = [("At", "time"), "", "Folder", "File name", "What was wrong, or doubtful"]
    shown = table(headings, rows, empty="None: every manifest was accepted as it was.")
    total = overview.counts["refused_manifests"] + overview.counts["remarks"]
    return section("violations", "Violations", shown, note=_shown(overview.violations, total))


def _metadata_schema(overview: Overview) -> Html:
    rows = [
        (tag("code", name), str(definition.get("ty", "")), tag("code", json.dumps(definition)[:_SHOWN_METADATA]))
        for name, definition in sorted(overview.metadata_schema.items())
    ]
    shown = table(["Field", ("Type", "tight"), "Definition"], rows[:SHOWN_ROWS], empty="No metadata schema was set.")
    note = _shown(rows[:SHOWN_ROWS], len(rows))
    return section("schema", "Metadata schema", shown, note=note)


def _faults(overview: Overview) -> Html:
    profile = tag("pre", dump_profile(overview.profile)) if overview.profile else tag("p", "No random profile.")
    counts = table(
        ["Way", ("Struck", "number")],
        [(tag("code", way), _number(count)) for way, count in overview.strikes.items()],
        empty="Nothing struck yet.",
    )
    in_force = section(
        "faults",
        "Faults in force",
        _scripted_faults(overview),
        tag("h3", "Random profile"),
        profile,
        tag("h3", "Plant one"),
        tag("pre", _PLANT.format(admin=overview.admin)),
    )
    strikes = tag(
        "div",
        section("strikes", "How often each way struck", counts),
        section("strike-log", "Latest strikes", _latest_strikes(overview), note=_shown(overview.strike_log)),
        class_="columns",
    )
    return join([in_force, strikes])


def _scripted_faults(overview: Overview) -> Html:
    rows = [
        (
            entry.id,
            badge("spent") if entry.spent else badge("in force", "wait"),
            tag("code", dump_fault(entry.fault)),
            _number(entry.seen),
            f"{entry.struck:,} of {'all' if entry.fault.times is None else entry.fault.times}",
        )
        for entry in overview.scripted
    ]
    return table(
        [("Id", "number"), "", "Scripted fault", ("Matched", "number"), ("Struck", "number")],
        rows,
        empty="No scripted fault.",
    )


def _latest_strikes(overview: Overview) -> Html:
    rows = [
        (
            _time(record.at),
            tag("code", record.way),
            record.endpoint,
            badge("took effect", "wait") if record.committed else badge("no effect"),
            "chance" if record.script_id is None else f"fault {record.script_id}",
        )
        for record in overview.strike_log
    ]
    return table([("At", "time"), ("Way", "tight"), ("Endpoint", "tight"), "", "By"], rows, empty="Nothing struck yet.")


def _requests(overview: Overview) -> Html:
    endpoints = table(
        ["Endpoint", ("Requests", "number"), ("4xx, 5xx, cut", "number"), ("Struck", "number")],
        [
            (tag("code", name), _number(entry.requests), _number(entry.failed), _number(entry.struck))
            for name, entry in overview.traffic.items()
        ],
        empty="No request came yet.",
    )
    recent = table(
        [("At", "time"), ("Request", ""), "Answer", ("ms", "number"), ("Fault", "tight")],
        [
            (
                _time(record.at),
                tag("code", f"{record.method} {record.path.removeprefix('/v2/public/')}"),
                _status(record),
                f"{record.milliseconds:,.1f}",
                tag("code", record.way or ""),
            )
            for record in overview.requests
        ],
        empty="No request came yet.",
    )
    return tag(
        "div",
        section("requests", "Requests per endpoint", endpoints, note="since the sandbox started"),
        section("recent", "Recent requests", recent, note=_shown(overview.requests)),
        class_="columns",
    )


def _status(record: RequestRecord) -> Html:
    if record.status is None:
        return badge("cut", "bad")
    return badge(record.status, "bad" if record.status >= _FIRST_ERROR else "good")


def folder_page(folder: FolderRecord, items: Sequence[RegisteredItem], *, search: str, offset: int) -> str:
    """A page of a folder's items; ``items`` may hold one more than is shown."""
    header = join(
        [
            tag("h1", folder.path),
            tag("p", f"{folder.items:,} items · {folder.jobs:,} upload jobs · ", tag("code", folder.uuid)),
            tag("nav", tag("a", "← all folders", href="/")),
        ]
    )
    form = tag(
        "form",
        void("input", name="search", value=search, placeholder="part of a name or URL", type="search"),
        " ",
        tag("button", "Search"),
        method="get",
    )
    rows = [
        (
            item.name,
            item.item_type,
            _number(len(item.urls)),
            join([tag("div", tag("code", url)) for url in item.urls[:3]] + [_more(item)]),
            tag("code", item.client_metadata[:_SHOWN_METADATA]),
            tag("code", item.uuid),
        )
        for item in items[:SHOWN_ITEMS]
    ]
    headings: Headings = ["Name", ("Type", "tight"), ("Objects", "number"), "URL", "Client metadata", ("UUID", "faint")]
    shown = table(headings, rows, empty="No item matches." if search or offset else "The folder holds no item.")
    links = []
    if offset:
        links.append(_page_link("← earlier", search, max(0, offset - SHOWN_ITEMS)))
    if len(items) > SHOWN_ITEMS:
        links.append(_page_link("later →", search, offset + SHOWN_ITEMS))
    note = f"{offset + 1:,} to {offset + len(rows):,}, oldest first" if rows else ""
    return document(
        f"{folder.path} · Encord sandbox",
        header,
        section("items", "Items", form, shown, tag("p", *links) if links else "", note=note),
    )


def _more(item: RegisteredItem) -> object:
    hidden = len(item.urls) - 3
    return tag("div", f"and {hidden:,} more") if hidden > 0 else ""


def _page_link(text: str, search: str, offset: int) -> Html:
    return join([tag("a", text, href=f"?{urlencode({'search': search, 'offset': offset})}"), " "])
