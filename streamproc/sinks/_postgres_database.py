"""One connection to PostgreSQL: opened, brought to our schema, written to, and thrown away as soon as it is in doubt.

A sink writes one batch after the other, so one connection is all it can use. It is opened by the write that needs it,
without a wait of its own: when to try again is delivery's business. All that a write needs is in its transaction, so
each may get another session, as behind a transaction pooler.
"""

import math
from collections.abc import Callable, Collection, Iterable
from typing import Final

import anyio
import psycopg
from psycopg.conninfo import conninfo_to_dict

from streamproc.errors import ConfigError, SinkUnavailable
from streamproc.sinks._postgres_errors import is_of_address, meaning_of, reason_of, sqlstate_of
from streamproc.sinks._postgres_schema import VERSION, Statements

__all__ = ["DataRefused", "PostgresDatabase"]


# A temporary table that stays in a session for good would hold back the age of transactions, and with it the vacuum.
_SESSION_S: Final = 3600.0


class DataRefused(Exception):
    """Something in a batch is nothing that the tables can hold; nothing of it was written.

    Attributes:
        sqlstate: the server's code for it.
    """

    def __init__(self, sqlstate: str) -> None:
        super().__init__(sqlstate)
        self.sqlstate = sqlstate


class PostgresDatabase:
    """The database as its sink sees it.

    Args:
        dsn: a URL or a connection string of libpq; what it does not say is taken from the environment.

    Raises:
        ConfigError: the address or the schema is none.
    """

    def __init__(self, dsn: str, schema: str, *, connect_timeout_s: float, statement_timeout_s: float) -> None:
        try:
            conninfo_to_dict(dsn)
        except psycopg.ProgrammingError:  # which quotes it, passwords included
            raise ConfigError(
                "dsn is something else (it is not shown); "
                'expected "postgresql://USER@HOST/DATABASE" or "host=HOST user=USER"'
            ) from None
        self._dsn = dsn
        self._statements = Statements(schema, statement_timeout_s)
        self._schema = schema
        self._connect_timeout_s = math.ceil(connect_timeout_s)
        self._open_timeout_s = connect_timeout_s + statement_timeout_s
        self._connection: psycopg.AsyncConnection[tuple[object, ...]] | None = None
        self._expires_s = 0.0  # when it has lasted long enough

    async def open(self) -> None:
        """Connect, and make or migrate the tables.

        Raises:
            ConfigError: what has to be changed by somebody first: a name, a password, a right, our version.
            SinkUnavailable: there is no such server at the moment.
        """
        try:
            with anyio.fail_after(self._open_timeout_s):
                connection = await self._connect()
                encoding = connection.info.parameter_status("server_encoding")
                if encoding != "UTF8":
                    raise ConfigError(f"the database's encoding is {encoding}; expected UTF8")
                while await self._version(connection) < VERSION:
                    await self._migrate(connection)
        except psycopg.Error as error:
            self.close()
            if is_of_address(error):
                raise ConfigError("dsn: one of its parameters has a value that libpq does not know") from None
            if meaning_of(error) == "refused":
                raise ConfigError(self._refusal(sqlstate_of(error))) from None
            raise _unavailable(error) from None
        except TimeoutError:
            self.close()
            raise SinkUnavailable(f"PostgreSQL did not answer within {self._open_timeout_s:g} s") from None
        except UnicodeError:  # of whoever resolves names
            self.close()
            raise ConfigError("dsn: its host is no name that can be resolved") from None
        except BaseException:
            self.close()
            raise

    async def upsert(self, kinds: Collection[str], lines: Callable[[], Iterable[bytes]]) -> None:
        """Write rows of these kinds of objects, all of them or none; `lines` gives them, again if need be.

        Raises:
            DataRefused: some of them cannot be held.
            SinkUnavailable: not now; a commit whose answer was lost may have happened.
        """
        if anyio.current_time() >= self._expires_s:
            self.close()
        is_kept = self._connection is not None
        try:
            await self._transact(kinds, lines)
        except psycopg.Error as error:
            if not (is_kept and _is_lost(error)):
                raise _told(error) from None
        else:
            return
        # A connection that died while nobody used it says nothing of the server; a new one does.
        try:
            await self._transact(kinds, lines)
        except psycopg.Error as error:
            raise _told(error) from None

    def close(self) -> None:
        """End the connection, whatever it is doing; takes no time."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.pgconn.finish()

    # --- parts --------------------------------------------------------------------------------------------------------

    async def _connect(self) -> psycopg.AsyncConnection[tuple[object, ...]]:
        connection = await psycopg.AsyncConnection.connect(
            self._dsn,
            autocommit=True,  # statements begin and end transactions themselves
            prepare_threshold=None,  # a prepared statement would stay in a session that is somebody else's next
            connect_timeout=self._connect_timeout_s,
            fallback_application_name="streamproc",
        )
        self._connection = connection
        self._expires_s = anyio.current_time() + _SESSION_S
        return connection

    async def _transact(self, kinds: Collection[str], lines: Callable[[], Iterable[bytes]]) -> None:
        connection = self._connection or await self._connect()
        statements = self._statements
        try:
            try:
                await connection.execute(statements.begin)
                async with connection.cursor() as cursor, cursor.copy(statements.copy) as copy:
                    for some in lines():
                        await copy.write(some)
                await connection.execute(b";".join([*(statements.upserts[kind] for kind in kinds), b"COMMIT"]))
            except psycopg.Error as error:
                if meaning_of(error) != "data":
                    raise
                await connection.execute(b"ROLLBACK")
                raise
        except psycopg.Error as error:
            if meaning_of(error) != "data":
                self.close()
            raise
        except BaseException:  # it was cancelled: what the connection is in the middle of is not known
            self.close()
            raise

    async def _version(self, connection: psycopg.AsyncConnection[tuple[object, ...]]) -> int:
        """Of the tables; 0 if there are none.

        Raises:
            ConfigError: a newer streamproc made them.
        """
        statements = self._statements
        if not await _one(connection, statements.has_version):
            return 0
        version = await _one(connection, statements.version)
        if not isinstance(version, int) or version > VERSION:
            raise ConfigError(
                f"schema {self._schema} has version {version}, this streamproc knows up to {VERSION}; "
                "nothing was changed"
            )
        return version

    async def _migrate(self, connection: psycopg.AsyncConnection[tuple[object, ...]]) -> None:
        """Bring the tables to the next version, unless somebody else does."""
        statements = self._statements
        await connection.execute(statements.begin_migration)
        version = await self._version(connection)
        if version < VERSION:
            if not await _one(connection, statements.has_schema):
                await connection.execute(statements.create_schema)
            await connection.execute(statements.migration(version))
        await connection.execute(b"COMMIT")

    def _refusal(self, sqlstate: str | None) -> str:
        what = {
            "28P01": "the password",
            "28000": "the user",
            "3D000": "the database, which is not there,",
            "42501": f"a right that schema {self._schema} needs",
            "42P07": f"our tables, for schema {self._schema} has others of these names",
        }.get(sqlstate or "", "the connection or the tables")
        return f"PostgreSQL refuses {what} (SQLSTATE {sqlstate})"


async def _one(connection: psycopg.AsyncConnection[tuple[object, ...]], query: bytes) -> object:
    """The only value of the only row."""
    row = await (await connection.execute(query)).fetchone()
    return None if row is None else row[0]


def _is_lost(error: psycopg.Error) -> bool:
    """Whether the connection is gone: it broke, or the server ended it."""
    return meaning_of(error) == "unavailable" and (sqlstate_of(error) or "08").startswith(("08", "57P"))


def _told(error: psycopg.Error) -> Exception:
    """The error of ours for one of a write; its text is not passed on."""
    meaning = meaning_of(error)
    if meaning == "data":
        return DataRefused(sqlstate_of(error) or "")
    if meaning == "bug":
        return RuntimeError(f"PostgreSQL raised {type(error).__name__} (SQLSTATE {sqlstate_of(error)})")
    return _unavailable(error)


def _unavailable(error: psycopg.Error) -> SinkUnavailable:
    state = sqlstate_of(error)
    if state is None:
        return SinkUnavailable(f"no connection to PostgreSQL ({reason_of(error)})")
    return SinkUnavailable(f"PostgreSQL cannot write now (SQLSTATE {state})")
