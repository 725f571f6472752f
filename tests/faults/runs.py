"""Runs through faults: a real server, a real source and a pipeline each, and the verdict."""

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from random import Random
from socket import AF_INET, socket
from typing import Final, TypeAlias

import aiohttp
import anyio
from aiohttp.abc import AbstractResolver, ResolveResult
from anyio.lowlevel import checkpoint
from msgspec import Struct

from streamproc import Pipeline
from streamproc.delivery.policy import Retry
from streamproc.sinks.memory import MemorySink
from streamproc.sources.assistants_resync import AssistantsResync
from streamproc.sources.http import HttpSource
from streamproc.testing.server import Request, Response, ScriptedServer, json_response, slices
from tests.faults.plans import FAULTS, IDLE_TIMEOUT_S, Ability, Plan
from tests.faults.verdicts import Verdict, delivery_faults, states_of, verdict_of
from tests.faults.workload import RUN_ID, THREAD_ID, Workload, workload

__all__ = ["Cell", "Outcome", "run_cells", "run_fault"]

Cell: TypeAlias = tuple[str, Ability, int]
"""Fault, ability, seed."""

_AT_ONCE: Final = 4
_GRACE_S: Final = 1.0
_RETRY: Final = Retry(base_s=0.01, cap_s=0.05, retry_after_cap_s=0.1, max_attempts=10)
_PATH: Final = f"/v1/threads/{THREAD_ID}/runs"


class Outcome(Struct, frozen=True):
    """What became of one run."""

    fault: str
    ability: Ability
    seed: int
    verdict: Verdict
    is_expected: bool
    why: str  # it is wrong
    took_s: float
    connections: int


async def run_cells(cells: Iterable[Cell], ended: Callable[[Outcome], None]) -> None:
    """Run all of them, some at a time; `ended` is called after each."""
    room = anyio.Semaphore(_AT_ONCE)

    async def run(cell: Cell) -> None:
        async with room:
            ended(await run_fault(*cell))

    async with anyio.create_task_group() as group:
        for cell in cells:
            group.start_soon(run, cell)


async def run_fault(fault: str, ability: Ability, seed: int) -> Outcome:
    """Let one fault happen to one run; the seed decides on all that is left to chance."""
    random = Random(f"{fault} {ability} {seed}")
    what = workload(asks=random.random() < 0.5)
    plan = FAULTS[fault](random, what.blocks(with_ids=ability == "resume"))
    sink = MemorySink()
    verdict: Verdict = "hung"
    why = ""
    connections = 0
    begun_s = anyio.current_time()
    with anyio.move_on_after(plan.takes_s + IDLE_TIMEOUT_S + _GRACE_S):
        async with (
            _source(plan, ability, what, random) as source,
            Pipeline(sinks=[sink], retry=_RETRY, random=random) as pipeline,
        ):
            result = await pipeline.run(source)
        states = states_of(pipeline)
        verdict, why = verdict_of(result, states, what.truth, sink.changes, plan.damaged)
        if faults := delivery_faults(sink.changes, states):
            verdict, why = "wrong", "; ".join(faults)
        connections = result.connections
    is_expected = verdict not in ("wrong", "hung") if plan.damaged is not None else verdict == plan.outcome(ability)
    return Outcome(fault, ability, seed, verdict, is_expected, why, anyio.current_time() - begun_s, connections)


@asynccontextmanager
async def _source(plan: Plan, ability: Ability, what: Workload, random: Random) -> AsyncGenerator[HttpSource]:
    """A source of that ability, connected to a server that follows the plan."""
    async with ScriptedServer() as server, _session(server, plan) as session:
        url = server.url if session is None else "http://agents.test"
        _script(server, plan, ability, what, random)
        resync = AssistantsResync(f"{url}/v1", session=session, poll_s=0.005) if ability == "resync" else None
        yield HttpSource(
            url + _PATH,
            method="GET" if ability in ("resume", "restart") else "POST",
            name="run",
            session=session,
            idle_timeout_s=IDLE_TIMEOUT_S,
            resync=resync,
        )


def _script(server: ScriptedServer, plan: Plan, ability: Ability, what: Workload, random: Random) -> None:
    blocks = what.blocks(with_ids=ability == "resume")
    made = iter(plan.connections)

    def stream(request: Request) -> Response:
        seen = int(request.headers.get("last-event-id", 0))
        rest = b"".join(blocks[seen:])
        make = next(made, None)
        return Response(slices(rest, 900, 0, random)) if make is None else make(rest)

    server.script_run(what.run, what.steps, what.messages, prefix="/v1")
    looks = [*plan.resyncs, json_response({**what.run, "status": "in_progress"}), json_response(what.run)]
    server.script(f"{_PATH}/{RUN_ID}", looks, method="GET")
    server.script(_PATH, [stream])


# --- nobody listens ---------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _session(server: ScriptedServer, plan: Plan) -> AsyncGenerator[aiohttp.ClientSession | None]:
    """A session for which some attempts to connect are refused; None when none is."""
    if not plan.refused:
        yield None
        return
    with socket(AF_INET) as closed:  # bound, so that nobody else has the port, and not listening
        closed.bind(("127.0.0.1", 0))
        ports = _Ports(int(server.url.rpartition(":")[2]), closed.getsockname()[1], plan.refused)
        connector = aiohttp.TCPConnector(resolver=ports, use_dns_cache=False, force_close=True)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
            yield session
        await checkpoint()


class _Ports(AbstractResolver):
    """Finds the server, or now and then a port of its machine where nobody listens."""

    def __init__(self, server: int, closed: int, refused: frozenset[int]) -> None:
        self._server = server
        self._closed = closed
        self._refused = refused
        self._asked = 0

    async def resolve(self, host: str, port: int = 0, family: int = AF_INET) -> list[ResolveResult]:
        number, self._asked = self._asked, self._asked + 1
        found = self._closed if number in self._refused else self._server
        return [ResolveResult(hostname=host, host="127.0.0.1", port=found, family=AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        return None
