"""The test of agreement is able to fail: a validator or a sandbox with one rule less, or a limit off by one, is caught.

Rules are removed from the source, one statement at a time, so a rule that is added later is covered without a word here. A
change tries a sample of them, ``make soak`` tries all.
"""

from __future__ import annotations

import ast
import sys
import types
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final

import pytest

from registration_pipeline import limits
from registration_pipeline.manifest import items, validate
from registration_pipeline.manifest.format import ITEM_FORMATS, JsonType
from registration_pipeline.sandbox.jobs import manifests
from registration_pipeline_tests.doses import IS_SOAK, sample
from registration_pipeline_tests.random_manifests.agreement import Case, refusal, violations_of
from registration_pipeline_tests.random_manifests.catalogue import (
    ALONE,
    CATALOGUE,
    RandomManifest,
    mutations_of,
    random_manifest,
)
from registration_pipeline_tests.random_manifests.sizes import (
    BODY_LIMIT,
    LIMITS,
    URL_LIMIT,
    is_stricter_by_design,
    sized_manifest,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

pytestmark = pytest.mark.soak

_CHEAP: Final = [
    number for number in range((ALONE if IS_SOAK else 5) * len(CATALOGUE)) if not mutations_of(number)[0].is_costly
]
"""Each mutation alone, several times."""
_COSTLY: Final = [
    number for number in range((4 if IS_SOAK else 1) * len(CATALOGUE)) if mutations_of(number)[0].is_costly
]
_SIZED: Final = 400


@cache
def _manifest(number: int) -> RandomManifest:
    return random_manifest(number)


@cache
def _refusal(number: int) -> str | None:
    return refusal(_manifest(number).data)


@cache
def _sized(number: int) -> bytes:
    return sized_manifest(Random(f"size {number}"), number).data


@cache
def _refusal_of_sized(number: int) -> str | None:
    return refusal(_sized(number), body_limit=BODY_LIMIT)


def _told_by(*names: str) -> list[int]:
    """Return which of the 10,000 manifests have one of these mutations."""
    return [number for number in range(10_000) if any(mutation.name in names for mutation in mutations_of(number))]


def _complaints(
    validator: types.ModuleType = validate,
    *,
    sandbox: types.ModuleType | None = None,
    told_by: Sequence[str] = (),
) -> Iterator[str]:
    """Judge manifests of the test of agreement, one after the other.

    Args:
        validator: the module, or what was made of it.
        sandbox: what was made of the sandbox's module, if anything was.
        told_by: the mutations that tell; those manifests only. Without any, those with one mutation and those of sizes.
    """
    for number in _told_by(*told_by) if told_by else _CHEAP:
        yield from _complaint(number, validator, sandbox)
    if not told_by:
        yield from _complaints_about_sizes(validator, sandbox)
        for number in _COSTLY:
            yield from _complaint(number, validator, sandbox)


def _complaint(number: int, validator: types.ModuleType, sandbox: types.ModuleType | None) -> Iterator[str]:
    manifest = _manifest(number)
    try:
        refused = refusal(manifest.data, sandbox=sandbox) if sandbox else _refusal(number)
    except Exception as error:  # noqa: BLE001 - a sandbox without one of its rules may break in any way: that is seen, too
        yield f"the sandbox broke: {error!r}"
        return
    complaint = Case(manifest, violations_of(manifest.data, validator), refused).complaint
    if complaint:
        yield complaint


def _complaints_about_sizes(
    validator: types.ModuleType = validate, sandbox: types.ModuleType | None = None
) -> Iterator[str]:
    # Off by what the validator is off by.
    lowered = replace(LIMITS, urls=URL_LIMIT + validator.WIDEST.urls - limits.MAX_URLS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sandbox or manifests, "MAX_URLS", URL_LIMIT)
        for number in range(_SIZED):
            data = _sized(number)
            refused = refusal(data, body_limit=BODY_LIMIT, sandbox=sandbox) if sandbox else _refusal_of_sized(number)
            violations = violations_of(data, validator, limits=lowered)
            if bool(violations) != bool(refused) and not (violations and is_stricter_by_design(data)):
                yield f"{violations} but {refused}"


def test_nothing_is_complained_about_as_it_is() -> None:
    assert next(_complaints(), None) is None


def _is_violation(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Violation"


def _finds_a_violation(statement: ast.stmt) -> bool:
    if not isinstance(statement, ast.Expr):
        return False
    value = statement.value
    return (isinstance(value, ast.Yield) and _is_violation(value.value)) or (
        isinstance(value, ast.Call) and len(value.args) == 1 and _is_violation(value.args[0])
    )


def _refuses(statement: ast.stmt) -> bool:
    call = statement.value if isinstance(statement, ast.Expr) else None
    # What the SDK can't send never gets to the sandbox; that one has a test with requests that the SDK would not make.
    return (
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == "_refuse"
        and "nested too deep" not in ast.unparse(call)
    )


def _lines(module: types.ModuleType, is_rule: Callable[[ast.stmt], bool]) -> list[int]:
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    return [node.lineno for node in ast.walk(tree) if isinstance(node, ast.stmt) and is_rule(node)]


class _WithoutLine(ast.NodeTransformer):
    """Takes one statement out; a generator stays one."""

    def __init__(self, line: int) -> None:
        self._line = line

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        if node.lineno != self._line:
            return node
        return ast.parse("yield from ()" if isinstance(node.value, ast.Yield) else "...").body[0]


def _without_line(module: types.ModuleType, line: int) -> types.ModuleType:
    path = str(module.__file__)
    tree = _WithoutLine(line).visit(ast.parse(Path(path).read_text(encoding="utf-8")))
    return _executed(module, ast.fix_missing_locations(tree))


def _executed(module: types.ModuleType, tree: ast.Module | None = None) -> types.ModuleType:
    """Return a copy of a module that can be changed without changing the module."""
    path = str(module.__file__)
    copy = types.ModuleType(module.__name__)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, module.__name__, copy)  # dataclasses look their module up
        exec(compile(tree or ast.parse(Path(path).read_text(encoding="utf-8")), path, "exec"), copy.__dict__)
    return copy


def _validator(item_checks: types.ModuleType = items, /, **changes: Any) -> types.ModuleType:
    copy = _executed(validate)
    copy.__dict__.update(ItemChecker=item_checks.ItemChecker, **changes)
    return copy


def _item_checks(**changes: Any) -> types.ModuleType:
    copy = _executed(items)
    copy.__dict__.update(changes)
    return copy


def _formats(kind: str, **changes: Any) -> types.ModuleType:
    return _validator(ITEM_FORMATS={**ITEM_FORMATS, kind: replace(ITEM_FORMATS[kind], **changes)})


@pytest.mark.parametrize("line", sample(_lines(items, _finds_a_violation)))
def test_a_validator_without_one_check_of_items_is_caught(line: int) -> None:
    assert next(_complaints(_validator(_without_line(items, line))), None)


@pytest.mark.parametrize("line", sample(_lines(validate, _finds_a_violation)))
def test_a_validator_without_one_check_of_the_document_is_caught(line: int) -> None:
    assert next(_complaints(_without_line(validate, line)), None)


@pytest.mark.parametrize("line", sample(_lines(manifests, _refuses)))
def test_a_sandbox_without_one_refusal_is_caught(line: int) -> None:
    assert next(_complaints(sandbox=_without_line(manifests, line)), None)


LOW, HIGH = limits.INTEGER_RANGE.start, limits.INTEGER_RANGE.stop
SEQUENCE = ITEM_FORMATS["image_groups"].max_sequence_urls or 0
OFF: dict[str, tuple[Callable[[int], types.ModuleType], tuple[str, ...]]] = {
    "URL": (
        lambda by: _validator(_item_checks(MAX_URL_BYTES=limits.MAX_URL_BYTES + by)),
        ("URL at the limit", "URL over the limit"),
    ),
    "title": (
        lambda by: _validator(_item_checks(MAX_TITLE_CHARACTERS=limits.MAX_TITLE_CHARACTERS + by)),
        ("title at the limit", "title over the limit"),
    ),
    "metadata": (
        lambda by: _validator(_item_checks(MAX_CLIENT_METADATA_BYTES=limits.MAX_CLIENT_METADATA_BYTES + by)),
        ("metadata at the limit", "metadata over the limit"),
    ),
    "lowest number": (
        lambda by: _validator(_item_checks(INTEGER_RANGE=range(LOW + by, HIGH))),
        ("negative or zero size", "whole number of more than 64 bits"),
    ),
    "highest number": (
        lambda by: _validator(_item_checks(INTEGER_RANGE=range(LOW, HIGH + by))),
        ("whole number of 64 bits", "whole number of more than 64 bits"),
    ),
    "sequence": (
        lambda by: _formats("image_groups", max_sequence_urls=SEQUENCE + by),
        ("sequence at the limit", "sequence over the limit"),
    ),
    "items": (
        lambda by: _validator(WIDEST=replace(validate.WIDEST, entries=limits.MAX_ITEMS + by)),
        ("items at the limit", "items over the limit"),
    ),
    "depth": (
        lambda by: _validator(MAX_DEPTH=limits.MAX_DEPTH + by),
        ("metadata as deep as the SDK can send", "metadata deeper than the SDK can send"),
    ),
}


@pytest.mark.parametrize(("limit", "by"), sample([(limit, by) for limit in OFF for by in (-1, 1)]))
def test_a_limit_that_is_off_by_one_is_caught(limit: str, by: int) -> None:
    change, told_by = OFF[limit]

    assert next(_complaints(change(by), told_by=told_by), None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WIDEST", replace(validate.WIDEST, urls=limits.MAX_URLS - 1)),
        ("WIDEST", replace(validate.WIDEST, urls=limits.MAX_URLS + 1)),
        ("MAX_GROWTH", 1),
        ("ENVELOPE_BYTES", 0),
        ("ENVELOPE_BYTES", 2_000),
    ],
)
def test_a_wrong_size_of_whole_manifests_is_caught(name: str, value: object) -> None:
    assert next(_complaints_about_sizes(_validator(**{name: value})), None)


FULL = "full media metadata"
OTHER_TYPE = {
    JsonType.STRING: JsonType.NUMBER,
    JsonType.NUMBER: JsonType.INTEGER,
    JsonType.INTEGER: JsonType.NUMBER,
    JsonType.BOOLEAN: JsonType.OBJECT,
    JsonType.OBJECT: JsonType.BOOLEAN,
}
ENTRIES = [
    (kind, table, key)
    for kind, item_format in ITEM_FORMATS.items()
    for table in ("keys", "media_metadata")
    for key in getattr(item_format, table)
]


@pytest.mark.parametrize("change", ["left out", "of another type"])
@pytest.mark.parametrize(("kind", "table", "key"), sample(ENTRIES), ids=sample(["-".join(entry) for entry in ENTRIES]))
def test_an_entry_of_the_key_table_that_is_wrong_is_caught(kind: str, table: str, key: str, change: str) -> None:
    entries = dict(getattr(ITEM_FORMATS[kind], table))
    entries.update({key: OTHER_TYPE[entries[key]]}) if change == "of another type" else entries.pop(key)

    told_by = {
        "keys": ("createVideo", "metadata", "title of another type", "blanks around everything"),
        "media_metadata": ("fraction in a field for whole numbers", "fraction in a field for fractions", FULL),
    }
    assert next(_complaints(_formats(kind, **{table: entries}), told_by=told_by[table]), None)


@pytest.mark.parametrize(
    ("kind", "key", "of"),
    [
        ("nifti", "clientMetadata", JsonType.OBJECT),
        *((kind, "createVideo", JsonType.BOOLEAN) for kind in ("audio", "pdfs", "text", "nifti")),
        ("images", "objectUrl_0", JsonType.STRING),
        ("image_groups", "objectUrl", JsonType.STRING),
    ],
)
def test_a_key_too_many_in_the_key_table_is_caught(kind: str, key: str, of: JsonType) -> None:
    formats = _formats(kind, keys={**ITEM_FORMATS[kind].keys, key: of})

    assert next(_complaints(formats, told_by=("key of another kind",)), None)


@pytest.mark.parametrize("kind", ITEM_FORMATS)
def test_a_kind_that_is_missing_is_caught(kind: str) -> None:
    without = {other: item_format for other, item_format in ITEM_FORMATS.items() if other != kind}

    assert next(_complaints(_validator(ITEM_FORMATS=without)), None)


def test_a_kind_too_many_is_caught() -> None:
    formats = {**ITEM_FORMATS, "scenes": replace(ITEM_FORMATS["nifti"])}

    assert next(_complaints(_validator(ITEM_FORMATS=formats), told_by=("kind that only the typed form has",)), None)
