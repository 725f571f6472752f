"""Values that must not be seen: tokens, header values, addresses with a password in them.

Whatever shows a value (`repr`, `str`, formatting, a log event, an encoder) shows a mask in its place; `reveal` is the
one way to what is behind it, so that a search for that word finds every use.
"""

import hmac
from typing import Final, NoReturn

from yarl import URL

__all__ = ["MASK", "Secret", "SecretEndpoint", "SecretUrl"]

MASK: Final = "***"


class Secret:
    """A text that shows as `***`. Secrets compare in constant time; they cannot be pickled."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The text itself."""
        return self._value

    @property
    def masked(self) -> str:
        """What may be shown of it."""
        return MASK

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._bytes(), other._bytes())

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.masked!r})"

    def __str__(self) -> str:
        return self.masked

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled")

    def _bytes(self) -> bytes:
        return self._value.encode("utf-8", "surrogatepass")


class SecretUrl(Secret):
    """A URL of which scheme, host, port and path may be seen; user name, password, query and fragment may not."""

    __slots__ = ()

    @property
    def masked(self) -> str:
        return self._masked(shows_path=True)

    def _masked(self, *, shows_path: bool) -> str:
        try:
            url = URL(self._value)
            user = f"{MASK}@" if url.raw_authority.rpartition("@")[1] else ""
            host = f"[{url.host}]" if ":" in (url.host or "") else url.host
            port = "" if url.explicit_port is None else f":{url.explicit_port}"
        except ValueError:
            return MASK
        if not url.scheme or not host:
            return MASK
        if not shows_path:
            return f"{url.scheme}://{user}{host}{port}{f'/{MASK}' if url.raw_path_qs not in ('', '/') else ''}"
        return f"{url.scheme}://{user}{host}{port}{url.path}{f'?{MASK}' if url.raw_query_string else ''}"


class SecretEndpoint(SecretUrl):
    """A URL of which the path may not be seen either: those of webhooks hold a token as often as not."""

    __slots__ = ()

    @property
    def masked(self) -> str:
        return self._masked(shows_path=False)
