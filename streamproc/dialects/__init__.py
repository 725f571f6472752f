"""The dialects that come with streamproc."""

from streamproc.core.dialect import register_dialect
from streamproc.dialects import assistants, chat_wire, responses
from streamproc.dialects.assistants import AssistantsDialect
from streamproc.dialects.auto import AutoDialect
from streamproc.dialects.chat import ChatDialect
from streamproc.dialects.responses import ResponsesDialect

__all__ = ["AssistantsDialect", "AutoDialect", "ChatDialect", "ResponsesDialect"]

register_dialect("assistants", AssistantsDialect, assistants.matches)
register_dialect("responses", ResponsesDialect, responses.matches)
register_dialect("chat", ChatDialect, chat_wire.matches)
register_dialect("auto", AutoDialect)
