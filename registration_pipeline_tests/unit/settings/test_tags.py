"""Tags of runs and steps: what is kept of them, and which are refused."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING

import pytest
from dagster._utils.tags import normalize_tags
from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.errors import ConfigurationError
from registration_pipeline.settings import SourceSettings, load_settings
from registration_pipeline.settings.tags import tag_problems, tag_text

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = "sources:\n  fleet:\n    uri: file:///data/\n"


def load(tmp_path: Path, tags: str, environ: dict[str, str] | None = None) -> SourceSettings:
    file = tmp_path / "registration.yaml"
    file.write_text(SOURCE + tags)
    return load_settings(file, environ or {}).sources["fleet"]


def test_text_stays_text_and_everything_else_is_kept_as_the_json_that_engines_read(tmp_path: Path) -> None:
    source = load(
        tmp_path,
        "    run_tags: {team: vision, size: 3, urgent: true, dagster/priority: -1}\n"
        "    op_tags:\n      dagster-celery/queue: ${QUEUE}\n      dagster-k8s/config:\n"
        "        container_config: {resources: {limits: {memory: 2Gi}}}\n",
        {"QUEUE": "large"},
    )

    assert source.run_tags == {"team": "vision", "size": "3", "urgent": "true", "dagster/priority": "-1"}
    assert source.op_tags["dagster-celery/queue"] == "large"
    wanted = {"container_config": {"resources": {"limits": {"memory": "2Gi"}}}}
    assert json.loads(source.op_tags["dagster-k8s/config"]) == wanted


def test_without_tags_there_are_none(tmp_path: Path) -> None:
    source = load(tmp_path, "")

    assert (source.run_tags, source.op_tags) == ({}, {})


REFUSED = {
    "ours": ("run_tags: {registration/source: x}", "run_tags.registration/source", "are the pipeline's own"),
    "Dagster's": (
        "run_tags: {dagster/run_key: x}",
        "run_tags.dagster/run_key",
        "are Dagster's own; of these, run_tags may",
    ),
    "Dagster's hidden": ("op_tags: {.dagster/x: y}", "op_tags..dagster/x", "are Dagster's own; of these, op_tags may"),
    "a pool by the back door": (
        "op_tags: {dagster/concurrency_key: x}",
        "op_tags.dagster/concurrency_key",
        "Dagster's own",
    ),
    "retries of refused objects": (
        "run_tags: {dagster/retry_on_asset_or_op_failure: 'true'}",
        "run_tags.dagster/retry_on_asset_or_op_failure",
        "Dagster's own",
    ),
    "where Celery finds the run": (
        "run_tags: {dagster-celery/task_id: x}",
        "run_tags.dagster-celery/task_id",
        "the run launcher of Celery sets this tag",
    ),
    "where ECS finds the run": ("run_tags: {ecs/task_arn: x}", "run_tags.ecs/task_arn", "launcher of ECS sets"),
    "where Docker finds the run": (
        "run_tags: {docker/container_id: x}",
        "run_tags.docker/container_id",
        "launcher of Docker sets",
    ),
    "a priority in words": (
        "run_tags: {dagster/priority: high}",
        "run_tags.dagster/priority",
        "a whole number, of at most",
    ),
    "a time below nothing": (
        "run_tags: {dagster/max_runtime: -1}",
        "run_tags.dagster/max_runtime",
        "whole number, 0 or more",
    ),
    "two slashes": ("run_tags: {a/b/c: x}", "run_tags.a/b/c", "not a name of a tag in Dagster"),
    "a space": ("op_tags: {my tag: x}", "op_tags.my tag", "not a name of a tag in Dagster"),
    "a long name": (f"run_tags: {{{'x' * 64}: y}}", f"run_tags.{'x' * 64}", "1 to 63 letters"),
    "nothing": ("run_tags: {team: null}", "run_tags.team", "has no value; give one, or leave the tag out"),
    "a date": (
        "run_tags: {day: 2026-11-27}",
        "run_tags.day",
        "holds a date, which JSON does not have; put it in quotes",
    ),
    "a date far inside": ("op_tags: {x: {y: [2026-11-27]}}", "op_tags.x", "holds a date"),
    "infinity": ("op_tags: {x: {y: .inf}}", "op_tags.x", "holds a number that JSON does not have"),
    "half a character": ('run_tags: {team: "a\\ud800"}', "run_tags.team", "holds \\ud800, half of a character"),
    "half a character far inside": (
        'op_tags: {x: {y: ["\\udc00"]}}',
        "op_tags.x",
        "holds \\udc00, half of a character",
    ),
    "half a character in a name": ('op_tags: {x: {"\\ud800": 1}}', "op_tags.x", "holds \\ud800, half of a character"),
    "a list": ("run_tags: [team]", "run_tags", "must be a mapping of tags, e.g. {team: vision}"),
    "no mapping": ("op_tags:", "op_tags", "has no value"),
}


@pytest.mark.parametrize(("tags", "key", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_a_wrong_tag_is_named_with_its_line(tmp_path: Path, tags: str, key: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load(tmp_path, f"    {tags}\n")

    assert (raised.value.line, raised.value.key) == (4, f"sources.fleet.{key}")
    assert says in str(raised.value)


@given(
    key=st.from_regex(r"[A-Za-z0-9_./ é-]{1,70}", fullmatch=True) | st.text(min_size=1, max_size=8),
    value=st.recursive(
        st.text() | st.booleans() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    ),
)
def test_what_is_accepted_dagster_keeps_without_a_warning(key: str, value: object) -> None:
    kept = {key: tag_text(value)}
    source = SourceSettings(name="fleet", uri="file:///data/", run_tags=kept)
    if list(tag_problems(source)):
        return

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert normalize_tags(kept, allow_private_system_tags=False) == kept
