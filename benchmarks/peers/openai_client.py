"""The openai package's stream over a response in memory, as the package's own client makes it."""

from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import openai
from openai.types.beta import AssistantStreamEvent

__all__ = ["open_stream"]

_CLIENT = openai.OpenAI(api_key="unused", http_client=openai.DefaultHttpxClient(trust_env=False))
# The package changed its HTTP library once; either one's response will do.
_HTTP: Any = import_module("httpx2" if find_spec("httpx2") else "httpx")


def open_stream(chunks: Sequence[bytes], kinds: Any = AssistantStreamEvent) -> openai.Stream[Any]:
    """A typed stream of events, one of `kinds` each, whose response body yields the chunks."""

    def body() -> Iterator[bytes]:
        yield from chunks

    request = _HTTP.Request("POST", "http://localhost/")
    headers = {"content-type": "text/event-stream"}
    response = _HTTP.Response(200, headers=headers, content=body(), request=request)
    return openai.Stream(cast_to=kinds, response=response, client=_CLIENT)
