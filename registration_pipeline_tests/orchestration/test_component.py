"""The component in a ``defs.yaml``: attributes, templates, messages with lines, hooks, and the example of another team."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
import yaml
from dagster.components.component_scaffolding import scaffold_object
from dagster.components.core.component_tree import ComponentTree
from dagster.components.core.defs_module import ComponentPath
from dagster.components.core.package_entry import discover_entry_point_package_objects
from dagster_shared.serdes.objects import EnvRegistryKey
from jsonschema import Draft202012Validator

import registration_pipeline
from registration_pipeline.errors import ConfigurationError
from registration_pipeline.orchestration.component.bucket_registration import BucketRegistration
from registration_pipeline.settings import SourceSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registration_pipeline_tests.orchestration.conftest import Pipeline

REPOSITORY = Path(__file__).parents[2]
FOREIGN = REPOSITORY / "examples" / "foreign_project"
BIN = Path(sys.executable).parent
TYPE = "registration_pipeline.BucketRegistration"
SOURCE = {"uri": "file:///data/", "encord": {"integration": "sandbox"}}


class Noting(BucketRegistration):
    """A component of a host that overrides what can be overridden."""

    def get_asset_spec(self, spec: dg.AssetSpec) -> dg.AssetSpec:
        """Name the stage."""
        return super().get_asset_spec(spec).merge_attributes(metadata={"noted": spec.metadata["registration/stage"]})

    def execute(
        self, context: dg.AssetExecutionContext | dg.OpExecutionContext, source: str, stage: str, events: Iterator[Any]
    ) -> Iterator[Any]:
        """Say when a step begins."""
        context.log.info("noted %s of %s", stage, source)
        yield from events


class Project:
    """A dg project in a folder, loaded in this process."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "src" / "teams_project" / "defs" / "media"
        self.folder.mkdir(parents=True)
        (root / "pyproject.toml").write_text(
            '[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "teams_project"\n'
        )
        for folder in (self.folder.parent.parent, self.folder.parent):
            (folder / "__init__.py").touch()

    def write(self, text: str) -> None:
        (self.folder / "defs.yaml").write_text(text)

    @property
    def tree(self) -> ComponentTree:
        return ComponentTree.for_project(self.root)

    def component(self, text: str) -> BucketRegistration:
        self.write(text)
        found = self.tree.load_component(ComponentPath.from_path(self.folder, 0))
        assert isinstance(found, BucketRegistration)
        return found

    def definitions(self, text: str) -> dg.Definitions:
        self.write(text)
        return self.tree.build_defs()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    root = tmp_path / "project"
    root.mkdir()
    made = Project(root)
    monkeypatch.syspath_prepend(root / "src")
    yield made
    for name in [name for name in sys.modules if name.partition(".")[0] == "teams_project"]:
        del sys.modules[name]


def document(sources: dict[str, Any], **more: Any) -> str:
    return yaml.safe_dump({"type": TYPE, "attributes": {"sources": sources, **more}}, sort_keys=False)


def test_attributes_are_the_keys_of_the_configuration_and_paths_start_from_the_projects_root(project: Project) -> None:
    component = project.component(document({"fleet": SOURCE}, state="./kept", metrics="night.prom"))

    settings = component.settings(project.root)

    assert settings.state == str(project.root / "kept")
    assert settings.metrics == project.root / "night.prom"
    assert settings.path == project.folder / "defs.yaml"
    assert settings.base_folder == project.root
    assert settings.sources["fleet"].uri == "file:///data/"


def test_templates_of_dagster_and_references_to_the_environment_are_filled_in_and_nothing_else_is_read(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_FOLDER", "data")
    monkeypatch.setenv("TEST_SLOTS", "7")
    monkeypatch.setenv("TEST_TITLE", "${NOT_A_REFERENCE}")
    source = {
        "uri": "file:///{{ env('TEST_FOLDER') }}/",
        "encord": {"integration": "{{ env('TEST_TITLE') }}", "folder": "007"},
        "max_in_flight": "{{ env('TEST_SLOTS') }}",
        "settle_seconds": "${TEST_SLOTS}",
        "title": "{stem}",
    }

    found = project.component(document({"fleet": source})).settings(project.root).sources["fleet"]

    assert (found.uri, found.max_in_flight, found.settle_seconds) == ("file:///data/", 7, 7)
    assert (found.encord.integration, found.encord.folder, found.title) == ("${NOT_A_REFERENCE}", "007", "{stem}")


def configuration_error(raised: pytest.ExceptionInfo[Exception]) -> str:
    cause: BaseException | None = raised.value
    while cause is not None and not isinstance(cause, ConfigurationError):
        cause = cause.__cause__
    return str(cause)


WRONG = f"""\
type: {TYPE}
attributes:
  sources:
    fleet:
      uri: ftp://data/
      encord: {{integratoin: sandbox}}
      schedule: "99 * * * *"
      settle_seconds: ${{TEST_NOT_SET}}
"""


def test_everything_that_is_wrong_is_named_with_its_line_when_the_component_is_loaded(project: Project) -> None:
    with pytest.raises(Exception, match="building definitions") as raised:
        project.definitions(WRONG)

    assert [line.partition("defs.yaml:")[2] for line in configuration_error(raised).splitlines()] == [
        (
            "5: sources.fleet.uri: must be s3://bucket/prefix/, gs://bucket/prefix/, az://container@account/prefix/, "
            "obs://bucket/prefix/ or file:///absolute/directory/; ftp:// is none of these"
        ),
        "6: sources.fleet.encord.integratoin: unknown key; did you mean 'integration'?",
        "7: sources.fleet.schedule: the minute field goes from 0 to 59",
        (
            "8: sources.fleet.settle_seconds: the environment variable TEST_NOT_SET is not set; set it, or give a default: "
            "${TEST_NOT_SET:-default}"
        ),
    ]


def schema_errors(attributes: dict[str, Any]) -> list[tuple[str, str]]:
    """What ``dg check yaml`` finds, each with its place."""
    validator = Draft202012Validator(BucketRegistration.model().model_json_schema())
    found = validator.iter_errors(attributes)
    return [(".".join(map(str, error.absolute_path)), error.message) for error in found]


REFUSED = {
    "unknown key": ({"shedule": None}, "", "'shedule' was unexpected"),
    "unknown key of a section": ({"storage": {"regoin": "x"}}, "storage", "'regoin' was unexpected"),
    "number out of range": ({"max_in_flight": 100}, "max_in_flight", "100 is greater than the maximum of 64"),
    "text instead of a number": ({"max_in_flight": "many"}, "max_in_flight", "'many' is not of type 'integer'"),
    "text instead of a number of a section": (
        {"chunk_size": {"images": "many"}},
        "chunk_size.images",
        "'many' is not of type 'integer'",
    ),
    "text instead of a switch": ({"upsert_metadata": "yes"}, "upsert_metadata", "'yes' is not of type 'boolean'"),
    "word that is not one of the known": ({"url_style": "virtual"}, "url_style", "'virtual' is not one of"),
    "text instead of a list": ({"include": "*.jpg"}, "include", "'*.jpg' is not of type 'array'"),
    "unknown key of a rule": ({"kinds": [{"mach": "*", "kind": "images"}]}, "kinds.0", "'mach' was unexpected"),
    "scheme": ({"uri": "ftp://x"}, "uri", "'ftp://x' does not match"),
    "name of a tag": ({"run_tags": {"a/b/c": "x"}}, "run_tags", "'a/b/c' does not match"),
}


@pytest.mark.parametrize(("changes", "place", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_the_schema_finds_a_mistake_at_its_own_place(changes: dict[str, Any], place: str, says: str) -> None:
    errors = schema_errors({"sources": {"fleet": {**SOURCE, **changes}}})

    here = ".".join(filter(None, ("sources", "fleet", place)))
    assert [message for place, message in errors if place == here and says in message]


TAKEN: dict[str, dict[str, Any]] = {
    "the example of every key": yaml.safe_load((REPOSITORY / "examples" / "registration.yaml").read_text()),
    "templates": {
        "sources": {"fleet": {**SOURCE, "max_in_flight": "{{ env('N') }}", "upsert_metadata": "${SEND:-true}"}}
    },
    "no schedule": {"sources": {"fleet": {**SOURCE, "schedule": None, "freshness_hours": None}}},
    "off and probe": {
        "sources": {"a": {**SOURCE, "media_metadata": False}, "b": {**SOURCE, "media_metadata": "probe"}}
    },
    "rules": {
        "sources": {
            "fleet": {
                **SOURCE,
                "groups": [{"match": "rigs/**", "as": "image_group", "by": "directory", "expect_objects": 5}],
                "metadata": [{"table": "labels.csv", "key": "path", "columns": ["weather"]}, {"object_metadata": True}],
                "metadata_schema": {"weather": {"enum": ["sun"]}, "speed": "number", "clip": {"embedding": 512}},
                "dataset": {"title": "fleet"},
                "accept_rejected": ["empty"],
                "run_tags": {"team": "vision", "dagster/priority": 5},
                "op_tags": {"dagster-k8s/config": {"container_config": {"resources": {"limits": {"memory": "2Gi"}}}}},
            }
        },
        "notify": [{"slack": "${SLACK_WEBHOOK}"}, {"email": "ops@example.org", "smtp": "smtp://mail.example.org"}],
    },
}


@pytest.mark.parametrize("attributes", TAKEN.values(), ids=TAKEN.keys())
def test_the_schema_takes_what_the_configuration_takes(attributes: dict[str, Any]) -> None:
    assert schema_errors(attributes) == []


def test_the_schema_describes_every_key_of_a_source_for_editors() -> None:
    shown = BucketRegistration.model().model_json_schema()["properties"]["sources"]["additionalProperties"][
        "properties"
    ]

    assert shown.keys() == SourceSettings.model_fields.keys() - {"name"}
    assert [key for key, schema in shown.items() if not schema.get("description")] == []


def test_a_translation_in_yaml_changes_keys_groups_and_metadata(project: Project) -> None:
    translation = {
        "key": "lake/{{ source }}/{{ stage }}",
        "group_name": "lake",
        "metadata": {"was": "{{ spec.key.to_user_string() }}"},
    }

    graph = project.definitions(document({"fleet": SOURCE}, translation=translation)).get_repository_def().asset_graph

    plan = graph.get(dg.AssetKey(["lake", "fleet", "chunk_plan"]))
    assert (plan.group_name, plan.metadata["was"]) == ("lake", "fleet/chunk_plan")
    assert plan.parent_keys == {dg.AssetKey(["lake", "fleet", "inventory"])}


UNKNOWN_VARIABLES = {
    "a misspelt one": ("lake/{{ source }}/{{ stagee }}", "'stagee' is undefined"),
    "a misspelt one alone": ("{{ stagee }}", "'stagee' is undefined"),
    "an unknown part of a known one": ("lake/{{ stage.kye }}", "has no attribute 'kye'"),
    "an unknown part of the spec": ("lake/{{ spec.kye }}", "its template can't be filled in: "),
}


@pytest.mark.parametrize(("key", "says"), UNKNOWN_VARIABLES.values(), ids=UNKNOWN_VARIABLES.keys())
def test_an_unknown_variable_of_a_translation_is_named_with_its_line_and_those_that_exist(
    project: Project, key: str, says: str
) -> None:
    text = document({"fleet": SOURCE}, translation={"key": key})

    with pytest.raises(Exception, match="building definitions") as raised:
        project.definitions(text)

    said = configuration_error(raised)
    assert said.startswith(f"{project.folder}/defs.yaml:{len(text.splitlines())}: translation.key: ")
    assert says in said
    assert "known here are source, spec, stage, and what all components know: " in said


def test_post_processing_gives_owners_tags_groups_and_automation(project: Project) -> None:
    text = document({"fleet": SOURCE}) + yaml.safe_dump(
        {
            "post_processing": {
                "assets": [
                    {"attributes": {"owners": ["team:media"], "tags": {"domain": "media"}, "group_name": "media"}},
                    {
                        "target": 'key:"fleet/inventory"',
                        "attributes": {"automation_condition": "{{ dg.AutomationCondition.on_cron('@daily') }}"},
                    },
                ]
            }
        }
    )

    graph = project.definitions(text).get_repository_def().asset_graph

    nodes = [graph.get(key) for key in graph.materializable_asset_keys]
    assert {(node.group_name, tuple(node.owners), node.tags["domain"]) for node in nodes} == {
        ("media", ("team:media",), "media")
    }
    automated = [node.key for node in nodes if node.automation_condition is not None]
    assert automated == [dg.AssetKey(["fleet", "inventory"])]


def test_two_components_in_one_file_and_their_host_merge(project: Project) -> None:
    two = "---\n".join(
        [document({"fleet": SOURCE}), document({"attic": {**SOURCE, "uri": "file:///attic/"}}, state="./b")]
    )

    repository = project.definitions(two).get_repository_def()
    repository.load_all_definitions()

    assert {"fleet_sync", "attic_sync"} <= {job.name for job in repository.get_all_jobs()}


CLASHES = {
    "without a prefix": ({}, {}, "", ""),
    "with two prefixes": ({"key_prefix": "a"}, {"key_prefix": ["b", "c"]}, " (key_prefix a)", " (key_prefix b/c)"),
}


@pytest.mark.parametrize(("first", "second", "first_said", "second_said"), CLASHES.values(), ids=CLASHES.keys())
def test_a_source_and_state_in_two_components_is_refused_with_both_places(
    project: Project, first: dict[str, Any], second: dict[str, Any], first_said: str, second_said: str
) -> None:
    text = "---\n".join([document({"fleet": SOURCE}, **first), document({"fleet": SOURCE}, **second)])

    with pytest.raises(Exception, match="building definitions") as raised:
        project.definitions(text)

    said = configuration_error(raised)
    lines = [number for number, line in enumerate(text.splitlines(), start=1) if line.strip() == "fleet:"]
    places = [f"{project.folder}/defs.yaml:{number}" for number in lines]
    assert said.startswith(
        f"{places[1]}: sources.fleet: the source{second_said} has the state {project.root}/.registration, "
    )
    assert f"of the same name in {places[0]}{first_said}; " in said
    assert "another name of the source or another `state`" in said


def test_the_same_component_may_be_built_again_and_a_source_may_have_two_states(project: Project) -> None:
    two = "---\n".join([document({"fleet": SOURCE}), document({"fleet": SOURCE}, state="./b", key_prefix="b")])
    project.write(two)
    tree = project.tree

    for _ in range(2):
        for place in range(2):
            component = tree.load_component(ComponentPath.from_path(project.folder, place))
            component.build_defs(tree.load_context)
    repository = tree.build_defs().get_repository_def()

    assert {job.name for job in repository.get_all_jobs()} >= {"fleet_sync", "b_fleet_sync"}


def test_a_subclass_changes_assets_and_does_something_around_every_step(
    pipeline: Pipeline, instance: dg.DagsterInstance
) -> None:
    pipeline.add_images(1)
    sources = yaml.safe_load(pipeline.config.read_text())["sources"]
    component = Noting.from_attributes_dict(attributes={"state": str(pipeline.root / "state"), "sources": sources})
    made = component.build_defs(ComponentTree.for_test().load_context)

    ran = made.resolve_job_def(pipeline.own.sync_job).execute_in_process(instance=instance)

    assert ran.success
    logged = [event.user_message for event in instance.all_logs(ran.run_id)]
    assert "this run: 1 of 1 object registered, in 1 chunk" in logged
    assert "source fleet-cameras: 1 of 1 object registered" in logged
    said = [text for text in logged if text.startswith("noted ")]
    assert said == [f"noted {stage} of fleet-cameras" for stage in ("inventory", "chunk_plan", "registration")]
    assert made.get_repository_def().asset_graph.get(pipeline.own.manifest).metadata["noted"] == "manifest"


def test_the_check_on_the_page_asks_for_everything_that_a_sync_of_a_component_needs(
    project: Project, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (REPOSITORY / "docs" / "embedding.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python\n([^`]*ComponentTree[^`]*)^```$", page, re.MULTILINE)
    pipeline.add_images(1)
    sources = yaml.safe_load(pipeline.config.read_text())["sources"]
    sources["astray"] = {**SOURCE, "uri": (project.root / "none").as_uri()}
    project.write(document(sources))
    monkeypatch.chdir(project.root)

    exec(compile(example, "embedding.md", "exec"), {})

    said = capsys.readouterr().out.splitlines()
    fleet = [line for line in said if ": fleet-cameras: " in line]
    assert fleet
    assert all(line.startswith("ok: ") for line in fleet)
    assert {"key and integration", "state", "directory"} <= {line.split(": ")[2] for line in fleet}
    assert [line.split(": ")[2] for line in said if line.startswith("failed: astray: ")] == ["directory"]


def test_a_scaffolded_component_is_one_that_the_schema_takes(tmp_path: Path) -> None:
    folder = tmp_path / "Fleet_Cameras"

    scaffold_object(folder, TYPE, None, "yaml", tmp_path)

    written = yaml.safe_load((folder / "defs.yaml").read_text())
    assert written["type"] == TYPE
    assert list(written["attributes"]["sources"]) == ["fleet-cameras"]
    assert schema_errors(written["attributes"]) == []


def test_dg_finds_the_component_by_the_entry_point_that_an_installation_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(_installed(tmp_path))

    found = discover_entry_point_package_objects()

    assert found[EnvRegistryKey.from_typename(TYPE)] is BucketRegistration


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_project_of_another_team_checks_and_materializes(pipeline: Pipeline, tmp_path: Path) -> None:
    """As its README says, with ``dg`` alone."""
    project = tmp_path / "foreign_project"
    shutil.copytree(FOREIGN, project)
    pipeline.add_images(2)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "dagster.yaml").write_text("telemetry: {enabled: false}")
    environ = {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "VIRTUAL_ENV": str(BIN.parent),
        "PYTHONPATH": str(project / "src"),
        "DAGSTER_HOME": str(tmp_path / "home"),
        "DRONE_FOOTAGE": str(tmp_path / "files"),
    }

    def dg_command(*arguments: str) -> str:
        run = subprocess.run(
            [str(BIN / "dg"), *arguments],
            cwd=project,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout + run.stderr

    assert "All component YAML validated successfully" in dg_command("check", "defs")
    dg_command("launch", "--job", "drone_footage_sync")
    assert "multiprocess executor" in dg_command("launch", "--assets", "labelling_queue")
    with dg.DagsterInstance.from_config(str(tmp_path / "home")) as instance:
        registration = dg.AssetKey(["drone-footage", "registration"])
        assert len(instance.get_materialized_partitions(registration)) == 1
        event = instance.get_latest_materialization_event(dg.AssetKey("labelling_queue"))
    assert event is not None
    assert event.asset_materialization is not None
    assert event.asset_materialization.metadata["chunks"].value == 1
    assert len(pipeline.urls()) == 2


def _installed(folder: Path) -> Path:
    """Make what an installation records of the package, so that the test does not depend on when it was installed."""
    entry_points = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["entry-points"]
    version = registration_pipeline.__version__
    recorded = folder / "installed" / f"registration_pipeline-{version}.dist-info"
    recorded.mkdir(parents=True)
    (recorded / "METADATA").write_text(f"Metadata-Version: 2.1\nName: registration-pipeline\nVersion: {version}\n")
    (recorded / "entry_points.txt").write_text(
        "".join(
            f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
            for group, entries in entry_points.items()
        )
    )
    return recorded.parent
