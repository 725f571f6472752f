"""The dialects that come with streamproc."""

from streamproc.core.dialect import register_dialect
from streamproc.dialects import assistants
from streamproc.dialects.assistants import AssistantsDialect
from streamproc.dialects.auto import AutoDialect

__all__ = ["AssistantsDialect", "AutoDialect"]

register_dialect("assistants", AssistantsDialect, assistants.matches)
register_dialect("auto", AutoDialect)
