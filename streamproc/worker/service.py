"""Worker: the process that a config describes, from its start to its end.

    store -> pipeline -> servers that take streams -> admin server -> "worker.started" -> sources

Told to end, it takes no new streams. What is under way may go on for half of `limits.drain_s`; then it is stopped, and
sinks get the other half. What is left after that is in the store and comes first when the worker starts again. Without
a store it is lost, which is counted and makes the worker fail. The admin server answers until streams have ended.

A worker that only has sources ends by itself, once each of them has come to its end.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.util import find_spec

import anyio
import structlog
from anyio import CancelScope, Event, create_task_group, current_time
from anyio.abc import TaskGroup, TaskStatus
from msgspec import Struct
from structlog.contextvars import bound_contextvars

from streamproc import __version__
from streamproc.pipeline import Pipeline
from streamproc.stores.sqlite import SqliteStore
from streamproc.wording import where_text
from streamproc.worker.admin import Admin, LoopLag
from streamproc.worker.config import Stream, WorkerConfig, build_sinks, build_store, build_streams
from streamproc.worker.http import HttpServer, ServerLimits
from streamproc.worker.idle import IdleRuns
from streamproc.worker.ingest import Ingest, IngestLimits
from streamproc.worker.proxy import Proxy
from streamproc.worker.signals import first_signal
from streamproc.worker.telemetry import Telemetry

__all__ = ["Outcome", "serve"]

log = structlog.get_logger("streamproc")


class Outcome(Struct, frozen=True, kw_only=True):
    """What a worker's life came to."""

    left: int  # changes in the store that a required sink has still to get
    lost: int  # changes that are in no store, and that a required sink did not get
    failed_sources: int  # whose stream was truncated, ended in a failed run, or that raised

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost and no source failed."""
        return not self.lost and not self.failed_sources


async def serve(config: WorkerConfig) -> Outcome:
    """Run the worker that a config describes, until it is told to end; in the main thread, since signals come there.

    Raises:
        ConfigError, StoreError: a part cannot be made or opened: a port that is taken, a store that is in use.
    """
    return await _Worker(config).run()


class _Worker:
    """One life of a worker."""

    def __init__(self, config: WorkerConfig) -> None:
        self._config = config
        self._grace_s = config.limits.drain_s / 2
        self._store = build_store(config)
        self._streams = build_streams(config)
        self._idle = IdleRuns(idle_timeout_s=config.limits.idle_timeout_s, keep_s=config.limits.evict_after_s)
        self._lag = LoopLag()
        self._pipeline = Pipeline(
            build_sinks(config),
            store=self._store,
            limits=config.limits.core(),
            on_changes=self._idle.heard,
            drain_s=self._grace_s / 2,  # once for the store, once for the sinks
        )
        self._stop = Event()
        self._cause = "sources ended"
        self._following = CancelScope()  # of the sources
        self._failed_sources = 0
        self._ingest: Ingest | None = None
        self._proxy: Proxy | None = None
        self._servers: list[HttpServer] = []
        self._addresses: dict[str, str] = {}

    async def run(self) -> Outcome:
        with first_signal(self._told_to_end):
            try:
                async with self._pipeline:
                    await self._live()
            except BaseExceptionGroup as group:
                raise _only(group) from None
            return self._outcome()

    def _told_to_end(self, cause: str) -> None:
        self._cause = cause
        self._stop.set()

    async def _live(self) -> None:
        """All that goes on while the pipeline is open."""
        async with create_task_group() as background:
            background.start_soon(self._lag.watch)
            background.start_soon(self._idle.watch, self._pipeline)
            async with create_task_group() as serving:  # what brings streams
                await self._start(serving, background)
                await self._stop.wait()
                log.info("worker.stopping", cause=self._cause, grace_s=self._grace_s)
                self._following.deadline = current_time() + self._grace_s
            background.cancel_scope.cancel()

    async def _start(self, serving: TaskGroup, background: TaskGroup) -> None:
        """Open the servers, one after the other; each is ready when the next one begins, the admin server last."""
        if self._config.ingest is not None:
            await serving.start(self._serve_ingest)
        if self._config.proxy is not None:
            await serving.start(self._serve_proxy)
        if self._config.admin is not None:
            await background.start(self._serve_admin)
        log.info(
            "worker.started",
            version=__version__,
            ingest=self._addresses.get("ingest"),
            proxy=self._addresses.get("proxy"),
            admin=self._addresses.get("admin"),
            sources=len(self._streams),
            sinks=[sink.name for sink in self._pipeline.statistics()],
            store=None if self._config.store is None else type(self._store).__name__,
        )
        serving.start_soon(self._follow_all)

    # -- servers ------------------------------------------------------------------------------------------------------

    async def _serve_ingest(self, *, task_status: TaskStatus[None]) -> None:
        config = self._config.ingest
        assert config is not None
        limits = IngestLimits(
            max_streams=config.max_streams,
            idle_timeout_s=config.idle_timeout_s,
            max_body_bytes=config.max_body_bytes,
        )
        async with Ingest(self._pipeline, dialect=config.dialect, limits=limits) as self._ingest:
            server = HttpServer(
                "ingest",
                self._ingest.routes,
                host=config.host,
                port=config.port,
                tokens=[token.reveal() for token in config.tokens],
                limits=ServerLimits(
                    max_header_bytes=config.max_header_bytes,
                    header_timeout_s=config.header_timeout_s,
                    max_connections=config.max_connections,
                    rate_per_s=config.rate_per_s,
                    rate_burst=config.rate_burst,
                ),
            )
            server.on_stop.append(self._ingest.stop)
            async with self._listening(server):
                task_status.started()
                await self._stop.wait()
                await server.drain(self._grace_s)

    async def _serve_admin(self, *, task_status: TaskStatus[None]) -> None:
        config = self._config.admin
        assert config is not None
        admin = Admin(
            self._pipeline,
            store=self._store,
            store_path=self._store.path if isinstance(self._store, SqliteStore) else None,
            metrics=self._telemetry().text if find_spec("prometheus_client") is not None else None,
            lag=self._lag,
            is_draining=self._stop.is_set,
        )
        token = [] if config.token is None else [config.token.reveal()]
        server = HttpServer("admin", admin.routes, host=config.host, port=config.port, tokens=token)
        async with self._listening(server):
            task_status.started()
            await anyio.sleep_forever()

    def _telemetry(self) -> Telemetry:
        return Telemetry(
            self._pipeline,
            store=self._store,
            ingest=self._ingest,
            proxy=self._proxy,
            idle=self._idle,
            lag=self._lag,
            servers=self._servers,
        )

    @asynccontextmanager
    async def _listening(self, server: HttpServer) -> AsyncGenerator[None]:
        self._servers.append(server)
        async with server:
            self._addresses[server.name] = server.url
            yield

    async def _serve_proxy(self, *, task_status: TaskStatus[None]) -> None:
        config = self._config.proxy
        assert config is not None
        proxy = Proxy(
            config.upstream.reveal(),
            self._pipeline,
            host=config.host,
            port=config.port,
            allow_public=config.allow_public,
            fail=config.fail,
            dialect=config.dialect,
            connect_timeout_s=config.connect_timeout_s,
            idle_timeout_s=config.idle_timeout_s,
            max_requests=config.max_streams,
            max_hydrate_bytes=config.max_hydrate_bytes,
            drain_s=self._grace_s,
        )
        async with proxy as self._proxy:
            self._addresses["proxy"] = proxy.url
            task_status.started()
            await self._stop.wait()

    # -- sources ------------------------------------------------------------------------------------------------------

    async def _follow_all(self) -> None:
        with self._following:
            async with create_task_group() as group:
                for stream in self._streams:
                    group.start_soon(self._follow, stream)
        if self._config.ingest is None and self._config.proxy is None:
            self._stop.set()

    async def _follow(self, stream: Stream) -> None:
        """One source to its end, which is no matter for the others."""
        name = stream.source.name
        with bound_contextvars(stream=name):
            try:
                result = await self._pipeline.run(stream.source, dialect=stream.dialect)
            except Exception as error:  # of a plug-in, or the store
                self._failed_sources += 1
                log.error("source.failed", source=name, exception=where_text(error))
                return
        run = self._pipeline.runs.get(result.run_id or "")
        status = None if run is None else run.status
        if result.truncated or status == "failed":
            self._failed_sources += 1
        log.info(
            "source.ended",
            source=name,
            run_id=result.run_id,
            status=status,
            truncated=result.truncated,
            connections=result.connections,
        )

    # -- the end ------------------------------------------------------------------------------------------------------

    def _outcome(self) -> Outcome:
        """The accounts, once the pipeline has been left."""
        required = [sink for sink in self._pipeline.statistics() if sink.required]
        outcome = Outcome(
            left=max((sink.lag for sink in required), default=0),
            lost=self._pipeline.unstored if self._store is not None else sum(sink.dropped for sink in required),
            failed_sources=self._failed_sources,
        )
        log.info("worker.stopped", left=outcome.left, lost=outcome.lost, failed_sources=outcome.failed_sources)
        return outcome


def _only(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one error that ended the worker, out of the groups of the tasks in which it happened."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        (error,) = error.exceptions
    return error
