"""What the worker counts, as metrics for Prometheus: read when they are asked for, from the accounts that parts keep.

Labels are bounded: names of sinks, servers, routes and dialects, statuses, kinds. Ids of runs, names of streams and
anything that came over a wire are none. docs/admin.md has the table. Needs the extra `metrics`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, TypeVar, get_args

from streamproc.delivery.statistics import SinkState, SinkStatistics
from streamproc.errors import ConfigError
from streamproc.pipeline import Pipeline
from streamproc.protocols import Store
from streamproc.worker.admin import LoopLag
from streamproc.worker.http import HttpServer
from streamproc.worker.idle import IdleRuns
from streamproc.worker.ingest import Ingest
from streamproc.worker.proxy import Proxy
from streamproc.worker.proxy_statistics import ProxyStatistics, Untapped

if TYPE_CHECKING:
    from prometheus_client.core import Metric

__all__ = ["Telemetry"]

Key = TypeVar("Key", bound=tuple[str, ...])

_SINK_STATES: Final[tuple[SinkState, ...]] = ("delivering", "retrying", "open", "half_open", "closed")
_UPSTREAM_ERRORS: Final = ("unreachable", "timeout", "bad_answer", "broken")
_STORE: Final[Mapping[str, str]] = {
    "head": "Position of the newest change in the journal.",
    "journal_changes": "Changes in the journal.",
    "journal_batches": "Batches in the journal.",
    "journal_bytes": "Bytes of the journal.",
    "dead_letters": "Dead letters that are kept.",
    "is_full": "1 while the journal is full and takes no changes.",
}


class Telemetry:
    """Collects from the parts of a worker, in a registry of its own.

    telemetry = Telemetry(pipeline, store=store, ingest=ingest, servers=[server])
    admin = Admin(pipeline, metrics=telemetry.text)
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        store: Store | None = None,
        ingest: Ingest | None = None,
        proxy: Proxy | None = None,
        idle: IdleRuns | None = None,
        lag: LoopLag | None = None,
        servers: Sequence[HttpServer] = (),
    ) -> None:
        """
        Raises:
            ConfigError: the extra is not installed.
        """
        if find_spec("prometheus_client") is None:
            raise ConfigError('metrics need an extra: pip install "streamproc[metrics]"')
        from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
        from prometheus_client.registry import Collector

        telemetry = self

        class Parts(Collector):
            def collect(self) -> Iterator["Metric"]:
                return telemetry.collect()

            def describe(self) -> Iterator["Metric"]:
                return iter(())  # or else registering would collect, when nothing is open yet

        self._pipeline = pipeline
        self._store = store
        self._ingest = ingest
        self._proxy = proxy
        self._idle = idle
        self._lag = lag
        self._servers = servers
        self._registry = CollectorRegistry()
        self._registry.register(Parts())
        ProcessCollector(registry=self._registry)
        self._generate: Callable[[CollectorRegistry], bytes] = generate_latest

    def text(self) -> bytes:
        """All metrics, as Prometheus reads them."""
        return self._generate(self._registry)

    def collect(self) -> Iterator["Metric"]:
        """All metrics but those of the process."""
        yield from _sinks(self._pipeline.statistics())
        anomalies = {(kind,): count for kind, count in self._pipeline.anomalies.items()}
        yield _counter("anomalies", "Oddities that were met in streams.", ("kind",), anomalies)
        reducer = self._pipeline.reducer
        sizes = {("run",): len(reducer.runs), ("step",): len(reducer.steps), ("message",): len(reducer.messages)}
        yield _gauge("objects", "Objects in memory.", ("kind",), sizes)
        if self._ingest is not None:
            yield from _ingest(self._ingest)
        if self._proxy is not None:
            yield from _proxy(self._proxy.statistics())
        if self._idle is not None:
            yield _counter("runs_silent", "Runs that got an inferred status.", (), {(): self._idle.silent})
            yield _counter("runs_evicted", "Runs that were forgotten in time.", (), {(): self._idle.evicted})
        if self._store is not None:
            found = self._store.statistics()
            for name, text in _STORE.items():
                if name in found:
                    yield _gauge(f"store_{name}", text, (), {(): found[name]})
            is_failing = int(self._pipeline.is_store_failing)
            yield _gauge("store_is_failing", "1 while the store does not take changes.", (), {(): is_failing})
        if self._lag is not None:
            yield _gauge("event_loop_lag_seconds", "How late the event loop was at most.", (), {(): self._lag.seconds})
        if self._servers:
            yield from _http(self._servers)


def _sinks(every: Sequence[SinkStatistics]) -> Iterator["Metric"]:
    label = ("sink",)

    def of(read: Callable[[SinkStatistics], float]) -> dict[tuple[str, ...], float]:
        return {(sink.name,): read(sink) for sink in every}

    yield _counter("sink_received_changes", "Changes for a sink.", label, of(lambda sink: sink.received))
    outcomes = {
        (sink.name, outcome): count
        for sink in every
        for outcome, count in (
            ("acked", sink.acked),
            ("coalesced", sink.coalesced),
            ("dead", sink.dead),
            ("dropped", sink.dropped),
        )
    }
    yield _counter("sink_changes", "Changes that a sink has settled.", ("sink", "outcome"), outcomes)
    yield _counter("sink_writes", "Writes.", label, of(lambda sink: sink.writes))
    yield _counter("sink_failed_writes", "Writes that neither arrived nor were rejected.", label, of(_failed))
    yield _counter("sink_retried_writes", "Writes that repeated a failed one.", label, of(lambda sink: sink.retried))
    yield _counter(
        "sink_missing_changes", "Changes that a sink came too late for.", label, of(lambda sink: sink.missing)
    )
    yield _gauge("sink_pending_changes", "Changes that wait in memory.", label, of(lambda sink: sink.pending))
    yield _gauge("sink_lag_changes", "Changes of the journal not settled yet.", label, of(lambda sink: sink.lag))
    yield _gauge(
        "sink_oldest_pending_seconds", "Age of the oldest of them.", label, of(lambda sink: sink.oldest_pending_s)
    )
    states = {(sink.name, state): float(sink.state == state) for sink in every for state in _SINK_STATES}
    yield _gauge("sink_state", "1 for the state that a sink is in.", ("sink", "state"), states)


def _failed(sink: SinkStatistics) -> float:
    return sink.failed


def _ingest(ingest: Ingest) -> Iterator["Metric"]:
    streams = {("active",): ingest.active, ("interrupted",): ingest.interrupted}
    yield _gauge("ingest_streams", "Streams that are open.", ("state",), streams)
    yield _counter("ingest_ended_streams", "Streams that ended.", ("dialect", "outcome"), ingest.totals)
    yield _counter("ingest_received_bytes", "Bytes of bodies, inflated.", (), {(): ingest.received_bytes})


def _proxy(found: ProxyStatistics) -> Iterator["Metric"]:
    yield _counter("proxy_requests", "Requests to the proxy.", (), {(): found.requests})
    yield _gauge("proxy_active_requests", "Requests under way.", (), {(): found.active})
    yield _counter("proxy_refused_requests", "Requests that were not passed on.", (), {(): found.refused})
    yield _counter("proxy_tapped_streams", "Streams that a dialect recognised.", (), {(): found.tapped})
    yield _counter("proxy_hydrated_answers", "Answers whose objects were taken over.", (), {(): found.hydrated})
    reasons = {(reason,): found.untapped.get(reason, 0) for reason in get_args(Untapped)}
    yield _counter("proxy_untapped_answers", "Streams and answers that passed unprocessed.", ("reason",), reasons)
    troubles = {(trouble,): found.upstream_errors.get(trouble, 0) for trouble in _UPSTREAM_ERRORS}
    yield _counter("proxy_upstream_errors", "Requests that the upstream did not answer well.", ("trouble",), troubles)
    yield _counter("proxy_client_disconnects", "Clients that left early.", (), {(): found.client_disconnects})
    yield _gauge("proxy_backlog_bytes", "Bytes that wait to be processed.", (), {(): found.backlog_bytes})


def _http(servers: Sequence[HttpServer]) -> Iterator["Metric"]:
    answers = {
        (server.name, route, str(status)): count
        for server in servers
        for (route, status), count in server.counts.items()
    }
    yield _counter("http_answers", "Answers of our servers.", ("server", "route", "status"), answers)
    connections = {(server.name,): server.connections for server in servers}
    yield _gauge("http_connections", "Connections that are open.", ("server",), connections)
    refused = {(server.name,): server.refused_connections for server in servers}
    yield _counter("http_refused_connections", "Connections beyond the bound.", ("server",), refused)


def _counter(name: str, text: str, labels: Sequence[str], values: Mapping[Key, float]) -> "Metric":
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(f"streamproc_{name}", text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _gauge(name: str, text: str, labels: Sequence[str], values: Mapping[Key, float]) -> "Metric":
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(f"streamproc_{name}", text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family
