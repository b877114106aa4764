"""What the ``rehearse`` command refuses before anything is made in Encord."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from registration_pipeline.sandbox.api.endpoints import Endpoint
from registration_pipeline_tests.unit.cli.conftest import SOURCE

if TYPE_CHECKING:
    from registration_pipeline_tests.unit.cli.conftest import Workplace


class Keyboard(io.StringIO):
    """Standard input of a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())


def test_without_a_terminal_it_must_be_agreed_to_beforehand(workplace: Workplace) -> None:
    workplace.put("a.jpg")

    said = workplace.run("rehearse", SOURCE)

    assert said.status == 2
    assert "give --yes to agree beforehand" in said.words
    assert workplace.sandbox.requests() == {}


@pytest.mark.parametrize(
    ("out", "words"),
    [
        pytest.param("result.csv", "must end in .json", id="another form"),
        pytest.param("nowhere/result.json", "Name a file in a folder that exists", id="no such folder"),
        pytest.param("files.json", "can't be written", id="a folder"),
    ],
)
def test_a_result_that_can_not_be_kept_is_refused_before_anything_is_asked(
    workplace: Workplace, out: str, words: str
) -> None:
    workplace.put("a.jpg")
    (workplace.root / "files.json").mkdir()

    said = workplace.run("rehearse", SOURCE, "--yes", "--out", out)

    assert said.status == 2
    assert words in said.words
    assert workplace.sandbox.requests() == {}


def test_a_source_that_is_not_configured_is_refused(workplace: Workplace) -> None:
    said = workplace.run("rehearse", "fleet-camera", "--yes")

    assert said.status == 2
    assert f"Did you mean '{SOURCE}'?" in said.words


def test_a_source_without_objects_that_would_be_sent_has_nothing_to_rehearse_with(workplace: Workplace) -> None:
    workplace.put("table.xyz", "thumbs/a.jpg")

    said = workplace.run("rehearse", SOURCE, "--yes")

    assert said.status == 2
    assert "no object that a sync would send among the first 2 of its listing" in said.words
    assert Endpoint.CREATE_FOLDER not in workplace.sandbox.requests()


def test_encord_is_asked_before_the_source_is_listed(workplace: Workplace) -> None:
    workplace.configure(encord={"integration": "another"}, uri="file:///no/such/directory")

    said = workplace.run("rehearse", SOURCE, "--yes")

    assert said.status == 4
    assert "Encord integration 'another' does not exist" in said.words


@pytest.mark.parametrize("answer", ["n\n", "\n"], ids=["no", "no answer"])
def test_nothing_is_made_that_was_not_agreed_to(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    workplace.put("a.jpg", "b.jpg")
    monkeypatch.setattr("sys.stdin", Keyboard(answer))

    said = workplace.run("rehearse", SOURCE, terminal=True)

    assert said.status == 2
    assert "Nothing was made in Encord" in said.words
    assert "register 2 of the first 2 objects of source fleet-cameras (2 bytes) in it several times" in said.words
    assert Endpoint.CREATE_FOLDER not in workplace.sandbox.requests()
