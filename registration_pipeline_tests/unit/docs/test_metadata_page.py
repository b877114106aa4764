"""The examples of the page on metadata: keys, files and settings give the metadata that the page shows.

An example is a block of keys, blocks with files (their names behind the language), a block of settings, and a block of JSON
with what comes of it. Blocks of settings that stand alone are loaded.
"""

from __future__ import annotations

import json
import re
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pytest
import yaml

from registration_pipeline.cli.app import run
from registration_pipeline.demo.media.media import media_bytes
from registration_pipeline.errors import ConfigurationError
from registration_pipeline.facts.reader import ObjectDescription
from registration_pipeline.inventory.schema import INVENTORY_SCHEMA
from registration_pipeline.manifest.format import GROUP_URL_PREFIX, OBJECT_URL
from registration_pipeline.manifest.render import render_manifest
from registration_pipeline.manifest.validate import validate_manifest
from registration_pipeline.planning.halves import read_units
from registration_pipeline.project.project import Project
from registration_pipeline.sandbox.config import SandboxConfig
from registration_pipeline.sandbox.server import Sandbox
from registration_pipeline.settings import load_settings
from registration_pipeline_tests.unit.planning.conftest import START

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from registration_pipeline.facts.reader import StoredObject
    from registration_pipeline.settings import SourceSettings

PAGE = Path(__file__).parents[3] / "docs" / "metadata.md"
_BLOCK = re.compile(r"^```(?P<language>\w+)(?: (?P<name>[^\n]+))?\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
_PLAIN_LIST = re.compile(r"\[\n[^\[\]{}]*\]")
_OF_THE_STORE = " (object metadata)"
_URL = "https://bucket.s3.eu-west-2.amazonaws.com/"
_TABLES = (".csv", ".jsonl")


class Block(NamedTuple):
    language: str
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Example:
    """One example.

    Args:
        keys: of the objects.
        files: tables by name, sidecars by key, and object metadata by key with a remark.
        settings: of the source.
        shown: what the page says comes of it.
        is_items: whether that is whole items of manifests.
    """

    keys: list[str]
    files: dict[str, str]
    settings: dict[str, Any]
    shown: str
    is_items: bool


def blocks() -> list[Block]:
    found = _BLOCK.finditer(PAGE.read_text(encoding="utf-8"))
    return [Block(block["language"], block["name"] or "", block["text"]) for block in found]


def examples() -> list[Example]:
    made, current = list[Example](), list[Block]()
    for block in blocks():
        if block.language == "text":
            current = [block]
        elif current:
            current.append(block)
            if block.language == "json" and block.name in {"", "items"}:
                made.append(example_of(current))
                current = []
    return made


def example_of(found: list[Block]) -> Example:
    keys, *files, settings, shown = found
    assert settings.language == "yaml"
    return Example(
        keys=keys.text.split(),
        files={one.name: one.text for one in files},
        settings=yaml.safe_load(settings.text) or {},
        shown=shown.text,
        is_items=shown.name == "items",
    )


class MemoryBucket:
    """Lists and reads the objects of an example."""

    permission = description_permission = "nothing"
    description = "a dictionary"
    requests = 0

    def __init__(self, example: Example) -> None:
        names = {name for name in example.files if not name.endswith((*_TABLES, _OF_THE_STORE))}
        self._contents = {name: example.files[name].encode() for name in names}
        self._contents |= {key: self._contents.get(key) or media_bytes(key, seed=1) for key in example.keys}
        self._described = {
            name.removesuffix(_OF_THE_STORE): json.loads(text)
            for name, text in example.files.items()
            if name.endswith(_OF_THE_STORE)
        }

    def list_objects(self) -> Iterator[pa.RecordBatch]:
        rows = [
            {"key": key, "size": len(content), "last_modified": START.replace(day=1), "e_tag": f"tag of {key}"}
            for key, content in sorted(self._contents.items())
        ]
        yield pa.RecordBatch.from_pylist(rows, schema=INVENTORY_SCHEMA)

    def read(self, item: StoredObject, start: int, length: int) -> bytes:
        return self._contents[item.key][start : start + length]

    def describe(self, item: StoredObject) -> ObjectDescription:
        return ObjectDescription(**self._described.get(item.key, {}))


@dataclass(frozen=True)
class ExampleProject(Project):
    """A project whose bucket is in memory; all else is the real thing."""

    bucket: Any = field(default=None)

    def lister(self, source: SourceSettings, notify: Callable[[str], None] = lambda _: None) -> Any:
        del source, notify
        return self.bucket

    def reader(self, source: SourceSettings) -> Any:
        del source
        return self.bucket


def load(folder: Path, settings: Mapping[str, Any]) -> Any:
    source = {
        "uri": "s3://bucket/",
        "storage": {"region": "eu-west-2"},
        "encord": {"integration": "prod-aws"},
        **settings,
    }
    file = folder / "registration.yaml"
    file.write_text(yaml.safe_dump({"sources": {"fleet": source}}, sort_keys=False), encoding="utf-8")
    return load_settings(file, {})


def name_of(example: Example) -> str:
    return f"{example.keys[0]} {json.dumps(example.settings)[:60]}"


@pytest.mark.parametrize("example", examples(), ids=name_of)
def test_an_example_gives_what_the_page_shows(example: Example, tmp_path: Path) -> None:
    made = items_of(example, tmp_path) if example.is_items else metadata_of(example, tmp_path)

    assert shown(made) == example.shown


def shown(document: Any) -> str:
    """Return JSON as the page shows it: a line for each key, and lists of plain values on one."""
    text = json.dumps(document, indent=2, ensure_ascii=False)
    return _PLAIN_LIST.sub(lambda found: json.dumps(json.loads(found[0]), ensure_ascii=False), text) + "\n"


def registered(example: Example, folder: Path) -> tuple[Project, SourceSettings, list[dict[str, Any]]]:
    """Run an example up to its manifests and return the items of all of them."""
    for name, text in example.files.items():
        if name.endswith(_TABLES):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
    project = ExampleProject(settings=load(folder, example.settings), bucket=MemoryBucket(example))
    source = project.source("fleet")
    project.take_inventory(source)
    project.read_metadata(source)
    project.read_media(source)
    items = []
    for chunk in project.plan(source).chunks:
        manifest = render_manifest(chunk.chunk_id, read_units(project.store, "fleet", chunk.chunk_id))
        assert list(validate_manifest(manifest)) == []
        items += [item for listed in json.loads(manifest).values() if isinstance(listed, list) for item in listed]
    return project, source, items


def metadata_of(example: Example, folder: Path) -> dict[str, Any]:
    """Return key -> client metadata without where the unit comes from, and key -> the message of what is rejected."""
    project, source, items = registered(example, folder)
    found: dict[str, Any] = {key_of(item): own_of(item) for item in items}
    found |= {row.key: f"{row.reason}: {row.message}" for row in project.failures(source)}
    return dict(sorted(found.items()))


def items_of(example: Example, folder: Path) -> list[dict[str, Any]]:
    """Return the items as they are sent, without where the unit comes from."""
    _, _, items = registered(example, folder)
    shown = [
        {
            name: own_of(item) if name == "clientMetadata" else value
            for name, value in item.items()
            if name != "clientMetadata" or own_of(item)
        }
        for item in items
    ]
    return sorted(shown, key=key_of)


def key_of(item: dict[str, Any]) -> str:
    url: str = item.get(OBJECT_URL) or item[f"{GROUP_URL_PREFIX}0"]
    return url.removeprefix(_URL)


def own_of(item: dict[str, Any]) -> dict[str, Any]:
    metadata = item.get("clientMetadata", {})
    return {name: value for name, value in metadata.items() if not name.startswith("registration.")}


def test_every_block_of_settings_is_valid(tmp_path: Path) -> None:
    found = [block for block in blocks() if block.language == "yaml"]
    for block in found:
        try:
            load(tmp_path, yaml.safe_load(block.text))
        except ConfigurationError as error:
            pytest.fail(f"{block.text}\n{error}")

    assert len(found) > len(examples()) > 8


def test_the_command_shows_the_schema_as_the_page_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (console,) = [block.text for block in blocks() if block.language == "console"]
    command, _, printed = console.partition("\n")

    assert schema_output(command, tmp_path, monkeypatch) == printed


def schema_output(command: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the command with the settings before it on the page, and the schema that the page says Encord has."""
    (held,) = [json.loads(block.text) for block in blocks() if block.name == "Encord's schema"]
    (settings,) = [example.settings for example in examples() if "place" in example.settings.get("metadata_schema", {})]
    with Sandbox(SandboxConfig(data=folder / "encord")) as sandbox:
        sandbox.hold_metadata_schema(held)
        load(folder, settings)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("ENCORD_DOMAIN", sandbox.url)
        monkeypatch.setenv("ENCORD_SSH_KEY_FILE", str(sandbox.private_key_path))
        monkeypatch.setenv("REGISTRATION_CONFIG", "")
        out = StringIO()
        with redirect_stdout(out):
            arguments = command.removeprefix("$ registration-pipeline ").split()
            assert run([*arguments, "--config", str(folder / "registration.yaml")]) == 3
    return out.getvalue()


@pytest.mark.parametrize("way", ["pattern", "table", "sidecar", "object_metadata"])
def test_every_kind_of_entry_has_an_example_that_is_run(way: str) -> None:
    assert any(way in entry for example in examples() for entry in example.settings.get("metadata", []))
