"""The candidates of the live rows: each follows all streams of a plan until they end.

`texts` is asked while all streams are still open and no terminal snapshot has come, so it shows what the deltas alone
added up to.
"""

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Protocol

import aiohttp
from anyio import create_task_group

from benchmarks.checks import texts_of
from benchmarks.fanout import CountingSink
from streamproc import Change, Message, to_wire
from streamproc.pipeline import Pipeline
from streamproc.sinks.callback import CallbackSink
from streamproc.sources.http import HttpSource

__all__ = ["BareReading", "Client", "OpenAIHandlers", "Processing", "SourceReading", "Stamps"]


class Client(Protocol):
    """Follows streams."""

    reads: int  # pieces that came, where that can be told without doing more; else 0

    async def follow(self, urls: Sequence[str]) -> None:
        """Read all streams to their ends, at the same time."""
        ...

    def texts(self) -> dict[str, str] | None:
        """Message id -> text so far; None for what merges nothing."""
        ...


class BareReading:
    """aiohttp alone: what reading costs whoever reads."""

    def __init__(self) -> None:
        self.reads = 0

    async def follow(self, urls: Sequence[str]) -> None:
        async with _session() as session, create_task_group() as group:
            for url in urls:
                group.start_soon(self._read, session, url)

    async def _read(self, session: aiohttp.ClientSession, url: str) -> None:
        async with session.get(url) as response:
            async for _ in response.content.iter_any():
                self.reads += 1

    def texts(self) -> None:
        return None


class SourceReading:
    """`HttpSource` alone: the same with a limit on silence and errors of its own."""

    def __init__(self) -> None:
        self.reads = 0

    async def follow(self, urls: Sequence[str]) -> None:
        async with _session() as session, create_task_group() as group:
            for url in urls:
                group.start_soon(self._read, HttpSource(url, session=session))

    async def _read(self, source: HttpSource) -> None:
        async with source.open(None) as chunks:
            async for _ in chunks:
                self.reads += 1

    def texts(self) -> None:
        return None


class Processing:
    """One pipeline for all streams, with sinks or without."""

    def __init__(self, sinks: Sequence[Any] = ()) -> None:
        self.reads = 0
        self._sinks = sinks
        self._messages: Mapping[str, Message] = {}

    @classmethod
    def counting(cls, sinks: int) -> "Processing":
        """With sinks that only count."""
        return cls([CountingSink() for _ in range(sinks)])

    async def follow(self, urls: Sequence[str]) -> None:
        async with _session() as session, Pipeline(self._sinks) as pipeline, create_task_group() as group:
            self._messages = pipeline.messages
            for number, url in enumerate(urls):
                group.start_soon(pipeline.run, HttpSource(url, name=f"stream {number}", session=session))

    def texts(self) -> dict[str, str]:
        return {id: texts_of(json.loads(to_wire(message)))[0] for id, message in self._messages.items()}


class Stamps:
    """A sink's function that takes down how long ago each change was sent."""

    def __init__(self) -> None:
        self.delays_s: list[float] = []

    def take(self, batch: Sequence[Change]) -> None:
        """Note the delay of each delta of a stream whose texts are times."""
        now_s = time.monotonic()
        for change in batch:
            _, mark, rest = change.raw.partition(b'"value":"@')
            if mark and change.is_delta:
                self.delays_s.append(now_s - float(rest[: rest.index(b'"')]))

    def sink(self) -> CallbackSink:
        """The sink."""
        return CallbackSink(self.take)


class OpenAIHandlers:
    """The openai package's client and async handler, a call for each stream."""

    def __init__(self) -> None:
        self.reads = 0
        self._handlers: list[Any] = []

    async def follow(self, urls: Sequence[str]) -> None:
        import openai
        from openai.lib.streaming import AsyncAssistantEventHandler

        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(
                openai.AsyncOpenAI(
                    api_key="unused",
                    base_url=urls[0],
                    max_retries=0,
                    http_client=openai.DefaultAsyncHttpxClient(trust_env=False),
                )
            )
            group = await stack.enter_async_context(create_task_group())
            for number in range(len(urls)):
                handler = AsyncAssistantEventHandler()
                self._handlers.append(handler)
                group.start_soon(self._follow, client, number, handler)

    async def _follow(self, client: Any, number: int, handler: Any) -> None:
        stream = client.beta.threads.runs.stream(
            thread_id=f"thread_{number}", assistant_id="asst_1", event_handler=handler
        )
        async with stream as events:
            await events.until_done()

    def texts(self) -> dict[str, str]:
        snapshots = [handler.current_message_snapshot for handler in self._handlers]
        return {each.id: each.content[0].text.value for each in snapshots if each is not None}


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None))
