"""The guard against requests to places that a webhook has no business with (server-side request forgery).

A URL is judged three times, each time by what will be used and not by how it was spelled. When the sink is made: its
form, and the address if the host is one. When a name is resolved, once for each connection: all of its addresses, so
that the one that is connected to is one that was judged, whatever the name means a moment later. And when a socket is
made for an address: the address that it is made for, whichever way it came there.

A name of which one address is refused is refused as a whole: a name that is public and internal at once is a mistake
or an attack, and trying its public half would make the outcome depend on chance.
"""

import re
import socket
from collections.abc import Collection, Sequence
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from streamproc.errors import ConfigError
from streamproc.sinks._webhook_addresses import Address, Network, why_refused

__all__ = ["CheckedResolver", "Guard", "TargetRefused", "guarded_connector"]

# What parsers of URLs disagree about: some remove it, some take a \ for a /.
_DISPUTED: Final = re.compile(r"[\x00-\x20\x7f\\]")
_NAME: Final = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?", re.IGNORECASE)
_NUMBER_AT_END: Final = re.compile(
    r"(.*\.)?([0-9]+|0x[0-9a-f]*)\.?", re.IGNORECASE
)  # an address or nothing: WHATWG URL
_NAME_MAX: Final = 254  # characters, with a dot at the end
_LOCAL: Final = re.compile(r"(.+\.)?localhost\.?", re.IGNORECASE)
_LOOPBACK: Final = IPv4Address("127.0.0.1")  # which localhost is by definition, says RFC 6761


class TargetRefused(OSError):
    """A connection to this address is not made; an `OSError`, because that is what a resolver may raise."""


class Guard:
    """What a target has to be like.

    Args:
        allow_networks: in CIDR form; their addresses are allowed whatever they are.
        ports: the only ones that are allowed; None: all.
        allow_http: without TLS, too.

    Raises:
        ConfigError: a network cannot be read, or a port is none.
    """

    def __init__(
        self, *, allow_networks: Sequence[str] = (), ports: Collection[int] | None = None, allow_http: bool = False
    ) -> None:
        self._allowed = tuple(map(_network, allow_networks))
        self._ports = ports
        self._schemes = ("https", "http") if allow_http else ("https",)
        for port in ports or ():
            if not 0 < port < 65536:
                raise ConfigError(f"ports: {port} is none; expected 1 to 65535")

    def check_url(self, text: str) -> URL:
        """The URL, if a request may go there by what can be seen of it.

        Raises:
            ConfigError: it has another form than a target's, or its host is an address that is refused; the text shows
                the host at most.
        """
        try:
            url = URL(text)
            host, port = url.raw_host or "", url.port or 0
        except ValueError:
            url, host, port = URL(), "", 0
        if _DISPUTED.search(text) or url.scheme not in ("http", "https") or not host:
            raise ConfigError("url: expected an absolute https URL without spaces and control characters")
        if url.scheme not in self._schemes:
            raise ConfigError("url: expected https; allow_http = true allows http, for tests and internal networks")
        if url.raw_user is not None or url.raw_password is not None:
            raise ConfigError("url: expected no user name and password; put them into headers")
        if not port or (self._ports is not None and port not in self._ports):
            raise ConfigError(f"url: port {port} is not one of the allowed ports")
        self._check_host(host)
        return url

    def check_address(self, text: str, name: str | None = None) -> None:
        """
        Args:
            name: what was resolved to the address.

        Raises:
            TargetRefused: no request may go to it.
        """
        try:
            what = why_refused(ip_address(text), self._allowed)
        except ValueError:
            what = "no address"
        if what is not None:
            whose = f"{name} is {text}" if name is not None else text
            raise TargetRefused(f"{whose} ({what}), which is not among the allowed networks")

    def socket(self, found: tuple[Any, ...]) -> socket.socket:
        """A socket for an entry of `getaddrinfo`, which will be connected to the address in it.

        Raises:
            TargetRefused: no request may go to that address.
        """
        family, kind, protocol, _, (address, *_) = found
        self.check_address(address)
        return socket.socket(family, kind, protocol)

    def _check_host(self, host: str) -> None:
        address = _literal(host)
        if address is None:
            if len(host) > _NAME_MAX or _NAME.fullmatch(host) is None or _NUMBER_AT_END.fullmatch(host):
                raise ConfigError("url: its host is neither a name nor an address")
            if _LOCAL.fullmatch(host) is None:
                return
        what = why_refused(address or _LOOPBACK, self._allowed)
        if what is not None:
            meaning = "" if host == str(address) else f" means {address or _LOOPBACK}, which"
            raise ConfigError(f"url: {host}{meaning} is {what}; allow_networks can name its network")
        if isinstance(address, IPv4Address) and host != str(address):
            raise ConfigError(f"url: {host} means {address}; write it so")


class CheckedResolver(AbstractResolver):
    """Resolves names, and hands out addresses that were all judged, or none.

    Args:
        resolver: who is asked; it stays open.
    """

    def __init__(self, resolver: AbstractResolver, guard: Guard) -> None:
        self._resolver = resolver
        self._guard = guard

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """
        Raises:
            TargetRefused: one of its addresses is refused.
            OSError: it cannot be resolved.
        """
        found = await self._resolver.resolve(host, port, family)
        for one in found:
            self._guard.check_address(one["host"], host)
        return found

    async def close(self) -> None:
        """Nothing: the resolver is its owner's."""


def guarded_connector(guard: Guard, resolver: AbstractResolver | None, **options: Any) -> aiohttp.TCPConnector:
    """Connections that pass the guard; a name is resolved anew for each, and never from a cache.

    Args:
        resolver: who resolves names; None: the system.
    """
    return aiohttp.TCPConnector(
        resolver=CheckedResolver(resolver or aiohttp.ThreadedResolver(), guard),
        use_dns_cache=False,
        socket_factory=guard.socket,
        **options,
    )


def _literal(host: str) -> Address | None:
    """The address that a host is, in any spelling that the system would take for one; None for a name."""
    try:
        # Numeric only, so nobody is asked; but it knows the octal, hexadecimal and short forms.
        found = socket.getaddrinfo(host.rstrip("."), None, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return None
    return ip_address(found[0][4][0])


def _network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError:
        raise ConfigError(f"allow_networks: {text!r} is no network; expected one like 10.0.0.0/8") from None
