"""`${NAME}` and `${NAME:-default}` in the strings of a config, replaced by what the environment has.

Only parsed strings are looked at, never keys and never the text of the file, so no value of the environment can add a
key or a table. What a variable holds is not looked at again. `$$` is a plain `$`; a `$` without a brace is one too.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from streamproc.worker.config.places import Path

__all__ = ["UNKNOWN", "Interpolation"]

_REFERENCE: Final = re.compile(r"\$(?:\$|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|(?P<bad>\{))")
_DEEP_MAX: Final = 64  # tables and lists in one another


class _Unknown:
    """Stands for a string whose variable is not set."""


UNKNOWN: Final = _Unknown()


class Interpolation:
    """Replaces variables in decoded TOML.

    Attributes:
        used: path of a string -> names of the variables in it.
        faults: what could not be replaced: path and text. In its place `UNKNOWN` stands.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.used: dict[Path, tuple[str, ...]] = {}
        self.faults: list[tuple[Path, str]] = []

    def replaced(self, value: Any, path: Path = ()) -> Any:
        """The same value with variables replaced in all of its strings."""
        if isinstance(value, str):
            return self._text(value, path) if "$" in value else value
        if isinstance(value, dict | list) and len(path) > _DEEP_MAX:
            self.faults.append((path[:8], "more tables and lists in one another than anything here has"))
            return UNKNOWN
        if isinstance(value, dict):
            return {key: self.replaced(member, (*path, key)) for key, member in value.items()}
        if isinstance(value, list):
            return [self.replaced(member, (*path, index)) for index, member in enumerate(value)]
        return value

    def _text(self, text: str, path: Path) -> Any:
        names: list[str] = []
        pieces: list[str] = []
        at, known = 0, True
        for match in _REFERENCE.finditer(text):
            pieces.append(text[at : match.start()])
            at = match.end()
            name = match["name"]
            if match["bad"]:
                self.faults.append(
                    (
                        path,
                        "a ${ without end or with a bad name; write ${NAME} or ${NAME:-default}, or $${ for a plain ${",
                    )
                )
                return UNKNOWN
            if name is None:
                pieces.append("$")
                continue
            names.append(name)
            value = self._environ.get(name)
            if match["default"] is not None:
                value = value or match["default"]  # as in a shell: empty is as good as not set
            if value is None:
                self.faults.append((path, f"the variable {name} is not set; set it, or write ${{{name}:-default}}"))
                known = False
            else:
                pieces.append(value)
        if names:
            self.used[path] = tuple(dict.fromkeys(names))
        return "".join([*pieces, text[at:]]) if known else UNKNOWN
