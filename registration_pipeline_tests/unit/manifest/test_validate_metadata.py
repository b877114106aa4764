"""What is said of units besides where they are is checked: key frames, embeddings, and blocks where all must have one."""

from __future__ import annotations

from typing import Any

import pytest

from registration_pipeline.manifest.validate import validate_manifest
from registration_pipeline_tests.unit.manifest.manifests import found, item, manifest


def video(encord: Any) -> bytes:
    return manifest(videos=[item("v", clientMetadata={"$encord": encord})])


ENCORD = "videos[0].clientMetadata.$encord"


@pytest.mark.parametrize(
    ("encord", "violations"),
    [
        pytest.param({}, [], id="empty"),
        pytest.param(
            {
                "config": {"sampling_rate": 0, "keyframe_mode": "seconds"},
                "frames": {"0": {"e": [1, 0.5]}, "2.5": {"a": "b"}},
            },
            [],
            id="all that there may be",
        ),
        pytest.param([], [f"{ENCORD} must be an object"], id="a list"),
        pytest.param({"key": 1}, [f"{ENCORD}.key is not a key of it: it holds config and frames"], id="an unknown key"),
        pytest.param({"config": 1}, [f"{ENCORD}.config must be an object"], id="configuration that is a number"),
        pytest.param(
            {"config": {"sampling_rate": -1, "keyframe_mode": "minutes", "rate": 1}},
            [
                f"{ENCORD}.config.sampling_rate must be a number that is not negative",
                f"{ENCORD}.config.keyframe_mode must be frame or seconds",
                f"{ENCORD}.config.rate is not a key of it: it holds sampling_rate and keyframe_mode",
            ],
            id="wrong configuration",
        ),
        pytest.param({"frames": []}, [f"{ENCORD}.frames must be an object"], id="frames as a list"),
        pytest.param(
            {"frames": {"07": {}, "8": []}},
            [f"{ENCORD}.frames.07 must be named by a number, e.g. 12", f"{ENCORD}.frames.8 must be an object"],
            id="wrong frames",
        ),
        pytest.param(
            {"frames": {"0": {"e": [], "f": [0] * 4_097, "g": [1, True]}}},
            [
                f"{ENCORD}.frames.0.e is an embedding of 0 numbers; Encord accepts 1 to 4,096",
                f"{ENCORD}.frames.0.f is an embedding of 4,097 numbers; Encord accepts 1 to 4,096",
                f"{ENCORD}.frames.0.g must be an embedding: a list of numbers",
            ],
            id="wrong embeddings",
        ),
        pytest.param(
            {"frames": {"0": {"e": [float("inf")]}}},
            [f"{ENCORD}.frames.0.e[0] must be a finite number"],
            id="an embedding that is not finite",
        ),
    ],
)
def test_key_frames_and_their_embeddings_are_checked(encord: Any, violations: list[str]) -> None:
    assert found(video(encord)) == violations


def test_where_all_must_have_media_metadata_an_item_without_is_a_violation_that_says_what_helps() -> None:
    block = {"mimeType": "image/png", "fileSize": 3, "width": 1, "height": 1}
    data = manifest(
        images=[item("i", imageMetadata=block), item("j")],
        nifti=[item("n")],
        image_groups=[{"title": "g", "createVideo": False, "objectUrl_0": "s3://b/0"}],
    )

    violations = [str(violation) for violation in validate_manifest(data, needs_media_metadata=True)]

    assert found(data) == []
    assert [text.partition(" ")[0] for text in violations] == ["images[1].imageMetadata", "nifti[0]", "image_groups[0]"]
    assert all("strict_client_only" in text for text in violations)
    assert "submit_as: data_items" in violations[2]
