"""Folder and integration: found, created, or a message that says what to change."""

from __future__ import annotations

from typing import Any

import pytest

from registration_pipeline.errors import AmbiguousError, NotFoundError, PermanentError, ServiceUnavailableError
from registration_pipeline.submission.calls.retry import RetryPolicy
from registration_pipeline.submission.known_folders import KnownFolders
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
def notices() -> list[str]:
    return []


@pytest.fixture
def resolve(new_fleet: Any, waits: list[float], notices: list[str]) -> Any:
    def run(gateway: ScriptedGateway, known: KnownFolders | None = None, **encord: Any) -> Target:
        source = new_fleet(encord=None).source
        if encord:
            source = source.model_copy(update={"encord": source.encord.model_copy(update=encord)})
        retry = RetryPolicy(sleep=waits.append)
        return resolve_target(gateway, retry, source, known=known or KnownFolders(), notify=notices.append)

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


OTHER = "00000000-0000-4000-8000-000000000002"
SENT = KnownFolders({FOLDER: 1_200}, FOLDER)


def test_a_folder_that_was_renamed_is_used_as_before_with_a_notice(resolve: Any, notices: list[str]):
    gateway = Folders()
    gateway.folders = {"archive": FOLDER}

    assert (resolve(gateway, SENT).folder_uuid, gateway.creations) == (FOLDER, 0)
    (said,) = notices
    assert f"{FOLDER}, is named 'archive' now, and no folder is named 'fleet'" in said


@pytest.mark.parametrize("folders", [{}, {"fleet": OTHER}], ids=["none", "another one of that name"])
def test_a_folder_that_is_gone_halts_and_no_other_one_is_taken_or_made(resolve: Any, folders: dict[str, str]):
    gateway = Folders()
    gateway.folders = folders

    with pytest.raises(
        NotFoundError, match=rf"{FOLDER}, in which 1,200 objects of source fleet are registered"
    ) as error:
        resolve(gateway, SENT)

    assert gateway.creations == 0
    assert ("The folder that is named 'fleet' now" in str(error.value)) is bool(folders)
    assert "set encord.folder of the source to its UUID" in str(error.value)


def test_a_new_folder_that_is_given_by_its_uuid_follows_one_that_is_gone(resolve: Any, notices: list[str]):
    gateway = Folders()
    gateway.folders = {"new": OTHER}

    assert resolve(gateway, SENT, folder=OTHER).folder_uuid == OTHER
    assert f"1,200 objects are registered in folder {FOLDER}, which does not exist any more" in notices[0]


def test_a_folder_that_is_gone_with_chunks_to_retry_can_not_be_followed_by_another(resolve: Any):
    gateway = Folders()
    gateway.folders = {"new": OTHER}

    with pytest.raises(NotFoundError, match="move the folder fleet/ out of the state") as error:
        resolve(gateway, KnownFolders({FOLDER: 7}, FOLDER, frozenset({FOLDER})), folder=OTHER)

    assert "set encord.folder" not in str(error.value)


def test_a_folder_that_is_gone_and_given_by_its_uuid_is_said_in_the_same_words(resolve: Any):
    class Strict(Folders):
        def find_folder(self, name_or_uuid: str) -> str | None:
            return self.folder_name(name_or_uuid) and name_or_uuid

    with pytest.raises(NotFoundError, match=r"in which 1,200 objects of source fleet are registered, does not exist"):
        resolve(Strict(), SENT, folder=FOLDER)


def test_another_folder_in_the_configuration_is_used_with_a_notice_until_something_was_sent_to_it(
    resolve: Any, notices: list[str]
):
    gateway = Folders()
    gateway.folders = {"fleet": OTHER, "before": FOLDER}

    assert resolve(gateway, SENT).folder_uuid == OTHER
    assert f"New objects of source fleet go to Encord folder {OTHER}" in notices[0]
    assert resolve(gateway, KnownFolders({FOLDER: 1_200, OTHER: 1}, OTHER)).folder_uuid == OTHER
    assert len(notices) == 1


def test_the_folders_that_are_known_are_those_of_the_journals(fleet_of: Any):
    fleet = fleet_of("a.jpg", "b.jpg", "c.jpg")
    fleet.register()
    (folder_uuid,) = fleet.encord.folders.values()

    known = KnownFolders.of(fleet.journal.all_progress())

    assert known == KnownFolders({folder_uuid: 3}, folder_uuid)
