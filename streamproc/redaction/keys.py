r"""Members whose values are masked by their names, in JSON that is inside of a text: tool arguments, code, logs.

A name is told whatever its case and the punctuation between its words, also as the end of a longer name: `api_key` is
`API-Key`, `apiKey` and `OPENAI_API_KEY`, but not `monkeyapikey`. The text may be JSON in JSON: quotes with 1, 3 or 7
backslashes before them belong together. Beside `"name": value`, `name=value` is looked for, and `name = "value"`.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

from streamproc.redaction.shapes import Branch, any_of, cased

__all__ = ["KEY_MASK", "begun_keys", "found_keys", "key_test", "longest_key", "words_of"]

KEY_MASK: Final = "[redacted:key]"

_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_BETWEEN: Final = "[_. -]?"
_QUOTE: Final = r"(?:\\{7}|\\{3}|\\)?[\"']"
_BARE: Final = r"[^\s=&;,\"'\\<>()\[\]{}|]"
_SPACES: Final = r"\s{0,8}+"
_FEW_SPACES: Final = r"\s{0,3}+"
_SLASHES: Final = r"\\{0,7}+"
_AROUND: Final = 64  # more than quotes, spaces and a colon come to

_VALUE: Final = (
    rf"(?:(?P<quote>{_QUOTE}){_SPACES}:{_SPACES}(?:(?P<text>(?P=quote))|(?P<number>-?[0-9])|(?P<many>[\[{{]))"
    rf"|{_FEW_SPACES}={_FEW_SPACES}(?P<set>{_QUOTE})|=(?P<bare>{_BARE}))"
)
_VALUE_BEGUN: Final = (
    rf"(?:{_SLASHES}(?:\Z|[\"']{_SPACES}(?:\Z|:{_SPACES}{_SLASHES}\Z))|{_FEW_SPACES}(?:\Z|={_FEW_SPACES}{_SLASHES}\Z))"
)


def words_of(key: str) -> list[str]:
    """The words of a name, in small letters."""
    return [word.lower() for word in _WORDS.findall(key)]


def found_keys(keys: Sequence[str]) -> list[Branch]:
    """The expression for what comes before a value that is to be masked; the last group tells what kind it is."""
    if not keys:
        return []
    firsts = "".join(dict.fromkeys(cased(words_of(key)[0][0]) for key in keys))
    return [Branch("name", firsts, "(?:" + "|".join(map(_name, keys)) + ")" + _VALUE)]


def begun_keys(keys: Sequence[str]) -> list[Branch]:
    """The expressions for the end of a text in which such a member may begin."""
    return [Branch("name", cased(words_of(key)[0][0]), rf"(?:\Z|{_begun(words_of(key))})") for key in keys]


def longest_key(keys: Sequence[str]) -> int:
    """How long something unfinished can be."""
    return max((2 * len(key) + _AROUND for key in keys), default=0)


def key_test(keys: Sequence[str]) -> Callable[[str], object]:
    """The function that tells whether the value of a member of some name is masked."""
    firsts = {key: cased(words_of(key)[0][0]) for key in keys}
    search = any_of(Branch("name", firsts[key], rf"{_name(key)}\Z") for key in keys).search
    return lru_cache(maxsize=4096)(search)


def _name(key: str) -> str:
    """A name; the first character stands before, and is looked at again."""
    chars = [[f"[{cased(char)}]" for char in word] for word in words_of(key)]
    first = chars[0].pop(0)
    return f"(?<={first})" + _BETWEEN.join(map("".join, chars))


def _begun(words: Sequence[str]) -> str:
    """What may come after the first character of a name."""
    after = _VALUE_BEGUN
    chars = [(char, number and not position) for number, word in enumerate(words) for position, char in enumerate(word)]
    for number, (char, is_next_word) in reversed([*enumerate(chars)][1:]):
        ending = after if number == len(chars) - 1 else rf"(?:\Z|{after})"
        after = f"{_BETWEEN if is_next_word else ''}[{cased(char)}]{ending}"
        if is_next_word:
            after = rf"(?:{_BETWEEN}\Z|{after})"
    return after
