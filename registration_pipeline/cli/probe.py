"""The ``probe`` command: reads the headers that a source needs, and shows what is known. Its options are in ``cli/app.py``."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from registration_pipeline.cli.output import LONGEST_SHOWN, print_json, say
from registration_pipeline.cli.session import DONE, DONE_WITH_FAILURES, JobRequest, exit_status, open_source, run_jobs
from registration_pipeline.counted import counted
from registration_pipeline.facts.headers.schema import latest_headers
from registration_pipeline.facts.sets import FactSet, read_facts
from registration_pipeline.orchestration.names import SourceNames
from registration_pipeline.state.store import StateStore


def probe_source(config: Path | None, name: str, *, as_json: bool) -> int:
    """Read the headers and return 3 if any is invalid or can't be read."""
    project, source = open_source(config, name)
    errors, *_ = run_jobs(project, [JobRequest(source.name, SourceNames(source.name).probe_job)], quiet=as_json)
    if errors:
        return exit_status([], errors)
    facts = latest_headers(project.store, source.name)
    document = _document(source.name, facts)
    if as_json:
        print_json({**document, "path": _path(project.store, facts)})
    elif facts is None:
        say(f"{source.name}: no object needs its header read.")
    else:
        _show(project.store, facts, document)
    return DONE_WITH_FAILURES if document["invalid"] or document["unreadable"] or document["waiting"] else DONE


def _document(source: str, facts: FactSet | None) -> dict[str, Any]:
    notes: Any = facts.notes if facts else {}
    problems, counts = notes.get("problems", {}), notes.get("counts", {})
    return {
        "source": source,
        "objects": facts.rows if facts else 0,
        "invalid": problems.get("invalid_header", 0),
        "unreadable": problems.get("header_unreadable", 0),
        "waiting": counts.get("waiting", 0),
        "read": counts.get("read", 0),
        "known": counts.get("cached", 0),
        "bytes": counts.get("bytes", 0),
        "requests": counts.get("requests", 0),
        "seconds": counts.get("seconds", 0),
    }


def _path(store: StateStore, facts: FactSet | None) -> str | None:
    return store.location(f"{facts.source}/facts/{facts.name}/{facts.facts_id}") if facts else None


def _show(store: StateStore, facts: FactSet, document: dict[str, Any]) -> None:
    read, size = (f"{document[name]:,}" for name in ("read", "bytes"))
    say(
        f"{facts.source}: headers of {counted(document['objects'], 'object')}, of which {read} "
        f"{'was' if document['read'] == 1 else 'were'} read now ({size} bytes in {counted(document['requests'], 'request')}, "
        f"{document['seconds']:,} s): {_path(store, facts)}"
    )
    if document["waiting"]:
        objects, them = ("its object is", "it") if document["waiting"] == 1 else ("their objects are", "they")
        say(
            f"  {counted(document['waiting'], 'header')} could not be read now: {objects} held, with the units that {them} "
            "may be in; run again later."
        )
    if document["invalid"] or document["unreadable"]:
        unreadable = counted(document["unreadable"], "header")
        say(f"  {counted(document['invalid'], 'invalid header')}; {unreadable} that could not be read:")
        for number, message in enumerate(_messages(store, facts), start=1):
            if number > LONGEST_SHOWN:
                say("  … and more; after a plan, `registration-pipeline failures` lists all of them.")
                break
            say(f"  {message}")


def _messages(store: StateStore, facts: FactSet) -> Iterator[str]:
    for batch in read_facts(store, facts):
        yield from batch.column("message").drop_null().to_pylist()
