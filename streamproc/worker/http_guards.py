"""What stands before our HTTP servers: who may ask, how often, and from where.

Nothing here knows a request; each guard is told the little that it decides by.
"""

import hmac
from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import sha256
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from streamproc.errors import ConfigError
from streamproc.worker.config.servers import is_loopback

__all__ = ["Buckets", "Tokens", "is_public"]

_CLIENTS_MAX: Final = 10_000  # that are remembered; one that is forgotten starts with a full bucket
_NETWORK_BITS: Final = 64  # what one client of IPv6 usually has to itself


def is_public(host: str) -> bool:
    """Whether a server bound to `host` may be reached from other machines; a name that is not "localhost" is."""
    return not is_loopback(host.strip("[]").partition("%")[0].rstrip(".").lower())


class Tokens:
    """The bearer tokens that are let in; without any, everybody is.

    Compared as digests of one length, each with all of them, so that the time taken says nothing.
    """

    def __init__(self, tokens: Sequence[str] = ()) -> None:
        """
        Raises:
            ConfigError: a token is empty, or cannot stand in a header.
        """
        for number, token in enumerate(tokens, 1):
            if not token or not token.isascii() or not token.isprintable() or " " in token:
                raise ConfigError(f"token {number}: expected visible ASCII characters only")
        self._digests = [sha256(token.encode()).digest() for token in tokens]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def allow(self, header: str) -> bool:
        """Whether the value of an `Authorization` header, "" for none, lets its sender in."""
        if not self._digests:
            return True
        scheme, _, token = header.partition(" ")
        digest = sha256(token.strip().encode("utf-8", "surrogateescape")).digest()
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        return True in matches and scheme.lower() == "bearer"


class Buckets:
    """A token bucket for each client: `burst` requests at once, `rate_per_s` on the whole."""

    def __init__(self, rate_per_s: float, burst: int, clock: Callable[[], float]) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._clock = clock
        self._clients: OrderedDict[str, tuple[float, float]] = OrderedDict()  # requests left, and when that was so

    def take(self, client: str) -> float:
        """Count one request of a client, by its address; returns 0, or for how many seconds it must wait instead."""
        key, now_s = _network(client), self._clock()
        left, since_s = self._clients.get(key, (float(self._burst), now_s))
        left = min(float(self._burst), left + (now_s - since_s) * self._rate_per_s)
        wait_s = 0.0 if left >= 1.0 else (1.0 - left) / self._rate_per_s
        self._clients[key] = (left if wait_s else left - 1.0, now_s)
        self._clients.move_to_end(key)
        if len(self._clients) > _CLIENTS_MAX:
            self._clients.popitem(last=False)
        return wait_s


def _network(client: str) -> str:
    try:
        address = ip_address(client)
    except ValueError:
        return client
    if isinstance(address, IPv6Address):
        return str(ip_network((address, _NETWORK_BITS), strict=False))
    return client
