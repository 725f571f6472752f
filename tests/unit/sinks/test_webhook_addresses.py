"""Which addresses are public."""

from ipaddress import ip_address, ip_network

import pytest

from streamproc.sinks._webhook_addresses import why_refused

REFUSED = {
    "0.0.0.0": "unspecified",
    "0.1.2.3": "unspecified",
    "10.0.0.1": "private",
    "10.255.255.255": "private",
    "100.64.0.1": "carrier-grade NAT",
    "100.100.100.200": "carrier-grade NAT",
    "100.127.255.255": "carrier-grade NAT",
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "168.63.129.16": "a cloud's metadata",
    "169.254.0.1": "link-local",
    "169.254.169.254": "a cloud's metadata",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.0.0.192": "reserved",
    "192.0.2.1": "for documentation",
    "192.88.99.1": "reserved",
    "192.168.0.1": "private",
    "198.18.0.1": "for benchmarks",
    "198.19.255.255": "for benchmarks",
    "203.0.113.9": "for documentation",
    "224.0.0.1": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.255": "reserved",
    "::": "unspecified",
    "::1": "loopback",
    "::127.0.0.1": "reserved",  # IPv4-compatible, long gone
    "::ffff:127.0.0.1": "loopback",
    "::ffff:169.254.169.254": "a cloud's metadata",
    "::ffff:0:127.0.0.1": "reserved",  # IPv4-translated
    "64:ff9b::10.0.0.1": "private",
    "64:ff9b:1::10.0.0.1": "reserved",
    "100::1": "reserved",
    "2001::1": "reserved",
    "2001:0:7f00:1::": "reserved",  # Teredo
    "2001:db8::1": "for documentation",
    "2002:7f00:1::": "loopback",
    "2002:a9fe:a9fe::1": "a cloud's metadata",
    "3fff::1": "for documentation",
    "4000::1": "reserved",
    "fc00::1": "unique local",
    "fd00:ec2::254": "unique local",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local",
    "fec0::1": "site-local",
    "ff02::1": "multicast",
}
PUBLIC = [
    *("1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255"),
    *("128.0.0.0", "168.63.129.17", "169.253.255.255", "172.15.255.255", "172.32.0.0", "192.167.255.255"),
    *("192.169.0.0", "223.255.255.255", "2001:200::1", "2606:4700:4700::1111", "2a00::1"),
    *("::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"),
]


@pytest.mark.parametrize(("address", "what"), REFUSED.items())
def test_addresses_that_are_not_public(address: str, what: str) -> None:
    assert why_refused(ip_address(address)) == what


@pytest.mark.parametrize("address", PUBLIC)
def test_addresses_that_are_public(address: str) -> None:
    """The neighbours of what is refused among them."""
    assert why_refused(ip_address(address)) is None


@pytest.mark.parametrize(
    ("address", "network", "what"),
    [
        ("10.1.2.3", "10.1.0.0/16", None),
        ("10.2.2.3", "10.1.0.0/16", "private"),
        ("::ffff:10.1.2.3", "10.1.0.0/16", None),
        ("64:ff9b::10.1.2.3", "10.1.0.0/16", None),
        ("64:ff9b::10.1.2.3", "64:ff9b::/96", None),
        ("169.254.169.254", "10.1.0.0/16", "a cloud's metadata"),
        ("fd00::1", "fd00::/8", None),
        ("fd00::1", "0.0.0.0/0", "unique local"),
        ("::1", "127.0.0.0/8", "loopback"),
    ],
)
def test_networks_that_are_allowed(address: str, network: str, what: str | None) -> None:
    """An address is judged by its network, one that carries another by that one's too."""
    assert why_refused(ip_address(address), [ip_network(network)]) == what
