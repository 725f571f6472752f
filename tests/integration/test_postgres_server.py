"""The server that other tests rely on: that it is one, and that it can be harmed as they ask."""

import psycopg
import pytest

from tests.postgres_server import PostgresServer


def test_database_is_empty(postgres_server: PostgresServer, postgres_dsn: str) -> None:
    """Two tests do not see each other's tables."""
    postgres_server.execute("CREATE TABLE mine (id int)", dsn=postgres_dsn)
    other = postgres_server.new_database()

    with pytest.raises(psycopg.errors.UndefinedTable):
        postgres_server.execute("SELECT * FROM mine", dsn=other)


def test_killed_paused_and_disconnected() -> None:
    """What was committed survives a kill; a paused server answers when it goes on; connections can be cut."""
    with PostgresServer() as server:
        dsn = server.new_database()
        server.execute("CREATE TABLE kept AS SELECT 1 AS one", dsn=dsn)
        server.kill()
        with pytest.raises(psycopg.OperationalError):
            server.execute("SELECT 1")
        server.start()
        server.pause()
        with pytest.raises(psycopg.OperationalError), psycopg.connect(server.dsn(), connect_timeout=2):
            pass
        server.resume()
        kept = server.execute("SELECT one FROM kept", dsn=dsn)
        with psycopg.connect(dsn) as idle:
            server.disconnect()
            with pytest.raises(psycopg.OperationalError):
                idle.execute("SELECT 1")

        assert kept == [(1,)]
