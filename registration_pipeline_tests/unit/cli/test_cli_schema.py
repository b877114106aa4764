"""The ``schema`` command and what ``check`` says of the schema, over HTTP against a sandbox.

One sandbox for the module: each test puts the schema in force that it needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.sandbox.api.endpoints import Endpoint
from registration_pipeline.sandbox.faults.values import Effect, Fault
from registration_pipeline_tests.unit.cli.conftest import SOURCE, Workplace, open_workplace

if TYPE_CHECKING:
    from collections.abc import Iterator

DECLARED = {
    "fleet.clip": {"embedding": 512},
    "fleet.speed": "number",
    "fleet.weather": {"enum": ["sun", "rain"]},
}
SPEED = {"ty": "variant", "hint": "number"}
WEATHER = {"ty": "enum", "values": ["rain", "sun"]}
CLIP = {"ty": "embedding", "size": 512, "api": None}
FOREIGN = {"team.b": {"ty": "colour", "space": "sRGB"}}
WHOLE = {"fleet.speed": SPEED, "fleet.weather": WEATHER, "fleet.clip": CLIP}


@pytest.fixture(scope="module")
def module_workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    with pytest.MonkeyPatch.context() as patch:
        made = open_workplace(tmp_path_factory.mktemp("schema"), patch)
        made.put("a.jpg")
        yield made
        made.sandbox.stop()


@pytest.fixture
def workplace(module_workplace: Workplace) -> Workplace:
    """A source with a declared schema, and an organisation whose schema has one field of others."""
    module_workplace.configure(metadata_schema=DECLARED)
    module_workplace.sandbox.clear_faults()
    module_workplace.sandbox.hold_metadata_schema(FOREIGN)
    return module_workplace


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registration_pipeline.submission.metadata_schema.apply._QUIET_SECONDS", 0.01)


def hold(workplace: Workplace, **fields: Any) -> None:
    workplace.sandbox.hold_metadata_schema({**FOREIGN, **{f"fleet.{name}": field for name, field in fields.items()}})


def test_what_is_missing_is_shown_with_status_3_and_nothing_is_written(workplace: Workplace) -> None:
    hold(workplace, weather={"ty": "enum", "values": ["sun"]})
    said = workplace.run("schema", SOURCE)

    assert said.status == 3
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in said.out.splitlines() if line.startswith("│")]
    assert rows == [
        ["fleet.clip", "embedding of 512", "—", "adds the field"],
        ["fleet.speed", "number", "—", "adds the field"],
        ["fleet.weather", "enum of 2", "enum of 1", "adds 1 option: rain"],
    ]
    assert (
        "fleet-cameras: of 3 declared fields: 2 missing, 1 without some of the options. "
        "`registration-pipeline schema fleet-cameras --apply` adds what is missing."
    ) in said.words
    assert "Encord has 1 field besides, which this source does not declare and which stays." in said.words
    assert workplace.sandbox.metadata_schema() == {**FOREIGN, "fleet.weather": {"ty": "enum", "values": ["sun"]}}


def test_apply_adds_it_and_running_it_again_writes_nothing(workplace: Workplace) -> None:
    first = workplace.run("schema", SOURCE, "--apply")
    held = workplace.sandbox.metadata_schema()
    writes = workplace.sandbox.requests()["set_metadata_schema"].requests
    second = workplace.run("schema", SOURCE, "--apply")

    assert (first.status, second.status) == (0, 0)
    assert held == {**FOREIGN, **WHOLE}
    assert "fleet-cameras: Encord has every declared field now." in first.out
    assert "fleet-cameras: Encord has all 3 declared fields; nothing was written." in second.out
    assert workplace.sandbox.requests()["set_metadata_schema"].requests == writes
    assert workplace.run("schema", SOURCE).status == 0


def test_json_has_every_field_and_what_was_added(workplace: Workplace) -> None:
    hold(workplace, weather={"ty": "enum", "values": ["sun"]}, clip=CLIP)
    before = workplace.run("schema", SOURCE, "--json")
    applied = workplace.run("schema", SOURCE, "--apply", "--json")

    assert (before.status, applied.status) == (3, 0)
    assert before.document == {
        "source": SOURCE,
        "is_same": False,
        "fields": [
            row("fleet.clip", "embedding of 512", "embedding of 512", "same"),
            row("fleet.speed", "number", None, "missing"),
            row("fleet.weather", "enum of 2", "enum of 1", "lacks_options", "rain"),
        ],
        "foreign_fields": 1,
        "applied": None,
    }
    assert applied.document["applied"] == {
        "added_fields": ["fleet.speed"],
        "added_options": {"fleet.weather": ["rain"]},
        "put_back": [],
        "writes": 1,
    }


def row(name: str, declared: str, in_encord: str | None, state: str, *options: str) -> dict[str, Any]:
    return {
        "name": name,
        "declared": declared,
        "in_encord": in_encord,
        "state": state,
        "lacking_options": list(options),
        "problem": None,
    }


def test_a_conflict_has_status_3_and_with_apply_status_2_and_nothing_is_written(workplace: Workplace) -> None:
    hold(workplace, speed={"ty": "variant", "hint": "text"}, clip={"ty": "embedding", "size": 256, "api": None})
    held = workplace.sandbox.metadata_schema()
    shown, applied = workplace.run("schema", SOURCE), workplace.run("schema", SOURCE, "--apply")

    assert (shown.status, applied.status) == (3, 2)
    assert "fleet.speed is text in Encord: declare that type, or choose another name." in shown.words
    assert "Nothing is written while a field is in conflict." in shown.out
    assert applied.out == ""
    assert applied.err.startswith("Error: sources.fleet-cameras.metadata_schema: contradicts the metadata schema in")
    assert "Nothing was written.\n  fleet.clip (embedding of 512) is embedding of 256 in Encord: decl" in applied.err
    assert "\n  fleet.speed (number) is text in Encord" in applied.err
    assert workplace.sandbox.metadata_schema() == held


def test_a_source_that_declares_nothing_asks_nothing(workplace: Workplace) -> None:
    workplace.configure()
    asked = sum(entry.requests for entry in workplace.sandbox.requests().values())

    for arguments in ((), ("--apply",)):
        said = workplace.run("schema", SOURCE, *arguments)
        assert (said.status, said.out) == (
            0,
            "fleet-cameras: declares no metadata_schema, so there is nothing to compare.\n",
        )
    assert workplace.run("schema", SOURCE, "--json").document["fields"] == []
    assert sum(entry.requests for entry in workplace.sandbox.requests().values()) == asked


def test_a_source_that_there_is_not_is_status_2(workplace: Workplace) -> None:
    assert workplace.run("schema", "fleet").status == 2


def forbid(workplace: Workplace, endpoint: Endpoint) -> None:
    workplace.sandbox.script(
        Fault(effect=Effect.STATUS, status=403, message="Insufficient permissions", endpoint=endpoint, times=None)
    )


@pytest.mark.slow  # a refusal is confirmed, with waits in between
@pytest.mark.parametrize(
    ("endpoint", "what"),
    [
        pytest.param(Endpoint.GET_METADATA_SCHEMA, "reading the metadata schema", id="reading"),
        pytest.param(Endpoint.SET_METADATA_SCHEMA, "changing the metadata schema", id="changing"),
    ],
)
def test_a_user_who_may_not_is_told_who_may(workplace: Workplace, endpoint: Endpoint, what: str) -> None:
    forbid(workplace, endpoint)
    said = workplace.run("schema", SOURCE, "--apply")

    assert said.status == 4
    assert f"does not allow this: {what}: Insufficient permissions. The schema is one for the whole" in said.words
    assert "let a Workspace Admin run this command with their own key, or give the user that role." in said.words
    assert workplace.sandbox.metadata_schema() == FOREIGN


def line_of(workplace: Workplace, arguments: tuple[str, ...] = ()) -> tuple[int, str]:
    said = workplace.run("check", *arguments)
    (line,) = [line for line in said.out.splitlines() if "metadata schema: " in line]
    return said.status, line.removeprefix("fleet-cameras: metadata schema: ")


def test_check_says_that_the_schema_fits(workplace: Workplace) -> None:
    workplace.sandbox.hold_metadata_schema(WHOLE)

    assert line_of(workplace) == (0, "ok: Encord has all 3 declared fields")


def test_check_names_what_is_missing_without_failing(workplace: Workplace) -> None:
    assert line_of(workplace) == (
        0,
        (
            "ok: of 3 declared fields: 3 missing; Encord can't filter by these until `registration-pipeline schema "
            "fleet-cameras --apply` has added them"
        ),
    )
    assert workplace.sandbox.metadata_schema() == FOREIGN


def test_check_fails_on_a_conflict(workplace: Workplace) -> None:
    hold(workplace, speed={"ty": "tombstone", "deleted_ty": None})
    status, line = line_of(workplace)

    assert status == 2
    assert line.startswith("problem: sources.fleet-cameras.metadata_schema: contradicts the metadata schema in Encord")
    assert "Nothing was written" not in line


@pytest.mark.slow
def test_check_leaves_the_schema_out_where_it_may_not_be_read(workplace: Workplace) -> None:
    forbid(workplace, Endpoint.GET_METADATA_SCHEMA)
    status, line = line_of(workplace)

    assert status == 0
    assert line.startswith("not checked: because it may not be read: Encord at http://127.0.0.1")


def test_check_leaves_the_schema_out_where_none_is_declared(workplace: Workplace) -> None:
    workplace.configure()
    said = workplace.run("check")

    assert said.status == 0
    assert "metadata schema" not in said.out
