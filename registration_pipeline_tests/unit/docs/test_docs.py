"""The documentation names what is there: every command, option, key and reason, and no file or link that is not.

What does not belong here: whether the sentences are true; the commands in them are run by hand.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import click
import pytest
import typer.main
import yaml

from registration_pipeline.cli.app import app
from registration_pipeline.limits import (
    ARCHIVED_STORAGE_CLASSES,
    MANIFEST_LIMITS,
    MAX_ITEMS,
    MAX_OBJECT_BYTES,
    MAX_TITLE_CHARACTERS,
    MAX_URL_BYTES,
    MAX_URLS,
    EncordPlan,
)
from registration_pipeline.objects import FailureReason, LinkReason, MediaKind, RejectionReason
from registration_pipeline.orchestration.names import SourceNames
from registration_pipeline.planning.kinds import KIND_BY_SUFFIX, UNPLANNED_SUFFIXES
from registration_pipeline.sandbox.config import SandboxConfig
from registration_pipeline.settings.executor import ENGINE_SECTIONS
from registration_pipeline.settings.load import load_settings
from registration_pipeline.settings.metadata import DatasetSettings, FieldKind, MetadataEntry
from registration_pipeline.settings.models import (
    ChunkSizes,
    EncordSettings,
    Settings,
    SourceEncordSettings,
    SourceSettings,
    StorageSettings,
    UrlStyle,
)
from registration_pipeline.settings.notify import NotifyTarget
from registration_pipeline.settings.units import HEADER_FIELDS, OBJECT_FIELDS, GroupRule, KindRule, ObjectKind
from registration_pipeline.tracking.failures.files import COLUMNS
from registration_pipeline.tracking.journal.states import JournalEventKind

if TYPE_CHECKING:
    from pydantic import BaseModel

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "registration_pipeline"
DOCS = ROOT / "docs"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]

_SECTIONS: dict[str, type[BaseModel]] = {
    "storage": StorageSettings,
    "encord": SourceEncordSettings,
    "chunk_size": ChunkSizes,
    "dataset": DatasetSettings,
}
_FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_MODULE = re.compile(r"`(?P<name>[a-z_0-9/*]+(?:\.py|/))`")


def page_name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def prose_of(path: Path) -> str:
    """Return a page without its fenced blocks, whose brackets are not links."""
    return _FENCE.sub("", path.read_text(encoding="utf-8"))


def code_words(text: str) -> set[str]:
    """Return everything that is written in backticks on one line."""
    return set(re.findall(r"`([^`\n]+)`", text))


def setting_keys() -> list[str]:
    top = [key for key in Settings.model_fields if key not in {"path", "folder"}]
    nested = [
        *(f"encord.{key}" for key in EncordSettings.model_fields),
        *(f"notify[].{key}" for key in NotifyTarget.model_fields),
        *(f"executor.{name}.{key}" for name, model in ENGINE_SECTIONS.items() for key in model.model_fields),
        *(f"{name}.{key}" for name, model in _SECTIONS.items() for key in model.model_fields),
    ]
    own = [key for key in SourceSettings.model_fields if key not in {"name", *_SECTIONS}]
    return [*(key for key in top if key != "encord"), *nested, *own]


def unit_keys() -> list[str]:
    """Return the keys of the entries of ``kinds`` and ``groups``, as the file spells them."""
    entries: dict[str, type[BaseModel]] = {"kinds": KindRule, "groups": GroupRule}
    return [
        f"{name}.{field.alias or key}" for name, model in entries.items() for key, field in model.model_fields.items()
    ]


def commands() -> dict[str, click.Command]:
    group = typer.main.get_command(app)
    assert isinstance(group, click.Group)
    return {"": group, **group.commands}


def options() -> list[tuple[str, str]]:
    return [
        (name, option)
        for name, command in commands().items()
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for option in parameter.opts
        if option.startswith("--")
    ]


def anchors_of(path: Path) -> set[str]:
    """Return the anchors that a page's headings get: lower case, spaces to hyphens, punctuation dropped."""
    headings = re.findall(r"^#+ (.+)$", prose_of(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def links() -> list[tuple[Path, str]]:
    found = [(page, match["target"]) for page in PAGES for match in _LINK.finditer(prose_of(page))]
    return [(page, target) for page, target in found if "://" not in target]


@pytest.mark.parametrize("name", [name for name in commands() if name])
def test_the_readme_names_every_command(name: str) -> None:
    assert re.search(rf"^\| `{name}\b", text_of("README.md"), re.MULTILINE)


@pytest.mark.parametrize(("command", "option"), options(), ids=lambda value: value or "all commands")
def test_every_option_is_in_the_readme_or_the_docs(command: str, option: str) -> None:
    pages = [path.read_text(encoding="utf-8") for path in PAGES]
    named = [page for page in pages if re.search(rf"{option}(?![\w-])", page)]

    assert named, f"{option} of {command or 'the command line'}"


@pytest.mark.parametrize("status", ["0", "1", "2", "3", "4", "130"])
@pytest.mark.parametrize("page", ["README.md", "docs/operations.md"])
def test_every_exit_status_is_explained(page: str, status: str) -> None:
    assert re.search(rf"^\| {status} \|", text_of(page), re.MULTILINE)


@pytest.mark.parametrize("key", setting_keys())
def test_every_key_has_a_row_in_the_configuration_page(key: str) -> None:
    assert re.search(rf"^\| `{re.escape(key)}` \|", text_of("docs/configuration.md"), re.MULTILINE)


def test_the_configuration_page_has_no_row_for_a_key_that_does_not_exist() -> None:
    section = text_of("docs/configuration.md").partition("## Keys")[2].partition("## Environment variables")[0]
    rows = set(re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE))

    assert rows == set(setting_keys())


@pytest.mark.parametrize("key", unit_keys())
def test_every_key_of_an_entry_has_a_row_in_the_section_of_units(key: str) -> None:
    assert re.search(rf"^\| `{re.escape(key)}` \|", section_of_units(), re.MULTILINE)


def test_the_section_of_units_has_no_row_for_a_key_that_does_not_exist() -> None:
    rows = re.findall(r"^\| `((?:kinds|groups)\.[^`]+)` \|", section_of_units(), re.MULTILINE)

    assert rows == unit_keys()


@pytest.mark.parametrize("name", [f"{{{name}}}" for name in (*OBJECT_FIELDS, *HEADER_FIELDS)])
def test_every_name_of_titles_is_explained(name: str) -> None:
    section = section_of_units().partition("### Titles")[2]

    assert any(name in code_words(row) for row in re.findall(r"^\| (`\{.+?) \|", section, re.MULTILINE))


@pytest.mark.parametrize("key", MetadataEntry.model_fields)
def test_every_key_of_an_entry_of_metadata_has_a_row(key: str) -> None:
    assert re.search(rf"^\| `metadata\.{key}` \|", section_of_metadata(), re.MULTILINE)


def test_the_section_of_metadata_has_no_row_for_a_key_that_does_not_exist() -> None:
    rows = re.findall(r"^\| `metadata\.([^`]+)` \|", section_of_metadata(), re.MULTILINE)

    assert rows == list(MetadataEntry.model_fields)


@pytest.mark.parametrize("kind", FieldKind)
def test_every_type_of_the_metadata_schema_is_named(kind: FieldKind) -> None:
    table = section_of_metadata().partition("### The metadata schema")[2]

    assert any(kind in code_words(row) for row in re.findall(r"^\| (`.+?) \|", table, re.MULTILINE))


def section_of_units() -> str:
    return section("Units")


def section_of_metadata() -> str:
    return section("Metadata")


def section(title: str) -> str:
    return text_of("docs/configuration.md").partition(f"\n## {title}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("kind", MediaKind)
def test_the_default_chunk_sizes_are_the_documented_ones(kind: MediaKind) -> None:
    row = re.search(rf"^\| `chunk_size.{kind}` \| number \| (\d+) \|", text_of("docs/configuration.md"), re.MULTILINE)

    assert row is not None
    assert int(row[1]) == ChunkSizes().of(kind)


@pytest.mark.parametrize("name", ["max_in_flight", "settle_seconds", "min_age_seconds"])
def test_the_default_numbers_are_the_documented_ones(name: str) -> None:
    row = re.search(rf"^\| `{name}` \| number \| (\d+) \|", text_of("docs/configuration.md"), re.MULTILINE)

    assert row is not None
    assert int(row[1]) == SourceSettings.model_fields[name].default


def test_the_documented_limits_are_those_of_the_code() -> None:
    page = text_of("docs/configuration.md")

    assert f"{MAX_ITEMS:,}" in page
    assert f"{MAX_URL_BYTES:,} bytes" in page
    assert f"{MAX_URLS:,} URLs" in page
    assert f"{MAX_TITLE_CHARACTERS} characters" in page
    assert all(f"{size:,} bytes" in page for size in MAX_OBJECT_BYTES.values())
    assert ARCHIVED_STORAGE_CLASSES <= code_words(page)


@pytest.mark.parametrize("plan", EncordPlan)
def test_the_limits_of_every_plan_of_encord_have_a_row(plan: EncordPlan) -> None:
    limits = MANIFEST_LIMITS[plan]
    row = f"| `{plan}` | {limits.entries:,} | {limits.bytes // 1_000_000} MB |"

    assert row in text_of("docs/configuration.md")


@pytest.mark.parametrize("style", UrlStyle)
def test_every_url_style_has_a_row(style: UrlStyle) -> None:
    assert re.search(rf"^\| `{style}` \|", text_of("docs/configuration.md"), re.MULTILINE)


@pytest.mark.parametrize("kind", ObjectKind)
def test_the_suffixes_of_every_kind_are_the_documented_ones(kind: ObjectKind) -> None:
    row = re.search(rf"^\| `{kind}` \| (`\..+) \|$", text_of("docs/configuration.md"), re.MULTILINE)

    assert row is not None
    assert code_words(row[1]) == {suffix for suffix, of in KIND_BY_SUFFIX.items() if of is kind.media_kind}


def test_every_suffix_that_is_not_planned_is_documented() -> None:
    assert set(UNPLANNED_SUFFIXES) <= code_words(text_of("docs/configuration.md"))


@pytest.mark.parametrize("reason", [*RejectionReason, *FailureReason, *LinkReason])
def test_every_reason_has_a_row_that_says_what_to_do(reason: RejectionReason | FailureReason | LinkReason) -> None:
    row = re.search(rf"^\| `{reason}` \| (.+) \| (.+) \|$", text_of("docs/operations.md"), re.MULTILINE)

    assert row is not None


def test_the_columns_of_the_failure_log_are_listed_in_their_order() -> None:
    assert ", ".join(COLUMNS) in text_of("docs/operations.md")


@pytest.mark.parametrize("switch", [name for name in SandboxConfig.__annotations__ if name not in {"host", "port"}])
def test_every_switch_of_the_sandbox_is_documented(switch: str) -> None:
    assert switch in code_words(text_of("docs/sandbox.md")) or f"--{switch} DIR" in text_of("docs/sandbox.md")


@pytest.mark.parametrize("event", JournalEventKind)
def test_every_journal_event_is_explained(event: JournalEventKind) -> None:
    assert re.search(rf"^\| `{event}` \|", text_of("docs/architecture.md"), re.MULTILINE)


def leaves(value: object, prefix: str = "") -> set[str]:
    if not isinstance(value, dict):
        return {prefix}
    return {leaf for key, item in value.items() for leaf in leaves(item, f"{prefix}.{key}".lstrip("."))}


def test_every_line_of_dagster_yaml_is_explained() -> None:
    keys = leaves(yaml.safe_load(text_of("dagster.yaml")))
    page = code_words(text_of("docs/deployment.md"))

    assert {key for key in keys if key not in page and key.rpartition(".")[2] not in page} == set()


@pytest.mark.parametrize("name", [name for name in vars(SourceNames) if name.endswith("_job")])
def test_every_job_of_a_source_has_its_row(name: str) -> None:
    job = str(getattr(SourceNames("fleet"), name)).removeprefix("fleet")
    rows = [line for line in (DOCS / "deployment.md").read_text().splitlines() if line.startswith("| `<source>_")]
    assert any(f"`<source>{job}`" in row for row in rows)


def test_the_dagster_yaml_of_the_repository_is_the_one_that_commands_install() -> None:
    shipped = (PACKAGE / "orchestration" / "dagster.yaml").read_text(encoding="utf-8")

    assert shipped == text_of("dagster.yaml")


def test_the_bounds_in_the_decision_are_those_of_the_package() -> None:
    project = tomllib.loads(text_of("pyproject.toml"))["project"]
    bounded = {
        re.split(r"[<>=]", entry)[0]: re.sub(r"^[\w\-\[\]]+", "", entry)
        for entry in project["dependencies"]
        if "<" in entry
    }
    page = text_of("docs/decisions/008-typer-click-pins.md")
    rows = re.findall(r"^\| (`[^|]+) \| `([^`]+)` \|", page, re.MULTILINE)
    documented = {name: bound for names, bound in rows for name in code_words(names)}

    assert documented == bounded


def test_the_modules_that_the_architecture_names_exist() -> None:
    named = {match["name"] for match in _MODULE.finditer(text_of("docs/architecture.md"))}
    modules = {name for name in named if name.endswith(".py") and "*" not in name}
    missing = {name for name in modules if not any((base / name).is_file() for base in (PACKAGE, ROOT))}

    assert missing == set()
    assert len(modules) > 10


def test_the_architecture_names_every_package_of_the_pipeline() -> None:
    packages = {f"{path.parent.relative_to(PACKAGE).as_posix()}/" for path in PACKAGE.rglob("__init__.py")} - {"./"}
    apart = {package for package in packages if package.startswith(("sandbox/", "demo/"))}

    assert packages - apart - code_words(text_of("docs/architecture.md")) == set()


def test_every_relative_link_and_image_leads_somewhere() -> None:
    broken = []
    for page, target in links():
        file, _, anchor = unquote(target).partition("#")
        path = (page.parent / file).resolve() if file else page
        is_missing_anchor = bool(anchor) and path.suffix == ".md" and path.is_file() and anchor not in anchors_of(path)
        if not path.exists() or is_missing_anchor:
            broken.append(f"{page_name(page)}: {target}")

    assert broken == []


@pytest.mark.parametrize("page", [path for path in PAGES if path.parent == DOCS], ids=page_name)
def test_the_readme_leads_to_every_page(page: Path) -> None:
    assert f"({page_name(page)})" in text_of("README.md")


def test_decisions_have_the_same_four_parts() -> None:
    for page in sorted((DOCS / "decisions").glob("[0-9]*.md")):
        headings = re.findall(r"^## (\w+)", page.read_text(encoding="utf-8"), re.MULTILINE)

        assert headings == ["Choice", "Alternatives", "Reason", "Consequences"], page.name


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_pages_hold_no_path_of_a_developers_machine(page: Path) -> None:
    assert re.findall(r"/(?:home|Users|root|tmp|work)/\S*", page.read_text(encoding="utf-8")) == []


COMPLETE = re.findall(r"```yaml\n(sources:.*?)```", text_of("README.md"), re.DOTALL)


@pytest.mark.parametrize("text", COMPLETE, ids=[next(iter(yaml.safe_load(one)["sources"])) for one in COMPLETE])
def test_every_complete_configuration_of_the_readme_is_valid(text: str, tmp_path: Path) -> None:
    file = tmp_path / "registration.yaml"
    file.write_text(text, encoding="utf-8")

    assert load_settings(file, {}).sources
