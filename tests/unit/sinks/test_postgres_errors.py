"""What SQLSTATEs mean for a sink."""

import psycopg
import pytest
from psycopg import errors

from streamproc.sinks._postgres_errors import Meaning, meaning_of, sqlstate_of


@pytest.mark.parametrize(
    ("sqlstate", "meaning"),
    [
        ("08006", "unavailable"),
        ("57P01", "unavailable"),
        ("57P03", "unavailable"),
        ("57014", "unavailable"),
        ("53100", "unavailable"),
        ("53300", "unavailable"),
        ("40001", "unavailable"),
        ("40P01", "unavailable"),
        ("55P03", "unavailable"),
        ("25006", "unavailable"),
        ("58030", "unavailable"),
        ("XX000", "unavailable"),
        ("22P05", "data"),
        ("22P02", "data"),
        ("22003", "data"),
        ("23514", "data"),
        ("54000", "data"),
        ("P0001", "data"),
        ("28P01", "refused"),
        ("42501", "refused"),
        ("42P01", "refused"),
        ("3F000", "refused"),
        ("42601", "bug"),
        ("21000", "bug"),
    ],
)
def test_meaning(sqlstate: str, meaning: Meaning) -> None:
    assert meaning_of(errors.lookup(sqlstate)("text")) == meaning


def test_error_without_a_code() -> None:
    """A connection that broke has none; what the library itself finds wrong is a bug of ours."""
    assert meaning_of(psycopg.OperationalError("server closed the connection unexpectedly")) == "unavailable"
    assert meaning_of(psycopg.InterfaceError("cannot do that")) == "bug"
    assert sqlstate_of(psycopg.OperationalError("FATAL:  Datenbank \u00bbx\u00ab existiert nicht")) is None
