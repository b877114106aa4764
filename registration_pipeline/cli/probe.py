"""The ``probe`` command: reads the headers that a source needs, and shows what is known. Its options are in ``cli/app.py``."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from registration_pipeline.cli.output import LONGEST_SHOWN, print_json, say
from registration_pipeline.cli.session import DONE, DONE_WITH_FAILURES, JobRequest, exit_status, open_source, run_jobs
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
    counted = {key: f"{value:,}" for key, value in document.items() if isinstance(value, int | float)}
    say(
        f"{facts.source}: headers of {counted['objects']} objects, of which {counted['read']} were read now "
        f"({counted['bytes']} bytes in {counted['requests']} requests, {counted['seconds']} s): {_path(store, facts)}"
    )
    if document["waiting"]:
        say(
            f"  {counted['waiting']} could not be read now and are held, with the units they may be in; run again later."
        )
    if document["invalid"] or document["unreadable"]:
        say(f"  {counted['invalid']} have an invalid header, {counted['unreadable']} could not be read:")
        for number, message in enumerate(_messages(store, facts), start=1):
            if number > LONGEST_SHOWN:
                say("  … and more; after a plan, `registration-pipeline failures` lists all of them.")
                break
            say(f"  {message}")


def _messages(store: StateStore, facts: FactSet) -> Iterator[str]:
    for batch in read_facts(store, facts):
        yield from batch.column("message").drop_null().to_pylist()
