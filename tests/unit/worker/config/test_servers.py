"""Who can connect to a server that listens on an address."""

import pytest

from streamproc.worker.config.servers import is_loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "localhost"])
def test_loopback(host: str) -> None:
    """Only this machine."""
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "::", "10.0.0.1", "::ffff:10.0.0.1", "example.com", "localhost.example.com", "127.1", "[::1]", ""],
)
def test_not_loopback(host: str) -> None:
    """What is not surely loopback is taken for public."""
    assert not is_loopback(host)
