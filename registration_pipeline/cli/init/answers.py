"""What ``init`` needs to know, and the ``registration.yaml`` that follows from it.

The file is the annotated example with the answers filled in, so that everything that can be set is in it, as a comment. What
does not belong here: asking (``questions.py``) and writing (``command.py``).
"""

import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import yaml

from registration_pipeline.errors import UsageError
from registration_pipeline.settings.addresses import SourceScheme, parse_location

SANDBOX_DOMAIN = "http://127.0.0.1:8742"
"""Where ``registration-pipeline sandbox`` listens if it is not given another port."""
SANDBOX_INTEGRATION = "sandbox"
EXAMPLE = "registration.yaml"

_NAME_IN_EXAMPLE = "fleet-cameras"
_DEFAULT_SOURCE = "my-source"
_HEADER = """\
# Written by `registration-pipeline init`. Every other setting is below as a comment; docs/configuration.md explains all.
#
"""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What was answered; None leaves a setting to its default.

    Args:
        uri: of the objects.
        source: the source's name.
        integration: title or UUID in Encord.
        folder: name or UUID in Encord.
        region: of the bucket.
        endpoint_url: of an S3-compatible store.
        state: where the state lives.
        domain: of Encord.
        schedule: cron of the nightly sync.
        is_scheduled: False switches the nightly sync off.
    """

    uri: str
    source: str
    integration: str
    folder: str | None = None
    region: str | None = None
    endpoint_url: str | None = None
    state: str | None = None
    domain: str | None = None
    schedule: str | None = None
    is_scheduled: bool = True


def uri_of(written: str, folder: Path) -> str:
    """Return the address of the objects: a prefix ends with a slash, and a directory may be written as a path.

    Raises:
        UsageError: it is neither an address nor a directory.
    """
    if "://" in written:
        return f"{written}/" if _is_half_a_folder(written) else written
    path = folder / Path(written).expanduser()
    if not path.is_dir():
        raise UsageError(
            f"{written!r} is neither an address nor a directory in {folder}. Write s3://bucket/prefix/, gs://bucket/prefix/, "
            "az://container@account/prefix/, obs://bucket/prefix/, or a directory that exists."
        )
    return path.resolve().as_uri() + "/"


def _is_half_a_folder(uri: str) -> bool:
    """Return whether keys beside a folder would be taken, too: what variables hold, and what is not valid, stays as it is."""
    try:
        prefix = parse_location(uri).prefix
    except ValueError:
        return False
    return bool(prefix) and not prefix.endswith("/") and "${" not in uri


def name_for(uri: str) -> str:
    """Return a source's name that fits the address: the bucket's, or the directory's."""
    scheme, _, rest = uri.partition("://")
    parts = [part for part in rest.split("/") if part]
    last = (parts[-1:] if scheme == SourceScheme.FILE else parts[:1]) or [""]
    name = re.sub(r"[^a-z0-9]+", "-", last[0].partition("@")[0].lower()).strip("-")
    return name or _DEFAULT_SOURCE


def needs_region(uri: str, endpoint_url: str | None) -> bool:
    """Return whether the objects' URLs hold the region of the bucket."""
    scheme = uri.partition("://")[0]
    return scheme == SourceScheme.OBS or (scheme == SourceScheme.S3 and not endpoint_url)


def configuration_text(answers: Answers) -> str:
    """Return the whole ``registration.yaml``."""
    example = (files(__package__) / EXAMPLE).read_text(encoding="utf-8")
    settings: list[tuple[str, str, str | None]] = [
        ("", "state", answers.state),
        ("  ", "domain", answers.domain),
        ("    ", "uri", answers.uri),
        ("      ", "region", answers.region or ""),
        ("      ", "endpoint_url", answers.endpoint_url or ""),
        ("    ", "include", ""),
        ("    ", "exclude", ""),
        ("      ", "folder", answers.folder or answers.source),
        ("      ", "integration", answers.integration),
        ("    ", "schedule", (answers.schedule or "") if answers.is_scheduled else "null"),
    ]
    text = _HEADER + example[example.index("# Besides this file") :]
    text = text.replace(f"\n  {_NAME_IN_EXAMPLE}:", f"\n  {_as_yaml(answers.source)}:")
    text = text.replace(_NAME_IN_EXAMPLE, answers.source)
    for indent, key, value in settings:
        if value is not None:
            text = _with(text, indent, key, value)
    return text


def _with(text: str, indent: str, key: str, value: str) -> str:
    """Return the text with a setting's line filled in; an empty value makes the line a comment."""

    def line(match: re.Match[str]) -> str:
        comment = (match["comment"] or "").replace("# <- ", "# ").replace("# <-", "").rstrip()
        written = f"# {key}:{match['value'].rstrip()}" if not value else f"{key}: {_as_yaml(value)}"
        return f"{indent}{written}   {comment}".rstrip()

    pattern = rf"^{indent}(?:# )?{key}:(?P<value>[^\n#]*)(?P<comment>#.*)?$"
    filled, count = re.subn(pattern, line, text, count=1, flags=re.MULTILINE)
    assert count == 1, f"the example has no line for {key}"
    return filled


def _as_yaml(value: str) -> str:
    if value == "null":
        return value
    written = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=float("inf"))
    return written.removesuffix("\n").removesuffix("\n...")
