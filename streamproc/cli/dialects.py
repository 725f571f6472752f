"""`streamproc dialects`: which wire formats there are, and what becomes of the events of one.

The pages are those of the documentation. A wheel brings them along; in a source tree they are where they are written.
"""

import sys
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from streamproc.cli.exits import Exit
from streamproc.display.terminal import clean, is_terminal
from streamproc.errors import ConfigError

__all__ = ["DIALECTS_EPILOGUE", "dialects"]

DIALECTS_EPILOGUE: Final = """\
Examples:
  streamproc dialects               their names
  streamproc dialects responses     what becomes of each event and item

"auto" is the one that replay, convert and the worker use unless told otherwise:
it finds the right one out from the first event of a stream."""


def dialects(
    name: Annotated[str | None, Parameter(show_default=False)] = None,
    /,
) -> int:
    """List the wire formats that are read, or tell what becomes of the events of one.

    Parameters
    ----------
    name
        The dialect to tell about.
    """
    from streamproc.core.dialect import dialect_names

    pages = _pages()
    if name is None:
        for known in dialect_names():
            print(f"{known:<12} {_about(pages / f'{known}.md')}".rstrip())  # noqa: T201 - what was asked for
        return Exit.OK
    if name not in dialect_names():
        raise ConfigError(f"no dialect {name!r}; known: {', '.join(dialect_names())}")
    page = pages / f"{name}.md"
    if not page.is_file():
        raise ConfigError(f"dialect {name!r} comes without a page")
    _show(page.read_text())
    return Exit.OK


def _pages() -> Traversable:
    packaged = files("streamproc.dialects") / "pages"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "docs" / "dialects"


def _about(page: Traversable) -> str:
    """The first sentence of a page."""
    if not page.is_file():
        return "the first of these that recognises the stream" if page.name == "auto.md" else ""
    paragraph = page.read_text().split("\n\n")[1]
    return clean(paragraph).partition(". ")[0].removesuffix(".")


def _show(text: str) -> None:
    if not is_terminal(sys.stdout):
        sys.stdout.write(text)
        return
    from rich.console import Console
    from rich.markdown import Markdown

    Console(highlight=False, emoji=False).print(Markdown(text))
