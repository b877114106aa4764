"""Random buckets and rules for the model: few names, so that units meet, and everything that can be wrong with an object."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from registration_pipeline_tests.plan_model.model import PREFIX, Blob, Rule, Rules

if TYPE_CHECKING:
    from datetime import datetime

FOLDERS = ("", "a/", "a/b/", "c/")
BY_CLIP = r"(?P<clip>[xy])-(?P<frame>\d+)\."
BY_CLIP_AND_CAMERA = r"^(?P<camera>[^/]*)/.*(?P<clip>[xy])-"
KEYS = st.builds(
    lambda folder, clip, frame, suffix: f"{PREFIX}{folder}{clip}-{frame}{suffix}",
    st.sampled_from(FOLDERS),
    st.sampled_from("xyz"),
    st.sampled_from(["1", "2", "02", "3", "10"]),
    st.sampled_from([".jpg"] * 4 + [".png", ".tif", ".dcm", ".dcm", ".bin", ".mp4"]),
)
SERIES = ("1.2", "1.3")
RULE = st.builds(
    Rule,
    below=st.sampled_from(FOLDERS),
    kind=st.sampled_from(["image_group", "image_sequence", "dicom_series"]),
    by=st.sampled_from(["directory", BY_CLIP, BY_CLIP_AND_CAMERA]),
    expect=st.sampled_from([None, None, None, 2]),
    complete_after=st.sampled_from([None, None, 0, 100]),
)
BY_HEADERS = st.builds(Rule, below=st.sampled_from(FOLDERS), kind=st.just("dicom_series"), by=st.just("headers"))
RULES = st.builds(
    Rules,
    groups=st.lists(st.one_of(RULE, RULE, RULE, BY_HEADERS), max_size=3).map(tuple),
    bin_is=st.sampled_from([None, None, "images", "dicom"]),
    excludes_videos=st.booleans(),
    min_age=st.sampled_from([0, 0, 50]),
)


@dataclass(frozen=True)
class Written:
    """How an object is written: ``age`` in seconds at the time; ``header`` is what is read of it before the night's plan."""

    size: int
    storage_class: str | None
    age: int
    header: str | None

    def blob(self, number: int, now: datetime) -> Blob:
        return Blob(
            e_tag=f"tag-{number}",
            written=now - timedelta(seconds=self.age),
            size=self.size,
            storage_class=self.storage_class,
            header=self.header,
            header_e_tag=f"tag-{number}",
        )


WRITTEN = st.builds(
    Written,
    size=st.sampled_from([10] * 12 + [0]),
    storage_class=st.sampled_from([None] * 12 + ["GLACIER"]),
    age=st.sampled_from([200, 200, 200, 70, 0]),
    header=st.sampled_from([*SERIES * 4, "invalid_header", "header_unreadable"]),
)


@dataclass(frozen=True)
class NightStory:
    """What happens before and during a night.

    Args:
        writes: objects that are written: new ones and over others.
        deletes: which of the objects, by place, are deleted.
        rules: the rules from this night on; None: as before.
        unread: every how-many-th header is not read in time; 0: all are.
        dies_at: the planner dies at this creation in the state, before or after it, and plans again; 0: it lives.
    """

    writes: dict[str, Written]
    deletes: list[int]
    rules: Rules | None
    unread: int
    dies_at: int


NIGHT = st.builds(
    NightStory,
    writes=st.dictionaries(KEYS, WRITTEN, max_size=14),
    deletes=st.lists(st.integers(0, 30), max_size=3),
    rules=st.one_of(st.none(), RULES),
    unread=st.sampled_from([0, 0, 0, 0, 3]),
    dies_at=st.sampled_from([0, 0, *range(-14, 15)]),
)
"""A negative number of ``dies_at``: after the creation."""

STORIES = st.tuples(RULES, st.lists(NIGHT, min_size=1, max_size=4))
