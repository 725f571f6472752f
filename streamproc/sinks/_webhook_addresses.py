"""Which addresses of the internet a request may go to that somebody else chose the target of.

For IPv4 everything is public that no special-purpose registry takes out; for IPv6 only what is in 2000::/3 and not
taken out there. An address that carries an IPv4 one (mapped, NAT64, 6to4) is judged by that one too, for it is where
the packets end up. The table is our own rather than `ipaddress.is_global`, whose meaning differs between the patch
releases of Python, and because one metadata service has a public address.

Source: the IANA special-purpose address registries (RFC 6890 and what updated it).
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final, TypeAlias

__all__ = ["Address", "Network", "why_refused"]

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_SPECIAL: Final = tuple(
    (ip_network(network), what)
    for what, networks in {
        "unspecified": ("0.0.0.0/8", "::/128"),
        "loopback": ("127.0.0.0/8", "::1/128"),
        "private": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
        "unique local": ("fc00::/7",),  # metadata of some clouds is among them: fd00:ec2::254, fd20:ce::254
        "carrier-grade NAT": ("100.64.0.0/10",),  # metadata of a cloud is among them: 100.100.100.200
        "a cloud's metadata": ("169.254.169.254/32", "169.254.170.2/32", "168.63.129.16/32"),
        "link-local": ("169.254.0.0/16", "fe80::/10"),
        "site-local": ("fec0::/10",),
        "multicast": ("224.0.0.0/4", "ff00::/8"),
        "for documentation": ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"),
        "for benchmarks": ("198.18.0.0/15",),
        "reserved": (
            *("192.0.0.0/24", "192.88.99.0/24", "240.0.0.0/4"),  # protocols, 6to4 relays, the future and broadcast
            "2001::/23",  # protocols, Teredo among them: its IPv4 address belongs to a relay of anybody's choice
        ),
    }.items()
    for network in networks
)
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_6TO4: Final = IPv6Network("2002::/16")
_GLOBAL: Final = IPv6Network("2000::/3")


def why_refused(address: Address, allowed: Sequence[Network] = ()) -> str | None:
    """What an address is, if no request may go there; None if one may.

    Args:
        allowed: networks that are public by decree.
    """
    if any(address in network for network in allowed):  # False for a network of the other version
        return None
    carried = _carried(address)
    if carried is not None:
        return why_refused(carried, allowed)
    for network, what in _SPECIAL:
        if address in network:
            return what
    return "reserved" if isinstance(address, IPv6Address) and address not in _GLOBAL else None


def _carried(address: Address) -> IPv4Address | None:
    """The IPv4 address inside an IPv6 one, where packets to the latter go."""
    if not isinstance(address, IPv6Address):
        return None
    if address in _MAPPED or address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return IPv4Address(int(address) >> 80 & 0xFFFF_FFFF) if address in _6TO4 else None
