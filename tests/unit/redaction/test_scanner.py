"""One text: whole, and in parts."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.redaction.patterns import PATTERNS
from streamproc.redaction.rules import Redaction
from streamproc.redaction.scanner import Scanner, redacted, released
from tests.unit.redaction.examples import CANARIES, INNOCENT, RANDOM, Canary, pieces

RULES = Redaction().rules
OWN = Redaction(
    expressions={"mine": r"corp-[a-z]+", "card": r"\b\d{4}-\d{4}\b", "never": r"zq[a-z]{0,40}#"}, window_chars=20
).rules
MAIL = Redaction(patterns=tuple(PATTERNS), truncate_chars=40).rules
NONE = Redaction(keys=(), patterns=()).rules


@pytest.mark.parametrize("canary", CANARIES.values(), ids=CANARIES)
def test_secret_is_masked(canary: Canary) -> None:
    assert canary.shown == redacted(RULES, canary.text)
    assert redacted(RULES, canary.shown) == canary.shown


@pytest.mark.parametrize("canary", CANARIES.values(), ids=CANARIES)
@pytest.mark.parametrize("before", ["say: ", "line\n", r"{\"x\":\"line\n", r"a\u003d", "a%3D", "[", "_"])
def test_secret_is_masked_behind(canary: Canary, before: str) -> None:
    """An escape ends in a letter or a digit, which is no part of what comes after it."""
    assert f"{before}{canary.shown}" == redacted(RULES, before + canary.text)


@pytest.mark.parametrize("canary", CANARIES.values(), ids=CANARIES)
def test_secret_split_anywhere_in_three(canary: Canary) -> None:
    """No part shows 8 characters of it in a row, and together they are a beginning of the whole."""
    text, size = f"see {canary.text} ok", len(canary.text) + 8
    whole = redacted(RULES, text)
    secret = pieces(canary.secret)
    for first in range(1, size):
        for second in {first, first + 1, min(first + 7, size), (first + size) // 2}:
            scanner = Scanner(RULES)
            shown = ""
            for part in (text[:first], text[first:second], text[second:]):
                shown += scanner.feed(part)
                assert not secret & pieces(shown)
                assert whole.startswith(shown)
            assert whole == shown + scanner.feed("", at_end=True)


@pytest.mark.parametrize("text", INNOCENT)
def test_innocent_text_stays(text: str) -> None:
    assert text == redacted(RULES, text)


@pytest.mark.parametrize("canary", [one for one in CANARIES.values() if one.secret.startswith(("sk-", "gh", "AI"))])
def test_secret_that_the_end_cuts_off_is_masked(canary: Canary) -> None:
    assert f"[redacted:{canary.name}]" == redacted(RULES, canary.secret[:-6])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"password": 12.5e3, "x": 1}', '{"password": "[redacted:key]", "x": 1}'),
        ('{"secret": [1, {"a": "]"}], "x": 1}', '{"secret": "[redacted:key]", "x": 1}'),
        (r'{"secret": {"a": "\"}"}, "x": 1}', '{"secret": "[redacted:key]", "x": 1}'),
        ("{'secret': {'a': '\"}'}, 'x': 1}", "{'secret': '[redacted:key]', 'x': 1}"),
        (r"{\"token\": {\"a\": \"x\\\"}\"}, \"x\": 1}", r"{\"token\": \"[redacted:key]\", \"x\": 1}"),
        ('{"api.key":"", "x": 1}', '{"api.key":"[redacted:key]", "x": 1}'),
        ('{"password": "unfinished', '{"password": "[redacted:key]'),
        (r'{"password": "unfinished\\\\', '{"password": "[redacted:key]'),
        ('{"password": {"unfinished', '{"password": "[redacted:key]"'),
        ('{"password": true, "cookie": null}', '{"password": true, "cookie": null}'),
        ("https://x/?api_key=abc&b=1", "https://x/?api_key=[redacted:key]&b=1"),
        ("https://a:b@c https://d:e@f", "https://a:[redacted:url_password]@c https://d:[redacted:url_password]@f"),
        (r"sig=" + RANDOM[:20] + r"\u002Babc\u0026x=1", r"sig=[redacted:azure_key]\u0026x=1"),
        (r"Bearer " + RANDOM[:20] + r"\/abc\"", r"Bearer [redacted:bearer]\""),
        ("-----BEGIN PRIVATE KEY-----\nabc{", "[redacted:private_key]{"),
        ("-----BEGIN PRIVATE KEY-----\nabc", "[redacted:private_key]"),
    ],
)
def test_text_as_it_is_shown(text: str, shown: str) -> None:
    assert shown == redacted(RULES, text)
    assert shown == redacted(RULES, shown)
    for at in range(len(text)):
        scanner = Scanner(RULES)
        assert shown == scanner.feed(text[:at]) + scanner.feed(text[at:]) + scanner.feed("", at_end=True)


def test_backslashes_that_go_on_cost_no_memory() -> None:
    """Of many backslashes in a string only those are kept that say something of a quote behind them."""
    scanner = Scanner(RULES)
    scanner.feed('{"password": "')
    for _ in range(1_000):
        scanner.feed("\\" * 8)

    assert len(scanner._kept) < 32
    assert scanner.feed('", "x": 1}') == '", "x": 1}'


def test_expressions_of_the_user() -> None:
    text = f"corp-abc, 1234-5678, zqab#, zq and corp-{'a' * 30}!x y, {RANDOM}"

    expected = "[redacted:mine], [redacted:card], [redacted:never], zq and [redacted:mine] y, " + RANDOM
    assert expected == redacted(OWN, text)
    assert expected == redacted(OWN, expected)


def test_expression_that_needs_more_than_the_window() -> None:
    """It is judged by so many characters, whether more are there or not."""
    text = f"zq{'a' * 30}# zqa#"

    assert f"zq{'a' * 30}# [redacted:never]" == redacted(OWN, text)


def test_expression_that_matches_nothing_at_some_places() -> None:
    rules = Redaction(expressions={"digits": r"(?<=x)\d*"}).rules

    assert redacted(rules, "x y x12 z") == "x y x[redacted:digits] z"


def test_no_rules_change_nothing() -> None:
    assert "".join(INNOCENT) == released(NONE, "".join(INNOCENT))
    assert CANARIES["jwt"].text == redacted(NONE, CANARIES["jwt"].text)


def test_mail_is_masked_where_it_is_asked_for() -> None:
    assert redacted(MAIL, "some.body+x@mail.example.org or not") == "[redacted:email] or not"


def test_truncation() -> None:
    assert redacted(MAIL, "a" * 40) == "a" * 40
    assert redacted(MAIL, "a" * 41) == "a" * 40 + "[truncated]"
    assert redacted(MAIL, "a" * 40 + "[truncated]") == "a" * 40 + "[truncated]"
    assert redacted(MAIL, "a" * 60, is_cut=False) == "a" * 60


parts = st.lists(
    st.one_of(
        st.sampled_from([canary.text for canary in CANARIES.values()]),
        st.sampled_from(INNOCENT),
        st.text("sk-\"'\\ :={}[]@/.eyJa1u0\n", max_size=12),
        st.sampled_from(
            ["corp-abc", "corp-" + "ab" * 15, "1234-5678", "zq", "[redacted:mine]", "[redacted:key]", "[re"]
        ),
    ),
    max_size=5,
).map("".join)


@pytest.mark.parametrize("rules", [RULES, OWN, MAIL], ids=["default", "own", "mail"])
@given(parts, st.lists(st.integers(1, 40), min_size=1, max_size=12))
def test_parts_show_what_the_whole_shows(rules: object, text: str, sizes: list[int]) -> None:
    """What has been shown follows from the text so far, however it came, and is a beginning of all of it."""
    chosen = {id(one): one for one in (RULES, OWN, MAIL)}[id(rules)]
    whole = redacted(chosen, text)
    scanner, shown, at = Scanner(chosen), "", 0
    while at < len(text):
        size = sizes[at % len(sizes)]
        shown += scanner.feed(text[at : at + size])
        at += size
        assert released(chosen, text[:at]) == shown
    assert whole == shown + scanner.feed("", at_end=True)
    if chosen is RULES:
        assert whole == redacted(chosen, whole)


HOSTILE = {
    "jwt headers": "-eyJ" * 250_000,
    "one jwt header": "eyJ" + "a" * 1_000_000,
    "urls": "://" * 330_000,
    "users": "://a:" * 200_000,
    "key names": '"password' * 110_000,
    "open strings": '"password": "' * 80_000,
    "spaces": "password" + " " * 1_000_000,
    "backslashes": "\\" * 1_000_000,
    "a string of backslashes": '{"password": "' + "\\" * 1_000_000,
    "brackets": '{"password": ' + "[" * 1_000_000,
    "begin lines": "-----BEGIN " * 90_000,
    "a key without an end": "-----BEGIN PRIVATE KEY-----" + "-----END " * 100_000,
    "secret names": "secret_access_key=" * 55_000,
    "hyphens": "sk-" * 330_000,
    "hyphenated": "sk-a-" * 200_000,
    "mail": "a@" * 500_000,
    "dots": "a.b@c." * 160_000,
    "bearers": "bearer " * 140_000,
    "basics": "basic abcdefghijkl " * 50_000,
    "signatures": "sig=" * 250_000,
    "masks": "[redacted:" * 100_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_megabyte_takes_linear_time(text: str) -> None:
    """Twice the text takes about twice the time, and a megabyte no long one."""
    rules = Redaction(patterns=tuple(PATTERNS)).rules
    began = time.perf_counter()
    redacted(rules, text[: len(text) // 4])
    quarter_s = time.perf_counter() - began
    began = time.perf_counter()
    redacted(rules, text)
    whole_s = time.perf_counter() - began

    assert whole_s < max(0.5, 12 * quarter_s)
