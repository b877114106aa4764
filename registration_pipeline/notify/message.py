"""A document as a person reads it: a subject and sections of short lines, and the same as plain text.

What does not belong here: what a channel makes of it (``channels/``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from registration_pipeline.counted import counted
from registration_pipeline.notify.document import ended_words
from registration_pipeline.notify.incident import IncidentKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True)
class Section:
    """Lines under a heading."""

    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """Where to click.

    Args:
        label: in words.
        target: a URL, or a path.
    """

    label: str
    target: str

    @property
    def is_url(self) -> bool:
        """Return whether a browser can open it."""
        return self.target.startswith(("http://", "https://"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message.

    Args:
        subject: one line.
        sections: in the order in which they are read.
        links: the run, the failure log and the report, if there are any.
        document: the same for programs.
        page: the report, for channels that can attach a file.
    """

    subject: str
    sections: tuple[Section, ...]
    links: tuple[Link, ...]
    document: Mapping[str, Any]
    page: bytes | None = None

    def as_text(self) -> str:
        """Return it as plain text."""
        lines = [self.subject]
        for section in self.sections:
            lines += ["", section.title, *(f"  {line}" for line in section.lines)]
        if self.links:
            width = max(len(link.label) for link in self.links)
            lines += ["", *(f"{link.label + ':':<{width + 1}} {link.target}" for link in self.links)]
        return "\n".join(lines) + "\n"


def message_of(document: Mapping[str, Any]) -> Message:
    """Return the message of a document."""
    sections = [Section("What happened", tuple(_happened(document)))]
    if document["reasons"]:
        sections.append(Section("What is needed", tuple(map(_reason, document["reasons"]))))
    if document["first_objects"]:
        sections.append(_examples(document))
    sections.append(Section("What to do", tuple(document["what_to_do"])))
    return Message(
        subject=document["summary"],
        sections=tuple(sections),
        links=tuple(_links(document)),
        document=document,
    )


def _examples(document: Mapping[str, Any]) -> Section:
    """Return the objects that are shown, and how many are not."""
    first = document["first_objects"]
    more = document["new_objects"] - sum(one["objects"] for one in first)
    lines = tuple(map(_object, first))
    return (
        Section("Some of the new objects", (*lines, f"and {more:,} more"))
        if more
        else Section("The new objects", lines)
    )


def _happened(document: Mapping[str, Any]) -> Iterator[str]:
    kind, at = IncidentKind(document["kind"]), _readable(document["at"])
    due, last = document["due_at"], document["last_sync_at"]
    if kind is IncidentKind.FAILED:
        yield from _failures(document, at)
    else:
        yield {
            IncidentKind.HALTED: f"The run stopped at {at} with an error:",
            IncidentKind.KILLED: f"The process of the run ended before the run did; noticed at {at}:",
            IncidentKind.MISSED: f"It was due{f' at {_readable(due)}' if due else ''}, and no run had begun by {at}.",
            IncidentKind.STALE: f"The last complete sync began at {_readable(last)}."
            if last
            else "No sync has come to its end yet.",
            IncidentKind.TEST: f"`registration-pipeline notify --test` was run at {at}.",
        }.get(kind, f"A run came to its end at {at}.")
    if document["error"]:
        yield document["error"]
    if document["ended"]:
        yield f"Before, it was {ended_words(document['ended'])}; that is over."
    if over := document.get("over_objects"):  # recorded messages of earlier versions have none
        verb = "is" if over == 1 else "are"
        yield (
            f"The {counted(over, 'object')} reported before {verb} registered, or gone from the bucket, excluded or accepted."
        )
    if document["objects"]:
        yield _counts(document["objects"])


def _failures(document: Mapping[str, Any], at: str) -> Iterator[str]:
    new, known = document["new_objects"], document["known_objects"]
    verb = "was" if new == 1 else "were"
    yield f"The run that ended at {at} has {counted(new, 'object')} that {verb} not reported before."
    if known:
        verbs = ("was", "fails") if known == 1 else ("were", "fail")
        yield f"{counted(known, 'more object')} {verbs[0]} reported before and still {verbs[1]}."


def _counts(objects: Mapping[str, int]) -> str:
    """Return the numbers of the source in a line; those that are 0 are left out, except the two that matter."""
    named = [f"{objects[name]:,} {name}" for name in ("registered", "failed") if name in objects]
    named += [f"{objects[name]:,} {name}" for name in ("rejected", "excluded", "pending") if objects.get(name)]
    accepted = objects.get("accepted_rejected")
    note = f" ({accepted:,} of the rejected ones are accepted)" if accepted else ""
    return f"{counted(objects.get('objects', 0), 'object')} in all: {', '.join(named)}{note}."


def _reason(reason: Mapping[str, Any]) -> str:
    return f"{counted(reason['objects'], 'object')}, {reason['reason']}: {reason['who_acts']}"


def _object(first: Mapping[str, Any]) -> str:
    more = f" and {counted(first['objects'] - 1, 'more object')} of its unit" if first["objects"] > 1 else ""
    said = f": {first['message']}" if first["message"] else ""
    return f"{first['key']}{more} ({first['reason']}){said}"


def _links(document: Mapping[str, Any]) -> Iterator[Link]:
    run = document["run"]
    if run is not None:
        yield Link("Run", run["url"] or f"{run['id']} (Dagster UI, Runs)")
    if document["failure_log"]:
        yield Link("Failure log", document["failure_log"])
    if document.get("report"):  # recorded messages of earlier versions have none
        yield Link("Report", document["report"])


def _readable(time: str) -> str:
    return f"{time[:10]} {time[11:16]} UTC"
