"""Two sources that could register one object twice are refused; those that share no object are not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.errors import ConfigurationError
from registration_pipeline.globs import KeyRules, glob_problem
from registration_pipeline.settings import SourceSettings, load_settings
from registration_pipeline.settings.overlaps import folder_in_doubt, overlap_problems

if TYPE_CHECKING:
    from pathlib import Path

UUID = "11111111-aaaa-4333-8444-555555555555"
S3 = {"uri": "s3://bucket/raw/", "storage": {"region": "eu-west-2"}}


def source(name: str, **settings: Any) -> SourceSettings:
    encord = {"folder": "fleet", "integration": "prod"}
    return SourceSettings.model_validate({"name": name, **S3, "encord": encord, **settings})


def s3(uri: str = "s3://bucket/raw/", **settings: Any) -> dict[str, Any]:
    return {"uri": uri, **settings}


def folder(name: str) -> dict[str, Any]:
    return {"encord": {"folder": name, "integration": "prod"}}


AMAZON = {"endpoint_url": "https://s3.eu-west-2.amazonaws.com"}
OWN, OTHER = {"endpoint_url": "http://minio:9000"}, {"endpoint_url": "http://minio:9001"}
OTC = {"endpoint_url": "https://obs.eu-de.otc.t-systems.com"}
SAME_OBJECTS = {
    "one uri": (s3(), s3()),
    "nested prefixes": (s3(), s3("s3://bucket/raw/cam1/")),
    "nested prefixes, the inner one first": (s3("s3://bucket/raw/cam1/"), s3()),
    "the whole bucket": (s3("s3://bucket"), s3("s3://bucket/raw/cam1/")),
    "with and without slash": (s3("s3://bucket/raw"), s3("s3://bucket/raw/")),
    "a prefix that ends in a name": (s3("s3://bucket/ra"), s3()),
    "a directory and one above it": (s3("file:///data/"), s3("file:///data/a/../b/c")),
    "folders of one uuid": (s3(**folder(UUID)), s3(**folder(UUID.upper()))),
    "Amazon's endpoint and none": (s3(), s3(storage=AMAZON)),
    "two regions of one bucket": (s3(), s3(storage={"region": "us-east-1"})),
    "one store by two names of this machine": (
        s3(storage={"endpoint_url": "http://localhost:9000"}),
        s3(storage={"endpoint_url": "http://127.0.0.1:9000"}),
    ),
    "one store with and without TLS": (
        s3(storage={"endpoint_url": "http://minio"}),
        s3(storage={"endpoint_url": "https://MinIO:443"}),
    ),
    "Google's bucket over both protocols": (
        s3("gs://bucket/raw/"),
        s3(storage={"endpoint_url": "https://storage.googleapis.com"}),
    ),
    "Telekom's bucket over both protocols": (s3("obs://bucket/", storage={"region": "eu-de"}), s3(storage=OTC)),
    "a container with and without endpoint": (
        s3("az://box@account/"),
        s3("az://box@account/x/", storage={"endpoint_url": "https://account.blob.core.windows.net"}),
    ),
    "an exclusion of other objects": (s3(exclude=["cam2/**"]), s3("s3://bucket/raw/cam1/")),
    "an exclusion of one level": (s3(exclude=["cam1/*"]), s3("s3://bucket/raw/cam1/")),
    "an exclusion of some names": (s3(exclude=["cam1/[!_]*", "cam1/?*", "cam1/*.jpg"]), s3("s3://bucket/raw/cam1/")),
    "an exclusion that is reversed": (s3(exclude=["cam1/**", "!*.jpg"]), s3("s3://bucket/raw/cam1/")),
    "an exclusion by the inner one of the rest": (s3(), s3("s3://bucket/raw/cam1/", exclude=["cam2/**"])),
    "included at any depth": (s3(include=["*.jpg"]), s3("s3://bucket/raw/cam1/", include=["*.mp4"])),
    "included below the other": (s3(include=["cam1/**/*.jpg"]), s3("s3://bucket/raw/cam1/")),
    "included again": (s3(include=["cam2/**", "!cam2/**", "cam1/**"]), s3("s3://bucket/raw/cam1/")),
}
OTHER_OBJECTS = {
    "two buckets": (s3(), s3("s3://bucket-2/raw/")),
    "two prefixes": (s3(), s3("s3://bucket/cooked/")),
    "two prefixes that begin alike": (s3("s3://bucket/raw/cam1/"), s3("s3://bucket/raw/cam10/")),
    "two folders": (s3(**folder("a")), s3(**folder("b"))),
    "two stores": (s3(storage=OWN), s3(storage=OTHER)),
    "a store and Amazon": (s3(), s3(storage=OWN)),
    "Amazon in two partitions": (s3(), s3(storage={"region": "cn-north-1"})),
    "two schemes": (s3("gs://bucket/raw/"), s3()),
    "two containers": (s3("az://box@account/"), s3("az://box-2@account/")),
    "two accounts": (s3("az://box@account/"), s3("az://box@account2/")),
    "two directories that begin alike": (s3("file:///data/a"), s3("file:///data/ab")),
    "excluded from the outer one": (s3(exclude=["cam1/**"]), s3("s3://bucket/raw/cam1/")),
    "excluded as a directory": (s3(exclude=["/cam1/"]), s3("s3://bucket/raw/cam1/")),
    "excluded with more": (s3("s3://bucket", exclude=["*.tmp", "raw/cam*"]), s3("s3://bucket/raw/cam1")),
    "only another directory included": (s3(include=["cam2/**", "cam3/*.jpg"]), s3("s3://bucket/raw/cam1/")),
    "one uri, two directories": (s3(include=["day-1/**"]), s3(include=["day-2/**"])),
    "what one includes the other excludes": (s3(include=["day-1/**"]), s3(exclude=["day-1/**"])),
}


@pytest.mark.parametrize("pair", SAME_OBJECTS.values(), ids=SAME_OBJECTS.keys())
def test_sources_that_share_objects_and_a_folder_are_refused_by_name(pair: tuple[dict[str, Any], dict[str, Any]]):
    ((place, text),) = overlap_problems([source("first", **pair[0]), source("second", **pair[1])])
    assert place == ("sources", "second")
    assert "with source 'first'" in text or "as source 'first'" in text
    assert "every object of both would be registered twice" in text
    assert "s3://" not in text


@pytest.mark.parametrize("pair", OTHER_OBJECTS.values(), ids=OTHER_OBJECTS.keys())
def test_sources_that_share_no_object_or_no_folder_are_accepted(pair: tuple[dict[str, Any], dict[str, Any]]):
    assert not list(overlap_problems([source("first", **pair[0]), source("second", **pair[1])]))


def test_the_file_is_refused_with_the_line_of_the_later_source(tmp_path: Path):
    encord = {"folder": "fleet", "integration": "prod"}
    sources = {
        "fleet": {**S3, "encord": encord},
        "cam1": {**S3, "uri": "s3://bucket/raw/cam1/", "encord": encord},
        "elsewhere": {**S3, "uri": "s3://bucket-2/raw/cam1/", "encord": encord},
    }
    file = tmp_path / "registration.yaml"
    file.write_text(yaml.safe_dump({"sources": sources}, sort_keys=False))
    with pytest.raises(ConfigurationError) as refused:
        load_settings(file, {})
    (line,) = str(refused.value).splitlines()
    assert "sources.cam1" in line
    assert "the uri of 'cam1' lies within the uri of 'fleet'" in line


def test_a_folder_by_name_and_one_by_uuid_are_left_to_encord():
    by_name, by_uuid = source("a", **folder("fleet")), source("b", **folder(UUID))
    elsewhere = source("c", **folder(UUID), uri="s3://bucket-2/raw/")
    everything = [by_name, by_uuid, elsewhere]
    assert not list(overlap_problems(everything))
    assert folder_in_doubt(by_name, everything) == [by_uuid]
    assert folder_in_doubt(by_uuid, everything) == [by_name]
    assert not folder_in_doubt(elsewhere, everything)


names = st.sampled_from(["a", "b", "ab", "*", "**", "a*", "*b", "[!a]", "?", ""])
globs = (
    st.lists(names, min_size=1, max_size=3)
    .map("/".join)
    .flatmap(lambda glob: st.sampled_from([glob, f"/{glob}", f"{glob}/", f"!{glob}"]))
    .filter(lambda glob: glob_problem(glob) is None)
)
keys = st.text("ab/", min_size=1, max_size=6)


@given(
    st.tuples(st.lists(globs, max_size=2), st.lists(globs, max_size=2)),
    st.tuples(st.lists(globs, max_size=2), st.lists(globs, max_size=2)),
    st.tuples(st.sampled_from(["", "a/", "a", "b/a/"]), st.sampled_from(["", "a/", "ab/", "a/b/"])),
    st.lists(keys, max_size=20),
)
def test_no_key_is_in_two_sources_that_are_accepted(
    first: tuple[list[str], list[str]], second: tuple[list[str], list[str]], prefixes: tuple[str, str], some: list[str]
):
    sources = [
        source(name, uri=f"s3://bucket/{prefix}", include=include, exclude=exclude)
        for name, prefix, (include, exclude) in zip("ab", prefixes, (first, second), strict=True)
    ]
    if list(overlap_problems(sources)):
        return
    for key in {*some, *(prefix + rest for prefix in prefixes for rest in ("x", "a", "/x", "b/x", "ab", "a/b/c"))}:
        holders = [
            one.name
            for one in sources
            if key.startswith(one.location.prefix)
            and KeyRules(one.include, one.exclude).excluded_by(one.location.below_prefix(key)) is None
        ]
        assert len(holders) < 2, key
