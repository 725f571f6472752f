"""The effective config as TOML: what was written, what variables gave, what the defaults are, and which came whence.

Secrets are masked, and so is what a variable gave inside of a request's body, which may be anything. Behind each value
that is not the default stands the line that it is from; what has no value stands in a comment.
"""

from collections.abc import Iterator
from datetime import date, time
from typing import Any

from msgspec import Struct
from msgspec.structs import fields

from streamproc.plugins import SinkConfig, SourceConfig, StoreConfig
from streamproc.secret import MASK, Secret
from streamproc.worker.config.kinds import kind_of
from streamproc.worker.config.load import Document
from streamproc.worker.config.places import Path, dotted
from streamproc.worker.config.sections import WorkerConfig
from streamproc.worker.config.toml import toml_key, toml_value

__all__ = ["explain"]


def explain(document: Document, config: WorkerConfig) -> str:
    """Return the config as TOML, valid but for its masks."""
    writer = _Writer(document)
    lines = [f"# {document.file} as it takes effect; a value without a comment is the default"]
    for field in fields(config):
        value = getattr(config, field.name)
        path: Path = (field.encode_name,)
        if isinstance(value, Struct):
            lines += ["", *writer.table(value, path, f"[{field.encode_name}]")]
        elif value is None:
            lines += ["", f"# no [{field.encode_name}]"]
        elif not value:
            lines += ["", f"# no [[{field.encode_name}]]"]
        else:
            for index, one in enumerate(value):
                lines += ["", *writer.table(one, (*path, index), f"[[{field.encode_name}]]")]
    return "\n".join(lines) + "\n"


class _Writer:
    def __init__(self, document: Document) -> None:
        self._document = document

    def table(self, struct: Struct, path: Path, header: str) -> Iterator[str]:
        """A table: its values first, then the tables in it."""
        yield header
        if isinstance(struct, SourceConfig | SinkConfig | StoreConfig):
            yield self._line("kind", kind_of(struct), (*path, "kind"))
        inner: list[tuple[Struct, Path, str]] = []
        for field in fields(struct):
            value = getattr(struct, field.name)
            at = (*path, field.encode_name)
            if isinstance(value, Struct):
                inner.append((value, at, f"[{dotted(tuple(part for part in at if isinstance(part, str)))}]"))
            elif value is None:
                yield f"# {toml_key(field.encode_name)} is not given"
            else:
                yield self._line(field.encode_name, self._shown(value, at), at)
        for value, at, under in inner:
            if self._is_written(at):
                yield from self.table(value, at, under)
            else:
                yield f"# {under} has its defaults"

    def _is_written(self, path: Path) -> bool:
        return path in self._document.lines

    def _line(self, key: str, value: Any, path: Path) -> str:
        text = f"{toml_key(key)} = {toml_value(value)}"
        if not self._is_written(path):
            return text
        names = dict.fromkeys(
            name for at, names in self._document.variables.items() if at[: len(path)] == path for name in names
        )
        origin = ", ".join([f"line {self._document.lines[path]}", *(f"${{{name}}}" for name in names)])
        return f"{text}  # {origin}"

    def _shown(self, value: Any, path: Path, *, deep: bool = False) -> Any:
        """A value without what must not be seen."""
        if isinstance(value, Secret):
            return value.masked
        if isinstance(value, Struct):  # in a list, of a plug-in
            members = {field.encode_name: getattr(value, field.name) for field in fields(value)}
            return self._shown({key: one for key, one in members.items() if one is not None}, path)
        if isinstance(value, dict):
            return {key: self._shown(one, (*path, key), deep=True) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self._shown(one, (*path, index), deep=True) for index, one in enumerate(value)]
        # a string inside of a table that nothing here knows the meaning of
        if isinstance(value, str) and path in self._document.variables and (deep or path[-1] == "body"):
            return MASK
        return value if isinstance(value, str | int | float | date | time) else str(value)
