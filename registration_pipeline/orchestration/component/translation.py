"""``translation`` in a ``defs.yaml``: Dagster's own, which refuses variables that do not exist instead of leaving them empty.

What does not belong here: keys that collide after a translation (``asset_specs.py``).
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import dagster as dg
from dagster.components.utils.translation import TranslatorResolvingInfo
from jinja2 import StrictUndefined
from jinja2.nativetypes import NativeEnvironment
from pydantic import BaseModel

from registration_pipeline.errors import ConfigurationError
from registration_pipeline.settings.yaml_source import Location

_KEY = "translation"


def resolve_translation(
    context: dg.ResolutionContext, model: str | BaseModel
) -> Callable[[dg.AssetSpec, Mapping[str, Any]], dg.AssetSpec]:
    """Return the function that a translation in YAML describes.

    Args:
        context: of the attributes.
        model: the attributes of assets with their templates, or a template that gives them.

    Returns:
        Takes the spec of an asset and the variables that its templates may use besides ``spec``. It raises
        ``ConfigurationError`` with file and line for a variable that does not exist, or a template that fails.
    """
    info = TranslatorResolvingInfo(asset_attributes=model, resolution_context=context, model_key=_KEY)
    texts = list(_texts(model if isinstance(model, str) else model.model_dump(exclude_unset=True)))

    def translate(spec: dg.AssetSpec, variables: Mapping[str, Any]) -> dg.AssetSpec:
        known = {**variables, "spec": spec}
        for place, text in texts:
            _refuse_unknown_variables(context, (_KEY, *place), text, known)
        return info.get_asset_spec(spec, known)

    return translate


def _refuse_unknown_variables(
    context: dg.ResolutionContext, place: Location, text: str, known: Mapping[str, Any]
) -> None:
    try:
        # As text, because a template that is one variable gives what the variable is, also if that is undefined.
        str(NativeEnvironment(undefined=StrictUndefined).from_string(text).render({**context.scope, **known}))
    except Exception as error:
        file, line = _written_at(context, place)
        raise ConfigurationError(
            f"its template can't be filled in: {error}; known here are {', '.join(sorted(known))}, "
            f"and what all components know: {', '.join(sorted(context.scope))}",
            file=file,
            line=line,
            key=".".join(map(str, place)),
        ) from error


def _written_at(context: dg.ResolutionContext, place: Location) -> tuple[str | None, int | None]:
    tree = context.source_position_tree
    if tree is None:
        return None, None
    for part in ("attributes", *place):
        if part not in tree.children:
            break
        tree = tree.children[part]
    return tree.position.filename, tree.position.start.line


def _texts(value: Any, here: Location = ()) -> Iterator[tuple[Location, str]]:
    """Yield every text that has a template, with its place."""
    if isinstance(value, str):
        if "{{" in value or "{%" in value:
            yield here, value
        return
    inner = (
        value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    )
    for key, item in inner:
        yield from _texts(item, (*here, key))
