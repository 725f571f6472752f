"""PostgresSink: the newest state of each run, step and message as a row of PostgreSQL.

Rows are made in the event loop (_postgres_rows.py) while they are copied into a temporary table; from there they are
upserted under a guard (_postgres_schema.py), all in one transaction a batch (_postgres_database.py). When the server
refuses a batch for its data, halves of it are written until what is left is the culprit.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from types import TracebackType
from typing import Final, Self

import structlog

from streamproc.core.change import Change
from streamproc.errors import ConfigError, SinkRejected
from streamproc.secret import Secret
from streamproc.sinks._postgres_rows import Row, Rows, Unholdable

__all__ = ["PostgresSink"]

log = structlog.get_logger("streamproc")

_SECONDS_MAX: Final = 2_147_483  # more milliseconds the server does not take: it would refuse every batch


class PostgresSink:
    """Keeps tables `runs`, `steps` and `messages`, with the columns of the SQLite store.

    Promise: at-least-once delivery, idempotent apply. A state replaces another one only if it is newer by
    `(epoch, revision)`, and an object that ended stays as it ended; so a batch that comes again changes nothing. Deltas
    are no rows: a batch costs one row for each object in it, so `deliver="latest"` or `"final"` is what to feed it.

    Needs the `postgres` extra, and an event loop of asyncio. Enter it before the first batch:

        async with PostgresSink("postgresql://me@db.example/app") as sink:
            await sink.write(batch)

    Attributes:
        written: how many states were written, those included that were not newer than what was there.
        altered: how many of them had something replaced; see `unholdable`.
    """

    def __init__(
        self,
        dsn: Secret | str = "",
        *,
        schema: str = "streamproc",
        unholdable: Unholdable = "replace",
        connect_timeout_s: float = 5.0,
        statement_timeout_s: float = 30.0,
    ) -> None:
        """
        Args:
            dsn: a URL or a connection string of libpq. What it does not say is taken from libpq's environment
                variables (PGHOST, PGPASSWORD, PGSERVICE, ...).
            schema: where the tables are; made with them unless it is there.
            unholdable: what becomes of text with the character NUL or with half of a surrogate pair, and of numbers
                beyond `numeric`. replace: U+FFFD stands for the character, a string of its digits for the number ·
                reject: the changes of the object are rejected.
            connect_timeout_s: for each host that the address names; whole seconds, at least 2.
            statement_timeout_s: for one statement at the server.

        Raises:
            ConfigError: a value is out of range, or the extra is not installed.
        """
        try:
            from streamproc.sinks._postgres_database import PostgresDatabase
        except ImportError:
            raise ConfigError('PostgresSink needs an extra: pip install "streamproc[postgres]"') from None
        if unholdable not in ("replace", "reject"):
            raise ConfigError(f'unholdable is {unholdable!r}; expected "replace" or "reject"')
        if connect_timeout_s < 2:
            raise ConfigError(f"connect_timeout_s is {connect_timeout_s:g}; expected 2 or more seconds")
        if statement_timeout_s <= 0:
            raise ConfigError(f"statement_timeout_s is {statement_timeout_s:g}; expected more than 0 seconds")
        for name, value in (("connect_timeout_s", connect_timeout_s), ("statement_timeout_s", statement_timeout_s)):
            if not value <= _SECONDS_MAX:
                raise ConfigError(f"{name} is {value:g}; expected {_SECONDS_MAX} or fewer seconds")
        self.written = 0
        self.altered = 0
        self._unholdable: Unholdable = unholdable
        self._database = PostgresDatabase(
            dsn.reveal() if isinstance(dsn, Secret) else dsn,
            schema,
            connect_timeout_s=connect_timeout_s,
            statement_timeout_s=statement_timeout_s,
        )

    async def __aenter__(self) -> Self:
        """
        Raises:
            ConfigError: the server refuses us, or the tables are not ours or a newer version's.
            SinkUnavailable: the server cannot be reached at the moment.
        """
        await self._database.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._database.close()
        if self.altered > 1:
            log.warning("sink.text_replaced", sink="postgres", count=self.altered)

    async def write(self, batch: Sequence[Change]) -> None:
        """Write the newest state of each object in a batch.

        Raises:
            SinkUnavailable: the server cannot be reached, or cannot write at the moment.
            SinkRejected: changes of objects that PostgreSQL cannot hold.
        """
        rows = Rows(batch, self._unholdable)
        if not rows.kinds:
            return
        sqlstate = await self._refused(rows.kinds, rows.lines)
        part = rows.all()
        rejected, states = rows.rejected, {"no JSON"} if rows.rejected else set[str]()
        parts: list[list[Row]] = []  # that are still to be written
        while True:
            if sqlstate is None or not part:  # what fires for a statement may refuse one without rows
                self._count(part)
            elif len(part) > 1:
                half = len(part) // 2
                parts += [part[half:], part[:half]]
            elif self._unholdable == "replace" and (held := part[0].with_holdable_numbers()) is not None:
                parts.append([held])
            else:
                rejected += part[0].changes
                states.add(f"SQLSTATE {sqlstate}")
            if not parts:
                break
            part = parts.pop()
            sqlstate = await self._refused({row.kind for row in part}, partial(_lines, part))
        if rejected:
            raise SinkRejected(f"PostgreSQL cannot hold them ({', '.join(sorted(states))})", _in_order(batch, rejected))

    async def _refused(self, kinds: Collection[str], lines: Callable[[], Iterable[bytes]]) -> str | None:
        """Write some rows; returns the server's code if it refused them for what they hold."""
        from streamproc.sinks._postgres_database import DataRefused

        try:
            await self._database.upsert(kinds, lines)
        except DataRefused as error:
            return error.sqlstate
        return None

    def _count(self, rows: Sequence[Row]) -> None:
        self.written += len(rows)
        altered = [row for row in rows if row.is_altered]
        if altered and not self.altered:  # an object that grows comes again and again: once is enough
            log.warning("sink.text_replaced", sink="postgres", count=1, id=altered[0].changes[-1].id)
        self.altered += len(altered)


def _lines(rows: Sequence[Row]) -> Iterable[bytes]:
    return [row.line for row in rows]


def _in_order(batch: Sequence[Change], some: Sequence[Change]) -> list[Change]:
    chosen = {id(change) for change in some}
    return [change for change in batch if id(change) in chosen]
