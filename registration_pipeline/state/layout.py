"""The names of the state's files, as ``INTERFACE`` fixes them. Only names belong here.

<source>/state.json                                                     the version of the layout; written first
<source>/inventory/<inventory_id>/part-*.parquet, _SUCCESS.json
<source>/inventory/<inventory_id>/ranges.json, range-<number>.json      while it is listed in key ranges: which, what is done
<source>/inventory_writers/<inventory_id>.json                          who lists it, until it is committed
<source>/plan/<wave_id>/{part,units,groups}-*.parquet, _SUCCESS.json
<source>/lineage/<number>.json                                          the waves in the order they were committed
<source>/ledger/<number>/{keys,chunks}-*.parquet, _SUCCESS.json         all waves up to a number of the lineage, compacted
<source>/census/<wave_id>/{chunks,rejected,changed,deleted}-*.parquet   what else that planning run found
<source>/manifests/<chunk_id>.json
<source>/journal/<chunk_id>/<attempt>-<event>.json
<source>/journal_summary/<number>.jsonl.gz                              what the journals of concluded chunks say
<source>/outcomes/<chunk_id>/<attempt>-<digest>.parquet
<source>/failures/<chunk_id>/<attempt>.{parquet,csv}                    the failure log of a chunk
<source>/failure_log/<UTC time>.{parquet,csv}                           the failure log of the source
<source>/reports/<UTC time>.{html,json}                                 page and figures of a failure log's time; the newest
<source>/audit/<UTC time>/findings.{parquet,csv}, _SUCCESS.json         what an audit found
<source>/alerts/<number>.json, <number>-<try>{,-sent,-failed}.json     the messages to people, and what became of sending them
<source>/alerts/known-*.parquet                                         the failures of the last one that named any
<source>/lease/<term>-<beat>.json, <term>-released.json                 which process submits the source
<source>/prior_items/<folder_uuid>/part-*.parquet, _SUCCESS.json        what a folder held before the first upload to it
<source>/facts/<name>/<facts_id>/part-*.parquet, _SUCCESS.json          what was read about objects, by key and ETag
<source>/facts/<name>/<facts_id>/progress-*.{parquet,json}, writer.json what a reading under way has so far, and who reads
<source>/links/<number>.json, <number>-done.json                        what was to be linked to datasets, and was
<source>/links/summary-<number>.json.gz                                 what all links up to a number come to
_probe/<nonce>.json                                                     there for a moment while the store is tried; no source
_folders/<folder_uuid>/<number>.json                                    which source's lease has a folder that sources share

<source>/upserts/{plan,census,lineage,ledger,manifests,journal,…}/…     metadata sent again: a lineage of its own, laid out as
                                                                        that of the source, which never reads it
<source>/upserts/facts/sent/<number>/…                                  what each unit was sent last, up to a number of it
"""

from __future__ import annotations

COMMIT_MARKER = "_SUCCESS.json"

_UPSERTS = "upserts"


def upserts_source(source: str) -> str:
    """Return what stands for a source in the names of its upserts, whose state is laid out like that of a source."""
    return f"{source}/{_UPSERTS}"


def is_upserts(source: str) -> bool:
    """Return whether this stands for a source in the names of its upserts."""
    return source.endswith(f"/{_UPSERTS}")


def owner_of(name: str) -> tuple[str, str]:
    """Divide a whole name in the state into the source, or what stands for one, and the rest.

    Args:
        name: source included.
    """
    source, _, below = name.partition("/")
    kind, is_folder, rest = below.partition("/")
    return (upserts_source(source), rest) if is_folder and kind == _UPSERTS else (source, below)


def probe_name(nonce: str) -> str:
    """Return a name beside the sources (none of them can have an underscore) to try the store with."""
    return f"_probe/{nonce}.json"


def state_version_name(source: str) -> str:
    """Return the name of the file that says which layout a source's state has."""
    return f"{source}/state.json"


def inventory_folder(source: str, inventory_id: str | None = None) -> str:
    """Return the folder of one inventory, or of all."""
    return f"{source}/inventory/" if inventory_id is None else f"{source}/inventory/{inventory_id}/"


def inventory_ranges_name(source: str, inventory_id: str) -> str:
    """Return the name of the file that fixes the key ranges that an inventory is listed in, until it is committed."""
    return f"{source}/inventory/{inventory_id}/ranges.json"


def inventory_range_name(source: str, inventory_id: str, number: int) -> str:
    """Return the name of the file that says that a key range was listed, and its parts; ``number`` counts from 0."""
    return f"{source}/inventory/{inventory_id}/range-{number:05d}.json"


def inventory_writers_folder(source: str) -> str:
    """Return the folder of the files that say who is taking inventories; usually empty, however many inventories there are."""
    return f"{source}/inventory_writers/"


def inventory_writer_name(source: str, inventory_id: str) -> str:
    """Return the name of the file that says who is taking an inventory, until it is committed."""
    return f"{source}/inventory_writers/{inventory_id}.json"


def plan_folder(source: str, wave_id: str | None = None) -> str:
    """Return the folder of one wave, or of all."""
    return f"{source}/plan/" if wave_id is None else f"{source}/plan/{wave_id}/"


def lineage_folder(source: str) -> str:
    """Return the folder that holds the order in which the waves were committed."""
    return f"{source}/lineage/"


def lineage_name(source: str, number: int) -> str:
    """Return the name of one entry of the lineage; ``number`` counts from 1."""
    return f"{source}/lineage/{number:08d}.json"


def ledger_folder(source: str, number: int | None = None) -> str:
    """Return the folder of one compacted ledger, or of all; ``number`` is that of the lineage's last entry in it."""
    return f"{source}/ledger/" if number is None else f"{source}/ledger/{number:08d}/"


def facts_folder(source: str, name: str, facts_id: str | None = None) -> str:
    """Return the folder of one set of facts, or of all sets of that name."""
    return f"{source}/facts/{name}/" if facts_id is None else f"{source}/facts/{name}/{facts_id}/"


def facts_writer_name(source: str, name: str, facts_id: str) -> str:
    """Return the name of the file that says who makes a set of facts, until it is committed."""
    return f"{source}/facts/{name}/{facts_id}/writer.json"


def prior_items_folder(source: str, folder_uuid: str) -> str:
    """Return the folder of what a folder in Encord held before the first upload to it."""
    return f"{source}/prior_items/{folder_uuid}/"


def census_folder(source: str, wave_id: str | None = None) -> str:
    """Return the folder of what one planning run found besides the new objects, or of all runs."""
    return f"{source}/census/" if wave_id is None else f"{source}/census/{wave_id}/"


def manifest_name(source: str, chunk_id: str) -> str:
    """Return the name of a chunk's manifest."""
    return f"{source}/manifests/{chunk_id}.json"


def journal_folder(source: str, chunk_id: str | None = None) -> str:
    """Return the folder of one chunk's journal, or of all."""
    return f"{source}/journal/" if chunk_id is None else f"{source}/journal/{chunk_id}/"


def journal_name(source: str, chunk_id: str, attempt: int, event: str) -> str:
    """Return the name of one journal entry; ``attempt`` counts from 1."""
    return f"{source}/journal/{chunk_id}/{attempt:04d}-{event}.json"


def journal_summary_folder(source: str) -> str:
    """Return the folder of the summary of all journals, which can always be made again."""
    return f"{source}/journal_summary/"


def journal_summary_name(source: str, number: int) -> str:
    """Return the name of one summary; ``number`` counts from 1, the greatest is the newest."""
    return f"{source}/journal_summary/{number:08d}.jsonl.gz"


def outcomes_name(source: str, chunk_id: str, base_name: str) -> str:
    """Return the name of the verdicts per object of one attempt, whose journal entry gives the base name."""
    return f"{source}/outcomes/{chunk_id}/{base_name}"


def failures_name(source: str, chunk_id: str, attempt: int, suffix: str) -> str:
    """Return the name of a chunk's failure log; ``suffix`` is ``parquet`` or ``csv``."""
    return f"{source}/failures/{chunk_id}/{attempt:04d}.{suffix}"


def failure_log_folder(source: str) -> str:
    """Return the folder of the source's failure logs, one for each run that wrote one."""
    return f"{source}/failure_log/"


def failure_log_name(source: str, log_id: str, suffix: str) -> str:
    """Return the name of a source's failure log; ``suffix`` is ``parquet`` or ``csv``."""
    return f"{source}/failure_log/{log_id}.{suffix}"


def reports_folder(source: str) -> str:
    """Return the folder of a source's report pages, which can always be made again."""
    return f"{source}/reports/"


def report_name(source: str, log_id: str, suffix: str) -> str:
    """Return the name of the report made with a source's failure log; ``suffix`` is ``html`` (page) or ``json`` (figures)."""
    return f"{source}/reports/{log_id}.{suffix}"


def links_folder(source: str) -> str:
    """Return the folder of the records of what was linked to datasets."""
    return f"{source}/links/"


def link_entry_name(source: str, number: int, *, is_done: bool = False) -> str:
    """Return the name of one record: of an intent or a dataset, or of the end of an intent; ``number`` counts from 1."""
    return f"{source}/links/{number:08d}{'-done' if is_done else ''}.json"


def links_summary_name(source: str, number: int) -> str:
    """Return the name of what all records up to a number come to, which can always be made again."""
    return f"{source}/links/summary-{number:08d}.json.gz"


def lease_folder(source: str) -> str:
    """Return the folder of the files that say which process submits the source.

    It has no folders below it: a store on a disk keeps empty ones, and there would be one more after every run.
    """
    return f"{source}/lease/"


def lease_name(source: str, term: int, beat: int) -> str:
    """Return the name of one beat; terms and the beats within one count from 1."""
    return f"{source}/lease/{term:08d}-{beat:08d}.json"


def lease_released_name(source: str, term: int) -> str:
    """Return the name of the file that says that a term has ended in order."""
    return f"{source}/lease/{term:08d}-released.json"


def folder_lease_folder(folder_uuid: str) -> str:
    """Return the folder of the entries that say which source registers in a folder of Encord; it is beside the sources."""
    return f"_folders/{folder_uuid}/"


def folder_entry_name(folder_uuid: str, number: int) -> str:
    """Return the name of one of these entries; ``number`` counts from 1, the greatest is the newest."""
    return f"{folder_lease_folder(folder_uuid)}{number:08d}.json"


def alerts_folder(source: str) -> str:
    """Return the folder of the messages to people and of what they were compared with."""
    return f"{source}/alerts/"


def alert_name(source: str, number: int) -> str:
    """Return the name of one message, which is also the first try to send it; ``number`` counts from 1."""
    return f"{source}/alerts/{number:08d}.json"


def alert_try_name(source: str, number: int, attempt: int, result: str = "") -> str:
    """Return the name of the file that says who sends a message once more, or what became of a try.

    Args:
        source: its name.
        number: of the message.
        attempt: of the try, from 1.
        result: ``sent``, ``failed``, or nothing for who tries.
    """
    return f"{source}/alerts/{number:08d}-{attempt:04d}{f'-{result}' if result else ''}.json"


def audit_folder(source: str, audit_id: str | None = None) -> str:
    """Return the folder of one audit's report, or of all."""
    return f"{source}/audit/" if audit_id is None else f"{source}/audit/{audit_id}/"
