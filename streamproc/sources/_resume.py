"""What `HttpSource` can be given where a broken stream goes on at another address."""

from collections.abc import Callable
from typing import Protocol, TypeAlias

from yarl import URL

__all__ = ["AddressAfter", "Resume"]

AddressAfter: TypeAlias = Callable[[str], URL]
"""Gives the address of what follows a cursor; raises `SourceError` when the cursor is none of its protocol."""


class Resume(Protocol):
    """How a stream goes on by a GET of its own, instead of its first request again with a Last-Event-ID."""

    def address(self, url: URL) -> AddressAfter:
        """Return where the stream that began at `url` goes on; called once, when the source is made.

        The source sends its own headers there, so it has to be the same origin.

        Raises:
            ConfigError: this cannot work for that URL.
        """
        ...
