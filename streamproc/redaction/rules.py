"""Redaction: what is a secret, and what is shown in its place. Immutable; made once, and shared by whoever redacts."""

import re
from functools import lru_cache
from typing import Annotated, Final

from msgspec import Meta, Struct

from streamproc.errors import ConfigError
from streamproc.redaction.keys import KEY_MASK, begun_keys, found_keys, key_test, longest_key
from streamproc.redaction.patterns import DEFAULT_PATTERNS, PATTERNS
from streamproc.redaction.shapes import Branch, Shape, any_of, begun, found, longest

__all__ = ["DEFAULT_KEYS", "Redaction", "Rules", "mask_of"]

DEFAULT_KEYS: Final = (
    *("password", "passwd", "passphrase", "secret", "secret_key", "secret_access_key", "private_key"),
    *("api_key", "access_key", "account_key", "token", "authorization", "cookie", "credentials", "connection_string"),
)
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_KEY: Final = re.compile(r"[-._]{0,8}[A-Za-z0-9][A-Za-z0-9-._]{0,60}")
_EXPRESSION_MAX: Final = 1_000
_MASK_MAX: Final = 64


class Redaction(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is masked in texts before a sink or a log sees them.

    Raises:
        ConfigError: a pattern is not known, an expression is none or matches an empty text, a value is out of range.
    """

    keys: Annotated[
        tuple[str, ...],
        Meta(description="names of JSON members whose values are masked; `api_key` is `API-Key` and `myApiKey`, too"),
    ] = DEFAULT_KEYS
    more_keys: Annotated[tuple[str, ...], Meta(description="beside `keys`")] = ()
    patterns: Annotated[
        tuple[str, ...],
        Meta(description="which known kinds of secret are masked"),
    ] = DEFAULT_PATTERNS
    more_patterns: Annotated[tuple[str, ...], Meta(description='beside `patterns`; there is `"email"`')] = ()
    expressions: Annotated[
        dict[str, str],
        Meta(description="regular expressions of your own: the name in the mask, and what is masked"),
    ] = {}
    window_chars: Annotated[
        int,
        Meta(ge=1, le=4096, description="how long a match of `expressions` is at most; so much is held back"),
    ] = 128
    truncate_chars: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="longer texts are cut at so many characters; none is unless given"),
    ] = None

    def __post_init__(self) -> None:
        for field in ("patterns", "more_patterns"):
            if unknown := [name for name in getattr(self, field) if name not in PATTERNS]:
                raise ConfigError(f"{field} is {unknown[0]!r}; expected any of {', '.join(PATTERNS)}")
        for field in ("keys", "more_keys"):
            if wrong := [key for key in getattr(self, field) if not _KEY.fullmatch(key)]:
                raise ConfigError(f"{field} is {wrong[0][:64]!r}; expected a name, of letters, digits, - . and _")
        for name, expression in self.expressions.items():
            _check(name, expression)
        if not 1 <= self.window_chars <= 4096:
            raise ConfigError(f"window_chars is {self.window_chars}; expected 1 to 4096 characters")
        if self.truncate_chars is not None and self.truncate_chars < 1:
            raise ConfigError(f"truncate_chars is {self.truncate_chars}; expected 1 or more characters")

    @property
    def rules(self) -> "Rules":
        """The same, ready to be used."""
        keys, patterns = (*self.keys, *self.more_keys), (*self.patterns, *self.more_patterns)
        return _rules(keys, patterns, (*self.expressions.items(),), self.window_chars, self.truncate_chars)


class Rules:
    """What a `Redaction` says, as compiled expressions.

    Attributes:
        find, find_at_end: the next secret; the latter where no more text comes.
        begun: what reaches the end of a text and may become a secret.
        reach: how long that can be.
        shapes: group of an expression -> what it found.
        own: the user's expressions with their masks, each reading `window` characters at most.
        is_key: whether the value of a member of this name is masked.
        held: how much is held back for the sake of `own`; 0 without any.
        truncate: characters of a text that are shown; None for all.
    """

    def __init__(
        self,
        keys: tuple[str, ...],
        shapes: tuple[Shape, ...],
        own: tuple[tuple[str, str], ...],
        window: int,
        cut: int | None,
    ) -> None:
        self.shapes = {f"s{number}": shape for number, shape in enumerate(shapes)}
        first = found_keys(keys)
        if own:
            masks = {KEY_MASK, *(mask_of(shape.name) for shape in shapes), *(mask_of(name) for name, _ in own)}
            known = "|".join(re.escape(mask[1:]) for mask in sorted(masks))
            first.insert(0, Branch("none", r"\[", f"(?P<mask>{known})"))
        self.find, self.find_at_end = (
            any_of([*first, *(found(shape, group, at_end=at_end) for group, shape in self.shapes.items())])
            for at_end in (False, True)
        )
        self.begun = any_of([*begun_keys(keys), *map(begun, shapes)])
        self.is_key = key_test(keys)
        self.own = [(re.compile(expression), mask_of(name)) for name, expression in own]
        self.window = window
        self.held = max(window, _MASK_MAX) if own else 0  # a mask is looked at as a whole
        self.reach = max([longest_key(keys), *map(longest, shapes)])
        self.truncate = cut


def mask_of(name: str) -> str:
    """What is shown in place of a secret of this name."""
    return f"[redacted:{name}]"


@lru_cache(maxsize=64)
def _rules(
    keys: tuple[str, ...], patterns: tuple[str, ...], own: tuple[tuple[str, str], ...], window: int, cut: int | None
) -> Rules:
    ordered = tuple(shape for name, shapes in PATTERNS.items() if name in patterns for shape in shapes)
    return Rules(keys, ordered, own, window, cut)


def _check(name: str, expression: str) -> None:
    """
    Raises:
        ConfigError: this cannot be an expression of the user's.
    """
    if not _NAME.fullmatch(name) or name in PATTERNS or name == "key":
        raise ConfigError(
            f"expressions is {name!r}; expected a name of its own: small letters, digits and _, at most 40 characters"
        )
    if len(expression) > _EXPRESSION_MAX:
        raise ConfigError(f"expressions: {name} is longer than {_EXPRESSION_MAX} characters")
    try:
        compiled = re.compile(expression)
    except (re.error, RecursionError, OverflowError) as error:
        raise ConfigError(f"expressions: {name} is no regular expression: {error}") from None
    if compiled.search(""):
        raise ConfigError(f"expressions: {name} matches an empty text, so it would match everywhere")
