"""The JSON schema of the component's attributes, made from the models of registration.yaml, for editors and ``dg check yaml``.

What does not belong here: rules that a schema can't express. The same code checks them as for ``registration.yaml`` when the
component is loaded (``bucket_registration.py``).
"""

import re
from collections.abc import Mapping
from typing import Any

from registration_pipeline.settings.load import TOP_LEVEL_KEYS
from registration_pipeline.settings.models import Settings

Schema = dict[str, Any]

_FROM_ENVIRONMENT = r"\{\{|\$\{"
"""Text that Dagster or the environment fills in; wherever numbers and switches are expected, other text is refused."""

_NOT_CHECKED = ("description", "default", "examples")

_BOUNDS = {"ge": "minimum", "le": "maximum"}
"""What pydantic writes for bounds of numbers that have a check of their own, and what JSON schema calls them."""

_NAMED_GLOBS: Schema = {
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}],
    "description": "Globs on the key below the prefix: one, or a list.",
}
_FIELD_TYPES: Schema = {
    "anyOf": [
        {"enum": ["boolean", "datetime", "number", "uuid", "varchar", "text", "geospatial"]},
        {
            "type": "object",
            "properties": {"enum": {"type": "array", "items": {"type": "string"}, "minItems": 1}},
            "required": ["enum"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {"embedding": {"type": "integer", "minimum": 1}},
            "required": ["embedding"],
            "additionalProperties": False,
        },
    ]
}
_TAGS: Schema = {"type": "object", "propertyNames": {"pattern": r"^([\w.-]{1,63}/)?[\w.-]{1,63}$"}}
_WRITTEN_OTHERWISE: dict[tuple[str, str], Schema] = {
    ("GroupRule", "match"): _NAMED_GLOBS,
    ("SourceSettings", "media_metadata"): {"enum": ["off", "probe", False], "default": "off"},
    ("SourceSettings", "uri"): {
        "type": "string",
        "pattern": rf"^(s3|gs|az|obs|file)://|{_FROM_ENVIRONMENT}",
        "examples": ["s3://bucket/prefix/"],
    },
    ("SourceSettings", "metadata_schema"): {"type": "object", "additionalProperties": _FIELD_TYPES},
    ("SourceSettings", "run_tags"): _TAGS,
    ("SourceSettings", "op_tags"): _TAGS,
}
"""Keys by model and name that are written in a form of their own in YAML."""


def attribute_schemas() -> dict[str, Schema]:
    """Return the schema of each top-level key of registration.yaml."""
    document = Settings.model_json_schema()
    whole = _plain(document, document["$defs"], "Settings")
    properties: dict[str, Schema] = {key: whole["properties"][key] for key in TOP_LEVEL_KEYS}
    properties["sources"]["propertyNames"] = {"pattern": "^[a-z0-9-]+$"}
    properties["sources"]["minProperties"] = 1
    properties["state"]["description"] = "A path, relative to the project's root, or s3://…, gs://… or az://…"
    return properties


def _plain(schema: Schema, definitions: Mapping[str, Schema], model: str) -> Schema:
    """Return a schema without references, with a description of each key, that takes references to the environment."""
    if (reference := schema.get("$ref")) is not None:
        name = reference.rpartition("/")[2]
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        return {**_plain(definitions[name], definitions, name), **beside}
    made = {_BOUNDS.get(key, key): value for key, value in schema.items() if key not in ("title", "$defs")}
    if (choices := made.pop("anyOf", None)) is not None:
        made = _joined([_plain(choice, definitions, model) for choice in choices]) | made
    if "properties" in made:
        described = _descriptions(str(made.get("description", "")))
        made["properties"] = {
            name: _key(model, name, inner, definitions, described)
            for name, inner in made["properties"].items()
            if (model, name) not in {("SourceSettings", "name"), ("Settings", "path"), ("Settings", "folder")}
        }
        made["required"] = [name for name in made.get("required", []) if name in made["properties"]]
        made["description"] = made.get("description", "").partition("\n\n")[0]
    for key in ("items", "additionalProperties"):
        if isinstance(made.get(key), dict):
            made[key] = _plain(made[key], definitions, model)
    return _with_references(made)


def _key(
    model: str, name: str, schema: Schema, definitions: Mapping[str, Schema], described: Mapping[str, str]
) -> Schema:
    made = _WRITTEN_OTHERWISE.get((model, name)) or _plain(schema, definitions, model)
    said = described.get("kind" if (model, name) == ("GroupRule", "as") else name)
    return {**made, "description": said} if said else dict(made)


def _joined(choices: list[Schema]) -> Schema:
    """Return one schema for a value that may be null, else the choices."""
    given = [choice for choice in choices if choice.get("type") != "null"]
    if len(given) != 1 or len(given) == len(choices):
        return {"anyOf": choices}
    (only,) = given
    if "enum" in only:
        return {**only, "type": [only["type"], "null"], "enum": [*only["enum"], None]}
    if "else" in only:
        return {**only, "else": _joined([only["else"], {"type": "null"}])}
    types = only.get("type", "object")
    return {**only, "type": [*([types] if isinstance(types, str) else types), "null"]}


def _with_references(schema: Schema) -> Schema:
    """Let numbers and switches be texts that something fills in.

    With a condition, because other text is then refused as "not of type 'integer'"; a pattern would be shown as it is.
    """
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else list(types)
    if "string" in types or not {"integer", "number", "boolean"} & set(types):
        return schema
    beside = {key: schema[key] for key in _NOT_CHECKED if key in schema}
    checked = {key: value for key, value in schema.items() if key not in _NOT_CHECKED}
    return {**beside, "if": {"type": "string", "pattern": _FROM_ENVIRONMENT}, "then": {}, "else": checked}


def _descriptions(docstring: str) -> dict[str, str]:
    """Return what the docstring of a model says of its keys."""
    found: dict[str, str] = {}
    for name, text in re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", docstring, re.MULTILINE):
        sentence = re.sub(r"\s+", " ", text).replace("``", "`")
        found[name] = sentence[:1].upper() + sentence[1:]
    return found
