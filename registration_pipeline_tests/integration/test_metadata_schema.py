"""The metadata schema over HTTP against the sandbox: other writers, bad answers, lost replies and kills.

What does not belong here: the rules of comparing and merging (``unit/submission/metadata_schema``), and what commands print.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from encord import EncordUserClient

from registration_pipeline.errors import PermissionDeniedError, ServiceUnavailableError, TransientError
from registration_pipeline.project.metadata_schema import apply_schema, compare_schema
from registration_pipeline.project.project import Project
from registration_pipeline.sandbox.api.endpoints import Endpoint
from registration_pipeline.sandbox.config import SandboxConfig
from registration_pipeline.sandbox.faults.values import Effect, Fault, Form, When
from registration_pipeline.sandbox.server import Sandbox
from registration_pipeline.settings import FieldKind, FieldType
from registration_pipeline.submission.calls.retry import RetryPolicy
from registration_pipeline.submission.encord.metadata_schema import EncordSchemaGateway
from registration_pipeline.submission.metadata_schema.apply import Applied, SchemaChange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

GET, SET = Endpoint.GET_METADATA_SCHEMA, Endpoint.SET_METADATA_SCHEMA
FOREIGN: dict[str, Any] = {
    "later": {"ty": "colour", "space": {"name": "sRGB"}, "nothing": None},
    "team": {"ty": "enum", "values": ["b", "a"]},
    "gone": {"ty": "tombstone", "deleted_ty": {"ty": "variant", "hint": "text"}},
}
NUMBER = {"ty": "variant", "hint": "number"}
DECLARED = {
    "speed": FieldType(kind=FieldKind.NUMBER),
    "team": FieldType(kind=FieldKind.ENUM, values=("c",)),
}
WHOLE = {**FOREIGN, "team": {"ty": "enum", "values": ["a", "b", "c"]}, "speed": NUMBER}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("NO_PROXY", "no_proxy"):
            patch.setenv(name, "127.0.0.1,localhost")
        with Sandbox(SandboxConfig(data=tmp_path_factory.mktemp("encord"), job_seconds=0)) as sandbox:
            yield sandbox


@pytest.fixture
def sandbox(running: Sandbox) -> Iterator[Sandbox]:
    """An organisation whose schema belongs to others."""
    running.hold_metadata_schema(FOREIGN)
    yield running
    running.clear_faults()


def change(sandbox: Sandbox, declared: dict[str, FieldType] | None = None, *, pause: float = 0.0) -> Applied:
    """Apply as a process would, with short waits."""
    gateway = EncordSchemaGateway(
        ssh_private_key=sandbox.private_key_path.read_text(), domain=sandbox.url, timeout_seconds=60
    )
    retry = RetryPolicy(sleep=lambda seconds: time.sleep(min(seconds, pause)))
    return SchemaChange(gateway=gateway, retry=retry, source="fleet", declared=declared or DECLARED).apply()


def sdk(sandbox: Sandbox) -> EncordUserClient:
    return EncordUserClient.create_with_ssh_private_key(
        ssh_private_key=sandbox.private_key_path.read_text(), domain=sandbox.url
    )


def struck(sandbox: Sandbox) -> int:
    return sum(sandbox.fault_counts().values())


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 200
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


@contextmanager
def in_the_meantime(act: Callable[[], object]) -> Iterator[None]:
    """Run something beside the block, and fail if it fails."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(act)
        yield
        future.result()


def test_an_apply_over_http_keeps_what_belongs_to_others_to_the_letter(sandbox: Sandbox) -> None:
    assert change(sandbox).writes == 1
    assert sandbox.metadata_schema() == WHOLE
    assert change(sandbox).writes == 0


def test_what_was_added_is_what_the_sdk_reads(sandbox: Sandbox) -> None:
    sandbox.hold_metadata_schema({"old": NUMBER})
    change(sandbox)
    schema = sdk(sandbox).metadata_schema()

    assert {key: schema.get_key_type(key) for key in schema.keys()} == {  # noqa: SIM118 - not a mapping
        "old": "number",
        "speed": "number",
        "team": "enum",
    }


def test_a_key_that_the_sdk_adds_between_comparing_and_applying_is_kept(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.hold_metadata_schema({"old": NUMBER})
    project = project_of(sandbox, tmp_path)
    assert compare_schema(project, project.source("fleet")).foreign == 1
    theirs = sdk(sandbox).metadata_schema()
    theirs.add_geospatial("theirs")
    theirs.save()

    change(sandbox)

    assert set(sandbox.metadata_schema() or {}) == {"old", "theirs", "speed", "team"}


def test_a_key_that_the_sdk_adds_between_our_readings_is_kept(sandbox: Sandbox) -> None:
    """The second reading is held until another program has written."""
    sandbox.hold_metadata_schema({"old": NUMBER})
    before = struck(sandbox)

    def add() -> None:
        wait_until(lambda: struck(sandbox) > before)
        theirs = sdk(sandbox).metadata_schema()
        theirs.add_geospatial("theirs")
        theirs.save()

    sandbox.script(Fault(effect=Effect.DELAY, endpoint=GET, seconds=4.0, skip=1))
    with in_the_meantime(add):
        change(sandbox)

    assert set(sandbox.metadata_schema() or {}) == {"old", "theirs", "speed", "team"}


def test_a_program_that_read_before_us_and_writes_after_us_is_merged(sandbox: Sandbox) -> None:
    sandbox.hold_metadata_schema({"old": NUMBER})
    theirs = sdk(sandbox).metadata_schema()
    theirs.add_geospatial("theirs")
    before = struck(sandbox)

    def save() -> None:
        wait_until(lambda: struck(sandbox) > before)
        theirs.save()

    # Our write has had its effect, and its reply is held: what comes then is written on what was there before.
    sandbox.script(Fault(effect=Effect.DELAY, when=When.AFTER, endpoint=SET, seconds=4.0))
    with in_the_meantime(save):
        applied = change(sandbox)

    assert set(sandbox.metadata_schema() or {}) == {"old", "theirs", "speed", "team"}
    assert applied.writes == 2


@pytest.mark.parametrize("delays", [(0.0, 0.0), (0.2, 0.0), (0.0, 0.2), (0.2, 0.3), (0.3, 0.2)], ids=str)
def test_two_appliers_at_once_both_end_with_everything(sandbox: Sandbox, delays: tuple[float, float]) -> None:
    """Both have read before either has written; each reads again for longer than the other's write is held."""
    fields = [{f"field {number}": FieldType(kind=FieldKind.NUMBER)} for number in range(2)]
    start = threading.Barrier(2)
    sandbox.script(*(Fault(effect=Effect.DELAY, endpoint=SET, seconds=seconds) for seconds in delays))

    def apply(declared: dict[str, FieldType]) -> Applied:
        start.wait()
        return change(sandbox, declared, pause=2.5)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(apply, fields))

    assert sandbox.metadata_schema() == {**FOREIGN, "field 0": NUMBER, "field 1": NUMBER}


BAD_READINGS = {
    "not JSON": Fault(effect=Effect.NOT_JSON, endpoint=GET),
    "a web page": Fault(effect=Effect.HTML, endpoint=GET),
    "JSON of another shape": Fault(effect=Effect.WRONG_SHAPE, endpoint=GET),
    "nothing": Fault(effect=Effect.EMPTY, endpoint=GET),
    "half of it": Fault(effect=Effect.TRUNCATED, endpoint=GET, when=When.AFTER),
    "no content": Fault(effect=Effect.STATUS, status=204, endpoint=GET),
    "unavailable": Fault(effect=Effect.STATUS, status=503, endpoint=GET),
    "a look-alike": Fault(effect=Effect.STATUS, status=403, form=Form.LOOK_ALIKE, endpoint=GET),
    "cut": Fault(effect=Effect.CUT, endpoint=GET),
}


@pytest.mark.parametrize("place", [0, 1, 2, 3], ids=["first", "second", "at once", "after the pause"])
def test_a_bad_answer_never_takes_the_place_of_the_schema(sandbox: Sandbox, place: int) -> None:
    for case, fault in BAD_READINGS.items():
        sandbox.hold_metadata_schema(FOREIGN)
        before = struck(sandbox)
        sandbox.script(replace(fault, skip=place))
        change(sandbox)

        assert sandbox.metadata_schema() == WHOLE, case
        assert struck(sandbox) == before + 1, case


@pytest.mark.parametrize("fault", BAD_READINGS.values(), ids=BAD_READINGS)
def test_an_answer_that_stays_bad_is_an_error_and_nothing_is_written(sandbox: Sandbox, fault: Fault) -> None:
    sandbox.script(replace(fault, times=None))
    with pytest.raises(PermissionDeniedError if fault.status == 403 else ServiceUnavailableError):
        change(sandbox)

    assert sandbox.metadata_schema() == FOREIGN


BAD_WRITES = {
    **{
        f"status {status} {when}": Fault(effect=Effect.STATUS, status=status, when=when, endpoint=SET)
        for status in (201, 202, 307, 408, 429, 500, 502, 503, 504)
        for when in (When.BEFORE, When.AFTER)
    },
    **{f"cut {when}": Fault(effect=Effect.CUT, when=when, endpoint=SET) for when in (When.BEFORE, When.AFTER)},
    "a web page instead": Fault(effect=Effect.HTML, endpoint=SET),
    "a web page as well": Fault(effect=Effect.HTML, when=When.AFTER, endpoint=SET),
    "success that was none": Fault(effect=Effect.STATUS, status=204, endpoint=SET),
    "refused once by a gateway": Fault(effect=Effect.STATUS, status=403, form=Form.HTML, when=When.AFTER, endpoint=SET),
}


def test_a_write_that_is_answered_badly_is_settled_by_reading(sandbox: Sandbox) -> None:
    for case, fault in BAD_WRITES.items():
        sandbox.hold_metadata_schema(FOREIGN)
        had_effect = fault.when is When.AFTER
        sandbox.script(fault)
        applied = change(sandbox)

        assert sandbox.metadata_schema() == WHOLE, case
        assert applied.writes == (1 if had_effect else 2), case


def test_a_write_that_arrives_after_it_was_given_up_takes_nothing_from_others(sandbox: Sandbox) -> None:
    """Our first request is held for longer than we wait; meanwhile others write, and so do we, again."""
    sandbox.hold_metadata_schema({"old": NUMBER})
    before = struck(sandbox)

    def add() -> None:
        wait_until(lambda: struck(sandbox) > before)
        theirs = sdk(sandbox).metadata_schema()
        theirs.add_geospatial("theirs")
        theirs.save()

    sandbox.script(Fault(effect=Effect.DELAY, endpoint=SET, seconds=3.0))
    gateway = EncordSchemaGateway(
        ssh_private_key=sandbox.private_key_path.read_text(), domain=sandbox.url, timeout_seconds=1
    )
    retry = RetryPolicy(sleep=lambda seconds: time.sleep(min(seconds, 4.0)), jitter=lambda _low, _high: 0.0)
    with in_the_meantime(add):
        applied = SchemaChange(gateway=gateway, retry=retry, source="fleet", declared=DECLARED).apply()

    wait_until(lambda: set(sandbox.metadata_schema() or {}) == {"old", "theirs", "speed", "team"})
    assert applied.writes >= 2


APPLY = """
from registration_pipeline.project.metadata_schema import apply_schema
from registration_pipeline.project.project import Project
project = Project.load()
apply_schema(project, project.source("fleet"))
"""
"""What the command does, without what it loads to show it."""


def project_of(sandbox: Sandbox, root: Path) -> Project:
    (root / "files").mkdir()
    source = {
        "uri": (root / "files").as_uri(),
        "metadata_schema": {"speed": "number", "team": {"enum": ["c"]}},
    }
    config = root / "registration.yaml"
    config.write_text(yaml.safe_dump({"sources": {"fleet": source}}))
    environ = {"ENCORD_DOMAIN": sandbox.url, "ENCORD_SSH_KEY_FILE": str(sandbox.private_key_path)}
    return Project.load(config, environ)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(
            Fault(effect=Effect.DELAY, when=When.AFTER, endpoint=SET, seconds=60), id="between write and read"
        ),
        pytest.param(Fault(effect=Effect.DELAY, when=When.BEFORE, endpoint=SET, seconds=2), id="while it is written"),
        pytest.param(Fault(effect=Effect.DELAY, endpoint=GET, skip=1, seconds=60), id="before it is written"),
    ],
)
def test_a_process_that_is_killed_is_run_again(sandbox: Sandbox, tmp_path: Path, fault: Fault) -> None:
    project = project_of(sandbox, tmp_path)
    before = struck(sandbox)
    sandbox.script(fault)
    command = [sys.executable, "-c", APPLY]
    environ = {**os.environ, **project.environ, "REGISTRATION_CONFIG": str(project.settings.path)}
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as child:
        wait_until(lambda: struck(sandbox) > before)
        child.kill()
    sandbox.clear_faults()

    apply_schema(project, project.source("fleet"))

    wait_until(lambda: sandbox.metadata_schema() == WHOLE)
    assert change(sandbox).writes == 0


@pytest.mark.parametrize("effect", [Effect.DRIP, Effect.BOMB], ids=str)
def test_a_reply_that_never_ends_is_given_up_and_settled_by_reading(sandbox: Sandbox, effect: Effect) -> None:
    gateway = EncordSchemaGateway(
        ssh_private_key=sandbox.private_key_path.read_text(), domain=sandbox.url, timeout_seconds=2
    )
    sandbox.script(Fault(effect=effect, endpoint=GET), Fault(effect=effect, when=When.AFTER, endpoint=SET))
    with pytest.raises(TransientError, match=r"no whole reply within 2 s|larger than 128 MB"):
        gateway.read_schema()
    retry = RetryPolicy(sleep=lambda _: None)
    applied = SchemaChange(gateway=gateway, retry=retry, source="fleet", declared=DECLARED).apply()

    assert sandbox.metadata_schema() == WHOLE
    assert applied.writes == 1


def test_the_gateway_says_what_came_instead_of_a_schema(sandbox: Sandbox) -> None:
    gateway = EncordSchemaGateway(ssh_private_key=sandbox.private_key_path.read_text(), domain=sandbox.url)
    sandbox.script(Fault(effect=Effect.WRONG_SHAPE, endpoint=GET))

    with pytest.raises(TransientError, match="each field must be an object with its type in ty"):
        gateway.read_schema()
    sandbox.script(Fault(effect=Effect.STATUS, status=204, endpoint=GET))
    with pytest.raises(TransientError, match="no content"):
        gateway.read_schema()
