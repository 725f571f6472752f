"""Values of attributes: bounded, of few kinds, and never content where none is expected.

A text is put where there is one and cut where it is too long. A *code* is one short word out of few, such as a status
or the code of an error; what has another form might be anything and is none.
"""

import re
import unicodedata
from typing import Final, TypeAlias

from streamproc.model.run_step import Usage
from streamproc.model.tool_calls import TOOL_CALLS
from streamproc.sinks._otlp_names import Names
from streamproc.usage import known_counts

__all__ = [
    "CONTENT_CHARS",
    "SHORT_CHARS",
    "Attributes",
    "Value",
    "Values",
    "code_of",
    "output_type",
    "shown_name",
    "tool_type",
]

Value: TypeAlias = str | bool | int | float | tuple[str, ...]
Attributes: TypeAlias = dict[str, Value]

CONTENT_CHARS: Final = 65_536
SHORT_CHARS: Final = 1024  # ids, and all else that is no content
_INTEGER_END: Final = 2**63
_NAME_CHARS: Final = 128  # of a tool's name, also in the span's

_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # characters that change how text around them is shown
_CODE: Final = re.compile(r"[A-Za-z0-9_.:\-]{1,64}")

_DATASTORES: Final = frozenset(
    {"azure_ai_search", "fabric_dataagent", "file_search", "retrieval", "sharepoint_grounding"}
)
_FUNCTIONS: Final = frozenset(  # what runs at the client's side
    {"apply_patch_call", "azure_function", "computer_call", "computer_use_preview", "custom", "function"}
    | {"local_shell_call", "program", "shell_call"}
)
_FINISH: Final = {
    "max_completion_tokens": "length",
    "max_output_tokens": "length",
    "max_tokens": "length",
    "max_prompt_tokens": "length",
}
_OUTPUTS: Final = {"text": "text", "json_object": "json", "json_schema": "json"}


class Values:
    """Puts values under the names of a version of the conventions."""

    def __init__(self, names: Names) -> None:
        self._names = names

    def put(self, attributes: Attributes, name: str | None, value: object, max_chars: int = SHORT_CHARS) -> None:
        """Add a text that there is; of one that is too long, its beginning, which is said beside it."""
        if name is None or not isinstance(value, str) or not value:
            return
        if len(value) > max_chars:
            cut = attributes.get(self._names.cut, ())
            attributes[self._names.cut] = (*cut, name) if isinstance(cut, tuple) else (name,)
        attributes[name] = value[:max_chars]

    def put_usage(self, attributes: Attributes, usage: object) -> None:
        """Add the counts that are known."""
        if not isinstance(usage, Usage):
            return
        names = self._names
        known = known_counts(usage)
        for count, name in (
            ("prompt_tokens", names.input_tokens),
            ("completion_tokens", names.output_tokens),
            ("cached_tokens", names.cached_tokens),
            ("cache_write_tokens", names.cache_write_tokens),
            ("reasoning_tokens", names.reasoning_tokens),
        ):
            if count in known:
                self.put_count(attributes, name, known[count])

    def put_count(self, attributes: Attributes, name: str | None, value: object) -> None:
        """Add a whole number that there is; one that the protocol cannot hold is none."""
        if name is not None and isinstance(value, int) and abs(value) < _INTEGER_END:
            attributes[name] = value

    def put_finish(self, attributes: Attributes, reason: object) -> None:
        """Add why a model stopped, in the words of the conventions if they have one for it."""
        code = code_of(reason)
        if code is not None:
            attributes[self._names.finish_reasons] = (_FINISH.get(code, code),)


def code_of(value: object) -> str | None:
    """A value that is one of few; None for what is none, or might be anything."""
    return value if isinstance(value, str) and _CODE.fullmatch(value) else None


def shown_name(value: object) -> str:
    """A name as one line of text that can be shown; "" for none."""
    if not isinstance(value, str):
        return ""
    seen = "".join(" " if unicodedata.category(char) in _UNSEEN else char for char in value[: 4 * _NAME_CHARS])
    return " ".join(seen.split())[:_NAME_CHARS]


def tool_type(call_type: str) -> str | None:
    """What kind of tool a call of some type is of; None for types that are not known."""
    if call_type in _FUNCTIONS:
        return "function"
    if call_type in _DATASTORES:
        return "datastore"
    return "extension" if call_type in TOOL_CALLS else None  # it runs at the server's side


def output_type(response_format: object) -> str | None:
    """What a run was to answer with; None if that was left to the model."""
    asked = response_format.get("type") if isinstance(response_format, dict) else response_format
    return _OUTPUTS.get(asked) if isinstance(asked, str) else None
