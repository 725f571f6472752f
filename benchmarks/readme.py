"""The results in README.md, between two marks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.table import Row, to_markdown

__all__ = ["write"]

_README: Final = Path(__file__).resolve().parent / "README.md"
_START: Final = "<!-- results: python -m benchmarks --write -->"
_END: Final = "<!-- end of results -->"


def write(title: str, rows: Sequence[Row]) -> None:
    """Replace what stands between the marks.

    Raises:
        ValueError: a mark is missing.
    """
    text = _README.read_text()
    before, start, rest = text.partition(_START)
    _, end, after = rest.partition(_END)
    if not start or not end:
        raise ValueError(f"{_README} has lost its marks: {_START} and {_END}")
    _README.write_text(f"{before}{_START}\n{title}\n\n{to_markdown(rows)}\n{_END}{after}")
