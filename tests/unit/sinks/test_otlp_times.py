"""When spans begin and end: whole seconds of a server, and when the final change came in."""

from typing import Any, Final

import pytest

from streamproc.sinks._otlp_times import Times, times_of
from tests.streams import run, step
from tests.unit.sinks.spans import changes_of

SECOND: Final = 10**9
T: Final = 1_767_603_600  # 2026-01-05T09:00:00Z


def times(status: str = "completed", at: str | None = None, first_at: str | None = None, **members: Any) -> Times:
    """Of a step that ended."""
    changes = changes_of(run(), step(status, **members), run("completed"), at=at)
    (change,) = (each for each in changes if each.kind == "step")
    return times_of(change, change.state, first_at)


@pytest.mark.parametrize(
    ("at", "end_ns"),
    [
        (None, T * SECOND),
        ("2026-01-05T09:00:00.250000Z", T * SECOND + 250_000_000),
        ("2026-01-05T10:00:00.250000+01:00", T * SECOND + 250_000_000),
        ("2026-01-05T09:00:01.500000Z", T * SECOND + SECOND - 1),  # on its way it became the next second
        ("2026-01-05T09:00:02Z", T * SECOND),  # too late to say anything
        ("2026-01-05T08:59:59.999999Z", T * SECOND),  # another clock
        ("2026-01-05T09:00:00.250000", T * SECOND),  # of no zone
        ("five o'clock", T * SECOND),
    ],
)
def test_the_end_within_its_second(at: str | None, end_ns: int) -> None:
    """The server names the second, the arrival says when in it; never is it another second."""
    assert times(at=at, created_at=T - 3, completed_at=T) == Times((T - 3) * SECOND, end_ns)


def test_a_fraction_is_taken_as_it_is() -> None:
    """Some servers say them; microseconds are all that a float knows of today."""
    found = times(at="2026-01-05T09:00:00.900000Z", created_at=T - 0.25, completed_at=T + 0.125)

    assert found == Times(T * SECOND - 250_000_000, T * SECOND + 125_000_000)


@pytest.mark.parametrize(
    ("status", "member"),
    [("failed", "failed_at"), ("cancelled", "cancelled_at"), ("expired", "expired_at"), ("expired", "expires_at")],
)
def test_each_status_has_its_time(status: str, member: str) -> None:
    assert times(status, created_at=T, **dict[str, Any]({member: T + 1})) == Times(T * SECOND, (T + 1) * SECOND)


def test_the_time_of_another_status_is_no_end() -> None:
    """A completed step that was to expire later."""
    assert times(created_at=T, expires_at=T + 600) == Times(T * SECOND, T * SECOND)


def test_an_end_that_nobody_said_is_when_it_came_in() -> None:
    found = times(at="2026-01-05T09:00:07.5Z", created_at=T)

    assert found == Times(T * SECOND, T * SECOND + 7_500_000_000)


def test_a_beginning_that_nobody_said_is_the_end() -> None:
    assert times(completed_at=T) == Times(T * SECOND, T * SECOND, is_start_known=False)
    assert times(at="2026-01-05T09:00:00Z") == Times(T * SECOND, T * SECOND, is_start_known=False)


@pytest.mark.parametrize(
    ("first_at", "start_ns"),
    [
        (None, T * SECOND),
        ("2026-01-05T09:00:00.250000Z", T * SECOND + 250_000_000),
        ("2026-01-05T09:00:01.500000Z", T * SECOND + SECOND - 1),
        ("2026-01-05T09:00:02Z", T * SECOND),
        ("2026-01-05T08:59:59.999999Z", T * SECOND),
    ],
)
def test_the_beginning_within_its_second(first_at: str | None, start_ns: int) -> None:
    """As the end."""
    found = times(first_at=first_at, created_at=T, completed_at=T + 5)

    assert found == Times(start_ns, (T + 5) * SECOND)


def test_a_beginning_that_nobody_said_is_when_it_was_first_heard_of() -> None:
    found = times(at="2026-01-05T09:00:07.5Z", first_at="2026-01-05T09:00:02Z")

    assert found == Times((T + 2) * SECOND, T * SECOND + 7_500_000_000)


def test_never_the_end_before_the_beginning() -> None:
    """Clocks of servers are set back, too."""
    assert times(created_at=T, completed_at=T - 5) == Times(T * SECOND, T * SECOND)


@pytest.mark.parametrize("odd", [None, 0, -1, 10**18, 1e300, -0.5, "soon"])
def test_a_time_that_cannot_be_is_none(odd: object) -> None:
    assert times(created_at=odd, completed_at=odd) == Times(0, 0, is_start_known=False)
    assert times(created_at=odd, completed_at=T) == Times(T * SECOND, T * SECOND, is_start_known=False)


def test_what_was_cut_off_ends_when_that_was_noticed() -> None:
    """And at its beginning where not even that is known."""
    stream = (run(), step(created_at=T))
    changes = [*changes_of(*stream, at="2026-01-05T09:00:09Z", is_whole=False), *changes_of(*stream, is_whole=False)]
    found = [times_of(each, each.state) for each in changes if each.kind == "step" and each.truncated]

    assert found == [Times(T * SECOND, (T + 9) * SECOND), Times(T * SECOND, T * SECOND)]
