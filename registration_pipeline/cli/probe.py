"""The command ``probe``: read the facts that a plan needs, then show what was read. Options are in ``cli/declarations/``."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from registration_pipeline.cli.output import LONGEST_SHOWN, print_json, say
from registration_pipeline.cli.session import DONE, DONE_WITH_FAILURES, JobRequest, exit_status, open_source, run_jobs
from registration_pipeline.counted import counted
from registration_pipeline.facts.headers.schema import latest_headers
from registration_pipeline.facts.sets import FactSet, latest_facts, read_facts
from registration_pipeline.orchestration.names import SourceNames
from registration_pipeline.project.project import Project
from registration_pipeline.settings import SourceSettings
from registration_pipeline.stages.reading import steps_of
from registration_pipeline.state.store import StateStore

_HEADERS = "headers"
_MEDIA = "media"
_FAULTS = ("invalid", "unreadable", "waiting")
_MOST_PROBLEMS = 1_000
"""That ``--json`` lists of one set of facts; all are in its Parquet files."""


def probe_source(config: Path | None, name: str, *, as_json: bool) -> int:
    """Read the facts and return 3 if any object's are invalid or can't be read."""
    project, source = open_source(config, name)
    errors, *_ = run_jobs(project, [JobRequest(source.name, SourceNames(source.name).probe_job)], quiet=as_json)
    if errors:
        return exit_status([], errors)
    found = {one: (facts, _document(source.name, facts)) for one, facts in _sets(project, source).items()}
    if as_json:
        shown = {
            one: {**document, "path": _path(project.store, facts), "problems": _listed(project.store, facts)}
            for one, (facts, document) in found.items()
        }
        # Those of headers come first and without a name of their own, as they did when there was nothing else.
        print_json({**shown.pop(_HEADERS), **shown})
    else:
        for one, (facts, document) in found.items():
            _show(project.store, source, one, facts, document)
    is_faulty = any(document[fault] for _, document in found.values() for fault in _FAULTS)
    return DONE_WITH_FAILURES if is_faulty else DONE


def _sets(project: Project, source: SourceSettings) -> dict[str, FactSet | None]:
    names = [stage.name for stage in steps_of(source) if stage.name != _HEADERS]
    others = {one: latest_facts(project.store, source.name, one) for one in names}
    return {_HEADERS: latest_headers(project.store, source.name), **others}


def _document(source: str, facts: FactSet | None) -> dict[str, Any]:
    notes: Any = facts.notes if facts else {}
    problems, counts = notes.get("problems", {}), notes.get("counts", {})
    unreadable = sum(count for reason, count in problems.items() if reason.endswith("_unreadable"))
    return {
        "source": source,
        "objects": facts.rows if facts else 0,
        "invalid": sum(problems.values()) - unreadable,
        "unreadable": unreadable,
        "waiting": counts.get("waiting", 0),
        "read": counts.get("read", 0),
        "known": counts.get("cached", 0),
        "bytes": counts.get("bytes", 0),
        "requests": counts.get("requests", 0),
        "seconds": counts.get("seconds", 0),
    }


def _path(store: StateStore, facts: FactSet | None) -> str | None:
    return store.location(f"{facts.source}/facts/{facts.name}/{facts.facts_id}") if facts else None


def _listed(store: StateStore, facts: FactSet | None) -> list[dict[str, str]]:
    return list(islice(_problems(store, facts), _MOST_PROBLEMS)) if facts and facts.notes.get("problems") else []


def _show(
    store: StateStore, source: SourceSettings, name: str, facts: FactSet | None, document: dict[str, Any]
) -> None:
    if facts is None:
        say(f"{source.name}: no object needs its {name.removesuffix('s')} read.")
        return
    read, size = (f"{document[number]:,}" for number in ("read", "bytes"))
    say(
        f"{source.name}: {name} of {counted(document['objects'], 'object')}, of which {read} "
        f"{'was' if document['read'] == 1 else 'were'} read now ({size} bytes in {counted(document['requests'], 'request')}, "
        f"{document['seconds']:,} s): {_path(store, facts)}"
    )
    if document["waiting"]:
        waiting = document["waiting"]
        objects, them = ("it is", "it") if waiting == 1 else ("they are", "they")
        say(
            f"  {name} of {counted(waiting, 'object')} could not be read now: {objects} held, with the units that {them} may "
            "be in; run again later."
        )
    if document["invalid"] or document["unreadable"]:
        what = "whose file is not understood" if name == _MEDIA else f"with invalid {name}"
        say(f"  {counted(document['invalid'], 'object')} {what}; {document['unreadable']:,} could not be read:")
        for problem in islice(_problems(store, facts), LONGEST_SHOWN):
            say(f"  {problem['message']}")
        more = document["invalid"] + document["unreadable"] - LONGEST_SHOWN
        if more > 0:
            say(f"  … and {more:,} more; {_where_all_are(source, name)}")
        if name == _MEDIA:
            say(f"  {_what_becomes_of_them(source)}")


def _where_all_are(source: SourceSettings, name: str) -> str:
    if name == _MEDIA:
        return (
            f"`registration-pipeline probe {source.name} --json` lists up to {_MOST_PROBLEMS:,}, and the Parquet files above "
            "have all of them: the rows with a message."
        )
    return "after a plan, `registration-pipeline failures` lists all of them."


def _what_becomes_of_them(source: SourceSettings) -> str:
    if source.strict_client_only:
        return "They are rejected; after a plan, `registration-pipeline failures` lists them."
    return "They are sent without media metadata (strict_client_only: true would reject them)."


def _problems(store: StateStore, facts: FactSet) -> Iterator[dict[str, str]]:
    """Yield key, problem and message of each object that has a problem, in the order of keys."""
    for batch in read_facts(store, facts):
        rows = batch.select(["key", "problem", "message"])
        yield from rows.filter(rows.column("message").is_valid()).to_pylist()
