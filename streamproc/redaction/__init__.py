"""Redaction: what is a secret is masked before a sink or a log sees it. See docs/redaction.md.

Plain functions of their input; nothing here waits for anything but the sink that is wrapped.
"""

from streamproc.redaction.logs import redact_event
from streamproc.redaction.patterns import DEFAULT_PATTERNS
from streamproc.redaction.rules import DEFAULT_KEYS, Redaction
from streamproc.redaction.sink import Redacted

__all__ = ["DEFAULT_KEYS", "DEFAULT_PATTERNS", "Redacted", "Redaction", "redact_event"]
