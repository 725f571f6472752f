"""Admin: whether the worker lives, whether it can do its work, what it counts, and the runs that it knows.

`/healthz` and `/readyz` are open to everybody who reaches the port and give no more than names of parts; the rest needs
a token where tokens are set. Runs come from the store if there is one, through a connection of its own that cannot
write, in a worker thread; else from memory. See docs/admin.md.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from math import inf
from pathlib import Path
from typing import Final, Literal, TypeAlias

import anyio
import anyio.to_thread
import msgspec
from aiohttp import web
from anyio import CapacityLimiter, Lock, current_time, move_on_after

from streamproc.errors import StoreError
from streamproc.pipeline import Pipeline
from streamproc.protocols import Store
from streamproc.stores.queries import Row, open_store, page, state_line
from streamproc.worker.http import Refused, Route, json_response

__all__ = ["Admin", "LoopLag"]

_LIMIT: Final = 100
_LIMIT_MAX: Final = 1000
_SIZE_MAX: Final = 8 * 1024 * 1024  # of one page; the first object of it may be larger
_READERS: Final = 2
_PROBE_STREAM: Final = "streamproc.ready"
_PROBE_S: Final = 5.0  # that the result of writing to the store stands
_PROBE_TIMEOUT_S: Final = 2.0
_LAG_MAX_S: Final = 5.0  # beyond it nobody is served in time

Rows: TypeAlias = list[Row]
Kind: TypeAlias = Literal["run", "step"]


class LoopLag:
    """How late the event loop is: the longest of the last twenty measurements, half a second apart."""

    def __init__(self, clock: Callable[[], float] = current_time) -> None:
        self._clock = clock
        self._found: deque[float] = deque([0.0], maxlen=20)

    @property
    def seconds(self) -> float:
        return max(self._found)

    async def watch(self) -> None:
        """Measure until cancelled."""
        while True:
            due_s = self._clock() + 0.5
            await anyio.sleep(0.5)
            self._found.append(max(0.0, self._clock() - due_s))


class Admin:
    """The routes of the admin server.

    Args:
        store: the pipeline's, if it has one.
        store_path: of its file, if it is a SQLite store.
        metrics: makes the text for Prometheus, see telemetry.py; without it there is none.
        is_draining: whether the worker has been told to stop.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        store: Store | None = None,
        store_path: Path | None = None,
        metrics: Callable[[], bytes] | None = None,
        lag: LoopLag | None = None,
        is_draining: Callable[[], bool] = lambda: False,
    ) -> None:
        self._pipeline = pipeline
        self._store = store
        self._store_path = store_path
        self._metrics = metrics
        self._lag = lag or LoopLag()
        self._is_draining = is_draining
        self._readers = CapacityLimiter(_READERS)
        self._probing = Lock()
        self._probed_s = -inf
        self._is_writable = True
        self.routes = (
            Route("GET", "/healthz", self._healthz, is_open=True),
            Route("GET", "/readyz", self._readyz, is_open=True),
            Route("GET", "/metrics", self._show_metrics),
            Route("GET", "/v1/runs", self._runs),
            Route("GET", "/v1/runs/{id}", self._run),
            Route("GET", "/v1/runs/{id}/steps", self._steps),
        )

    # -- health -------------------------------------------------------------------------------------------------------

    async def _healthz(self, request: web.BaseRequest, parts: Mapping[str, str]) -> web.StreamResponse:
        lag_s = self._lag.seconds
        is_well = lag_s < _LAG_MAX_S
        body = {"status": "ok" if is_well else "slow", "loop_lag_s": round(lag_s, 3)}
        return json_response(body, 200 if is_well else 503)

    async def _readyz(self, request: web.BaseRequest, parts: Mapping[str, str]) -> web.StreamResponse:
        reasons = [*self._reasons()]
        if not await self._can_write():
            reasons.append("the store does not take changes")
        return json_response({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)

    def _reasons(self) -> Iterator[str]:
        """Why no more work should come, as far as it is known without asking."""
        if self._is_draining():
            yield "the worker is stopping"
        for sink in self._pipeline.statistics():
            if sink.required and sink.state in ("open", "half_open", "closed"):
                yield f"sink {sink.name}: {'closed' if sink.state == 'closed' else 'fails again and again'}"
        if self._store is not None and self._store.statistics().get("is_full"):
            yield "the journal is full: sinks are behind"

    async def _can_write(self) -> bool:
        """Whether the store takes changes: tried out, unless that was just done."""
        if self._store is None:
            return True
        if self._pipeline.is_store_failing:
            return False
        async with self._probing:
            if current_time() - self._probed_s >= _PROBE_S:
                self._is_writable = False
                with move_on_after(_PROBE_TIMEOUT_S):
                    try:
                        await self._store.next_epoch(_PROBE_STREAM)
                        self._is_writable = True
                    except StoreError:
                        pass
                self._probed_s = current_time()
            return self._is_writable

    async def _show_metrics(self, request: web.BaseRequest, parts: Mapping[str, str]) -> web.StreamResponse:
        if self._metrics is None:
            raise Refused(404, "no_metrics", 'metrics need an extra: pip install "streamproc[metrics]"')
        headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=self._metrics(), headers=headers)

    # -- runs ---------------------------------------------------------------------------------------------------------

    async def _runs(self, request: web.BaseRequest, parts: Mapping[str, str]) -> web.StreamResponse:
        return await self._list(request, "run", None)

    async def _steps(self, request: web.BaseRequest, parts: Mapping[str, str]) -> web.StreamResponse:
        await self._one(parts["id"])
        return await self._list(request, "step", parts["id"])

    async def _run(self, request: web.BaseRequest, parts: Mapping[str, str]) -> web.StreamResponse:
        found = await self._one(parts["id"])
        if found is None:
            raise Refused(404, "unknown_run", "of this run only steps or messages are known")
        return json_response(state_line(found))

    async def _one(self, id: str) -> Row | None:
        """A run; None for one that only its steps speak of."""
        rows = await self._page("run", run=id, status=None, after=None, limit=1)
        if not rows and not await self._page("step", run=id, status=None, after=None, limit=1):
            raise Refused(404, "unknown_run", "no such run")
        return rows[0] if rows else None

    async def _list(self, request: web.BaseRequest, kind: Kind, run: str | None) -> web.Response:
        query = request.rel_url.query
        limit = _number(query.get("limit", str(_LIMIT)))
        try:
            rows = await self._page(
                kind, run=run, status=query.get("status"), after=query.get("after"), limit=limit + 1
            )
        except KeyError as error:
            raise Refused(400, "unknown_after", f"after: no such {kind}") from error
        lines: list[bytes] = []
        size = 0
        for row in rows[:limit]:
            line = state_line(row)
            size += len(line)
            if lines and size > _SIZE_MAX:
                break
            lines.append(line)
        last = msgspec.json.encode(rows[len(lines) - 1]["id"] if lines else None)
        more = b"true" if len(rows) > len(lines) else b"false"
        return json_response(
            b'{"object":"list","data":[%b],"has_more":%b,"last_id":%b}' % (b",".join(lines), more, last)
        )

    async def _page(self, kind: Kind, *, run: str | None, status: str | None, after: str | None, limit: int) -> Rows:
        """One page of the newest states; runs with the newest first, steps in order of appearance."""
        if self._store_path is None:
            return _remembered(self._pipeline, kind, run=run, status=status, after=after, limit=limit)
        newest_first = kind == "run"
        read = partial(_stored, self._store_path, kind, run, status, after, limit, newest_first)
        try:
            return await anyio.to_thread.run_sync(read, limiter=self._readers)
        except StoreError as error:
            raise Refused(503, "store_unavailable", "the store cannot be read", headers={"Retry-After": "5"}) from error


def _stored(
    path: Path, kind: Kind, run: str | None, status: str | None, after: str | None, limit: int, newest_first: bool
) -> Rows:
    with open_store(path) as store:
        return page(store, kind, run=run, status=status, after=after, limit=limit, newest_first=newest_first)


def _remembered(
    pipeline: Pipeline, kind: Kind, *, run: str | None, status: str | None, after: str | None, limit: int
) -> Rows:
    """The same from memory."""
    reducer = pipeline.reducer
    ids: Sequence[str]
    if kind == "step":
        ids = [id for of, id in reducer.members(run or "") if of == "step"]
    elif run is None:
        ids = [*reducer.runs][::-1]
    else:
        ids = [run] if run in reducer.runs else []
    if after is not None:
        if after not in ids:
            raise KeyError(after)
        ids = ids[ids.index(after) + 1 :]
    rows: Rows = []
    for id in ids:
        stored = reducer.stored(kind, id)
        if status is None or status in (stored.status, stored.note.inferred_status):
            rows.append(
                {
                    "id": id,
                    "state": stored.wire.decode(),
                    "stream": stored.stream,
                    "epoch": stored.epoch,
                    "revision": stored.revision,
                    "inferred_status": stored.note.inferred_status,
                    "truncated": stored.note.truncated,
                }
            )
        if len(rows) >= limit:
            break
    return rows


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:6]) <= _LIMIT_MAX or len(text) > 6:
        raise Refused(400, "bad_limit", f"limit: expected a number from 1 to {_LIMIT_MAX}")
    return int(text)
