"""What an error of PostgreSQL means for a sink, told by its SQLSTATE alone: its text may quote content.

Source: PostgreSQL's manual, appendix A, "PostgreSQL Error Codes".
"""

import re
from typing import Final, Literal, TypeAlias

import psycopg

__all__ = ["Meaning", "is_of_address", "meaning_of", "reason_of", "sqlstate_of"]

Meaning: TypeAlias = Literal["unavailable", "data", "refused", "bug"]
"""unavailable: later, perhaps · data: never, whatever else is in the batch · refused: not until somebody changes a
setting, a right or a table · bug: a statement of ours is wrong."""

_MEANINGS: Final[dict[str, Meaning]] = {
    "08": "unavailable",  # connection
    "25": "unavailable",  # transaction state: a standby is read-only, a session was idle for too long
    "40": "unavailable",  # rolled back: deadlock, serialization
    "53": "unavailable",  # no memory, disk or connections left
    "55": "unavailable",  # not in the right state: locked, dropped meanwhile
    "57": "unavailable",  # shutting down, starting up, cancelled by a time-out
    "58": "unavailable",  # its disk
    "XX": "unavailable",  # a defect of the server's own, or its data's
    "22": "data",  # a value that no column holds
    "23": "data",  # a constraint that somebody added
    "44": "data",  # a view that somebody put in our table's place
    "P0": "data",  # a trigger that somebody added
    "54": "data",  # too long for an index, too deep for its parser
    "0A": "refused",  # not supported: a server that is too old
    "28": "refused",  # authentication
    "3D": "refused",  # no such database
    "3F": "refused",  # no such schema
    "42": "refused",  # no such table, no right to it
}
_STATES: Final[dict[str, Meaning]] = {
    "42601": "bug",  # syntax
}
# The library tells no SQLSTATE when connecting fails, only the server's words: these are the ones it has in English.
# In another language they are "unavailable", which is safe, if not as clear.
_REFUSALS: Final = (
    (re.compile(r"(?:password|authentication) failed|no password supplied"), "28P01"),
    (re.compile(r"no pg_hba\.conf entry|role \".*\" does not exist|not permitted to log in"), "28000"),
    (re.compile(r"database \".*\" does not exist"), "3D000"),
    (re.compile(r"permission denied for database"), "42501"),
)
# Why there is no connection, in words of ours: the library's repeat values of the address.
_REASONS: Final = (
    (re.compile("failed to resolve host"), "the host's name cannot be resolved"),
    (re.compile("Connection refused"), "connection refused"),
    (re.compile("timeout expired"), "no answer in time"),
    (re.compile("does not support SSL"), "the server has no TLS"),
    (re.compile("certificate"), "a certificate is not right"),
    (re.compile("on socket .*: No such file"), "there is no such socket"),
)
_OF_ADDRESS: Final = re.compile(r"invalid (?:port number|\w+ value)|for connection option|definition of service")


def sqlstate_of(error: psycopg.Error) -> str | None:
    """The code of an error; None where there was no answer that has one."""
    if error.sqlstate is not None:
        return error.sqlstate
    if isinstance(error, psycopg.OperationalError):
        text = str(error)
        return next((state for pattern, state in _REFUSALS if pattern.search(text)), None)
    return None


def reason_of(error: psycopg.Error) -> str:
    """Why there is no connection, as far as that is known; shows nothing of the address."""
    text = str(error)
    return next((reason for pattern, reason in _REASONS if pattern.search(text)), type(error).__name__)


def is_of_address(error: psycopg.Error) -> bool:
    """Whether the library could not even begin to connect, for what the address or the environment says."""
    return error.sqlstate is None and _OF_ADDRESS.search(str(error)) is not None


def meaning_of(error: psycopg.Error) -> Meaning:
    """What to do about it."""
    state = sqlstate_of(error)
    if state is None:
        return "unavailable" if isinstance(error, psycopg.OperationalError) else "bug"
    return _STATES.get(state) or _MEANINGS.get(state[:2], "bug")
