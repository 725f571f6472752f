"""What the openai package's own event handler makes of some streams. Importing this module needs that package.

The package is used as an application would use it, behind a response that holds the bytes, without a network: one new
handler for each stream, since a handler "cannot be shared between multiple streams".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import openai
from openai.lib.streaming import AssistantEventHandler, AssistantStreamManager
from openai.types.beta import AssistantStreamEvent

__all__ = ["Held", "Oracle"]


@dataclass(slots=True)
class Held:
    """What a program holds at the end, as JSON data by id."""

    runs: dict[str, Any] = field(default_factory=dict[str, Any])
    steps: dict[str, Any] = field(default_factory=dict[str, Any])
    messages: dict[str, Any] = field(default_factory=dict[str, Any])


class Oracle:
    """The published handler, ready to be fed."""

    name = f"openai {openai.__version__}"

    def __init__(self) -> None:
        # A client is needed to build a stream. It never connects, and must not care about the machine's proxies.
        self._client = openai.OpenAI(api_key="unused", http_client=openai.DefaultHttpxClient(trust_env=False))
        # The package changed its HTTP library once; either one's response will do.
        self._http: Any = import_module("httpx2" if find_spec("httpx2") else "httpx")

    def read(self, streams: Sequence[bytes]) -> list[AssistantEventHandler]:
        """Let a new handler read each stream to its end."""
        return [self._read(stream) for stream in streams]

    def merge(self, streams: Sequence[bytes]) -> Held:
        """What the handlers return when asked for the final objects; of two, the later one's copy counts."""
        held = Held()
        for handler in self.read(streams):
            held.runs |= _by_id(handler.get_final_run)
            held.steps |= _by_id(handler.get_final_run_steps)
            held.messages |= _by_id(handler.get_final_messages)
        return held

    def _read(self, stream: bytes) -> AssistantEventHandler:
        request = self._http.Request("POST", "http://localhost/")
        headers = {"content-type": "text/event-stream"}
        response = self._http.Response(200, headers=headers, content=stream, request=request)
        events: openai.Stream[AssistantStreamEvent] = openai.Stream(
            cast_to=AssistantStreamEvent,  # type: ignore[arg-type]  # a union, which the package passes here as well
            response=response,
            client=self._client,
        )
        with AssistantStreamManager(lambda: events, event_handler=AssistantEventHandler()) as handler:
            handler.until_done()
        return handler


def _by_id(get: Callable[[], Any]) -> dict[str, Any]:
    """The objects, or the one object, that a handler returns; it raises when it has none."""
    try:
        found = get()
    except RuntimeError:
        return {}
    return {
        item.id: item.to_dict(mode="json", warnings=False) for item in (found if isinstance(found, list) else [found])
    }
