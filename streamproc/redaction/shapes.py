r"""What a secret looks like, as a sequence of literals and runs, and the expressions that are made of it.

One finds secrets; the other tells whether the end of a text may be the beginning of one, which is what a text that
still grows has to hold back. The second follows from the first only where a shape is as plain as these: each part has
an upper bound, so looking at a position costs a bounded number of steps, whatever the text.

Both are put together so that most characters cost next to nothing: a class of all first characters, then whether a
secret may begin there at all, then one branch for each first character.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final, Literal, TypeAlias

from msgspec import Struct

__all__ = [
    "CUT_LEAST",
    "Border",
    "Branch",
    "Lit",
    "Part",
    "Run",
    "Shape",
    "any_of",
    "begun",
    "cased",
    "found",
    "longest",
]

CUT_LEAST: Final = 8
"""So many characters of a secret that the end of a text cuts off are enough to mask it."""

Border: TypeAlias = Literal["none", "word", "name"]
"""Where it may begin: anywhere · where no letter or digit stands before it, unless that is the end of an escape (`\\n`,
`\\u003d`, `%3D`) · there too, and at a capital letter within a name."""

_WORD: Final = r"(?<![A-Za-z0-9][\s\S])|(?<=\\[nrtbf][\s\S])|(?<=\\u[0-9A-Fa-f]{4}[\s\S])|(?<=%[0-9A-Fa-f]{2}[\s\S])"
_BORDERS: Final[dict[Border, str]] = {"none": "", "word": f"(?:{_WORD})", "name": f"(?:{_WORD}|(?<=[a-z][A-Z]))"}
"""Each looked at from behind the first character."""


class Lit(Struct, frozen=True):
    """A text that stands there as it is."""

    text: str
    any_case: bool = False


class Run(Struct, frozen=True):
    """So many characters of a class, as many as there are; `chars` is what stands in the brackets."""

    chars: str
    least: int
    most: int
    gives_back: bool = False  # whether what comes next may consist of the same characters


Part: TypeAlias = Lit | Run


class Shape(Struct, frozen=True, kw_only=True):
    """One way in which a secret is spelled."""

    name: str  # in its mask
    lead: tuple[Part, ...]
    shown: bool = False  # whether the lead stays, so that a reader sees what was there
    body: Run  # the secret, as far as it has to be read to be sure
    needs: str = ""  # an expression that the body fulfils, looked at from its beginning
    after: str = ""  # an expression that follows the body, which then is read as a whole
    rest: str = ""  # the class of what goes on after the body and is masked with it
    border: Border = "word"
    cut: bool = True  # whether a beginning of it at the end of a text is masked


class Branch(Struct, frozen=True):
    """An expression, with its first character apart."""

    border: Border
    first: str  # the class of it
    rest: str


def any_of(branches: Iterable[Branch]) -> re.Pattern[str]:
    """Compile what any of the branches matches, the first ones before the others."""
    groups: dict[Border, dict[str, list[str]]] = {}
    for branch in branches:
        groups.setdefault(branch.border, {}).setdefault(branch.first, []).append(branch.rest)
    if not groups:
        return re.compile("(?!)")
    firsts = "".join(dict.fromkeys(first for group in groups.values() for first in group))
    by_border = [
        _BORDERS[border]
        + "(?:"
        + "|".join(f"(?<=[{first}])(?:{'|'.join(rests)})" for first, rests in group.items())
        + ")"
        for border, group in groups.items()
    ]
    return re.compile(f"[{firsts}](?:{'|'.join(by_border)})")


def found(shape: Shape, group: str, *, at_end: bool) -> Branch:
    """The expression for a whole secret; `group` is around its body.

    Args:
        at_end: whether the end of the text is that of the whole text, so that a secret may be cut off there.
    """
    needs = f"(?={shape.needs})" if shape.needs else ""
    body = needs + _run(shape.body) + (f"(?={shape.after})" if shape.after else "")
    if at_end and shape.cut and shape.body.least > CUT_LEAST:
        body = rf"(?:{body}|{needs}[{shape.body.chars}]{{{CUT_LEAST},{shape.body.most}}}+\Z)"
    first, lead = _without_first(shape.lead)
    return Branch(shape.border, first, "".join(map(_part, lead)) + f"(?P<{group}>{body})")


def begun(shape: Shape) -> Branch:
    """The expression for what reaches the end of a text and may become such a secret, or a longer one.

    Whatever begins something that it matches is matched too: else more would become visible than turns out right.
    """
    first, lead = _without_first(shape.lead)
    return Branch(shape.border, first, rf"(?:\Z|{_begun([*lead, shape.body], shape)})")


def longest(shape: Shape) -> int:
    """How long something unfinished can be."""
    return sum(len(part.text) if isinstance(part, Lit) else part.most for part in (*shape.lead, shape.body))


def cased(char: str) -> str:
    """The class of a character, a letter in either case."""
    return char.lower() + char.upper() if char.isalpha() else re.escape(char)


def _without_first(lead: Sequence[Part]) -> tuple[str, list[Part]]:
    """The class of the first character, and what comes after it."""
    part, *others = lead
    if isinstance(part, Run):
        return part.chars, [Run(part.chars, part.least - 1, part.most - 1, part.gives_back), *others]
    first = cased(part.text[0]) if part.any_case else re.escape(part.text[0])
    return first, [Lit(part.text[1:], part.any_case), *others]


def _part(part: Part) -> str:
    return "".join(_chars(part)) if isinstance(part, Lit) else _run(part)


def _chars(part: Lit) -> list[str]:
    return [f"[{cased(char)}]" if part.any_case and char.isalpha() else re.escape(char) for char in part.text]


def _run(run: Run) -> str:
    return f"[{run.chars}]{{{run.least},{run.most}}}{'' if run.gives_back else '+'}"


def _begun(parts: Sequence[Part], shape: Shape) -> str:
    """What is there of these parts when the text ends somewhere in them."""
    first, *others = parts
    if isinstance(first, Lit):
        after = _begun(others, shape)
        for char in reversed(_chars(first)):
            after = rf"{char}(?:\Z|{after})"
        return after
    most = first.most if others or shape.after else first.most - 1  # with so many it is one
    ends = rf"[{first.chars}]{{0,{most}}}+\Z"
    return rf"(?:{ends}|{_run(first)}(?:\Z|{_begun(others, shape)}))" if others else ends
