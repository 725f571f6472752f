"""PostgresSink against a real server: what is in the tables, whatever comes, comes again, or happens meanwhile."""

import logging
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from random import Random
from time import monotonic
from typing import Any

import anyio
import msgspec
import psycopg
import pytest
from psycopg import pq
from structlog.testing import capture_logs

from streamproc import DeliveryPolicy, Pipeline, StreamProcessor
from streamproc.core.body import Body
from streamproc.core.change import Change, Origin
from streamproc.core.events import Event, encode_sse
from streamproc.delivery.policy import Retry
from streamproc.errors import ConfigError, SinkRejected, SinkUnavailable
from streamproc.secret import SecretUrl
from streamproc.sinks._postgres_schema import Statements
from streamproc.sinks.postgres import PostgresSink
from streamproc.testing.changes import odd_changes, ordinary_changes
from streamproc.testing.sinks import check_sink
from tests.postgres_server import PostgresServer
from tests.streams import run, sse

CANARY = "canary-5b1e"  # content: it is in the tables and nowhere else


@pytest.fixture(scope="module")
def harmed() -> Iterator[PostgresServer]:
    """A server that these tests kill, pause and configure."""
    with PostgresServer({"log_statement": "all"}) as server:
        yield server


def step(id: str, revision: int = 1, *, epoch: int = 1, stream: str = "s", **members: object) -> Change:
    """A state of a step, made by hand."""
    raw = msgspec.json.encode({"id": id, "object": "thread.run.step", "status": "in_progress", **members})
    return Change(
        Origin(stream, epoch), revision, "thread.run.step.in_progress", Body("step", id, None, None, raw), revision
    )


def raw_step(id: str, x: bytes) -> Change:
    """The same with a member `x` that is written as it is."""
    body = Body("step", id, None, None, b'{"id":"%b","x":%b}' % (id.encode(), x))
    return Change(Origin("s", 1), 1, "thread.run.step.in_progress", body, 1)


def rows(server: PostgresServer, dsn: str, query: str) -> list[tuple[Any, ...]]:
    return server.execute(query.encode(), dsn=dsn)


# --- the contract, and what arrives -----------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("unholdable", ["replace", "reject"])
async def test_contract(postgres_dsn: str, unholdable: Any) -> None:
    """What every sink must do. It keeps states and no log of changes; what arrives is looked at below."""
    await check_sink(lambda: PostgresSink(postgres_dsn, unholdable=unholdable))


@pytest.mark.asyncio
async def test_states_are_those_of_the_processor(postgres_server: PostgresServer, postgres_dsn: str) -> None:
    """Whatever the batches, however often they come: the newest state of each object, and all of it."""
    random, changes = Random(8), ordinary_changes("s", deltas=40)
    async with PostgresSink(postgres_dsn) as sink:
        position = 0
        while position < len(changes):
            start, position = max(0, position - random.randrange(9)), position + random.randrange(1, 9)
            await sink.write(changes[start:position])
    newest = {change.id: change for change in changes if change.kind in ("run", "step", "message")}
    expected = {id: (msgspec.json.decode(one.body.wire(one.revision)), one.revision) for id, one in newest.items()}
    query = " UNION ALL ".join(f"SELECT id, state, revision FROM streamproc.{name}" for name in TABLES)

    assert {id: (state, revision) for id, state, revision in rows(postgres_server, postgres_dsn, query)} == expected
    assert set(newest) == {"run_1", "step_1", "msg_1"}


TABLES = ("runs", "steps", "messages")


@pytest.mark.asyncio
async def test_guard(postgres_server: PostgresServer, postgres_dsn: str) -> None:
    """Of one stream the higher (epoch, revision) wins; of another one the higher revision; nothing older ever does."""
    told: list[tuple[int, int, str]] = []
    order = [(1, 5, "s"), (1, 4, "s"), (2, 1, "s"), (1, 9, "s"), (1, 1, "t"), (1, 2, "t"), (1, 2, "t"), (9, 2, "u")]
    async with PostgresSink(postgres_dsn) as sink:
        for epoch, revision, stream in order:
            await sink.write([step("step_1", revision, epoch=epoch, stream=stream)])
            told += rows(postgres_server, postgres_dsn, "SELECT epoch, revision, stream FROM streamproc.steps")

    assert told == [(1, 5, "s"), (1, 5, "s"), (2, 1, "s"), (2, 1, "s"), (2, 1, "s"), *[(1, 2, "t")] * 3]


@pytest.mark.asyncio
async def test_object_that_ended_stays_ended(postgres_server: PostgresServer, postgres_dsn: str) -> None:
    """A new pass over its stream begins with it open; who looks meanwhile must not see it open again."""
    changes = ordinary_changes("s", deltas=2)
    again = [msgspec.structs.replace(one, origin=Origin("s", 2)) for one in changes]
    query = "SELECT status, ended, epoch FROM streamproc.runs"
    async with PostgresSink(postgres_dsn) as sink:
        await sink.write(changes)
        before = rows(postgres_server, postgres_dsn, query)
        await sink.write(again[:1])
        meanwhile = rows(postgres_server, postgres_dsn, query)
        await sink.write(again[1:])

    assert (before, meanwhile) == ([("completed", 1, 1)], [("completed", 1, 1)])
    assert rows(postgres_server, postgres_dsn, query) == [("completed", 1, 2)]


@pytest.mark.asyncio
@pytest.mark.parametrize("batch_max", [1, 100])
async def test_first_end_counts_however_batches_are_cut(
    postgres_server: PostgresServer, postgres_dsn: str, batch_max: int
) -> None:
    """Two streams tell of one run, and of two ends; the later one has the higher revision."""
    first = StreamProcessor(stream="a").feed(sse(run(), run("completed")))
    second = StreamProcessor(stream="b").feed(sse(run(), run(metadata={"n": "1"}), run("failed")))
    changes = [*first, *second]
    async with PostgresSink(postgres_dsn) as sink:
        for start in range(0, len(changes), batch_max):
            await sink.write(changes[start : start + batch_max])

    assert [(change.stream, change.revision, change.note.ended) for change in changes] == [
        *(("a", 1, False), ("a", 2, True)),
        *(("b", 1, False), ("b", 2, False), ("b", 3, True)),
    ]
    assert rows(postgres_server, postgres_dsn, "SELECT status, revision FROM streamproc.runs") == [("completed", 2)]


@pytest.mark.asyncio
async def test_columns_beside_the_state(postgres_server: PostgresServer, postgres_dsn: str) -> None:
    """What a run that failed says of its open steps, and a stream that was cut off of its own."""
    async with PostgresSink(postgres_dsn) as sink:
        await sink.write(odd_changes("s"))
    query = "SELECT id, status, inferred_status, truncated, ended FROM streamproc.{} ORDER BY first_position"
    steps = rows(postgres_server, postgres_dsn, query.format("steps"))

    assert ("run_1", "failed", None, 0, 1) in rows(postgres_server, postgres_dsn, query.format("runs"))
    assert ("step_1", "in_progress", "failed", 1, 0) in steps
    assert ("step_9", "in_progress", None, 1, 0) in steps


@pytest.mark.asyncio
async def test_positions_are_the_order_of_arrival(postgres_server: PostgresServer, postgres_dsn: str) -> None:
    async with PostgresSink(postgres_dsn) as sink:
        await sink.write([step("b"), step("a")])
        await sink.write([step("c"), step("b", 2)])
        await sink.write([step("a")])  # nothing new: it stays where it was
    order = "SELECT id FROM streamproc.steps ORDER BY {}"

    assert rows(postgres_server, postgres_dsn, order.format("first_position")) == [("b",), ("a",), ("c",)]
    assert rows(postgres_server, postgres_dsn, order.format("position")) == [("a",), ("c",), ("b",)]


# --- what it cannot hold ----------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_nul_and_halves_are_replaced_and_counted(postgres_server: PostgresServer, postgres_dsn: str) -> None:
    """Only where they are: an escaped backslash before u0000 is none."""
    batch = [raw_step("nul", rb'"a\u0000b"'), raw_step("half", rb'"\ud83d"'), raw_step("text", rb'"\\u0000"')]
    with capture_logs() as logs:
        async with PostgresSink(postgres_dsn) as sink:
            await sink.write(batch)
            await sink.write(batch)
            counts = sink.written, sink.altered
    told = rows(postgres_server, postgres_dsn, "SELECT id, state ->> 'x' FROM streamproc.steps ORDER BY id")

    assert told == [("half", "\ufffd"), ("nul", "a\ufffdb"), ("text", r"\u0000")]
    assert counts == (6, 4)
    assert [(one["event"], one["count"]) for one in logs] == [("sink.text_replaced", 1), ("sink.text_replaced", 4)]


@pytest.mark.asyncio
async def test_policy_reject(postgres_server: PostgresServer, postgres_dsn: str) -> None:
    batch = [step("good"), raw_step("nul", rb'"\u0000"'), raw_step("half", rb'"\udc00"'), raw_step("tiny", b"1e-20000")]
    async with PostgresSink(postgres_dsn, unholdable="reject") as sink:
        with pytest.raises(SinkRejected) as caught:
            await sink.write(batch)

    assert caught.value.reason == "PostgreSQL cannot hold them (SQLSTATE 22003, no JSON)"
    assert caught.value.changes == batch[1:]
    assert rows(postgres_server, postgres_dsn, "SELECT id FROM streamproc.steps") == [("good",)]


@pytest.mark.asyncio
async def test_number_beyond_numeric_becomes_a_string(postgres_server: PostgresServer, postgres_dsn: str) -> None:
    async with PostgresSink(postgres_dsn) as sink:
        await sink.write([step("a"), raw_step("tiny", b"[1e-20000,1]"), step("b")])
    told = rows(postgres_server, postgres_dsn, "SELECT id, state -> 'x' FROM streamproc.steps ORDER BY id")

    assert told == [("a", None), ("b", None), ("tiny", ["1e-20000", 1])]


@pytest.mark.asyncio
async def test_culprits_alone_are_rejected(postgres_server: PostgresServer, postgres_dsn: str) -> None:
    """Among 300: too long for the key's index, too deep, against a rule that somebody added; all of their changes."""
    long = "x" + "".join(Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=9000))
    batch = [step(f"step_{number}") for number in range(300)]
    batch[7], batch[150], batch[299] = (
        step(long),
        raw_step("deep", b"[" * 20_000 + b"]" * 20_000),
        step("z", status=CANARY),
    )
    batch.append(step("z", 2, status=CANARY))
    async with PostgresSink(postgres_dsn) as sink:
        rule = f"ALTER TABLE streamproc.steps ADD CONSTRAINT no_canary CHECK (status <> '{CANARY}')"
        rows(postgres_server, postgres_dsn, rule)
        with pytest.raises(SinkRejected) as caught:
            await sink.write(batch)

    assert caught.value.changes == [batch[7], batch[150], batch[299], batch[300]]
    assert caught.value.reason == "PostgreSQL cannot hold them (SQLSTATE 23514, SQLSTATE 54000, no JSON)"
    assert rows(postgres_server, postgres_dsn, "SELECT count(*) FROM streamproc.steps") == [(297,)]


# --- opening it -------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_batch_of_which_nothing_can_be_written(postgres_server: PostgresServer, postgres_dsn: str) -> None:
    """A trigger for statements fires for no rows, too."""
    async with PostgresSink(postgres_dsn, unholdable="reject") as sink:
        for statement in (
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'no'; END$$",
            "CREATE TRIGGER refuse BEFORE INSERT ON streamproc.steps FOR EACH STATEMENT EXECUTE FUNCTION refuse()",
        ):
            rows(postgres_server, postgres_dsn, statement)
        batch = [step("step_1", metadata={"n": "\0"})]
        with pytest.raises(SinkRejected) as caught:
            await sink.write(batch)

    assert caught.value.changes == batch


@pytest.mark.asyncio
async def test_many_workers_start_at_once(postgres_server: PostgresServer, postgres_dsn: str) -> None:
    """One of them makes the tables, the others wait for it."""

    async def start(number: int) -> None:
        async with PostgresSink(postgres_dsn) as sink:
            await sink.write([step(f"step_{number}"), step("shared", number)])

    async with anyio.create_task_group() as tasks:
        for number in range(1, 9):
            tasks.start_soon(start, number)

    assert rows(postgres_server, postgres_dsn, "SELECT count(*), max(revision) FROM streamproc.steps") == [(9, 8)]
    assert rows(postgres_server, postgres_dsn, "SELECT * FROM streamproc.schema_version") == [(1, 1)]


@pytest.mark.asyncio
async def test_schema_of_ones_own(postgres_server: PostgresServer, postgres_dsn: str) -> None:
    """Two schemas in one database are two sinks; a word of SQL is a name like another."""
    for schema in ("select", "b"):
        async with PostgresSink(postgres_dsn, schema=schema) as sink:
            await sink.write([step(schema)])

    assert rows(postgres_server, postgres_dsn, 'SELECT id FROM "select".steps') == [("select",)]


@pytest.mark.parametrize("schema", ["", "A", "1a", "a-b", 'a"; DROP TABLE x; --', "a" * 64, "a\n", "é"])
def test_schema_that_is_no_name(schema: str) -> None:
    with pytest.raises(ConfigError, match="expected lower-case letters"):
        PostgresSink(schema=schema)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"unholdable": "drop"}, 'unholdable is \'drop\'; expected "replace" or "reject"'),
        ({"connect_timeout_s": 1}, "connect_timeout_s is 1; expected 2 or more seconds"),
        ({"statement_timeout_s": 0}, "statement_timeout_s is 0; expected more than 0 seconds"),
        ({"statement_timeout_s": 2_147_484}, "statement_timeout_s is 2.14748e+06; expected 2147483 or fewer seconds"),
        ({"connect_timeout_s": float("inf")}, "connect_timeout_s is inf; expected 2147483 or fewer seconds"),
    ],
)
def test_options_that_cannot_work(options: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        PostgresSink(**options)

    assert str(caught.value) == said


@pytest.mark.parametrize("dsn", [f"host=a passwrd={CANARY}", f"postgresql://a:{CANARY}@[b/c", f"{CANARY}"])
def test_address_that_is_none_is_not_repeated(dsn: str) -> None:
    with pytest.raises(ConfigError, match="dsn is something else") as caught:
        PostgresSink(SecretUrl(dsn))

    assert CANARY not in repr(caught.value)
    assert caught.value.__suppress_context__


def test_extra_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(__import__("sys").modules, "streamproc.sinks._postgres_database", raising=False)
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
    with pytest.raises(ConfigError, match=r'pip install "streamproc\[postgres\]"'):
        PostgresSink()


@pytest.mark.asyncio
async def test_environment_of_libpq(
    postgres_server: PostgresServer, postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no address says is where every other client of PostgreSQL finds it, too."""
    for name, value in (
        *(("PGHOST", "127.0.0.1"), ("PGPORT", str(postgres_server.port)), ("PGUSER", "postgres")),
        ("PGDATABASE", postgres_dsn.rpartition("/")[2]),
    ):
        monkeypatch.setenv(name, value)
    async with PostgresSink() as sink:
        await sink.write([step("step_1")])

    assert rows(postgres_server, postgres_dsn, "SELECT id FROM streamproc.steps") == [("step_1",)]


async def refusal(dsn: str, **options: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        async with PostgresSink(dsn, **options):
            pass
    return str(caught.value)


@pytest.mark.asyncio
async def test_newer_version_is_not_touched(postgres_server: PostgresServer, postgres_dsn: str) -> None:
    async with PostgresSink(postgres_dsn):
        pass
    rows(postgres_server, postgres_dsn, "UPDATE streamproc.schema_version SET version = 7")

    assert await refusal(postgres_dsn) == (
        "schema streamproc has version 7, this streamproc knows up to 1; nothing was changed"
    )


@pytest.mark.asyncio
async def test_tables_of_another_program(postgres_server: PostgresServer, postgres_dsn: str) -> None:
    """Nothing of ours is left beside them."""
    rows(postgres_server, postgres_dsn, "CREATE TABLE public.steps (mine int)")
    said = await refusal(postgres_dsn, schema="public")
    tables = rows(postgres_server, postgres_dsn, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")

    assert said == "PostgreSQL refuses our tables, for schema public has others of these names (SQLSTATE 42P07)"
    assert tables == [("steps",)]


@pytest.mark.asyncio
async def test_rights(postgres_server: PostgresServer, postgres_dsn: str) -> None:
    """Who may not make tables may write to those that are there; who may not even do that is told so."""
    database = postgres_dsn.rpartition("/")[2]
    async with PostgresSink(postgres_dsn):
        pass
    name = f"writer_of_{database}"
    for statement in (
        f"CREATE ROLE {name} LOGIN",
        f"GRANT USAGE ON SCHEMA streamproc TO {name}",
        f"GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA streamproc TO {name}",
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA streamproc TO {name}",
    ):
        rows(postgres_server, postgres_dsn, statement)
    dsn = postgres_server.dsn(database, user=name)
    async with PostgresSink(dsn) as sink:
        await sink.write([step("step_1")])
        rows(postgres_server, postgres_dsn, f"REVOKE UPDATE ON streamproc.steps FROM {name}")
        with pytest.raises(SinkUnavailable, match="SQLSTATE 42501"):
            await sink.write([step("step_2")])
        rows(postgres_server, postgres_dsn, f"GRANT UPDATE ON streamproc.steps TO {name}")
        await sink.write([step("step_2")])

    assert await refusal(dsn, schema="other") == "PostgreSQL refuses a right that schema other needs (SQLSTATE 42501)"
    assert rows(postgres_server, postgres_dsn, "SELECT count(*) FROM streamproc.steps") == [(2,)]


@pytest.mark.asyncio
async def test_server_that_refuses(harmed: PostgresServer) -> None:
    """A wrong password, user or database is a setting to be changed; the server's words are not passed on."""
    rules = harmed.folder / "data" / "pg_hba.conf"
    rules.write_text(f"host all locked 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
    harmed.execute("CREATE ROLE locked LOGIN PASSWORD 'right'")
    harmed.execute("SELECT pg_reload_conf()")
    harmed.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    wrong = harmed.dsn(user=f"locked:{CANARY}")
    said = [
        await refusal(dsn)
        for dsn in (
            wrong,
            harmed.dsn(user="locked"),
            harmed.dsn(user="nobody"),
            harmed.dsn("none"),
            harmed.dsn("latin"),
        )
    ]

    assert said == [
        "PostgreSQL refuses the password (SQLSTATE 28P01)",
        "PostgreSQL refuses the password (SQLSTATE 28P01)",
        "PostgreSQL refuses the user (SQLSTATE 28000)",
        "PostgreSQL refuses the database, which is not there, (SQLSTATE 3D000)",
        "the database's encoding is LATIN1; expected UTF8",
    ]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("dsn", "why"),
    [
        ("postgresql://nobody@127.0.0.1:1/none", "connection refused"),
        ("postgresql://nobody@c4n4ry.invalid/none", "the host's name cannot be resolved"),
        ("host=/c4n4ry user=nobody", "there is no such socket"),
    ],
)
async def test_no_server(dsn: str, why: str) -> None:
    with pytest.raises(SinkUnavailable) as caught:
        async with PostgresSink(dsn):
            pass

    assert caught.value.reason == f"no connection to PostgreSQL ({why})"


@pytest.mark.asyncio
async def test_server_without_tls(postgres_dsn: str) -> None:
    with pytest.raises(SinkUnavailable, match="the server has no TLS"):
        async with PostgresSink(f"{postgres_dsn}?sslmode=require"):
            pass


@pytest.mark.asyncio
@pytest.mark.parametrize("wrong", ["port=c4n4ry", "port=99999", "sslmode=c4n4ry", "keepalives=c4n4ry", "service=c"])
async def test_value_that_libpq_does_not_know(postgres_server: PostgresServer, wrong: str) -> None:
    """It parses; that it is wrong shows when it is used. Nothing of it is repeated."""
    dsn = f"host=127.0.0.1 port={postgres_server.port} user=postgres {wrong}"

    assert await refusal(dsn) == "dsn: one of its parameters has a value that libpq does not know"


@pytest.mark.asyncio
@pytest.mark.parametrize("host", ["a..b", "a" * 64])
async def test_host_that_is_no_name(host: str) -> None:
    """Whoever resolves names raises something of its own for these."""
    assert await refusal(f"host={host} user=nobody") == "dsn: its host is no name that can be resolved"


@pytest.mark.asyncio
async def test_longest_time_out_that_the_server_takes(postgres_server: PostgresServer, postgres_dsn: str) -> None:
    async with PostgresSink(postgres_dsn, statement_timeout_s=2_147_483) as sink:
        await sink.write([step("step_1")])

    assert rows(postgres_server, postgres_dsn, "SELECT id FROM streamproc.steps") == [("step_1",)]


TEMPORARY = Statements("x", 1)._incoming.removeprefix("pg_temp.")
# --- behind a transaction pooler --------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_each_transaction_may_have_another_session(postgres_server: PostgresServer, postgres_dsn: str) -> None:
    """Nothing of one is needed in the next: each write gets a new one here."""
    changes, sessions = ordinary_changes("s", deltas=10), set[int]()
    async with PostgresSink(postgres_dsn) as sink:
        for start in range(0, len(changes), 5):
            await sink.write(changes[start : start + 5])
            connection = sink._database._connection
            assert connection is not None
            sessions.add(connection.info.backend_pid)
            sink._database.close()

    assert len(sessions) == -(-len(changes) // 5)
    assert rows(postgres_server, postgres_dsn, "SELECT revision FROM streamproc.messages") == [(12,)]


@pytest.mark.asyncio
async def test_session_is_left_as_it_was(postgres_dsn: str) -> None:
    """No prepared statement, cursor, setting or lock that somebody else's transaction would meet; one table, empty."""
    batch = [*ordinary_changes("s", deltas=2), step("x" * 9000)]
    looks = {
        "prepared statements": "SELECT count(*) FROM pg_prepared_statements",
        "temporary rows": f"SELECT count(*) FROM {TEMPORARY}",
        "cursors": "SELECT count(*) FROM pg_cursors",
        "settings": "SELECT count(*) FROM pg_settings WHERE source = 'session'",
        "advisory locks": "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()",
        "channels": "SELECT count(*) FROM pg_listening_channels()",
    }
    async with PostgresSink(postgres_dsn) as sink:
        for _ in range(10):  # psycopg would prepare a statement that comes for the sixth time
            await sink.write(batch[:-1])
        with pytest.raises(SinkRejected):
            await sink.write([step("".join(Random(1).choices("abcdefghijklmnop", k=9000)))])
        connection = sink._database._connection
        assert connection is not None
        tables = await (
            await connection.execute(b"SELECT relname FROM pg_class WHERE relkind = 'r' AND relpersistence = 't'")
        ).fetchall()
        left = {name: (await (await connection.execute(look.encode())).fetchone()) for name, look in looks.items()}
        status = connection.info.transaction_status

    assert left == dict.fromkeys(looks, (0,))
    assert tables == [(TEMPORARY,)]
    assert status == pq.TransactionStatus.IDLE


@pytest.mark.asyncio
async def test_connection_is_renewed_once_an_hour(postgres_dsn: str) -> None:
    """The table that stays in its session would hold back the vacuum of the whole database."""
    sessions: list[int] = []
    async with PostgresSink(postgres_dsn) as sink:
        for is_old in (False, False, True, False):
            if is_old:
                sink._database._expires_s -= 3600
            await sink.write([step("step_1")])
            connection = sink._database._connection
            assert connection is not None
            sessions.append(connection.info.backend_pid)

    assert sessions[0] == sessions[1]
    assert sessions[1] != sessions[2]
    assert sessions[2] == sessions[3]


@pytest.mark.asyncio
async def test_no_statement_outside_a_transaction(harmed: PostgresServer) -> None:
    """A write is BEGIN, COPY and COMMIT with what belongs to them; nothing is prepared or set for a session."""
    dsn = harmed.new_database()
    async with PostgresSink(dsn) as sink:
        before = len(harmed.log())
        await sink.write(ordinary_changes("s", deltas=2))
    logged = re.findall(r"LOG:  statement:\s+(\w+)", harmed.log()[before:])

    assert logged == ["BEGIN", "COPY", "INSERT"]
    assert "execute" not in harmed.log()[before:]


# --- time-outs, cancellation, and a server that goes away -------------------------------------------------------------


@pytest.mark.asyncio
async def test_lock_of_somebody_else(postgres_server: PostgresServer, postgres_dsn: str) -> None:
    """It is waited for as long as a statement may take; then the batch comes again."""
    async with PostgresSink(postgres_dsn, statement_timeout_s=0.2) as sink:
        await sink.write([step("step_1")])
        with psycopg.connect(postgres_dsn) as other:
            other.execute("SELECT * FROM streamproc.steps FOR UPDATE")
            with pytest.raises(SinkUnavailable) as caught:
                await sink.write([step("step_1", 2)])
        await sink.write([step("step_1", 2)])

    assert caught.value.reason == "PostgreSQL cannot write now (SQLSTATE 57014)"
    assert rows(postgres_server, postgres_dsn, "SELECT revision FROM streamproc.steps") == [(2,)]


@pytest.mark.asyncio
async def test_write_cancelled_anywhere(postgres_server: PostgresServer, postgres_dsn: str) -> None:
    """After any number of turns of the event loop: the next write works, and nothing is lost or held."""
    batch = [step(f"step_{number}", x="y" * 2000) for number in range(500)]
    async with PostgresSink(postgres_dsn, statement_timeout_s=5) as sink:
        for turns in range(25):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(sink.write, [msgspec.structs.replace(one, revision=2 * turns + 1) for one in batch])
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
            await sink.write([msgspec.structs.replace(one, revision=2 * turns + 2) for one in batch[:3]])
        await sink.write([msgspec.structs.replace(one, revision=99) for one in batch])
    told = rows(postgres_server, postgres_dsn, "SELECT count(*), min(revision), max(revision) FROM streamproc.steps")
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle'"

    assert told == [(500, 99, 99)]
    assert rows(postgres_server, postgres_dsn, query) == [(1,)]  # the one that asks


@pytest.mark.asyncio
async def test_connection_that_died_unused_is_replaced_at_once(
    postgres_server: PostgresServer, postgres_dsn: str
) -> None:
    """A pooler or a firewall ends what idles; that is no failure of the next write."""
    async with PostgresSink(postgres_dsn) as sink:
        await sink.write([step("step_1")])
        ended = postgres_server.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()",
            dsn=postgres_dsn,
        )
        await sink.write([step("step_2")])

    assert ended == [(True,)]
    assert rows(postgres_server, postgres_dsn, "SELECT count(*) FROM streamproc.steps") == [(2,)]


@pytest.mark.asyncio
async def test_paused_server_does_not_hold_up_leaving(harmed: PostgresServer) -> None:
    """Nor does it hold up a write that is cancelled."""
    dsn = harmed.new_database()
    sink = PostgresSink(dsn)
    await sink.__aenter__()
    harmed.pause()
    try:
        with anyio.move_on_after(0.2) as scope:
            await sink.write([step("step_1")])
        began_s = monotonic()
        await sink.__aexit__(None, None, None)
        took_s = monotonic() - began_s
    finally:
        harmed.resume()

    assert scope.cancelled_caught
    assert took_s < 1


RUNS = 30


def stream_of_runs() -> list[bytes]:
    """One chunk a run, each with a step."""
    chunks = []
    for number in range(RUNS):
        run = {"id": f"run_{number}", "object": "thread.run", "status": "in_progress"}
        one = {"id": f"step_{number}", "object": "thread.run.step", "run_id": run["id"], "status": "in_progress"}
        events = [("thread.run.created", run), ("thread.run.step.created", one)]
        events += [("thread.run.step.completed", {**one, "status": "completed"})]
        events += [("thread.run.completed", {**run, "status": "completed"})]
        chunks.append(b"".join(encode_sse(Event(name, None, msgspec.json.encode(data))) for name, data in events))
    return chunks


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what a server and a clock of its own bring about; nothing tells us of it."""
    while not holds():  # noqa: ASYNC110 - no event says so
        await anyio.sleep(0.01)


def kill_and_start(server: PostgresServer) -> Sequence[Callable[[], None]]:
    return server.kill, server.start


def pause_and_resume(server: PostgresServer) -> Sequence[Callable[[], None]]:
    return server.pause, server.resume


@pytest.mark.asyncio
@pytest.mark.slow
@pytest.mark.parametrize("harm", [kill_and_start, pause_and_resume])
async def test_back_within_5_s_of_the_server(harmed: PostgresServer, harm: Any) -> None:
    """Everything that came before, meanwhile and after is there."""
    dsn, (go, come_back) = harmed.new_database(), harm(harmed)
    policy = DeliveryPolicy(timeout_s=1.0, retry=Retry(base_s=0.2, cap_s=1.0), breaker_pause_s=1.0, inbox_max=10_000)
    took_s: list[float] = []

    async def chunks(pipeline: Pipeline) -> AsyncIterator[bytes]:
        for number, chunk in enumerate(stream_of_runs()):
            if number == RUNS // 3:
                await anyio.to_thread.run_sync(go)
            if number == 2 * RUNS // 3:
                await until(lambda: pipeline.statistics()[0].failed >= 3)
                await anyio.to_thread.run_sync(come_back)
                began_s = monotonic()
                await until(lambda: not pipeline.statistics()[0].pending)
                took_s.append(monotonic() - began_s)
            yield chunk

    async with Pipeline(sinks=[(PostgresSink(dsn, connect_timeout_s=2), policy)]) as pipeline:
        async for _ in pipeline.tee(chunks(pipeline)):
            pass
    ended = "SELECT count(*) FROM streamproc.{} WHERE status = 'completed' AND ended = 1"

    assert [rows(harmed, dsn, ended.format(table)) for table in ("runs", "steps")] == [[(RUNS,)], [(RUNS,)]]
    assert took_s[0] < 5


@pytest.mark.asyncio
async def test_content_stays_out_of_logs_and_errors(
    postgres_server: PostgresServer,
    postgres_dsn: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The server quotes rows in its messages: neither these nor what the library logs is passed on."""
    caplog.set_level(logging.DEBUG)
    errors: list[BaseException] = []
    async with PostgresSink(postgres_dsn) as sink:
        await sink.write([step("step_1", x=CANARY)])
        rule = "ALTER TABLE streamproc.steps ADD CONSTRAINT none CHECK (state ->> 'x' IS NULL) NOT VALID"
        rows(postgres_server, postgres_dsn, rule)
        with capture_logs() as logs:
            for batch in ([step("step_2", x=CANARY)], [raw_step("step_3", b'"%b\\u0000' % CANARY.encode() + b'"')]):
                with pytest.raises(SinkRejected) as caught:
                    await sink.write(batch)
                errors.append(caught.value)
        rows(postgres_server, postgres_dsn, "ALTER TABLE streamproc.steps DROP COLUMN epoch")
        with pytest.raises(SinkUnavailable) as unavailable:
            await sink.write([step("step_2", x=CANARY)])
        errors.append(unavailable.value)
    seen = [str(error) for error in errors] + [repr(error.__cause__) for error in errors]
    seen += [repr(error.__context__) for error in errors if not error.__suppress_context__]

    assert CANARY not in "".join([*seen, repr(logs), caplog.text, *capfd.readouterr()])
