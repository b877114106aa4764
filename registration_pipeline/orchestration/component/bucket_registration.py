"""The component: its attributes are the keys of registration.yaml, and what it makes is what ``build_definitions`` makes.

What does not belong here: the schema of the attributes (``schema.py``), and checking them (``settings``).
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import dagster as dg
from dagster.components.resolved.core_models import AssetAttributesModel
from dagster.components.utils.translation import TranslationFn
from dagster_shared.yaml_utils.source_position import SourcePositionTree
from pydantic import BaseModel, GetJsonSchemaHandler, PrivateAttr
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from registration_pipeline.orchestration.component.scaffolder import BucketRegistrationScaffolder
from registration_pipeline.orchestration.component.schema import attribute_schemas
from registration_pipeline.orchestration.component.translation import resolve_translation
from registration_pipeline.orchestration.definitions import build_definitions
from registration_pipeline.orchestration.names import SOURCE_TAG, STAGE_METADATA
from registration_pipeline.orchestration.one_place import refuse_second_place
from registration_pipeline.settings import Settings
from registration_pipeline.settings.load import TOP_LEVEL_KEYS, settings_of
from registration_pipeline.settings.yaml_source import Filled, Location, configuration_of_values

_MODELS: dict[type, type[BaseModel]] = {}


def _rendered(context: dg.ResolutionContext, value: Any) -> Any:
    """Let Dagster fill in its templates, and nothing else: a text without one stays the text that it is."""
    if isinstance(value, Mapping):
        return {key: _rendered(context.at_path(key), item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rendered(context.at_path(place), item) for place, item in enumerate(value)]
    if not isinstance(value, str) or not ("{{" in value or "{%" in value):
        return value
    found = context.resolve_value(value)
    # Dagster reads numbers in texts; where a number is meant, the text of one will do.
    is_number = isinstance(found, (int, float)) and not isinstance(found, bool)
    return Filled(found) if isinstance(found, str) or is_number else found


def _as_written(description: str, examples: list[Any] | None = None) -> dg.Resolver:
    return dg.Resolver(_rendered, inject_before_resolve=False, description=description, examples=examples)


def _source_and_stage(spec: dg.AssetSpec) -> Mapping[str, Any]:
    return {"source": spec.tags[SOURCE_TAG], "stage": spec.metadata[STAGE_METADATA]}


@dg.scaffold_with(BucketRegistrationScaffolder)
class BucketRegistration(dg.Component, dg.Model, dg.Resolvable):
    """Buckets and prefixes whose every object is registered in Encord exactly once.

    Each source becomes a group of assets from ``inventory`` to ``failure_log`` with a partition for every chunk, jobs, checks
    and a nightly schedule. The attributes are the keys of registration.yaml. Relative paths start from the project's root.
    """

    state: Annotated[
        str | None,
        _as_written("Where inventories, plans, manifests, journal and logs are kept.", ["s3://bucket/registration"]),
    ] = None
    encord: Annotated[dict[str, Any] | None, _as_written("Which Encord.")] = None
    sources: Annotated[dict[str, Any], _as_written("What is registered, by name.")]
    notify: Annotated[list[Any] | None, _as_written("Who gets a message when a night goes wrong.")] = None
    metrics: Annotated[str | None, _as_written("A file for Prometheus that every sync writes.")] = None
    executor: Annotated[
        str | dict[str, Any] | None, _as_written("What executes steps that can be spread over workers.", ["celery"])
    ] = None
    key_prefix: Annotated[
        str | Sequence[str],
        dg.Resolver.default(description="What asset keys, jobs and partition sets begin with.", examples=[["media"]]),
    ] = ()
    resources: Annotated[
        dict[str, str] | None,
        dg.Resolver.default(
            description="Keys of resources of the project that list the sources, by kind: s3, gcs and azure.",
            examples=[{"s3": "s3"}],
        ),
    ] = None
    translation: Annotated[
        TranslationFn[Mapping[str, Any]] | None,
        dg.Resolver(resolve_translation, model_field_type=str | AssetAttributesModel, inject_before_resolve=False),
    ] = None

    _origin: SourcePositionTree | None = PrivateAttr(default=None)

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        """Return what lists of components say."""
        kinds = ("asset", "asset_check", "job", "schedule", "sensor", "resource")
        return dg.ComponentTypeSpec(tags=["encord", "registration"], produces=kinds)

    @classmethod
    def model(cls) -> type[BaseModel]:
        """Return the model of the attributes, whose schema names every key of a source."""
        if cls not in _MODELS:
            _MODELS[cls] = _with_schema(super().model())
        return _MODELS[cls]

    @classmethod
    def resolve_from_model(cls, context: dg.ResolutionContext, model: BaseModel) -> "BucketRegistration":
        """Make the component, and remember where its attributes were written."""
        made: BucketRegistration = super().resolve_from_model(context, model)
        made._origin = context.source_position_tree
        return made

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Return everything that the sources need.

        Raises:
            ConfigurationError: names file, line and key of everything that is wrong with the attributes, or of a source that
                another component has for the same state.
        """
        settings = self.settings(context.project_root)
        key_prefix = (self.key_prefix,) if isinstance(self.key_prefix, str) else tuple(self.key_prefix)
        lines = {name: line for place, line in self._lines().items() for name in _source_at(place)}
        refuse_second_place(settings, key_prefix, lines=lines, tree=context.component_tree.state_tracker)
        return build_definitions(
            settings,
            key_prefix=self.key_prefix,
            resources=self.resources,
            translation=self.get_asset_spec,
            around=self.execute if type(self).execute is not BucketRegistration.execute else None,
        )

    def settings(self, project_root: Path) -> Settings:
        """Return the configuration that the attributes describe.

        Args:
            project_root: what relative paths start from.

        Raises:
            ConfigurationError: names file, line and key of everything that is wrong.
        """
        values = {key: value for key in TOP_LEVEL_KEYS if (value := getattr(self, key)) is not None}
        file = Path(self._origin.position.filename) if self._origin else project_root / "component"
        parsed = configuration_of_values(values, file=str(file), lines=self._lines(), environ=os.environ)
        return settings_of(parsed, file, environ=os.environ, folder=project_root)

    def _lines(self) -> dict[Location, int]:
        return _lines(self._origin.children["attributes"]) if self._origin else {}

    def get_asset_spec(self, spec: dg.AssetSpec) -> dg.AssetSpec:
        """Return what an asset is declared with; override it for what ``translation`` can't express.

        Args:
            spec: of the asset; its tag ``registration/source`` and its metadata ``registration/stage`` say which one it is.
                Its key may be changed: all events use the new one.
        """
        return spec if self.translation is None else self.translation(spec, _source_and_stage(spec))

    def execute(
        self,
        context: dg.AssetExecutionContext | dg.OpExecutionContext,  # noqa: ARG002 - for those who override it
        source: str,  # noqa: ARG002
        stage: str,  # noqa: ARG002
        events: Iterator[Any],
    ) -> Iterator[Any]:
        """Run a step, in the nightly job and when assets are materialized; override it to do something around it.

        Args:
            context: of the step.
            source: the name of the source.
            stage: ``inventory``, ``headers``, ``media``, ``metadata``, ``chunk_plan``, ``registration``, ``metadata_upserts``,
                ``dataset``, ``failure_log`` or ``audit``. In the nightly job ``registration`` ends with the failure log.
            events: what the step yields. It does its work while they are read, so all must be read and yielded.
        """
        yield from events


def _with_schema(derived: type[BaseModel]) -> type[BaseModel]:
    """Return the model with the schema of our own keys.

    Dagster lets every attribute be a text, too. Then a mistake deep inside a source would be reported for all sources.
    """

    class BucketRegistrationAttributes(derived):  # type: ignore[misc, valid-type]
        @classmethod
        def __get_pydantic_json_schema__(
            cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
        ) -> JsonSchemaValue:
            schema = handler.resolve_ref_schema(handler(core_schema))
            schema["properties"] = {**schema["properties"], **attribute_schemas()}
            return schema

    return BucketRegistrationAttributes


def _source_at(place: Location) -> list[str]:
    """Return the name of the source that begins at a place, if one does."""
    match place:
        case ("sources", str(name)):
            return [name]
    return []


def _lines(tree: SourcePositionTree, here: Location = ()) -> dict[Location, int]:
    found = {here: tree.position.start.line}
    for key, child in tree.children.items():
        found |= _lines(child, (*here, key))
    return found
