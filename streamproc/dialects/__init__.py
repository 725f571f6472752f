"""The dialects that come with streamproc."""

from streamproc.core.dialect import register_dialect
from streamproc.dialects.assistants import AssistantsDialect

__all__ = ["AssistantsDialect"]

register_dialect("assistants", AssistantsDialect)
