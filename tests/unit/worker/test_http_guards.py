"""Guards of the HTTP servers: addresses, tokens, buckets."""

import pytest

from streamproc.errors import ConfigError
from streamproc.worker.http_guards import Buckets, Tokens, is_public

TOKENS = ("0123456789abcdef", "fedcba9876543210")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost", "LOCALHOST", "localhost.", "::1%lo"]
)
def test_addresses_of_this_machine(host: str) -> None:
    """However they are written."""
    assert not is_public(host)


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "::", "", "10.0.0.1", "192.168.0.1", "fe80::1%eth0", "example.org", "127.0.0.1.example.org", "127.1"],
)
def test_addresses_that_others_may_reach(host: str) -> None:
    """Among them all names, since they may come to mean another address, and spellings that are no address."""
    assert is_public(host)


def test_any_of_several_tokens() -> None:
    """With the scheme in any case, as HTTP has it."""
    tokens = Tokens(TOKENS)

    assert [tokens.allow(f"{scheme} {token}") for token in TOKENS for scheme in ("Bearer", "bearer")] == [True] * 4
    assert tokens


@pytest.mark.parametrize(
    "header",
    [
        *("", "Bearer", "Bearer ", TOKENS[0], f"Basic {TOKENS[0]}", f"Bearer {TOKENS[0][:-1]}"),
        *(f"Bearer {TOKENS[0]}x", f"Bearer {TOKENS[0].upper()}", f"Bearer {' '.join(TOKENS)}", "Bearer \udcff\u20ac"),
    ],
)
def test_what_is_no_token(header: str) -> None:
    """Nothing of it, more than it, and bytes that are no text."""
    assert not Tokens(TOKENS).allow(header)


def test_without_tokens_everybody_is_let_in() -> None:
    """Whatever they say."""
    assert Tokens().allow("")
    assert Tokens().allow("Bearer x")
    assert not Tokens()


@pytest.mark.parametrize("token", ["", "0123456789 abcdef", "0123456789äbcdef", "x" * 16 + "\n", "x\x00"])
def test_tokens_that_cannot_work(token: str) -> None:
    """Are named by their place, since the text is secret."""
    with pytest.raises(ConfigError, match=r"^token 2") as raised:
        Tokens([TOKENS[0], token])

    assert not token or token not in str(raised.value)


def test_a_bucket_fills_again() -> None:
    """As fast as it was told, and not beyond its size."""
    now_s = 0.0
    buckets = Buckets(2.0, 3, lambda: now_s)
    first = [buckets.take("a") for _ in range(4)]
    now_s = 0.25
    early = buckets.take("a")
    now_s = 0.5
    then = [buckets.take("a"), buckets.take("a")]
    now_s = 100.0
    later = [buckets.take("a") for _ in range(4)]

    assert first == later == [0.0, 0.0, 0.0, 0.5]
    assert (early, then) == (0.25, [0.0, 0.5])


def test_each_client_has_its_own_bucket() -> None:
    """One of IPv6 has a network to itself."""
    buckets = Buckets(1.0, 1, lambda: 0.0)
    taken = [buckets.take(client) for client in ("10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8:0:1::1", "")]
    again = [buckets.take(client) for client in ("10.0.0.1", "2001:db8::2", "")]

    assert taken == [0.0] * 5
    assert again == [1.0] * 3


def test_only_so_many_clients_are_remembered() -> None:
    """The one that asked least recently is forgotten."""
    buckets = Buckets(1.0, 1, lambda: 0.0)
    for number in range(10_000):
        buckets.take(str(number))
    before = buckets.take("0")
    buckets.take("new")

    assert (before, buckets.take("0"), buckets.take("1")) == (1.0, 1.0, 0.0)
