"""Every exit status of the interface, and what is said with it."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline_tests.unit.cli.conftest import Workplace


@pytest.mark.slow
def test_0_when_every_eligible_object_is_registered(workplace: Workplace):
    workplace.put("a.jpg", "thumbs/b.jpg")
    said = workplace.run("sync")
    assert said.status == 0
    assert "not registered" not in said.words


def test_0_for_reports_even_when_there_are_failures(synced: Workplace):
    assert synced.run("status").status == 0
    assert synced.run("failures").status == 0


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [("sync",), ("submit", "fleet-cameras", "--failed")], ids=["sync", "submit"])
def test_3_when_objects_are_not_registered(synced: Workplace, arguments: tuple[str, ...]):
    said = synced.run(*arguments)
    assert said.status == 3
    assert "4 objects are not registered: `registration-pipeline failures fleet-cameras`" in said.words


def test_2_for_a_source_that_does_not_exist_with_the_nearest_name(workplace: Workplace):
    for command in ("status", "failures", "sync", "check", "inventory", "plan", "submit"):
        said = workplace.run(command, "fleet-camras")
        assert said.status == 2
        assert said.out == ""
        assert "There is no source 'fleet-camras'" in said.err
        assert "Did you mean 'fleet-cameras'?" in said.err


@pytest.mark.parametrize(
    "arguments",
    [
        *((command,) for command in ("chunks", "audit", "find", "probe", "plan", "inventory", "submit", "rehearse")),
        pytest.param(("chunks", "--config", "registration.yaml", "--state", "failed"), id="with options"),
        pytest.param(("--config", "registration.yaml", "chunks"), id="with an option before it"),
    ],
    ids=" ".join,
)
def test_2_for_a_source_that_is_left_out_with_the_sources_there_are(workplace: Workplace, arguments: tuple[str, ...]):
    said = workplace.run(*arguments)

    assert said.status == 2
    assert "Missing argument 'SOURCE'. Give a source; registration.yaml has: fleet-cameras." in said.words
    document = workplace.run(*arguments, "--json").document
    assert document["error"]["message"].endswith("has: fleet-cameras.")


def test_2_for_a_source_that_is_left_out_without_a_configuration(workplace: Workplace):
    workplace.config.unlink()

    said = workplace.run("chunks")

    assert (said.status, "Missing argument 'SOURCE'." in said.words, "Traceback" in said.err) == (2, True, False)


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        pytest.param(("cam 1/a.jpg",), "find fleet-cameras 'cam 1/a.jpg'`", id="no source"),
        pytest.param(("a.jpg", "b.jpg"), "find fleet-cameras a.jpg b.jpg`", id="two keys"),
        pytest.param(("a.jpg", "fleet-cameras"), "find fleet-cameras a.jpg`", id="key first"),
    ],
)
def test_2_for_a_key_in_the_place_of_the_source_with_the_command_that_was_meant(
    workplace: Workplace, arguments: tuple[str, ...], command: str
):
    said = workplace.run("find", *arguments)

    assert said.status == 2
    assert f"{arguments[0]!r} is not a source; registration.yaml has: fleet-cameras." in said.words
    assert command in said.words


def test_2_for_a_chunk_that_does_not_exist_with_the_nearest_id(workplace: Workplace):
    workplace.put("a.jpg")
    (chunk_id,) = workplace.plan()
    near = workplace.run("submit", "fleet-cameras", "--chunk", chunk_id[:-1] + "9")
    assert near.status == 2
    assert f"Did you mean {chunk_id}?" in near.words
    far = workplace.run("submit", "fleet-cameras", "--chunk", "zzz")
    assert far.status == 2
    assert "has no chunk 'zzz'" in far.err
    assert not workplace.sandbox.jobs()


def test_2_for_chunk_and_failed_at_once(workplace: Workplace):
    said = workplace.run("submit", "fleet-cameras", "--chunk", "x", "--failed")
    assert said.status == 2
    assert "not both" in said.err


@pytest.mark.parametrize(
    ("arguments", "way_out"),
    [
        pytest.param(("plan",), "inventory fleet-cameras", id="plan", marks=pytest.mark.slow),
        pytest.param(("plan", "--dry-run"), "inventory fleet-cameras", id="plan --dry-run"),
        pytest.param(("submit",), "sync fleet-cameras", id="submit"),
    ],
)
def test_2_for_a_stage_whose_stage_before_it_is_missing(workplace: Workplace, arguments: tuple[str, ...], way_out: str):
    command, *options = arguments
    said = workplace.run(command, "fleet-cameras", *options)
    assert said.status == 2
    assert said.out == ""
    assert f"`registration-pipeline {way_out}" in said.err


@pytest.mark.parametrize("command", ["status", "failures", pytest.param("sync", marks=pytest.mark.slow), "submit"])
@pytest.mark.parametrize("damage", [b"{", b"[]", b"{}", b'{"wave_id": 1}', b"\xff\xfe"], ids=repr)
def test_4_for_a_damaged_commit_marker(workplace: Workplace, command: str, damage: bytes):
    workplace.put("a.jpg")
    workplace.plan()
    (marker,) = workplace.root.glob("state/fleet-cameras/plan/*/_SUCCESS.json")
    marker.write_bytes(damage)
    if command in {"status", "failures"}:  # the compacted ledger answers them without the wave
        shutil.rmtree(workplace.root / "state/fleet-cameras/ledger")
    said = workplace.run(command, "fleet-cameras")
    assert said.status == 4
    assert str(marker) in said.words
    assert "Traceback" not in said.err


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_4_for_a_damaged_part_under_a_commit_marker(workplace: Workplace, damage: str):
    workplace.put("a.jpg")
    workplace.plan()
    (part,) = workplace.root.glob("state/fleet-cameras/plan/*/part-*.parquet")
    part.write_bytes(part.read_bytes()[:20]) if damage == "cut" else part.unlink()
    said = workplace.run("sync")
    assert said.status == 4
    assert str(part) in said.words
    assert "backup" in said.words
    assert not workplace.sandbox.jobs()


@pytest.mark.slow
def test_4_when_encord_refuses_and_nothing_is_lost(workplace: Workplace):
    workplace.put("a.jpg")
    workplace.configure(encord={"integration": "nobody's"})
    said = workplace.run("sync")
    assert said.status == 4
    assert 'Encord integration "nobody\'s" does not exist' in said.words
    assert "Integrations that this key may use: 'sandbox'" in said.words
    assert not (workplace.root / "state/fleet-cameras/inventory").exists()  # asked before the listing
    workplace.configure()
    assert workplace.run("sync").status == 0
    assert workplace.run("status", "--json").document["sources"]["fleet-cameras"]["registered"] == 1


def test_1_for_what_no_one_foresaw_with_how_to_report_it(
    workplace: Workplace, raising: Callable[[str, BaseException], None]
):
    raising("registration_pipeline.tracking.status.source_status", ZeroDivisionError("by nobody's fault"))
    said = workplace.run("status")
    assert said.status == 1
    assert said.out == ""
    assert "Unexpected error: by nobody's fault" in said.err
    assert "Please report it with the lines above, registration-pipeline 0" in said.words
    assert "Traceback" in said.err


@pytest.mark.slow
def test_1_for_what_no_one_foresaw_inside_a_run(workplace: Workplace, raising: Callable[[str, BaseException], None]):
    workplace.put("a.jpg")
    raising("registration_pipeline.inventory.inventory.take_inventory", ZeroDivisionError("by nobody's fault"))
    said = workplace.run("sync")
    assert said.status == 1
    assert re.search(r"Unexpected error: ZeroDivisionError: by nobody's fault \(run [0-9a-f-]{36}\)", said.words)
    assert "Please report it" in said.words
    assert "raise error" in said.err


def test_130_for_ctrl_c(workplace: Workplace, raising: Callable[[str, BaseException], None]):
    raising("registration_pipeline.tracking.status.source_status", KeyboardInterrupt())
    said = workplace.run("status")
    assert said.status == 130
    assert said.err == "Interrupted. Nothing is lost; run again to go on.\n"


def test_0_when_the_reader_of_the_output_has_seen_enough(
    workplace: Workplace, raising: Callable[[str, BaseException], None]
):
    raising("registration_pipeline.cli.commands.print_json", BrokenPipeError())
    said = workplace.run("status", "--json")
    assert (said.status, said.err) == (0, "")


WRONG_AT_ENCORD: dict[str, tuple[dict[str, Any], dict[str, str], str]] = {
    "key": ({}, {"ENCORD_SSH_KEY_FILE": "/no/such/key"}, "ENCORD_SSH_KEY_FILE names a file"),
    "integration": ({"encord": {"integration": "prod-aws"}}, {}, "'prod-aws' does not exist"),
    "folder": (
        {"encord": {"integration": "sandbox", "folder": "11111111-2222-4333-8444-555555555555"}},
        {},
        "folder 11111111-2222-4333-8444-555555555555",
    ),
}
BESIDES: dict[str, dict[str, Any]] = {
    "objects only": {},
    "dataset and schema": {"dataset": {"title": "fleet"}, "metadata_schema": {"fleet.speed": "number"}},
}


@pytest.mark.slow
@pytest.mark.parametrize("besides", BESIDES.values(), ids=BESIDES)
@pytest.mark.parametrize(("settings", "environ", "says"), WRONG_AT_ENCORD.values(), ids=WRONG_AT_ENCORD)
def test_what_is_wrong_at_encord_is_found_before_the_bucket_is_listed(  # noqa: PLR0917 - a case has three parts
    workplace: Workplace,
    monkeypatch: pytest.MonkeyPatch,
    besides: dict[str, Any],
    settings: dict[str, Any],
    environ: dict[str, str],
    says: str,
):
    workplace.put("a.jpg")
    workplace.configure(**settings, **besides)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    said = workplace.run("sync", "--json")

    assert said.status == 4
    (error,) = said.document["errors"]
    assert says in error["message"]
    assert not (workplace.root / "state/fleet-cameras/inventory").exists()
    assert workplace.run("inventory", "fleet-cameras").status == 0, "which needs no Encord"
