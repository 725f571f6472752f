"""Which rules there can be."""

import pytest

from streamproc.errors import ConfigError
from streamproc.redaction import DEFAULT_KEYS, DEFAULT_PATTERNS, Redaction
from streamproc.redaction.scanner import redacted


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"patterns": ("jwts",)}, "patterns is 'jwts'; expected any of anthropic_key, "),
        ({"more_patterns": ("mail",)}, "more_patterns is 'mail'; "),
        ({"keys": ("",)}, "keys is ''; expected a name, of letters, digits"),
        ({"more_keys": ("contraseña",)}, "more_keys is 'contraseña'; "),
        ({"keys": ("a" * 99,)}, f"keys is '{'a' * 64}'; "),
        ({"expressions": {"Mine": "x"}}, "expressions is 'Mine'; expected a name of its own"),
        ({"expressions": {"jwt": "x"}}, "expressions is 'jwt'; "),
        ({"expressions": {"key": "x"}}, "expressions is 'key'; "),
        ({"expressions": {"a": "x" * 1001}}, "expressions: a is longer than 1000 characters"),
        ({"expressions": {"a": "("}}, "expressions: a is no regular expression: "),
        ({"expressions": {"a": "x*"}}, "expressions: a matches an empty text"),
        ({"window_chars": 0}, "window_chars is 0; "),
        ({"window_chars": 4097}, "window_chars is 4097; "),
        ({"truncate_chars": 0}, "truncate_chars is 0; "),
    ],
)
def test_mistake(options: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Redaction(**options)  # type: ignore[arg-type]

    assert str(caught.value).startswith(told)


def test_more_beside_the_known_ones() -> None:
    rules = Redaction(more_keys=("account-no",), more_patterns=("email",)).rules

    assert (
        redacted(rules, '{"accountNo": 12, "token": "x"}')
        == '{"accountNo": "[redacted:key]", "token": "[redacted:key]"}'
    )
    assert redacted(rules, "a@b.example") == "[redacted:email]"


@pytest.mark.parametrize("key", DEFAULT_KEYS)
def test_known_key_in_any_spelling(key: str) -> None:
    """As the name of a member, and in a text; the same rule for both."""
    rules = Redaction().rules
    words = key.split("_")
    camel = words[0] + "".join(map(str.capitalize, words[1:]))
    for name in (key, key.upper(), key.replace("_", "-"), key.replace("_", "."), camel, f"x_{key}", f"x-{key}"):
        assert rules.is_key(name)
        assert f'"{name}": "[redacted:key]"' == redacted(rules, f'"{name}": "v"')
    others = any(other in key for other in DEFAULT_KEYS if other != key)  # `secret_access_key` has `access_key` in it
    for name in () if others else (f"x{key}", f"{key}s", f"{key}_x"):
        assert not rules.is_key(name)
        assert f'"{name}": "v"' == redacted(rules, f'"{name}": "v"')


def test_name_within_a_name() -> None:
    rules = Redaction().rules

    assert rules.is_key("dbPassword")
    assert not rules.is_key("dbpassword")


def test_mail_is_not_among_the_usual_ones() -> None:
    assert "email" not in DEFAULT_PATTERNS


def test_rules_are_made_once() -> None:
    assert Redaction().rules is Redaction().rules
