"""The dialects that come with streamproc."""

from streamproc.core.dialect import register_dialect
from streamproc.dialects import assistants, chat
from streamproc.dialects.assistants import AssistantsDialect
from streamproc.dialects.auto import AutoDialect
from streamproc.dialects.chat import ChatDialect

__all__ = ["AssistantsDialect", "AutoDialect", "ChatDialect"]

register_dialect("assistants", AssistantsDialect, assistants.matches)
register_dialect("chat", ChatDialect, chat.matches)
register_dialect("auto", AutoDialect)
