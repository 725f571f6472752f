"""Fixtures and settings shared by all tests."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.postgres_server import PostgresServer

ROOT = Path(__file__).resolve().parent.parent

# `deadline=None`: a shared machine stalls now and then, and linearity is measured by benchmarks, not by a test's clock.
settings.register_profile("default", deadline=None)
# CI repeats the same examples on each run, so that a red run is red again on the next machine.
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder of recorded streams, with one subfolder a dialect; the test is skipped where there is none.

    The recordings are not part of the repository: `STREAMPROC_CORPUS` names the folder, else it is `../shared/corpus`
    beside the checkout. A variable that is set but names no folder is an error, so that it cannot hide a skip.
    """
    named = os.environ.get("STREAMPROC_CORPUS")
    folder = Path(named) if named else ROOT.parent / "shared" / "corpus"
    if folder.is_dir():
        return folder
    if named:
        pytest.fail(f"STREAMPROC_CORPUS={named} is not a folder", pytrace=False)
    pytest.skip(f"no recorded streams: STREAMPROC_CORPUS is not set and {folder} is not a folder")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL for all tests that do not harm it; those that do start one of their own."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def postgres_dsn(postgres_server: PostgresServer) -> str:
    """The address of an empty database."""
    return postgres_server.new_database()
