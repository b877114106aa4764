"""A real bucket and state beside the model: nights happen to both, and both must come to the same.

What does not belong here: what a plan has to come to (``model.py``), and random nights (``nights.py``).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from registration_pipeline.facts.sets import FactSet, facts_schema, write_facts
from registration_pipeline.manifest.render import render_manifest
from registration_pipeline.objects import KINDS, MediaKind
from registration_pipeline.planning.wave import load_chunks, load_waves, read_census, read_chunk_units
from registration_pipeline.state.parquet import read_parts
from registration_pipeline_tests.plan_model.model import Blob, Night, PlanModel, Rules, unit_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline.planning.plan import Plan
    from registration_pipeline.planning.wave import Wave
    from registration_pipeline_tests.plan_model.nights import NightStory

HEADER_SCHEMA = facts_schema(
    pa.field("size", pa.int64(), nullable=False),
    pa.field("last_modified", pa.timestamp("us", tz="UTC"), nullable=False),
    *(pa.field(name, pa.string()) for name in ("series", "study", "modality", "problem", "message")),
)
CHUNK_SIZES = {"images": 3, "image_groups": 2, "image_sequences": 1, "dicom_series": 2}
GROUP_KINDS = {kind.value for kind, spec in KINDS.items() if spec.is_group}


class Died(Exception):  # noqa: N818 - it ends a process of the test, and is not an error of the pipeline
    """The planner's process ends here."""


class MortalStore:
    """A ``StateStore`` whose process dies at its nth creation; before it, or after it if ``number`` is negative."""

    def __init__(self, store: Any, number: int) -> None:
        self._store, self._number, self._created = store, number, 0

    def create(self, name: str, data: bytes) -> None:
        self._around(lambda: self._store.create(name, data))

    def create_from_file(self, name: str, path: Any) -> None:
        self._around(lambda: self._store.create_from_file(name, path))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def _around(self, create: Callable[[], None]) -> None:
        self._created += 1
        if self._created == self._number:
            raise Died
        create()
        if self._created == -self._number:
            raise Died


class World:
    """A bucket as the unit tests of planning have it, with the model beside it.

    Args:
        bucket: empty.
        rules: of the source.
    """

    def __init__(self, bucket: Any, rules: Rules) -> None:
        self.bucket, self.model, self.blobs = bucket, PlanModel(), dict[str, Blob]()
        self._written = 0
        self._manifests: dict[str, bytes] = {}
        self._units: dict[str, str] = {}
        self.use(rules)

    def use(self, rules: Rules) -> None:
        self.rules = rules
        self.bucket.configure(chunk_size=CHUNK_SIZES, **rules.settings())

    def live(self, story: NightStory) -> Plan:
        """Let a night pass in both, and compare."""
        self.bucket.wait(60)
        self._change(story)
        self._age_headers(story)
        inventory = self.bucket.inventory()
        headers = self._write_headers()
        before = Counter(row["key"] for row in self.bucket.planned_rows())
        expected = self.model.plan(self.blobs, self.rules, self.bucket.now)
        options = {"inventory": inventory, "headers": headers}
        shown = self.bucket.plan(dry_run=True, **options)
        if story.dies_at:
            self._die(story.dies_at, options)
        plan: Plan = self.bucket.plan(**options)
        assert self.bucket.plan(**options).wave == plan.wave
        self._compare(plan.wave, expected, before)
        if plan.created:
            assert shown.wave.counts == plan.wave.counts
            assert [replace(chunk, first_row=None) for chunk in plan.chunks] == list(shown.chunks)
            assert shown.warnings == plan.warnings
        self._check_files(plan.wave)
        self._check_manifests()
        return plan

    def _change(self, story: NightStory) -> None:
        if story.rules is not None:
            self.use(story.rules)
        for place in story.deletes:
            keys = sorted(self.blobs)
            if keys:
                del self.blobs[keys[place % len(keys)]]
        for key, written in story.writes.items():
            self._written += 1
            self.blobs[key] = written.blob(self._written, self.bucket.now)

    def _age_headers(self, story: NightStory) -> None:
        """Say which headers are read in time; of others it is that of the object that was there before."""
        for number, key in enumerate(sorted(self.blobs)):
            blob = self.blobs[key]
            is_late = story.unread and key not in self.model.planned and number % story.unread == 0
            self.blobs[key] = replace(blob, header_e_tag="of another version" if is_late else blob.e_tag)
        self.bucket.objects.clear()
        for key, blob in self.blobs.items():
            self.bucket.put(
                key, size=blob.size, last_modified=blob.written, e_tag=blob.e_tag, storage_class=blob.storage_class
            )

    def _write_headers(self) -> FactSet:
        rows = [_header_row(key, blob) for key, blob in sorted(self.blobs.items())]
        return write_facts(
            self.bucket.store,
            "cams",
            "headers",
            self.bucket.now.strftime("%Y%m%dT%H%M%SZ"),
            [pa.RecordBatch.from_pylist(rows, schema=HEADER_SCHEMA)],
            schema=HEADER_SCHEMA,
            made_at=self.bucket.now,
        )

    def _die(self, dies_at: int, options: dict[str, Any]) -> None:
        try:
            self.bucket.plan(store=MortalStore(self.bucket.store, dies_at), **options)
        except Died:
            return

    def _compare(self, wave: Wave, expected: Night, before: Counter[str]) -> None:
        rows = [row for batch in read_parts(self.bucket.store, wave.parts) for row in batch.to_pylist()]
        rejected = [row for batch in read_census(self.bucket.store, wave, "rejected") for row in batch.to_pylist()]
        fates = {row["key"]: row["reason"] for row in rejected} | {row["key"]: "new" for row in rows}
        others = ("excluded", "known", "held")

        assert fates == {key: fate for key, fate in expected.fates.items() if fate not in others}
        counts = wave.counts
        assert {name: getattr(counts, name) for name in others} == {name: expected.count(name) for name in others}
        assert counts.rejected_by_reason == Counter(row["reason"] for row in rejected)
        assert (counts.objects, counts.new) == (len(self.blobs), len(rows))
        assert (counts.changed_units, counts.deleted_units) == (expected.changed_units, expected.deleted_units)
        assert all(repr(row["key"]) in row["message"] for row in rejected)
        assert before.keys().isdisjoint(row["key"] for row in rows)
        self._compare_units(rows, expected)

    def _compare_units(self, rows: list[dict[str, Any]], expected: Night) -> None:
        units: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for row in rows:
            assert (row["kind"] in GROUP_KINDS) == (row["group_key"] is not None)
            if row["group_key"] is not None:
                units.setdefault((row["kind"], row["group_key"]), []).append(row)
        assert units.keys() == expected.units.keys()
        for unit, members in units.items():
            members.sort(key=lambda row: row["position"])
            assert [row["key"] for row in members] == expected.units[unit]
            assert [row["position"] for row in members] == list(range(len(members)))
            assert {row["unit_id"] for row in members} == {unit_id("cams", unit)}
            assert len({(row["chunk_id"], row["unit_index"], row["title"]) for row in members}) == 1

    def _check_files(self, wave: Wave) -> None:
        """The parts are sorted by key and hold what the unit files hold; the groups are sorted by group key."""
        rows = [row for batch in read_parts(self.bucket.store, wave.parts) for row in batch.to_pylist()]
        keys = [row["key"] for row in rows]
        assert keys == sorted(keys)
        placed = [row for batch in read_parts(self.bucket.store, wave.unit_files) for row in batch.to_pylist()]
        of_groups = [row for row in rows if row["group_key"] is not None]
        assert sorted(placed, key=lambda row: row["key"]) == of_groups
        groups = [row for batch in read_parts(self.bucket.store, wave.group_files) for row in batch.to_pylist()]
        assert [row["group_key"] for row in groups] == sorted(row["group_key"] for row in groups)
        assert {(row["unit_id"], row["chunk_id"], row["unit_index"]): row["objects"] for row in groups} == Counter(
            (row["unit_id"], row["chunk_id"], row["unit_index"]) for row in of_groups
        )

    def _check_manifests(self) -> None:
        """Every chunk gives the bytes that it gave before, and no unit is in two of them."""
        waves = load_waves(self.bucket.store, "cams")
        for chunk in load_chunks(self.bucket.store, "cams", waves).values():
            units = read_chunk_units(self.bucket.store, "cams", chunk)
            assert [unit.unit_index for unit in units] == list(range(chunk.units))
            assert chunk.units <= CHUNK_SIZES.get(chunk.kind, 100)
            keys = [entry.key for unit in units for entry in unit.objects]
            assert (chunk.first_key, chunk.last_key) == (min(keys), max(keys))
            assert len({unit.title for unit in units}) == len(units)
            manifest = render_manifest(chunk.chunk_id, units)
            assert self._manifests.setdefault(chunk.chunk_id, manifest) == manifest
            for unit in units:
                assert self._units.setdefault(unit.unit_id, chunk.chunk_id) == chunk.chunk_id
                assert unit.kind is MediaKind(chunk.kind)


def _header_row(key: str, blob: Blob) -> dict[str, Any]:
    header = blob.header or ""
    series = header if header[:1].isdigit() else None
    return {
        "key": key,
        "e_tag": blob.header_e_tag,
        "size": blob.size,
        "last_modified": blob.written,
        "series": series,
        "study": series and f"study of {series}",
        "modality": series and "CT",
        "problem": None if series else header,
        "message": None if series else f"{key!r}: {header}",
    }
