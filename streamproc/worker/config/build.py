"""The parts that a `WorkerConfig` describes, made and not yet opened: what `Pipeline` takes.

config = load_config("streamproc.toml")
async with Pipeline(build_sinks(config), store=build_store(config), limits=config.limits.core()) as pipeline:
    for stream in build_streams(config):
        group.start_soon(partial(pipeline.run, stream.source, dialect=stream.dialect))
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Self

from msgspec import Struct

from streamproc.core.change import Change
from streamproc.delivery.policy import DeliveryPolicy
from streamproc.plugins import SinkConfig
from streamproc.protocols import Sink, Source, Store
from streamproc.redaction import Redacted, Redaction
from streamproc.worker.config.kinds import kind_of, plugin_of
from streamproc.worker.config.sections import RedactionConfig, WorkerConfig

__all__ = ["NamedSink", "Stream", "build_sinks", "build_store", "build_streams"]


class Stream(Struct, frozen=True):
    """A source, and the dialect that its stream is read with."""

    source: Source
    dialect: str


class NamedSink:
    """A sink under the name that the config gives it: that of its position in the store, in logs and in metrics."""

    def __init__(self, name: str, sink: Sink) -> None:
        self.name = name
        self.sink = sink

    async def __aenter__(self) -> Self:
        if isinstance(self.sink, AbstractAsyncContextManager):
            await self.sink.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        if isinstance(self.sink, AbstractAsyncContextManager):
            handled: bool | None = await self.sink.__aexit__(kind, error, traceback)
            return handled
        return None

    async def write(self, batch: Sequence[Change]) -> None:
        """Hand the batch to the sink."""
        await self.sink.write(batch)


def build_store(config: WorkerConfig) -> Store | None:
    """The store, if there is one."""
    if config.store is None:
        return None
    store: Store = plugin_of("stores", kind_of(config.store)).make(config.store)
    return store


def build_sinks(config: WorkerConfig) -> list[tuple[Sink, DeliveryPolicy]]:
    """The sinks with their policies, in their order."""
    return [
        (NamedSink(sink.name or kind_of(sink), _sink(sink, config.redaction)), sink.policy) for sink in config.sinks
    ]


def _sink(options: SinkConfig, usual: RedactionConfig) -> Sink:
    """A sink, with what is masked before it gets something."""
    sink: Sink = plugin_of("sinks", kind_of(options)).make(options)
    own = options.redaction
    if isinstance(own, Redaction):
        return Redacted(sink, own)
    return Redacted(sink, usual) if (usual.enabled if own is None else own) else sink


def build_streams(config: WorkerConfig) -> list[Stream]:
    """The sources with their dialects, in their order."""
    return [Stream(plugin_of("sources", kind_of(source)).make(source), source.dialect) for source in config.sources]
