"""What is accepted here, Dagster accepts; what people write, is accepted."""

from __future__ import annotations

import pytest
from dagster._utils.schedules import is_valid_cron_schedule
from hypothesis import example, given
from hypothesis import strategies as st

from registration_pipeline.settings.cron import cron_problem

number = st.integers(-1, 70).map(str)
word = st.one_of(number, st.sampled_from(["mon", "SUN", "jan", "Dec", "sunday", "", "L", "?", "07", "1.5", "x", "٣"]))
item = st.one_of(
    word,
    st.just("*"),
    st.builds("{}-{}".format, word, word),
    st.builds("{}/{}".format, st.one_of(st.just("*"), word), word),
    st.builds("{}-{}/{}".format, number, number, number),
)
part = st.one_of(item, st.lists(item, min_size=1, max_size=3).map(",".join))
expressions = st.lists(part, min_size=4, max_size=7).map(" ".join)


@given(expression=st.one_of(expressions, st.text(max_size=20)))
@example(expression="0 0 30 2 *")
@example(expression="0 0 30 2 mon")
@example(expression="0 0 31 4,6,9,11 *")
@example(expression="0 0 * * 7")
@example(expression="0 0 * * 5-7")
@example(expression="0 0 * * 0-7")
@example(expression="*/59 */23 */31 */12 */7")
@example(expression="@midnight")
@example(expression="@reboot")
@example(expression="0 0 * * 1-1")
def test_what_is_accepted_here_dagster_accepts(expression: str) -> None:
    if cron_problem(expression) is None:
        assert is_valid_cron_schedule(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "0 2 * * *",
        "*/15 * * * *",
        "0 0-6/2 * * mon-fri",
        "30 1,13 1,15 JAN,jul *",
        "0 0 29 2 *",
        "5 4 * * 0",
        "5 4 * * 7",
        "5 4 * * sun",
        "0 0 31 1-12 *",
        "  0   2 * * *  ",
        "@yearly",
        "@annually",
        "@monthly",
        "@weekly",
        "@daily",
        "@midnight",
        "@hourly",
    ],
)
def test_what_people_write_is_accepted(expression: str) -> None:
    assert cron_problem(expression) is None
    assert is_valid_cron_schedule(expression)


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        pytest.param("", "five fields", id="empty"),
        pytest.param("0 2 * *", "five fields", id="four fields"),
        pytest.param("0 2 * * * *", "five fields", id="with seconds"),
        pytest.param("60 2 * * *", "the minute field goes from 0 to 59", id="minute 60"),
        pytest.param("0 24 * * *", "the hour field goes from 0 to 23", id="hour 24"),
        pytest.param("0 2 0 * *", "the day of month field goes from 1 to 31", id="day 0"),
        pytest.param("0 2 * 13 *", "the month field goes from 1 to 12", id="month 13"),
        pytest.param("0 2 * * 8", "the day of week field goes from 0 to 7", id="weekday 8"),
        pytest.param("0 2 * * monday", "the day of week field must hold numbers or one of sun", id="long name"),
        pytest.param("0 2 * mon *", "the month field must hold", id="weekday among the months"),
        pytest.param("30-5 * * * *", "runs backwards", id="backwards"),
        pytest.param("*/0 * * * *", "a step outside 1 to 59", id="step 0"),
        pytest.param("5/10 * * * *", "step after a single number", id="step after a number"),
        pytest.param("1,,2 * * * *", "lists", id="empty list item"),
        pytest.param("0 2 30 2 *", "never comes due", id="30 February"),
        pytest.param("0 2 31 4,6 *", "never comes due", id="31 April or June"),
        pytest.param("@nightly", "@daily", id="unknown word"),
        pytest.param("H 2 * * *", "must hold numbers", id="hashed"),
        pytest.param("0 2 l * *", "must hold numbers", id="last day"),
    ],
)
def test_a_mistake_is_named_with_its_field(expression: str, problem: str) -> None:
    assert problem in (cron_problem(expression) or "accepted")
