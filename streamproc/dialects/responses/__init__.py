"""The Responses protocol: its streams (`ResponsesDialect`) and its objects (`response_objects`).

docs/dialects/responses.md tells what becomes of each event and item.
"""

from streamproc.dialects.responses.dialect import ResponsesDialect, matches
from streamproc.dialects.responses.objects import response_objects

__all__ = ["ResponsesDialect", "matches", "response_objects"]
