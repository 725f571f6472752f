"""Scanner: one text with its secrets masked, also while it grows.

The rules of the game:

* What comes out depends on the text alone, never on how it was cut. So the parts of a text, redacted one after the
  other, are a beginning of the redacted text, and it can be told from a text what has been shown of it.
* A secret is masked as soon as it is sure that it is one, and the rest of it is swallowed. What may become one is held
  back. Neither is ever longer than `Rules.reach`, so a part costs its own size and a bounded look back.
* What was masked stays as it is when it is redacted again.
"""

import re
from typing import Final

from streamproc.redaction.keys import KEY_MASK
from streamproc.redaction.patterns import PEM
from streamproc.redaction.rules import Rules, mask_of
from streamproc.redaction.swallowing import Bracketed, Pem, Quoted, Swallowing, rest_of

__all__ = ["CUT_MARK", "Scanner", "redacted", "released"]

CUT_MARK: Final = "[truncated]"

_BACK: Final = 6  # characters before a position that say whether a secret may begin there
_NUMBER: Final = "A-Za-z0-9+.-"
_BARE: Final = r"^\s&;,\"'\\<>()\[\]{}|"
_TOKEN: Final = r"^\s\"'<>"


class Scanner:
    """Redacts one text.

    Attributes:
        fed: characters that went in.
        shown: characters that came out.
    """

    __slots__ = ("_at", "_bound", "_is_cut", "_kept", "_rules", "_swallowing", "fed", "shown")

    def __init__(self, rules: Rules, *, is_cut: bool = True) -> None:
        self._rules = rules
        self._bound = rules.truncate if is_cut else None
        self._kept = ""  # the end of what went in: some of what is done with, for looking back, and what is held back
        self._at = 0  # where the latter begins
        self._swallowing: Swallowing | None = None
        self._is_cut = False
        self.fed = 0
        self.shown = 0

    def feed(self, text: str, *, at_end: bool = False) -> str:
        """Take the next part of the text, the last one with `at_end`; returns what can be shown now."""
        self.fed += len(text)
        rules, pos = self._rules, self._at
        whole = self._kept + text if self._kept else text
        end = len(whole)
        find = rules.find_at_end if at_end else rules.find
        out: list[str] = []
        hold = own = -1
        found: tuple[int, int, str] | None = None
        while True:
            if self._swallowing is not None:
                pos, is_all = self._swallowing.end(whole, pos)
                if not is_all:
                    break
                self._swallowing = None
            if hold < pos:
                hold = end if at_end else self._held(whole, pos)
            match = find.search(whole, pos)
            start = end if match is None else match.start()
            if rules.own and own < pos:
                found = self._own(whole, pos)
                own = end if found is None else found[0]
            if found is not None and own < min(start, hold):
                out += whole[pos:own], found[2]
                pos = found[1]
                if pos - own >= rules.window:
                    self._swallowing = rest_of(_TOKEN)
            elif match is None or start >= hold:
                out.append(whole[pos:hold])
                pos = hold
                break
            else:
                out.append(whole[pos:start])
                pos = self._take(match, out)
        self._at = min(pos, _BACK)
        self._kept = whole[pos - self._at :]
        return self._cut("".join(out))

    def _held(self, whole: str, pos: int) -> int:
        """From where on a text that still grows may become something else."""
        rules = self._rules
        begun = rules.begun.search(whole, max(pos, len(whole) - rules.reach))
        hold = len(whole) if begun is None else begun.start()
        return max(pos, min(hold, len(whole) - rules.held + 1)) if rules.own else hold

    def _own(self, whole: str, pos: int) -> tuple[int, int, str] | None:
        """The next match of the user's expressions: from, to, and the mask. Each reads `window` characters at most."""
        best: tuple[int, int, str] | None = None
        for expression, mask in self._rules.own:
            start = pos
            while (match := expression.search(whole, start)) and (best is None or match.start() < best[0]):
                start = match.start()
                match = expression.match(whole, start, min(start + self._rules.window, len(whole)))
                if match is not None and match.end() > start:
                    best = start, match.end(), mask
                    break
                start += 1
        return best

    def _take(self, match: re.Match[str], out: list[str]) -> int:
        """Show what may be shown of a secret; returns from where on the rest of it is swallowed."""
        text, group = match.string, match.lastgroup or ""
        shape = self._rules.shapes.get(group)
        if shape is not None:
            if shape.shown:
                out.append(text[match.start() : match.start(group)])
            out.append(mask_of(shape.name))
            if not shape.after:
                self._swallowing = Pem() if shape.rest == PEM else rest_of(shape.rest)
            return match.end()
        if group == "mask":
            out.append(match[0])
            return match.end()
        if group in ("text", "set"):
            out += match[0], KEY_MASK
            self._swallowing = Quoted(match[group])
            return match.end()
        quote: str = match["quote"] or ""  # what is no string becomes one
        out += text[match.start() : match.start(group)], quote, KEY_MASK, quote
        self._swallowing = Bracketed(quote) if group == "many" else rest_of(_NUMBER if group == "number" else _BARE)
        return match.start(group)

    def _cut(self, text: str) -> str:
        """The part of the output that is within the bound."""
        bound = self._bound
        if bound is not None:
            if self._is_cut:
                return ""
            if self.shown + len(text) > bound:
                text = text[: bound - self.shown] + CUT_MARK
                self._is_cut = True
        self.shown += len(text)
        return text


def redacted(rules: Rules, text: str, *, is_cut: bool = True) -> str:
    """A whole text; cut to `Rules.truncate` with `is_cut`."""
    return Scanner(rules, is_cut=is_cut).feed(text, at_end=True)


def released(rules: Rules, text: str) -> str:
    """What can be shown of a text that still grows."""
    return Scanner(rules).feed(text)
