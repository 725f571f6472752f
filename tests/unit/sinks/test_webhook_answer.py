"""What an endpoint's answer means."""

from email.utils import formatdate
from typing import Any

import pytest

from streamproc.retry_after import retry_after_s
from streamproc.sinks._webhook_answer import Answer, answer_of

NOW_S = 1_767_268_800.0


def later(status: int, wait_s: float | None, *, concerns_all: bool) -> Answer:
    return Answer(meaning="later", what=f"answered {status}", retry_after_s=wait_s, concerns_all=concerns_all)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206, 299])
def test_answers_that_take_a_change(status: int) -> None:
    assert answer_of(status, {"Retry-After": "5"}, NOW_S) == Answer(meaning="taken", what=f"answered {status}")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 413, 422, 451, 499])
def test_answers_that_reject_a_change(status: int) -> None:
    assert answer_of(status, {}, NOW_S) == Answer(meaning="rejected", what=f"answered {status}")


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308, 429, 503, 199, 0])
def test_answers_that_put_off_the_whole_batch(status: int) -> None:
    """A redirect is one of them: whoever can repair it is not the endpoint."""
    assert answer_of(status, {}, NOW_S) == later(status, None, concerns_all=True)


@pytest.mark.parametrize("status", [408, 425, 500, 501, 502, 504, 599, 600])
def test_answers_that_put_off_a_run(status: int) -> None:
    """One that asks for a wait puts off all others too."""
    assert answer_of(status, {}, NOW_S) == later(status, None, concerns_all=False)
    assert answer_of(status, {"Retry-After": "7"}, NOW_S) == later(status, 7.0, concerns_all=True)


def test_the_answer_that_ends_it() -> None:
    assert answer_of(410, {}, NOW_S) == Answer(meaning="gone", what="answered 410", concerns_all=True)


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 5 ", 5.0),
        ("3600", 3600.0),
        ("3601", 3600.0),
        ("9" * 400, 3600.0),
        (formatdate(NOW_S + 90, usegmt=True), 90.0),
        (formatdate(NOW_S - 90, usegmt=True), 0.0),
        (formatdate(NOW_S + 1e6, usegmt=True), 3600.0),
        ("Thu, 01 Jan 2026 12:00:30 -0000", 30.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("\u0665", None),
        ("Thu, 01 Jan 99999 12:00:30 GMT", None),
    ],
)
def test_waits(value: str, wait_s: float | None) -> None:
    """Seconds or a date, and never more than an hour."""
    assert retry_after_s({"Retry-After": value}, NOW_S) == wait_s


def test_no_wait() -> None:
    headers: dict[str, Any] = {}

    assert retry_after_s(headers, NOW_S) is None
