"""`streamproc explain`: a config as it takes effect."""

import sys
from typing import Final

from streamproc.cli.exits import Exit
from streamproc.display.terminal import clean, is_terminal, stdout

__all__ = ["EXPLAIN_EPILOGUE", "explain"]

EXPLAIN_EPILOGUE: Final = """\
What is printed is TOML: variables are replaced, defaults are written out, and
behind each other value stands the line that it is from. Secrets are masked.

Exit codes:
  0    printed
  2    the config has mistakes, or there is none"""


def explain(config: str, /) -> int:
    """Print a config as it takes effect, defaults included and secrets masked.

    Parameters
    ----------
    config
        The config file.
    """
    from streamproc.worker.config import read_document
    from streamproc.worker.config.explain import explain

    document = read_document(config)
    text = explain(document, document.config())
    if is_terminal(sys.stdout):
        text = clean(text, lines=True)
    stdout().write(text.encode())
    return Exit.OK
