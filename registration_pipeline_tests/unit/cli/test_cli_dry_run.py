"""``sync --dry-run`` says what the next sync does, and changes nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from registration_pipeline_tests.unit.cli.conftest import Workplace

SOURCE = "fleet-cameras"


def tried(workplace: Workplace) -> dict[str, Any]:
    said = workplace.run("sync", "--dry-run", "--json")
    assert said.status == 0, said.err
    assert said.document["dry_run"] is True
    values: dict[str, Any] = said.document["sources"][SOURCE]
    return values


def test_a_dry_run_of_a_new_source_is_what_the_first_sync_does(workplace: Workplace) -> None:
    workplace.put("a.jpg", "b.jpg", "c.jpg", "thumbs/d.jpg", "e.xyz")
    before = sorted(path.name for path in workplace.root.iterdir())

    values = tried(workplace)

    assert sorted(path.name for path in workplace.root.iterdir()) == before, "neither a state nor an instance"
    assert not workplace.sandbox.jobs()
    assert "does not exist; the first sync creates it" in workplace.run("check").out, "nor a folder in Encord"
    assert values["registered"] == values["planned"] == {"chunks": 2, "units": 3, "objects": 3}
    assert (values["retried"]["chunks"], values["upserts"], values["links"]) == (0, None, None)
    counts = values["counts"]
    assert {name: counts[name] for name in ("objects", "new", "excluded", "rejected", "known")} == {
        "objects": 5,
        "new": 3,
        "excluded": 1,
        "rejected": 1,
        "known": 0,
    }

    status = workplace.run("sync", "--json").document["sources"][SOURCE]
    assert status["registered"] == values["registered"]["objects"]
    assert status["rejected"] == counts["rejected"]


def test_a_dry_run_over_a_state_leaves_every_file_as_it_is(workplace: Workplace) -> None:
    workplace.put("a.jpg", "b.jpg")
    workplace.register()
    workplace.put("c.jpg")
    workplace.refuse("c[.]jpg", "Internal error, try again later")
    before, jobs = workplace.files(), len(workplace.sandbox.jobs())

    values = tried(workplace)

    assert workplace.files() == before
    assert len(workplace.sandbox.jobs()) == jobs
    assert values["counts"]["known"] == 2
    assert values["registered"] == values["planned"] == {"chunks": 1, "units": 1, "objects": 1}
    assert tried(workplace) == values, "the second says the same"

    workplace.register()
    after = tried(workplace)
    assert after["registered"]["chunks"] == after["planned"]["chunks"] == 0


def test_a_repaired_object_would_be_retried(workplace: Workplace) -> None:
    workplace.put("a.jpg", "b.jpg")
    workplace.refuse("b[.]jpg", "Invalid image")
    workplace.register()
    assert tried(workplace)["retried"]["chunks"] == 0

    workplace.put("b.jpg", body=b"repaired")

    assert tried(workplace)["retried"] == {"chunks": 1, "units": 2, "objects": 2}


@pytest.mark.parametrize(
    ("message", "max_attempts", "line"),
    [
        pytest.param(
            "Invalid image",
            2,
            "1 chunk with failures that last: not tried again while the failed objects are unchanged; "
            "`registration-pipeline submit fleet-cameras --failed` tries all the same",
            id="permanent",
        ),
        pytest.param(
            "Internal error, try again later",
            1,
            "1 chunk with failures, tried as often as max_attempts allows: not tried again while the failed objects are "
            "unchanged; `registration-pipeline submit fleet-cameras --failed --force` tries all the same",
            id="exhausted",
        ),
        pytest.param("Internal error, try again later", 2, None, id="transient"),
    ],
)
def test_failures_that_are_not_tried_again_have_their_reason(
    workplace: Workplace, message: str, max_attempts: int, line: str | None
) -> None:
    workplace.configure(max_attempts=max_attempts)
    workplace.put("a.jpg", "b.jpg")
    workplace.refuse("b[.]jpg", message)
    workplace.register()

    said = workplace.run("sync", "--dry-run")

    assert f"would be tried again: {1 if line is None else 0}" in said.words
    assert (line is None) or line in said.words
    assert ("`registration-pipeline failures fleet-cameras` says which" in said.words) is (line is not None)


@pytest.mark.slow
def test_changed_metadata_and_links_are_counted(workplace: Workplace) -> None:
    settings: dict[str, Any] = {
        "metadata": [{"sidecar": ".json"}],
        "upsert_metadata": True,
        "dataset": {"title": "fleet"},
    }
    workplace.configure(**settings)
    workplace.put("a.jpg", "b.jpg")
    for name in ("a", "b"):
        workplace.put(f"{name}.jpg.json", body=json.dumps({"weather": "sun"}).encode())
    assert workplace.run("sync", "--json").status == 0
    workplace.put("a.jpg.json", body=json.dumps({"weather": "rain"}).encode())
    before = workplace.files()

    values = tried(workplace)

    assert values["upserts"] == {"chunks": 1, "units": 1, "objects": 1}
    assert values["links"] == 0
    assert workplace.files() == before


def test_for_people_it_says_what_would_happen(workplace: Workplace) -> None:
    workplace.put("a.jpg", "b.jpg", "c.jpg", "e.xyz")
    said = workplace.run("sync", "--dry-run")
    assert said.status == 0
    assert said.out.splitlines()[:2] == [
        "fleet-cameras: a sync would register 3 objects in 2 chunks. Nothing was changed.",
        (
            "  4 objects in the bucket: 0 planned before, 3 new, 0 excluded, 1 rejected (1 unsupported_type), 0 held "
            "for a later sync"
        ),
    ]
    assert "fleet-cameras: inventory" in said.err


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        pytest.param({"uri": "file:///no/such/directory"}, "/no/such/directory is not a directory", id="directory"),
        pytest.param(
            {"encord": {"integration": "prod-aws"}}, "integration 'prod-aws' does not exist", id="integration"
        ),
    ],
)
def test_what_would_halt_a_sync_halts_its_dry_run(workplace: Workplace, settings: dict[str, Any], says: str) -> None:
    workplace.configure(**settings)
    said = workplace.run("sync", "--dry-run", "--json")
    assert said.status == 4
    (error,) = said.document["errors"]
    assert says in error["message"]
    assert error["source"] == SOURCE
    assert not (workplace.root / "state").exists()
