"""Texts of errors and log events."""

import errno
import socket
import ssl

import pytest
from aiohttp import ClientConnectorError, ClientOSError
from aiohttp.client_reqrep import ConnectionKey

from streamproc.wording import came, system_reason, traceback_text, where_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("secret", "a str came"),
        (1, "an int came"),
        (None, "a NoneType came"),
        (ValueError, "the class ValueError came"),
    ],
)
def test_what_came_is_named_and_not_shown(value: object, text: str) -> None:
    """By its type; a class, which stands where an object of it should, by its name."""
    assert came(value) == text


def raised(error: Exception) -> Exception:
    content = "what a variable holds"
    try:
        if content:
            raise error
    except Exception as failure:
        return failure
    return error


def test_it_says_where_and_what_and_why() -> None:
    """The last line is the exception, the lines before tell where it was raised; causes come first."""
    error = raised(ValueError("mine"))
    error.__cause__ = raised(KeyError("deeper"))
    lines = traceback_text(error).splitlines()

    assert lines[-1] == "ValueError: mine"
    assert "KeyError: 'deeper'" in lines
    assert any("in raised" in line for line in lines)


def test_it_shows_no_variables() -> None:
    """Those of a frame that holds a batch are content."""
    assert traceback_text(raised(ValueError("mine"))).count("what a variable holds") == 0


def test_a_very_long_one_is_cut_in_the_middle() -> None:
    """Where it was raised and the end of what it says stay."""
    text = traceback_text(raised(ValueError(f"begin {'x' * 1_000_000} end")))

    assert len(text) < 17_000
    assert text.startswith("Traceback")
    assert "characters left out]" in text
    assert text.endswith("x end")


def test_the_places_alone_are_without_what_was_said() -> None:
    """Nor what its cause said; the type is told."""
    error = raised(ValueError("mine"))
    error.__cause__ = raised(KeyError("deeper"))
    text = where_text(error)

    assert "in raised" in text
    assert text.endswith("ValueError")
    assert "mine" not in text
    assert "deeper" not in text


CONNECTION = ConnectionKey("api.example.com", 443, True, True, None, None, None)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionResetError(errno.ECONNRESET, "https://api.example.com/?key=CANARY"), "Connection reset by peer"),
        (ClientOSError(errno.EPIPE, "Can not write request body for https://CANARY"), "Broken pipe"),
        (ClientConnectorError(CONNECTION, OSError(errno.ECONNREFUSED, "CANARY")), "Connection refused"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "Name or service not known"),
        (socket.gaierror(socket.EAI_NONAME), "no address"),
        (ssl.SSLError(1, "CANARY"), None),
        (OSError("CANARY"), None),
        (OSError("CANARY", "CANARY"), None),
        (ValueError("CANARY"), None),
    ],
)
def test_the_words_of_the_system(error: Exception, reason: str | None) -> None:
    """Never those of the exception."""
    assert system_reason(error) == reason
