"""Which process holds something, and whether it is dead beyond doubt."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from registration_pipeline.state.holder import Holder, ancestors, boot_id, pid_namespace, process_start

SINCE = datetime(2026, 11, 21, 2, tzinfo=UTC)

pytestmark = pytest.mark.skipif(not boot_id(), reason="there is no /proc here, so no death is certain")


@pytest.fixture
def gone() -> Holder:
    """This host's holder whose process has been killed and removed."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    holder = replace(Holder.current(SINCE), pid=child.pid, start=str(process_start(child.pid)))
    assert not holder.is_dead_for_certain()
    child.kill()
    child.communicate()
    return holder


def test_it_reads_like_a_sentence():
    holder = replace(Holder.current(SINCE + timedelta(microseconds=5)), pid=4711, host="worker-3")

    assert str(holder) == "pid 4711 on worker-3 since 2026-11-21T02:00:00Z"


def test_since_is_shown_in_utc_wherever_it_was_measured():
    holder = Holder.current(SINCE.astimezone(timezone(timedelta(hours=5, minutes=30))))

    assert str(holder).endswith("since 2026-11-21T02:00:00Z")


def test_json_brings_it_back():
    holder = Holder.current(SINCE)

    assert Holder.from_json(json.loads(json.dumps(holder.to_json()))) == holder


@pytest.mark.parametrize("value", [{}, {"pid": 1}, {"host": 1, "boot": "", "start": "", "namespace": "", "pid": "x"}])
def test_something_else_is_refused(value: dict[str, object]):
    with pytest.raises((KeyError, TypeError, ValueError)):
        Holder.from_json(value)


def test_this_process_lives():
    assert not Holder.current(SINCE).is_dead_for_certain()


def test_a_process_that_is_gone_is_dead(gone: Holder):
    assert gone.is_dead_for_certain()


def test_a_zombie_is_dead():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    holder = replace(Holder.current(SINCE), pid=child.pid, start=str(process_start(child.pid)))
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # has ended, and nobody took note of it
    try:
        assert holder.is_dead_for_certain()
    finally:
        child.communicate()


def test_another_process_under_its_id_means_that_it_is_dead():
    assert replace(Holder.current(SINCE), start="1").is_dead_for_certain()


@pytest.mark.parametrize(
    "elsewhere",
    [
        pytest.param({"host": "worker-3"}, id="another host"),
        pytest.param({"boot": "another"}, id="another boot"),
        pytest.param({"namespace": "pid:[1]"}, id="another container"),
        pytest.param({"namespace": ""}, id="unknown container"),
        pytest.param({"boot": ""}, id="unknown boot"),
        pytest.param({"start": ""}, id="unknown start"),
    ],
)
def test_what_cannot_be_seen_from_here_is_never_certain(gone: Holder, elsewhere: dict[str, str]):
    assert not replace(gone, **elsewhere).is_dead_for_certain()  # type: ignore[arg-type]


def test_a_process_of_another_user_is_recognised_by_its_start():
    """Signalling process 1 is forbidden to a plain user, but its start can be read; to root it simply lives."""
    start = process_start(1)
    if start is None:
        pytest.skip("process 1 can't be seen here")
    first = replace(Holder.current(SINCE), pid=1, start=start)

    assert not first.is_dead_for_certain()
    assert replace(first, start=start + "0").is_dead_for_certain()


def test_the_name_space_of_this_process_is_known():
    assert pid_namespace().startswith("pid:[")


def test_a_process_descends_from_its_parent_first() -> None:
    found = list(ancestors())

    assert found[0] == os.getppid()
    assert len(set(found)) == len(found)


def test_another_process_is_recorded_as_itself() -> None:
    parent = Holder.of(os.getppid(), datetime.now(UTC))

    assert (parent.pid, parent.start) == (os.getppid(), process_start(os.getppid()))
    assert not parent.is_dead_for_certain()
