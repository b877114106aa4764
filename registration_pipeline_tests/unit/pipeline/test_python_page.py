"""The examples of docs/python.md, run one after the other as a reader would run them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import registration_pipeline
from registration_pipeline.pipeline import Pipeline
from registration_pipeline_tests.unit.pipeline.conftest import SOURCE

if TYPE_CHECKING:
    import pytest

    from registration_pipeline_tests.unit.pipeline.conftest import Plant

PAGE = Path(__file__).parents[3] / "docs" / "python.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
CALLS = set(re.findall(r"^\| `(\w+)\(", PAGE.read_text(encoding="utf-8"), re.MULTILINE))


def test_the_examples_of_the_page_run_and_say_what_they_promise(
    plant: Plant, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    plant.put("day-1/a.jpg", "day-1/b.jpg", "day-1/c.jpg")
    plant.refuse("c.jpg")
    monkeypatch.chdir(plant.here)
    for name in ("ENCORD_DOMAIN", "ENCORD_SSH_KEY_FILE"):
        monkeypatch.setenv(name, plant.environ[name])
    names: dict[str, Any] = {}

    for example in EXAMPLES:
        exec(compile(example, str(PAGE), "exec"), names)

    said = capsys.readouterr().out
    assert "3 2 registered now" in said
    assert "2 of 3 objects are registered" in said
    assert "3 objects, 0 new in 0 chunks" in said
    assert "day-1/a.jpg registered" in said
    assert "no/such/key.jpg unknown" in said
    assert f"{SOURCE} registration" in said
    assert names["exit_status"] == 3
    assert list(names["reasons"]) == ["day-1/c.jpg"]
    assert len(EXAMPLES) == 5


def test_the_page_names_every_call():
    public = {name for name, value in vars(Pipeline).items() if not name.startswith("_") and callable(value)}

    assert public - {"load"} == CALLS


def test_the_top_level_names_what_the_page_imports():
    assert registration_pipeline.Pipeline is Pipeline
    assert "Pipeline" in dir(registration_pipeline)
