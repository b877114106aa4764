"""Adding a declared schema to Encord's: nothing of others is lost or changed, whatever comes in between.

What does not belong here: HTTP (``integration/test_metadata_schema.py``).
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.errors import (
    ConfigurationError,
    HaltError,
    PermanentError,
    PermissionDeniedError,
    ServiceUnavailableError,
    TransientError,
)
from registration_pipeline.settings import FieldKind, FieldType
from registration_pipeline.submission.calls.retry import RetryPolicy
from registration_pipeline.submission.metadata_schema.apply import Applied, SchemaChange
from registration_pipeline.submission.metadata_schema.difference import difference
from registration_pipeline.submission.metadata_schema.merge import merged
from registration_pipeline.submission.metadata_schema.testing import ScriptedSchemaGateway

if TYPE_CHECKING:
    from collections.abc import Callable

NUMBER = FieldType(kind=FieldKind.NUMBER)
DECLARED = {"speed": NUMBER, "weather": FieldType(kind=FieldKind.ENUM, values=("sun", "rain"))}
SPEED = {"ty": "variant", "hint": "number"}
WEATHER = {"ty": "enum", "values": ["rain", "sun"]}
FOREIGN = {
    "later": {"ty": "colour", "space": {"name": "sRGB", "depth": [8, 16]}, "nothing": None},
    "emb": {"ty": "embedding", "size": 3, "api": {"url": "https://x", "new": 1.0}},
    "odd/name": {"ty": "text"},
    "e": {"ty": "enum", "values": ["z", "a", "a"]},
}


def retry(slept: list[float] | None = None) -> RetryPolicy:
    return RetryPolicy(sleep=(slept if slept is not None else []).append, jitter=lambda _low, high: high)


def apply(encord: ScriptedSchemaGateway, declared: dict[str, FieldType] | None = None) -> Applied:
    change = SchemaChange(gateway=encord, retry=retry(), source="fleet", declared=declared or DECLARED)
    return change.apply()


def at(number: int, action: Callable[[], None]) -> Callable[[int], None]:
    """Return a hook that acts once, at the nth call."""
    return lambda call: action() if call == number else None


def raising(error: Exception) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


def test_fields_are_added_and_those_of_others_stay_as_they_came() -> None:
    encord = ScriptedSchemaGateway(fields=deepcopy(FOREIGN))

    applied = apply(encord)

    assert encord.fields == {**FOREIGN, "speed": SPEED, "weather": WEATHER}
    assert list(encord.fields) == [*FOREIGN, "speed", "weather"]
    assert (applied.writes, applied.put_back, applied.before.foreign) == (1, (), 4)


def test_an_organisation_without_a_schema_gets_one() -> None:
    encord = ScriptedSchemaGateway()
    apply(encord)

    assert encord.fields == {"speed": SPEED, "weather": WEATHER}


def test_an_enum_gets_the_options_that_it_lacks_and_keeps_its_own() -> None:
    held = {"weather": {"ty": "enum", "values": ["snow", "sun"], "later": True}, "speed": SPEED}
    encord = ScriptedSchemaGateway(fields=held)
    apply(encord)

    assert encord.fields["weather"] == {"ty": "enum", "values": ["rain", "snow", "sun"], "later": True}


def test_nothing_is_written_where_nothing_is_missing() -> None:
    encord = ScriptedSchemaGateway()
    apply(encord)
    encord.reads = 0

    assert apply(encord).writes == 0
    assert len(encord.written) == 1
    assert encord.reads == 1


def test_it_is_read_again_at_once_and_after_a_pause() -> None:
    slept: list[float] = []
    encord = ScriptedSchemaGateway()
    SchemaChange(gateway=encord, retry=retry(slept), source="fleet", declared=DECLARED).apply()

    assert slept == [2.0]
    assert encord.reads == 4  # twice before the write, at once and after the pause


def test_every_conflict_is_named_and_nothing_is_written() -> None:
    held = {"speed": {"ty": "text"}, "weather": {"ty": "tombstone", "deleted_ty": None}}
    encord = ScriptedSchemaGateway(fields=deepcopy(held))
    with pytest.raises(ConfigurationError) as raised:
        apply(encord, {**DECLARED, "new": NUMBER})

    assert encord.written == []
    assert raised.value.exit_status == 2
    assert str(raised.value) == (
        "sources.fleet.metadata_schema: contradicts the metadata schema in Encord, which is never narrowed or changed. "
        "Nothing was written.\n"
        "  speed (number) is text in Encord: declare that type, or choose another name\n"
        "  weather (enum of 2) was deleted for good in Encord, where the name can't be used again: choose another name"
    )


def test_a_field_that_another_adds_between_two_readings_is_kept() -> None:
    encord = ScriptedSchemaGateway()
    encord.before_read = at(2, lambda: encord.fields.update(theirs=SPEED))
    apply(encord)

    assert encord.fields == {"theirs": SPEED, "speed": SPEED, "weather": WEATHER}


def test_a_writer_that_read_before_us_and_wrote_after_us_is_merged() -> None:
    encord = ScriptedSchemaGateway(fields={"old": SPEED})

    def replace() -> None:
        encord.fields = {"old": SPEED, "theirs": WEATHER}

    encord.after_write = at(1, replace)
    applied = apply(encord)

    assert encord.fields == {"old": SPEED, "theirs": WEATHER, "speed": SPEED, "weather": WEATHER}
    assert (applied.writes, applied.put_back) == (2, ())


def test_a_writer_that_comes_during_the_pause_is_merged() -> None:
    encord = ScriptedSchemaGateway(fields={"old": SPEED})
    encord.before_read = at(4, lambda: encord.fields.pop("speed"))

    assert apply(encord).writes == 2
    assert encord.fields == {"old": SPEED, "speed": SPEED, "weather": WEATHER}


def test_a_write_of_ours_that_was_given_up_and_arrives_late_takes_nothing_from_others() -> None:
    encord = ScriptedSchemaGateway(fields={"old": SPEED, "e": {"ty": "enum", "values": ["a"]}})
    late: list[Any] = []

    def lose() -> None:
        late.append(encord.written[0])
        encord.fields.update(theirs=SPEED, e={"ty": "enum", "values": ["a", "b"]})
        raise TransientError("no reply")

    encord.before_write = at(1, lose)
    encord.after_write = at(2, lambda: setattr(encord, "fields", dict(late[0])))
    applied = apply(encord)

    assert encord.fields == {
        "old": SPEED,
        "theirs": SPEED,
        "speed": SPEED,
        "weather": WEATHER,
        "e": {"ty": "enum", "values": ["a", "b"]},
    }
    assert (applied.writes, applied.put_back) == (3, ("theirs",))


def test_a_field_that_others_remove_before_we_write_is_not_put_back() -> None:
    encord = ScriptedSchemaGateway(fields={"old": SPEED})
    encord.before_read = at(2, lambda: encord.fields.pop("old"))
    apply(encord)

    assert encord.fields == {"speed": SPEED, "weather": WEATHER}


def test_a_write_whose_reply_is_lost_is_not_repeated_if_it_had_its_effect() -> None:
    encord = ScriptedSchemaGateway()
    encord.after_write = at(1, raising(TransientError("no reply")))
    apply(encord)

    assert len(encord.written) == 1


def test_a_conflict_that_comes_after_a_write_says_that_something_was_written() -> None:
    encord = ScriptedSchemaGateway()
    encord.after_write = at(1, lambda: encord.fields.update(speed={"ty": "text"}))
    with pytest.raises(ConfigurationError, match="It was changed while it was written; run again"):
        apply(encord)

    assert encord.fields["speed"] == {"ty": "text"}


def test_a_fight_over_the_schema_ends() -> None:
    encord = ScriptedSchemaGateway()
    encord.after_write = lambda _: encord.fields.clear()
    with pytest.raises(ServiceUnavailableError, match="written 5 times, and did not show what was written"):
        apply(encord)

    assert len(encord.written) == 5


@pytest.mark.parametrize(
    ("error", "expected", "writes"),
    [
        pytest.param(PermissionDeniedError("no", is_reply=True), PermissionDeniedError, 3, id="not allowed"),
        pytest.param(PermanentError("422"), HaltError, 1, id="refused"),
        pytest.param(TransientError("503"), ServiceUnavailableError, 5, id="down"),
    ],
)
def test_a_schema_that_can_not_be_written_halts(error: Exception, expected: type[Exception], writes: int) -> None:
    encord = ScriptedSchemaGateway()
    encord.before_write = lambda _: raising(error)()
    with pytest.raises(expected):
        apply(encord)

    assert len(encord.written) == writes


def test_changes_that_encord_shows_late_are_waited_for() -> None:
    """Readings show the schema of some seconds ago."""
    now, slept = [0.0], list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    class Late(ScriptedSchemaGateway):
        def read_schema(self) -> Any:
            shown = [fields for at, fields in history if at <= now[0] - 5]
            return deepcopy(shown[-1] if shown else FOREIGN)

    history: list[tuple[float, Any]] = []
    encord = Late(fields=deepcopy(FOREIGN))
    encord.after_write = lambda _: history.append((now[0], deepcopy(encord.fields)))
    policy = RetryPolicy(sleep=sleep, jitter=lambda _low, high: high)
    applied = SchemaChange(gateway=encord, retry=policy, source="fleet", declared=DECLARED).apply()

    assert encord.fields == {**FOREIGN, "speed": SPEED, "weather": WEATHER}
    assert applied.writes == 3
    assert slept == [2.0, 4.0, 2.0]


NAMES = st.sampled_from("abcd")
OPTIONS = st.sets(st.sampled_from("uvwxyz"), min_size=1)
TYPES = st.one_of(
    st.sampled_from([FieldType(kind=FieldKind.NUMBER), FieldType(kind=FieldKind.TEXT)]),
    OPTIONS.map(lambda values: FieldType(kind=FieldKind.ENUM, values=tuple(values))),
    st.integers(1, 3).map(lambda size: FieldType(kind=FieldKind.EMBEDDING, size=size)),
)
HELD = st.one_of(
    st.sampled_from([SPEED, {"ty": "text"}, {"ty": "later", "x": [1]}, {"ty": "tombstone", "deleted_ty": None}]),
    OPTIONS.map(lambda values: {"ty": "enum", "values": list(values)}),
    st.integers(1, 3).map(lambda size: {"ty": "embedding", "size": size, "api": None}),
)


@given(declared=st.dictionaries(NAMES, TYPES), held=st.dictionaries(NAMES, HELD))
def test_a_merge_adds_all_that_is_declared_and_takes_nothing_away(
    declared: dict[str, FieldType], held: dict[str, Any]
) -> None:
    before = deepcopy(held)
    if difference(declared, held).conflicts:
        return
    result = merged(declared, held)

    assert held == before
    assert difference(declared, result).is_same
    assert merged(declared, result) == result
    for name, definition in held.items():
        if definition["ty"] == "enum":
            assert set(definition["values"]) <= set(result[name]["values"])
            assert {**result[name], "values": 0} == {**definition, "values": 0}
        else:
            assert result[name] == definition


@given(
    first=st.dictionaries(NAMES, TYPES),
    second=st.dictionaries(NAMES, TYPES),
    held=st.dictionaries(NAMES, HELD),
    number=st.integers(1, 6),
)
def test_two_appliers_end_with_the_fields_of_both(
    first: dict[str, FieldType], second: dict[str, FieldType], held: dict[str, Any], number: int
) -> None:
    """The second one runs whole in the middle of the first, at any of its readings."""
    if difference(first, held).conflicts or difference(second, held).conflicts:
        return
    if difference(second, merged(first, held)).conflicts:
        return
    encord = ScriptedSchemaGateway(fields=deepcopy(held))
    inner = SchemaChange(gateway=encord, retry=retry(), source="two", declared=second)

    def run_inner(call: int) -> None:
        if call == number:
            encord.before_read = lambda _: None
            inner.apply()

    encord.before_read = run_inner
    SchemaChange(gateway=encord, retry=retry(), source="one", declared=first).apply()
    if encord.reads < number:
        inner.apply()

    assert difference(first, encord.fields).is_same
    assert difference(second, encord.fields).is_same
    assert held.keys() <= encord.fields.keys()
