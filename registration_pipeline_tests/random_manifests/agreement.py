"""The two verdicts on a manifest file, and when they agree.

**What is judged.** The SDK does not send the file: it reads it and writes it again. On the way ``NaN`` and infinities become
``null``, of keys that stand twice the last one stays, and some files can't be sent at all (no UTF-8, nested too deep, half a
surrogate pair in a key). So the sandbox judges what arrives, and "refused" includes "the SDK did not send it". The
validator judges the same, and refuses besides what the SDK would change in silence: what was reviewed must be what is sent.

**What agreement means.** The validator's violations fall into those of Encord's format and those of the rules below, which are
ours alone. A manifest is agreed upon if the sandbox takes it exactly when there is no violation of the first sort. It follows
that the sandbox takes whatever the validator accepts, and that the validator accepts whatever the sandbox takes and none of
the rules below forbids. (Of manifests over 100 MB, which are tested with a lower limit, the validator refuses some more: those
whose file is too long although the request is not, and those that leave less than 512 bytes for what is sent around them.)

What does not belong here: making manifests, and HTTP.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn
from uuid import UUID

import requests
from encord.orm.storage import PostUploadJobParams

from registration_pipeline.manifest import validate
from registration_pipeline.sandbox.jobs import manifests
from registration_pipeline_tests.random_manifests.draft import OTHER_CASING
from registration_pipeline_tests.random_manifests.mutation import Expected

if TYPE_CHECKING:
    from types import ModuleType

    from registration_pipeline.limits import ManifestLimits
    from registration_pipeline_tests.random_manifests.catalogue import RandomManifest

_OTHER_FIELDS: Final = "|".join(rf"{block}\.({'|'.join(fields)})" for block, fields in OTHER_CASING.items())


NOT_SENT: Final = "not sent"
TOO_LARGE: Final = "the body is too large"
NO_OBJECT: Final = "externalFiles is no object"


@dataclass(frozen=True, slots=True)
class OwnRule:
    """A rule that the validator keeps and the sandbox does not.

    Args:
        violation: recognises its violations.
        reason: why it is ours.
    """

    violation: re.Pattern[str]
    reason: str


OWN_RULES: Final = {
    "duplicates are skipped": OwnRule(
        re.compile(r"^skip_duplicate_urls must be there and true"),
        "Encord accepts manifests without it and registers what they hold again each time they are sent",
    ),
    "something is registered": OwnRule(
        re.compile(r"^manifest has no items$"),
        "an upload job of nothing is a mistake of ours, if not one that Encord names",
    ),
    "titles are given": OwnRule(
        re.compile(r"^(?!dicom_series|image_groups)\w+\[\d+\]\.title is missing$"),
        "Encord makes one from the URL, except for units of several objects; ours is the second mark of an item",
    ),
    "titles are unique": OwnRule(re.compile(r"^\w+\[\d+\]\.title is the same as "), "for the same reason"),
    "URLs are unique": OwnRule(
        re.compile(r"^(\w+\[\d+\])\.objectUrl(_\d+)? is the same as (?!\1\.)"),
        "skip_duplicate_urls looks at what the folder holds, perhaps only when the job starts: both would be registered",
    ),
    "printed casing": OwnRule(
        re.compile(rf"^\w+\[\d+\]\.({_OTHER_FIELDS}) is not a field of this block$"),
        "Encord's pages print fields of media metadata in two casings; the sandbox takes both and says which, the "
        "validator holds us to the examples",
    ),
    "keys stand once": OwnRule(
        re.compile(r" is repeated$"), "the SDK would send only the last, which nobody has reviewed"
    ),
    "metadata stays what it is": OwnRule(
        re.compile(r"^\w+\[\d+\]\.clientMetadata\..* must be a finite number$"), "the SDK would send null instead"
    ),
}


@dataclass(frozen=True, slots=True)
class Case:
    """A manifest with both verdicts.

    Args:
        manifest: the file and what was done to it.
        violations: the validator's words.
        refusal: the sandbox's words, or the SDK's; None if it is taken.
    """

    manifest: RandomManifest
    violations: tuple[str, ...]
    refusal: str | None

    @property
    def own_rules(self) -> set[str]:
        """The names of our own rules that it breaks."""
        return {name for text in self.violations for name, rule in OWN_RULES.items() if rule.violation.search(text)}

    @property
    def verdict(self) -> Expected:
        """What the two say together, if they agree."""
        if self.refusal is not None:
            return Expected.REFUSED
        return Expected.OURS if self.violations else Expected.ACCEPTED

    @property
    def complaint(self) -> str | None:
        """What is wrong with the verdicts: they disagree, or agree on something else than the catalogue expects."""
        broken = [
            text for text in self.violations if not any(rule.violation.search(text) for rule in OWN_RULES.values())
        ]
        mutations = self.manifest.mutations
        if bool(broken) == (self.refusal is not None):
            if len(mutations) != 1 or mutations[0].expected is self.verdict:
                return None
            problem = f"expected {mutations[0].expected}"
        else:
            problem = "disagreement"
        names = ", ".join(mutation.name for mutation in mutations) or "nothing"
        return (
            f"{problem}: manifest {self.manifest.number} ({names}): validator {list(self.violations[:3])}, "
            f"sandbox {self.refusal!r}"
        )


def judge(manifest: RandomManifest) -> Case:
    """Ask the validator and, without HTTP, the SDK and the sandbox."""
    return Case(manifest, violations_of(manifest.data), refusal(manifest.data))


def violations_of(
    data: bytes, validator: ModuleType = validate, *, limits: ManifestLimits | None = None
) -> tuple[str, ...]:
    """Return the validator's words; ``validator`` is the module that has it, ``limits`` are those of whole manifests."""
    return tuple(map(str, validator.validate_manifest(data, limits)))


def body_that_is_sent(data: bytes) -> bytes:
    """Return the request's body as the SDK makes it of a manifest file.

    Raises:
        Exception: the SDK's own, if it can't.
    """
    parameters = PostUploadJobParams(
        external_files=json.loads(data.decode("utf-8")),
        integration_hash=UUID(int=0),
        ignore_errors=True,
        file_name="manifest.json",
    )
    body = requests.Request("POST", "http://sandbox/", json=parameters.to_dict()).prepare().body
    assert isinstance(body, bytes)
    return body


def refusal(data: bytes, *, body_limit: int = 100_000_000, sandbox: ModuleType = manifests) -> str | None:
    """Return why the SDK can't send a manifest file or the sandbox refuses it, None if it is taken; without HTTP.

    Args:
        data: the file.
        body_limit: the sandbox's ``body_limit_bytes``.
        sandbox: the module that reads manifests.
    """
    try:
        body = body_that_is_sent(data)
    except (ValueError, RecursionError) as error:
        return f"{NOT_SENT}: {type(error).__name__}"
    if len(body) > body_limit:
        return TOO_LARGE
    arrived: dict[str, Any] = json.loads(body, parse_constant=_no_json)
    if not isinstance(arrived.get("externalFiles"), dict):
        return NO_OBJECT
    try:
        sandbox.parse_external_files(arrived["externalFiles"])
    except sandbox.ManifestRefusedError as error:
        return str(error)
    return None


def _no_json(constant: str) -> NoReturn:
    raise AssertionError(f"the SDK sent {constant}, which is not JSON")
