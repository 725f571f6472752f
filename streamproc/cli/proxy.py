"""`proxy`: passes requests on to an API, and records the runs in its streams, until it is told to end."""

import sys
from importlib.util import find_spec
from typing import Annotated, Final, Literal

from cyclopts import Parameter

from streamproc.cli.exits import Exit
from streamproc.cli.notes import note
from streamproc.errors import ConfigError

__all__ = ["PROXY_EPILOGUE", "proxy"]

_SWITCH_S: Final = 0.00005  # for so long a thread that writes the store may keep the traffic waiting, each time

PROXY_EPILOGUE: Final = """\
Examples:
  streamproc proxy --upstream https://api.openai.com
      then, for a client: OPENAI_BASE_URL=http://127.0.0.1:8701/v1
  streamproc steps runs.db --since 1m
      what ran in the last minute
  streamproc proxy --upstream https://x.openai.azure.com --store /var/lib/a.db
      for an Azure resource; the client's endpoint is http://127.0.0.1:8701

Requests and answers pass as they are. Streams are recorded on the way, in every
dialect that is known; the others pass unrecorded. A store that fails does not
stop the traffic, unless --fail closed.

Credentials pass through and are not kept. The proxy asks for none of its own:
whoever can connect to it can use the upstream as far as his own ones allow.

SIGTERM and SIGINT let what is under way end, for up to --drain seconds; a
second one ends the process at once, which loses nothing that is in the store.
At the end it says how much passed unrecorded, and why.

Exit codes:
  0    told to end
  2    bad usage: no URL, an address that is taken or public, a store that
       cannot be used
  130, 143  a second SIGINT or SIGTERM"""


def proxy(
    *,
    upstream: str,
    listen: str = "127.0.0.1:8701",
    store: str = "runs.db",
    dialect: Annotated[str, Parameter(name=["--dialect", "-d"])] = "auto",
    fail: Literal["open", "closed"] = "open",
    drain: float = 10.0,
    idle_timeout: float = 600.0,
    allow_public: Annotated[bool, Parameter(negative="", show_default=False)] = False,
) -> int:
    """Pass requests on to an API, and record the runs in its streams.

    Parameters
    ----------
    upstream
        The API: what comes before the paths that clients ask for.
    listen
        HOST:PORT; port 0 is any free one.
    store
        The SQLite file for changes and states; it is made if it is not there.
    dialect
        The wire format of the streams; found out from the first events of each unless given.
    fail
        What a store that fails does to the traffic: open, nothing; closed, requests are refused.
    drain
        Seconds that what is under way may take to end.
    idle_timeout
        Seconds that the upstream may be silent.
    allow_public
        Listen on an address that other machines can reach.
    """
    import anyio

    host, port = _address(listen)
    for name, value in (("--drain", drain), ("--idle-timeout", idle_timeout)):
        if not 0 < value < float("inf"):
            raise ConfigError(f"{name}: expected more than 0 seconds, got {value:g}")

    async def serve() -> None:
        from streamproc.pipeline import Pipeline
        from streamproc.stores.sqlite import SqliteStore
        from streamproc.worker.config import LimitsConfig
        from streamproc.worker.idle import IdleRuns
        from streamproc.worker.proxy import Proxy
        from streamproc.worker.signals import first_signal

        limits = LimitsConfig()
        idle = IdleRuns(idle_timeout_s=limits.idle_timeout_s, keep_s=limits.evict_after_s)
        pipeline = Pipeline(store=SqliteStore(store), drain_s=drain, on_changes=idle.heard)
        opened = Proxy(
            upstream,
            pipeline,
            host=host,
            port=port,
            allow_public=allow_public,
            fail=fail,
            dialect=dialect,
            idle_timeout_s=idle_timeout,
            drain_s=drain,
        )
        told = anyio.Event()
        with first_signal(lambda _: told.set()):
            async with pipeline, opened, anyio.create_task_group() as background:
                background.start_soon(idle.watch, pipeline)
                note(f"proxy: listens on {opened.url}, passes on to {opened.upstream}, records in {store}")
                await told.wait()
                statistics = opened.statistics()
                note(f"proxy: ends; {statistics.requests} requests, {statistics.active} of them under way")
                background.cancel_scope.cancel()
        if untapped := opened.statistics().untapped:
            reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(untapped.items()))
            note(f"proxy: passed unrecorded: {reasons}")

    from streamproc.cli.logs import logs_as_notes

    sys.setswitchinterval(_SWITCH_S)
    with logs_as_notes():
        anyio.run(serve, backend_options={"use_uvloop": find_spec("uvloop") is not None})
    return Exit.OK


def _address(listen: str) -> tuple[str, int]:
    host, colon, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ConfigError("--listen: expected HOST:PORT, such as 127.0.0.1:8701 or [::1]:8701")
    return host, int(port)
