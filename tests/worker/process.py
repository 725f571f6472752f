"""A worker as a process of its own: started from a config, asked over its ports, told to end, and read from its log."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlsplit

__all__ = ["ROOT", "WorkerProcess", "environment", "free_port"]

ROOT: Final = Path(__file__).resolve().parents[2]
T = TypeVar("T")

NO_HEADERS: Final[Mapping[str, str]] = {}

_START_S: Final = 30.0
_POLL_S: Final = 0.01


def environment(**more: str) -> Mapping[str, str]:
    """For a child that imports this work tree."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "STREAMPROC_LOG": "json", **more}


def free_port() -> int:
    """A port that nothing listens on, for a worker that is to have the same one in each of its lives."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


class WorkerProcess:
    """One life of a worker; leaving it kills what still lives.

        with WorkerProcess(config) as worker:
            worker.ask("GET", "admin", "/readyz")

    Args:
        config: a file; its folder is the one that the worker runs in. Logs as JSON.
        is_awaited: return from entering once the worker says that it has started.
    """

    def __init__(self, config: Path, *, is_awaited: bool = True, **env: str) -> None:
        self.config = config
        self.addresses: dict[str, str] = {}
        self._env = env
        self._is_awaited = is_awaited

    def __enter__(self) -> Self:
        self.log_path = self.config.parent / f"{self.config.stem}.{time.monotonic_ns()}.log"
        with self.log_path.open("wb") as log:
            self.child = subprocess.Popen(
                [sys.executable, "-W", "error", "-m", "streamproc.cli", "run", self.config.name],
                cwd=self.config.parent,
                env=environment(**self._env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        if self._is_awaited:
            self.await_start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()

    def await_start(self) -> None:
        """Return once it is ready; the servers' addresses are known then."""
        started = self.await_event("worker.started")
        self.addresses = {name: started[name] for name in ("ingest", "proxy", "admin") if started[name]}

    def await_lines(self) -> None:
        """The same of a worker that logs for people."""
        started = self._await(
            lambda: next((line for line in self.log().splitlines() if "worker.started" in line), None)
        )
        found = re.findall(r" (ingest|proxy|admin)=(\S+)", started)
        self.addresses = {name: address for name, address in found if address != "None"}

    def await_event(self, event: str) -> dict[str, Any]:
        """The first log event of that name, once it is there."""
        return self._await(lambda: next((entry for entry in self.events() if entry["event"] == event), None))

    def _await(self, find: Callable[[], T | None]) -> T:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            has_ended = self.child.poll() is not None
            if (found := find()) is not None:
                return found
            assert not has_ended, f"ended with {self.child.returncode}: {self.log()}"
            time.sleep(_POLL_S)
        raise AssertionError(f"not so: {self.log()}")

    # -- what it says -------------------------------------------------------------------------------------------------

    def log(self) -> str:
        """All that it wrote."""
        return self.log_path.read_text(encoding="utf-8")

    def events(self) -> list[dict[str, Any]]:
        """Its log; the last line may still be written."""
        lines = self.log().split("\n")[:-1]
        return [json.loads(line) for line in lines if line.startswith("{")]

    def count(self, event: str) -> int:
        """How often it was logged."""
        return sum(entry["event"] == event for entry in self.events())

    # -- what is asked of it ------------------------------------------------------------------------------------------

    def ask(
        self, method: str, server: str, path: str, body: bytes | None = None, headers: Mapping[str, str] = NO_HEADERS
    ) -> tuple[HTTPResponse, bytes]:
        """One request of its own connection; the answer and its body."""
        connection = HTTPConnection(urlsplit(self.addresses[server]).netloc, timeout=30)
        try:
            connection.request(method, path, body, {"Connection": "close", **headers})
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()

    def send(self, name: str, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> Any:
        """Send a whole stream; its summary."""
        headers = {"Content-Type": "text/event-stream", **headers}
        answer, data = self.ask("POST", "ingest", f"/v1/streams/{name}", body, headers)
        assert answer.status == 200, data
        return json.loads(data)

    # -- its end ------------------------------------------------------------------------------------------------------

    def tell(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal."""
        self.child.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout_s: float = 30.0) -> int:
        """Tell it to end; its exit code."""
        self.tell(number)
        return self.child.wait(timeout_s)
