"""Manifests around the limits of whole manifests, which are lowered so that none needs 100 MB.

What does not belong here: limits of single texts, lists and metadata (``catalogue_*.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from registration_pipeline.limits import ManifestLimits
from registration_pipeline_tests.random_manifests.agreement import body_that_is_sent
from registration_pipeline_tests.random_manifests.catalogue import RandomManifest
from registration_pipeline_tests.random_manifests.draft import Draft

if TYPE_CHECKING:
    from random import Random

BODY_LIMIT: Final = 20_000
URL_LIMIT: Final = 60
LIMITS: Final = ManifestLimits(entries=10_000, bytes=BODY_LIMIT, urls=URL_LIMIT)
ROOM_AROUND: Final = 512
"""Bytes that the validator leaves for what is sent around the manifest."""


def sized_manifest(rng: Random, number: int) -> RandomManifest:
    """Return a valid manifest whose request, or whose file, is about ``BODY_LIMIT`` bytes long.

    Some have about ``URL_LIMIT`` URLs, and some files are much longer than what is sent of them, or much shorter.
    """
    draft = Draft(rng)
    filling: dict[str, Any] = {"a": rng.choice(("", "é" * 500, "\x7f" * 1_000, [1e15] * 200)), "b": ""}
    draft.add("images", clientMetadata=filling)
    urls = sum(key.startswith("objectUrl") for items in draft.lists.values() for item in items for key in item)
    if rng.random() < 0.4:
        frames = max(1, URL_LIMIT - urls + rng.choice((-1, 0, 1, 5)))
        draft.lists.setdefault("image_groups", []).append(
            {"title": draft.title(), "createVideo": rng.random() < 0.5, **draft.frames(frames)}
        )
    target = BODY_LIMIT - rng.choice((-1, 0, 1, 511, 512, rng.randint(-500, 0), rng.randint(0, 512), 2_000, 5_000))
    filling["b"] = "x" * max(0, target - len(body_that_is_sent(draft.data())))
    if rng.random() < 0.1:
        draft.final.append(lambda data: data + b" " * BODY_LIMIT)
    return RandomManifest(number, (), draft.data())


def is_stricter_by_design(data: bytes) -> bool:
    """Whether the validator may refuse a manifest for its size although the request is within the limit."""
    return len(data) > BODY_LIMIT or len(body_that_is_sent(data)) > BODY_LIMIT - ROOM_AROUND
