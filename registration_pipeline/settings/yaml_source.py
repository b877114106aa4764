"""YAML text to plain values that remember their place: lines, duplicate keys, ``${NAME}`` from the environment.

What does not belong here: what the keys mean (``settings/load.py``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from registration_pipeline.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

Location = tuple[str | int, ...]

_REFERENCE = re.compile(r"\$\$\{|\$\{(?P<body>[^}]*)\}|\$\{")
_REFERENCE_BODY = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>.*))?", re.DOTALL)
_CORE = "tag:yaml.org,2002:"
_MERGE_TAG = f"{_CORE}merge"
_STRING_TAGS = {f"{_CORE}str", f"{_CORE}value"}  # the second one is a lone "="
_BOOL_TAG = f"{_CORE}bool"
_NUMBER_TAGS = {f"{_CORE}int", f"{_CORE}float"}
_NULL_TAG = f"{_CORE}null"
_OTHER_TAGS = {_NULL_TAG, f"{_CORE}timestamp"}
# Only numbers that mean the same in every version of YAML, and to people: 1:30 would be 90, 010 would be 8.
_PLAIN_NUMBER = re.compile(
    r"[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?|[-+]?\.[0-9]+(?:[eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan",
    re.IGNORECASE,
)

MOST_BYTES = 1 << 20
"""Of a configuration file; that is thousands of sources."""

_MOST_CHARACTERS = 5_000_000
_CHARACTERS_PER_VALUE = 100
"""What a file may come to, aliases and the environment filled in; each value counts as if it had so much more text."""

_DEEPEST = 32
"""Mappings and lists inside each other; the deepest key has four."""

_MOST_PROBLEMS = 100


_NOT_PLAIN = (
    "a number with a colon, an underscore, a base or a leading zero means different things in different versions of YAML "
    "(1:30 is 90 in some); write plain digits, or put text in quotes"
)


def dotted(location: Location) -> str:
    """Return the key as people write it, e.g. ``sources.fleet.include[1]``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).removeprefix(".")


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem, and where it is."""

    location: Location
    text: str
    line: int | None = None


_PUBLIC = frozenset(
    {"region", "schedule", "timezone", "url_style", "plan", "kind", "as", "media_metadata", "submit_as"}
)
_HARMLESS = re.compile(r"[-+0-9.,:_ xob%]{1,24}|[A-Za-z]{1,8}", re.ASCII)
_LONGEST_GIVEN = 40


@dataclass(slots=True)
class ConfigurationFile:
    """The values of a configuration file, with the line of every key.

    Args:
        file: the file's name, for messages.
        values: dicts, lists, strings, numbers, booleans and None.
        lines: 1-based line of every key and list item.
        broken: locations whose value could not be determined; their problem is in ``problems`` already.
        problems: what was found wrong so far.
        written: single values as they are in the file, where nothing of them comes from the environment.
    """

    file: str
    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[Location, int] = field(default_factory=dict)
    broken: set[Location] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)
    unlisted: int = 0
    written: dict[Location, str] = field(default_factory=dict)

    def given(self, location: Location) -> str:
        """Return what the file has for a key, as an end of a message; empty where it may be a secret, or is long.

        A password in the wrong place must not get into logs, so only numbers, short words and the values of keys that take
        names of public things are quoted.
        """
        text = self.written.get(location, "")
        is_public = location[-1:] and location[-1] in _PUBLIC and len(text) <= _LONGEST_GIVEN and text.isprintable()
        return f" (given: {text!r})" if text and (is_public or _HARMLESS.fullmatch(text)) else ""

    def add(self, location: Location, text: str, *, line: int | None = None) -> None:
        """Note a problem; one location's problem is noted once, and no more than people would read."""
        problem = Problem(location, text, line)
        if len(self.problems) >= _MOST_PROBLEMS:
            self.unlisted += 1
        elif problem not in self.problems:
            self.problems.append(problem)

    def line_of(self, location: Location) -> int:
        """Return the line of a key, or of the nearest key above it that is in the file."""
        while location and location not in self.lines:
            location = location[:-1]
        return self.lines.get(location, 1)

    def raise_problems(self) -> None:
        """Raise everything that was found wrong as one error, one problem per line, in the order of the file.

        Raises:
            ConfigurationError: if anything was wrong.
        """
        errors = [
            ConfigurationError(
                problem.text,
                file=self.file,
                line=problem.line or self.line_of(problem.location),
                key=dotted(problem.location) or None,
            )
            for problem in self.problems
        ]
        errors.sort(key=lambda error: error.line or 0)
        if len(errors) == 1:
            raise errors[0]
        if errors:
            more = [f"{self.file}: more than {_MOST_PROBLEMS} problems; fix these first"] if self.unlisted else []
            raise ConfigurationError("\n".join([*map(str, errors), *more]))


def parse_configuration(text: str, *, file: str, environ: Mapping[str, str]) -> ConfigurationFile:
    """Read YAML and fill in the environment.

    The environment is filled in after parsing, so that a value can't inject YAML. A value that consists of references
    only and comes out empty counts as null: ``endpoint_url: ${ENDPOINT:-}`` is the same as leaving the key out.

    Raises:
        ConfigurationError: the text is not one YAML document whose top level is a mapping, or it comes to too much.
    """
    parsed = ConfigurationFile(file)
    root = _compose(text, file)
    if not isinstance(root, yaml.MappingNode):
        line = 1 if root is None else root.start_mark.line + 1
        what = "the file is empty" if root is None else "the top level must be a mapping of keys"
        raise ConfigurationError(f"{what}; it needs at least the key 'sources'", file=file, line=line)
    parsed.values = _NodeReader(parsed, environ).mapping(root, ())
    return parsed


class Filled(str):
    """Text whose references were filled in already, by another program's rules."""

    __slots__ = ()


def configuration_of_values(
    values: Mapping[str, Any], *, file: str, lines: Mapping[Location, int], environ: Mapping[str, str]
) -> ConfigurationFile:
    """Fill in the environment in values that another program has read from YAML.

    Args:
        values: of a configuration.
        file: where they were written, for messages.
        lines: of keys and list items, as far as they are known.
        environ: for ``${NAME}`` in texts that are not ``Filled``.
    """
    parsed = ConfigurationFile(file, lines=dict(lines))
    reader = _NodeReader(parsed, environ)

    def filled(value: Any, here: Location) -> Any:
        if isinstance(value, Mapping):
            return {str(key): filled(item, (*here, str(key))) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [filled(item, (*here, place)) for place, item in enumerate(value)]
        if isinstance(value, Filled):
            return str(value)
        return reader.interpolated(value, here) if isinstance(value, str) else value

    parsed.values = filled(values, ())
    return parsed


def _compose(text: str, file: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        # The error's own text quotes the line, which may hold anything: only the description is passed on.
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else None
        described = ", ".join(part for part in (error.context, error.problem) if part)
        hint = "; text that starts with * needs quotes" if "alias" in described else ""
        raise ConfigurationError(f"not valid YAML: {described}{hint}", file=file, line=line) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigurationError(
            "not valid YAML: a control character that YAML does not allow; remove it", file=file, line=line
        ) from None
    except RecursionError:
        raise ConfigurationError("not valid here: nested too deeply", file=file, line=1) from None


@dataclass(slots=True)
class _NodeReader:
    parsed: ConfigurationFile
    environ: Mapping[str, str]
    open_nodes: set[int] = field(default_factory=set)
    expanded: int = 0

    def value(self, node: yaml.Node, location: Location) -> Any:
        self.count(location)
        if id(node) in self.open_nodes:
            return self.unusable(location, "an alias refers to the mapping or list that it is part of; write it out")
        if len(self.open_nodes) > _DEEPEST:
            return self.unusable(location, f"nested too deeply: more than {_DEEPEST} levels; the deepest key has four")
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, location)
        if isinstance(node, yaml.SequenceNode):
            return self.sequence(node, location)
        return self.scalar(node, location)

    def mapping(self, node: yaml.MappingNode, location: Location) -> dict[str, Any]:
        self.open_nodes.add(id(node))
        values: dict[str, Any] = {}
        own_lines: dict[str, int] = {}
        for key_node, value_node, merged in self.entries(node, location):
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self.parsed.add(location, "a key must be a plain word, not a list or mapping", line=line)
                continue
            key, here = str(key_node.value), (*location, str(key_node.value))
            if merged and key in values:
                continue
            if key in own_lines:
                text = f"duplicate key: it is already given on line {own_lines[key]}; keep one of them"
                self.parsed.add(here, text, line=line)
                continue
            own_lines[key] = line
            self.parsed.lines[here] = line
            values[key] = self.value(value_node, here)
        self.open_nodes.discard(id(node))
        return values

    def count(self, location: Location, characters: int = _CHARACTERS_PER_VALUE) -> None:
        """Count one more value, or the characters of one, so that a few lines of aliases can't fill the memory.

        Raises:
            ConfigurationError: it is one too many.
        """
        self.expanded += characters
        if self.expanded > _MOST_CHARACTERS:
            raise ConfigurationError(
                f"the file comes to more than {_MOST_CHARACTERS // _CHARACTERS_PER_VALUE:,} values, or {_MOST_CHARACTERS:,} "
                "characters, an alias counted each time; write fewer aliases, or several files",
                file=self.parsed.file,
                line=self.parsed.line_of(location[:1]),  # an alias has the line of what it names
                key=dotted(location[:1]) or None,
            )

    def entries(
        self, node: yaml.MappingNode, location: Location, depth: int = 0
    ) -> Iterator[tuple[yaml.Node, yaml.Node, bool]]:
        """Yield the mapping's own entries, then what ``<<`` merges in; the nearer one wins, as YAML says."""
        self.count(location)
        if depth > _DEEPEST:
            line = node.start_mark.line + 1
            self.parsed.add(
                location, f"'<<' names mappings with '<<' more than {_DEEPEST} times; write them out", line=line
            )
            return
        merges = [value for key, value in node.value if key.tag == _MERGE_TAG]
        if len(merges) > 1:
            line = next(key for key, value in node.value if value is merges[1]).start_mark.line + 1
            self.parsed.add(
                location, "duplicate key: '<<' is given twice; write one, with a list of mappings", line=line
            )
        for key, value in node.value:
            if key.tag != _MERGE_TAG:
                yield key, value, False
        for merge in merges:
            for part in merge.value if isinstance(merge, yaml.SequenceNode) else [merge]:
                if not isinstance(part, yaml.MappingNode) or id(part) in self.open_nodes:
                    line = merge.start_mark.line + 1
                    self.parsed.add(location, "'<<' must name another mapping, e.g. '<<: *defaults'", line=line)
                    continue
                for key, value, _ in self.entries(part, location, depth + 1):
                    self.count(location)
                    yield key, value, True

    def sequence(self, node: yaml.SequenceNode, location: Location) -> list[Any]:
        self.open_nodes.add(id(node))
        values = []
        for index, item in enumerate(node.value):
            here = (*location, index)
            self.parsed.lines[here] = item.start_mark.line + 1
            values.append(self.value(item, here))
        self.open_nodes.discard(id(node))
        return values

    def scalar(self, node: yaml.Node, location: Location) -> Any:
        text = str(node.value)
        self.count(location, len(text))
        if "${" not in text and node.tag != _NULL_TAG:
            self.parsed.written[location] = text
        # YAML 1.1 has yes, no, on and off for true and false: here they are words, as in YAML 1.2.
        if node.tag in _STRING_TAGS or (node.tag == _BOOL_TAG and text.lower() not in {"true", "false"}):
            return self.interpolated(text, location)
        if node.tag in _NUMBER_TAGS and not _PLAIN_NUMBER.fullmatch(text):
            return self.unusable(location, f"{_NOT_PLAIN}{self.parsed.given(location)}")
        if node.tag not in {_BOOL_TAG, *_NUMBER_TAGS, *_OTHER_TAGS}:
            return self.unusable(location, "a YAML tag is not supported here; write a plain value")
        try:
            return yaml.constructor.SafeConstructor().construct_object(node)
        except (ValueError, KeyError, yaml.YAMLError):
            return self.unusable(location, "the value can't be read; if it is meant as text, put it in quotes")

    def interpolated(self, text: str, location: Location) -> str | None:
        if "${" not in text:
            return text
        pieces, end, failed = [], 0, False
        for match in _REFERENCE.finditer(text):
            pieces.append(text[end : match.start()])
            end = match.end()
            piece = self.referenced(match, location)
            failed = failed or piece is None
            pieces.append(piece or "")
            self.count(location, len(pieces[-1]))
        if failed:
            return None
        return "".join([*pieces, text[end:]]) or None

    def referenced(self, match: re.Match[str], location: Location) -> str | None:
        if match.group() == "$${":
            return "${"
        body = _REFERENCE_BODY.fullmatch(match["body"]) if match["body"] is not None else None
        if body is None:
            text = "a reference to the environment is ${NAME} or ${NAME:-default}; a literal ${ is written $${"
            self.unusable(location, text)
            return None
        value, default = self.environ.get(body["name"]), body["default"]
        if default is not None:
            return value or default
        if value is None:
            name = body["name"]
            text = f"the environment variable {name} is not set; set it, or give a default: ${{{name}:-default}}"
            self.unusable(location, text)
        return value

    def unusable(self, location: Location, text: str) -> None:
        self.parsed.add(location, text)
        self.parsed.broken.add(location)
