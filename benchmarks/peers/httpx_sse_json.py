"""httpx-sse and json.loads: framing and decoding only, no types, nothing merged."""

import json
from collections.abc import Iterator, Sequence
from importlib.metadata import version

import httpx
import httpx_sse

from benchmarks.peers.process import main, merge
from benchmarks.writer import Texts


def _events(chunks: Sequence[bytes]) -> Iterator[tuple[str, object]]:
    def body() -> Iterator[bytes]:
        yield from chunks

    request = httpx.Request("POST", "http://localhost/")
    response = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=body(), request=request)
    for event in httpx_sse.EventSource(response).iter_sse():
        if event.data != "[DONE]":
            yield event.event, json.loads(event.data)


def _work(chunks: Sequence[bytes]) -> None:
    for _ in _events(chunks):
        pass


def _texts(chunks: Sequence[bytes]) -> Texts:
    texts: Texts = {}
    for name, data in _events(chunks):
        if isinstance(data, dict):
            merge(texts, name, data)
    return texts


if __name__ == "__main__":
    main(version("httpx-sse"), _work, _texts)
