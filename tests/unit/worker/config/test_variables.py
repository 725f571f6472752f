"""Variables in the strings of a config."""

import pytest

from streamproc.worker.config.variables import UNKNOWN, Interpolation

ENVIRON = {"NAME": "value", "EMPTY": "", "NESTED": "${NAME} $$ ]\n[admin]", "_x9": "y"}


@pytest.mark.parametrize(
    ("text", "replaced", "used"),
    [
        ("plain", "plain", ()),
        ("${NAME}", "value", ("NAME",)),
        ("a ${NAME} b ${_x9}${NAME}", "a value b yvalue", ("NAME", "_x9")),
        ("${ABSENT:-fallback}", "fallback", ("ABSENT",)),
        ("${EMPTY:-fallback}", "fallback", ("EMPTY",)),
        ("${NAME:-fallback}", "value", ("NAME",)),
        ("${ABSENT:-}", "", ("ABSENT",)),
        ("${ABSENT:-http://a/b?c=d:-e}", "http://a/b?c=d:-e", ("ABSENT",)),
        ("${EMPTY}", "", ("EMPTY",)),
        ("$${NAME}", "${NAME}", ()),
        ("$$${NAME}", "$value", ("NAME",)),
        ("cost: 5$ $NAME $", "cost: 5$ $NAME $", ()),
        ("$$", "$", ()),
        ("${NESTED}", "${NAME} $$ ]\n[admin]", ("NESTED",)),
    ],
)
def test_variables_are_replaced(text: str, replaced: str, used: tuple[str, ...]) -> None:
    """What a variable holds is not looked at again, whatever it looks like."""
    interpolation = Interpolation(ENVIRON)

    assert interpolation.replaced({"a": [text]}) == {"a": [replaced]}
    assert interpolation.used == ({("a", 0): used} if used else {})
    assert interpolation.faults == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("${ABSENT}", "the variable ABSENT is not set; set it, or write ${ABSENT:-default}"),
        ("${NAME", "a ${ without end or with a bad name"),
        ("${}", "a ${ without end or with a bad name"),
        ("${9A}", "a ${ without end or with a bad name"),
        ("${NAME-x}", "a ${ without end or with a bad name"),
        ("${A B}", "a ${ without end or with a bad name"),
    ],
)
def test_what_cannot_be_replaced_is_told(text: str, told: str) -> None:
    """At its place, and nothing takes its place."""
    interpolation = Interpolation(ENVIRON)

    assert interpolation.replaced({"a": text}) == {"a": UNKNOWN}
    ((path, said),) = interpolation.faults
    assert path == ("a",)
    assert said.startswith(told)


def test_each_variable_that_is_not_set_is_told() -> None:
    """Also two in one string."""
    interpolation = Interpolation({})
    interpolation.replaced(["${A}/${B}", "${C}"])

    assert [(path, said.split()[2]) for path, said in interpolation.faults] == [((0,), "A"), ((0,), "B"), ((1,), "C")]


def test_keys_and_other_values_are_left_alone() -> None:
    """Only strings that are values are looked at."""
    data = {"${NAME}": 1, "b": [True, 2.5, {"$$": None}]}

    assert Interpolation(ENVIRON).replaced(data) == data


def test_depth_is_bounded() -> None:
    """A file of brackets is told, and does not end the process."""
    deep: object = "${ABSENT}"
    for _ in range(200):
        deep = [deep]
    interpolation = Interpolation({})
    interpolation.replaced(deep)

    ((path, said),) = interpolation.faults
    assert path == (0,) * 8
    assert said.startswith("more tables and lists in one another")
