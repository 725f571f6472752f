"""Sequence numbers: what is new, what overlaps, and when they are no longer trusted."""

import pytest

from streamproc.dialects.responses.numbers import NO_NUMBER, SequenceNumbers


def test_numbers_that_go_up() -> None:
    """Gaps do not matter."""
    numbers = SequenceNumbers()

    assert [numbers.note(number) for number in (0, 1, 5)] == ["new"] * 3
    assert (numbers.last, numbers.out_of_order) == (5, 0)


@pytest.mark.parametrize("odd", [None, True, "1", 1.0, -5, [1]])
def test_what_is_no_number(odd: object) -> None:
    """It says nothing."""
    numbers = SequenceNumbers()

    assert numbers.note(odd) == "new"
    assert numbers.last == NO_NUMBER


def test_overlap_after_a_reconnect() -> None:
    """Until a newer one comes; what goes back after that is out of order."""
    numbers = SequenceNumbers()
    numbers.note(3)
    numbers.resume()

    assert [numbers.note(number) for number in (2, 3, 4, 4)] == ["overlap", "overlap", "new", "distrusted"]


def test_numbers_that_are_not_trusted() -> None:
    """The first that goes back is told apart; then nothing overlaps any more, and all are counted."""
    numbers = SequenceNumbers()
    numbers.note(3)
    said = [numbers.note(number) for number in (3, 3, 2, 4)]
    numbers.resume()

    assert said == ["distrusted", "repeat", "repeat", "new"]
    assert numbers.note(4) == "repeat"
    assert numbers.out_of_order == 4


def test_another_response() -> None:
    """It counts from zero, and is trusted; what was counted stays."""
    numbers = SequenceNumbers()
    for number in (3, 3):
        numbers.note(number)
    numbers.restart()

    assert [numbers.note(0), numbers.note(0)] == ["new", "distrusted"]
    assert numbers.out_of_order == 2
