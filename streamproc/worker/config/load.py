"""From a file to a `WorkerConfig`: read, parse, replace variables, decode, lint. Every mistake comes out with its line.

`load_config` is what the worker calls. `read_document` is its first half, for whoever shows where a value comes from.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any, Final

from msgspec import Struct

from streamproc.errors import ConfigError
from streamproc.plugins import register_dialects
from streamproc.worker.config.decode import Decoder
from streamproc.worker.config.faults import Fault, InvalidConfig
from streamproc.worker.config.lint import lint
from streamproc.worker.config.places import Path, line_of, lines_of
from streamproc.worker.config.sections import WorkerConfig
from streamproc.worker.config.variables import Interpolation

__all__ = ["Document", "load_config", "read_document"]

_MAX_BYTES: Final = 2**20
_AT: Final = re.compile(
    r"(?P<text>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)", re.DOTALL
)
_SYNTAX: Final = {  # how a text of tomllib begins -> what is told in its place
    "Cannot overwrite a value": "this key is there already; remove one of the two",
    "Cannot declare": "this table is there already; remove one of the two, or write [[...]] for a list of tables",
    "Cannot mutate immutable namespace": "a table in { } is complete; write its other keys inside of it",
    "Invalid value": "expected a value; a string needs quotes, a boolean is true or false",
    "Unterminated string": "a string has no end; close its quotes",
    "Illegal character '\\n'": "a string does not end on its line; close its quotes",
    "Invalid statement": "expected key = value, [table] or # comment",
    "Expected '=' after a key": "expected = after a key; a key with spaces or other signs needs quotes",
    "Expected newline or end of document": "expected the end of the line; a string needs quotes around all of it, "
    "and each key a line of its own",
    "Unclosed array": "a list has no end; close it with ]",
    "Unclosed inline table": "a table has no end; close it with }",
    "Expected ']'": "a header has no end; write [table] or [[table]]",
    "Unescaped '\\' in a string": "a \\ in double quotes begins an escape; write \\\\, or use single quotes",
}


class Document(Struct, frozen=True, kw_only=True):
    """A config file, parsed, with variables replaced and not yet decoded."""

    file: str
    data: dict[str, Any]
    lines: dict[Path, int]
    variables: Mapping[Path, tuple[str, ...]]  # path of a string -> the variables in it
    faults: tuple[tuple[Path, str], ...]  # variables that could not be replaced

    def fault(self, path: Path, text: str) -> Fault:
        """A mistake at its place."""
        return Fault(self.file, line_of(self.lines, path), path, text)

    def config(self) -> WorkerConfig:
        """Decode and lint.

        Raises:
            InvalidConfig: with all mistakes; those between sections only once each of them is right by itself.
        """
        register_dialects()
        decoder = Decoder(self.variables)
        config = decoder.struct(WorkerConfig, self.data)
        faults = [*self.faults, *decoder.faults]
        if config is not None and not faults:
            faults = lint(config)
        if config is None or faults:
            raise InvalidConfig([self.fault(path, text) for path, text in faults])
        return config


def load_config(path: str | os.PathLike[str], environ: Mapping[str, str] = os.environ) -> WorkerConfig:
    """Read a config file.

    Args:
        environ: what `${NAME}` is replaced from.

    Raises:
        InvalidConfig: with every mistake in it, each with file, line, path and what to do.
        ConfigError: there is no such file, or it cannot be read.
    """
    return read_document(path, environ).config()


def read_document(path: str | os.PathLike[str], environ: Mapping[str, str] = os.environ) -> Document:
    """Read and parse a config file, and replace its variables.

    Raises:
        InvalidConfig: it is no TOML.
        ConfigError: there is no such file, or it cannot be read.
    """
    file = os.fspath(path)
    text = _text(file)
    try:
        data = tomllib.loads(text)
        lines = lines_of(text)
    except RecursionError:
        raise InvalidConfig([Fault(file, 1, (), "more lists and tables in one another than can be read")]) from None
    except ValueError as error:  # `TOMLDecodeError`, or a number of thousands of digits
        raise InvalidConfig([_syntax_fault(file, text, error)]) from None
    interpolation = Interpolation(environ)
    replaced = interpolation.replaced(data)
    return Document(
        file=file, data=replaced, lines=lines, variables=interpolation.used, faults=tuple(interpolation.faults)
    )


def _text(file: str) -> str:
    try:
        with FilePath(file).open("rb") as opened:
            data = opened.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no file can have this name"
        advice = "; `streamproc init` prints one to begin with" if isinstance(error, FileNotFoundError) else ""
        raise ConfigError(f"{file}: cannot be read: {reason}{advice}") from error
    if len(data) > _MAX_BYTES:
        raise ConfigError(f"{file}: expected at most {_MAX_BYTES} bytes, more came; is it a config file?")
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidConfig([Fault(file, line, (), "not UTF-8; save the file in that encoding")]) from None


def _syntax_fault(file: str, text: str, error: ValueError) -> Fault:
    said = _AT.fullmatch(str(error))
    if said is None:
        return Fault(file, 1, (), "a number in it has more digits than can be read")
    what = next((told for start, told in _SYNTAX.items() if said["text"].startswith(start)), said["text"])
    if said["line"] is None:
        return Fault(file, text.rstrip().count("\n") + 1, (), f"at the end: {what}")
    return Fault(file, int(said["line"]), (), f"column {said['column']}: {what}")
