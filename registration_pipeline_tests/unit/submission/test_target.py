"""Folder and integration: found, created, or a message that says what to change."""

from __future__ import annotations

from typing import Any

import pytest

from registration_pipeline.errors import AmbiguousError, NotFoundError, PermanentError, ServiceUnavailableError
from registration_pipeline.submission.calls.retry import RetryPolicy
from registration_pipeline.submission.target import Target, ask_for_target, resolve_target
from registration_pipeline.submission.testing import ScriptedGateway

FOLDER = "00000000-0000-4000-8000-000000000001"


class Folders(ScriptedGateway):
    """An Encord whose creations do as scripted: lose the reply, lose the request, or refuse."""

    def __init__(self, *scripts: str) -> None:
        super().__init__()
        self.scripts, self.creations = list(scripts), 0

    def create_folder(self, name: str) -> str:
        self.creations += 1
        script = self.scripts.pop(0) if self.scripts else "accept"
        if script == "refuse":
            raise PermanentError("409: exists")
        if script != "lose request":
            super().create_folder(name)
        if script != "accept":
            raise AmbiguousError("cut")
        return self.folders[name]


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def resolve(new_fleet: Any, waits: list[float]) -> Any:
    def run(gateway: ScriptedGateway, **encord: Any) -> Target:
        source = new_fleet(encord=None).source
        if encord:
            source = source.model_copy(update={"encord": source.encord.model_copy(update=encord)})
        return resolve_target(gateway, RetryPolicy(sleep=waits.append), source)

    return run


def test_a_folder_is_found_by_name_or_by_uuid(resolve: Any):
    gateway = Folders()
    gateway.folders = {"fleet": FOLDER}

    assert resolve(gateway).folder_uuid == FOLDER
    assert resolve(gateway, folder=FOLDER).folder_uuid == FOLDER
    assert gateway.creations == 0


def test_a_missing_folder_is_created_once(resolve: Any):
    gateway = Folders()
    first, second = resolve(gateway), resolve(gateway)

    assert (first.folder_uuid, first.is_new, second.is_new) == (second.folder_uuid, True, False)
    assert (gateway.creations, list(gateway.folders)) == (1, ["fleet"])


def test_a_creation_whose_reply_was_lost_is_found_and_not_repeated(resolve: Any, waits: list[float]):
    gateway = Folders("lose reply")

    found = resolve(gateway)

    assert (found.folder_uuid, found.is_new) == (gateway.folders["fleet"], False)
    assert gateway.creations == 1
    assert waits == [2.0]


def test_a_creation_whose_request_was_lost_is_repeated(resolve: Any):
    gateway = Folders("lose request")

    assert resolve(gateway).folder_uuid == gateway.folders["fleet"]
    assert gateway.creations == 2


@pytest.mark.parametrize("script", ["lose request", "refuse"])
def test_a_creation_that_never_works_halts_with_what_to_do(resolve: Any, script: str):
    with pytest.raises(ServiceUnavailableError, match=r"'fleet' could not be created .*set encord\.folder"):
        resolve(Folders(*[script] * 9))


def test_a_last_creation_whose_reply_was_lost_is_still_found(resolve: Any):
    gateway = Folders("lose request", "lose request", "lose reply")

    assert resolve(gateway).folder_uuid == gateway.folders["fleet"]


def test_several_folders_of_the_name_halt(resolve: Any):
    class Ambiguous(Folders):
        def find_folder(self, name_or_uuid: str) -> str | None:
            raise NotFoundError(f"Encord holds 2 top-level folders named {name_or_uuid!r}")

    gateway = Ambiguous()

    with pytest.raises(NotFoundError, match="2 top-level folders named 'fleet'"):
        resolve(gateway)
    assert gateway.creations == 0


def test_a_refused_search_halts(resolve: Any):
    class Refusing(Folders):
        def find_folder(self, name_or_uuid: str) -> str | None:
            raise PermanentError(f"404: {name_or_uuid}")

    with pytest.raises(NotFoundError, match="Encord refused finding folder 'fleet': 404"):
        resolve(Refusing())


def test_the_integration_is_found_by_title_or_uuid_and_may_be_left_out(resolve: Any):
    gateway = Folders()
    uuid = gateway.integrations["sandbox"]

    assert resolve(gateway).integration_uuid == uuid
    assert resolve(gateway, integration=uuid).integration_uuid == uuid
    assert resolve(gateway, integration=None).integration_uuid is None
    with pytest.raises(NotFoundError, match="'missing' does not exist"):
        resolve(gateway, integration="missing")


@pytest.mark.parametrize("folders", [{}, {"fleet": FOLDER}], ids=["missing", "there"])
def test_asking_for_a_target_creates_nothing(new_fleet: Any, folders: dict[str, str]):
    gateway = Folders()
    gateway.folders = dict(folders)

    ask_for_target(gateway, RetryPolicy(), new_fleet(encord=None).source)

    assert (gateway.creations, gateway.folders) == (0, folders)
