"""Values that must not be seen."""

import copy
import pickle

import msgspec
import pytest
from msgspec import Struct

from streamproc.secret import MASK, Secret, SecretEndpoint, SecretUrl

CANARY = "kT3vQm9sXw2LbR8nYc5e"


class Holder(Struct):
    token: Secret
    tokens: tuple[Secret, ...] = ()


def test_a_secret_shows_a_mask_wherever_it_is_shown() -> None:
    """In reprs of what holds it, too."""
    secret = Secret(CANARY)
    shown = [repr(secret), str(secret), f"{secret}", f"{secret!r}", repr(Holder(secret, (secret,))), f"{[secret]}"]

    assert [text for text in shown if CANARY in text or MASK not in text] == []
    assert secret.reveal() == CANARY


def test_a_secret_is_not_encoded_by_accident() -> None:
    """An encoder that is not told what to do with it refuses."""
    with pytest.raises(TypeError):
        msgspec.json.encode(Holder(Secret(CANARY)))
    assert CANARY.encode() not in msgspec.json.encode(Holder(Secret(CANARY)), enc_hook=str)


def test_a_secret_is_not_pickled_or_copied() -> None:
    """A pickle would have it in the clear."""
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(Secret(CANARY))
    with pytest.raises(TypeError, match="cannot be pickled"):
        copy.copy(Secret(CANARY))


def test_secrets_are_equal_by_what_they_hold() -> None:
    """Half a surrogate pair in one is no error; other types are never equal."""
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("\ud800") == Secret("\ud800")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("https://api.example.com/v1/runs", "https://api.example.com/v1/runs"),
        (f"https://user:{CANARY}@api.example.com:8443/v1", "https://***@api.example.com:8443/v1"),
        (f"https://{CANARY}@api.example.com", "https://***@api.example.com/"),
        (f"https://api.example.com/v1?key={CANARY}#{CANARY}", "https://api.example.com/v1?***"),
        (f"http://user:{CANARY}@[::1]:80/x", "http://***@[::1]:80/x"),
        (f"postgresql://app:{CANARY}@db.example.com/runs", "postgresql://***@db.example.com/runs"),
        (f"http://{CANARY}:x", MASK),
        (f"user:{CANARY}", MASK),
        (CANARY, MASK),
        (f"http://[{CANARY}", MASK),
    ],
)
def test_a_url_shows_where_it_leads_and_nothing_else(url: str, masked: str) -> None:
    """What cannot be told apart is masked as a whole."""
    secret = SecretUrl(url)

    assert str(secret) == masked
    assert CANARY not in repr(secret)
    assert secret.reveal() == url


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        (f"https://hooks.example.com/services/{CANARY}", "https://hooks.example.com/***"),
        (f"https://hooks.example.com:8443/?key={CANARY}", "https://hooks.example.com:8443/***"),
        (f"https://user:{CANARY}@hooks.example.com/", "https://***@hooks.example.com"),
        ("https://hooks.example.com", "https://hooks.example.com"),
        (CANARY, MASK),
    ],
)
def test_an_endpoint_shows_its_host_alone(url: str, masked: str) -> None:
    """Its path may be the secret."""
    secret = SecretEndpoint(url)

    assert str(secret) == masked
    assert CANARY not in repr(secret)
    assert secret.reveal() == url
