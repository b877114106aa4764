from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from registration_pipeline.planning.wave import load_chunks, read_census, read_chunk_units
from registration_pipeline.urls import object_url
from registration_pipeline_tests.doses import examples

if TYPE_CHECKING:
    from collections.abc import Callable

STEMS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=8)
KEYS = st.builds(
    "raw/{}{}".format, STEMS, st.sampled_from([".jpg", ".JPEG", ".mp4", ".pdf", ".nii.gz", ".zip", ".dcm", "/", ""])
)
FACTS = st.fixed_dictionaries(
    {
        "size": st.sampled_from([0, 1, 5, 1024**3, 1024**3 + 1]),
        "storage_class": st.sampled_from([None, "STANDARD", "GLACIER", "GLACIER_IR", "DEEP_ARCHIVE"]),
        "e_tag": st.sampled_from([None, "one", "two"]),
        "content_type": st.sampled_from([None, "image/png", "application/zip"]),
        "age": st.integers(0, 120),
    }
)
BUCKETS = st.dictionaries(KEYS | st.just("raw/" + "x" * 300 + ".jpg"), FACTS, max_size=25)
CHUNK_SIZES = st.fixed_dictionaries({"images": st.integers(1, 5), "videos": st.integers(1, 5)})
RULES = st.fixed_dictionaries(
    {
        "exclude": st.sampled_from([[], ["*.pdf"]]),
        "min_age_seconds": st.sampled_from([0, 60]),
        "chunk_size": CHUNK_SIZES,
    }
)


def fill(bucket: Any, objects: dict[str, dict[str, Any]]) -> None:
    bucket.objects.clear()
    for key, facts in objects.items():
        age = timedelta(seconds=facts["age"])
        bucket.put(key, last_modified=bucket.now - age, **{name: facts[name] for name in facts if name != "age"})


def check_wave(bucket: Any, plan: Any, known_before: set[str]) -> None:
    counts = plan.wave.counts
    assert counts.objects == len(bucket.objects)
    assert counts.objects == counts.excluded + counts.rejected + counts.held + counts.known + counts.new
    assert counts.known == len(known_before & bucket.objects.keys())
    assert counts.deleted == len(known_before - bucket.objects.keys())
    assert counts.new == sum(chunk.objects for chunk in plan.chunks)
    assert counts.excluded == sum(counts.excluded_by_rule.values())
    rejected = [row for batch in read_census(bucket.store, plan.wave, "rejected") for row in batch.to_pylist()]
    assert Counter(row["reason"] for row in rejected) == counts.rejected_by_reason
    assert all(row["key"] in bucket.objects and row["key"] not in known_before for row in rejected)
    for chunk in plan.chunks:
        assert 1 <= chunk.units <= bucket.source.chunk_size.of(chunk.kind)


@settings(deadline=None, max_examples=examples(10, thorough=300))
@given(syncs=st.lists(st.tuples(BUCKETS, RULES), min_size=1, max_size=4))
def test_whatever_happens_in_a_bucket_the_plan_adds_up_and_only_grows(
    new_bucket: Callable[..., Any], syncs: list[tuple[dict[str, dict[str, Any]], dict[str, Any]]]
) -> None:
    bucket = new_bucket()
    known: set[str] = set()
    for objects, rules in syncs:
        bucket.configure(**rules)
        fill(bucket, objects)
        before = bucket.files("plan/") | bucket.files("census/") | bucket.files("lineage/")
        plan = bucket.sync()
        after = bucket.files("plan/") | bucket.files("census/") | bucket.files("lineage/")

        check_wave(bucket, plan, known)
        assert before.items() <= after.items()
        assert bucket.plan().wave == plan.wave
        planned = Counter(row["key"] for row in bucket.planned_rows())
        assert set(planned.values()) <= {1}
        assert planned.total() == len(known) + plan.wave.counts.new
        known = set(planned)


@settings(deadline=None, max_examples=examples(10, thorough=300))
@given(objects=BUCKETS)
def test_the_chunks_hold_exactly_the_planned_objects_and_urls_decode_to_keys(
    new_bucket: Callable[..., Any], objects: dict[str, dict[str, Any]]
) -> None:
    bucket = new_bucket(chunk_size={"images": 2})
    fill(bucket, objects)
    bucket.sync()

    seen: Counter[str] = Counter()
    for chunk in load_chunks(bucket.store, "cams").values():
        for unit in read_chunk_units(bucket.store, "cams", chunk):
            (item,) = unit.objects
            seen[item.key] += 1
            assert unit.title == item.key or len(item.key) > 300
            assert len(unit.title) <= 300
            assert item.object_url == object_url(bucket.source, item.key)
            assert chunk.first_key <= item.key <= chunk.last_key
    assert seen == Counter(row["key"] for row in bucket.planned_rows())
