"""Is everything there that a config names? Each part is opened as the worker would open it, and closed again.

The store and the sinks are entered, which makes the files that they would make; hosts are connected to, and nothing is
sent; ports are bound. All at once, each within the same time limit.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Final, TypeAlias

import anyio
from msgspec import Struct

from streamproc.errors import StreamprocError
from streamproc.plugins import SourceConfig
from streamproc.protocols import Sink, Store
from streamproc.worker.config.build import build_sinks, build_store
from streamproc.worker.config.kinds import kind_of, plugin_of
from streamproc.worker.config.sections import WorkerConfig
from streamproc.worker.config.source_kinds import dial

__all__ = ["Finding", "connect"]

_SERVERS: Final = ("ingest", "proxy", "admin")


class Finding(Struct, frozen=True, kw_only=True):
    """What was found of one part."""

    part: str  # as in the config: `sinks[1]`
    kind: str
    ok: bool
    detail: str
    seconds: float


Probe: TypeAlias = Callable[[], Awaitable[str]]
"""Opens and closes one part; returns what was found."""


async def connect(config: WorkerConfig, timeout_s: float) -> list[Finding]:
    """Open everything that a config names; returns what was found, in the order of the sections."""
    probes = _probes(config)
    findings: dict[int, Finding] = {}

    async def run(number: int, part: str, kind: str, probe: Probe) -> None:
        start = anyio.current_time()
        try:
            with anyio.fail_after(timeout_s):
                ok, detail = True, await probe()
        except TimeoutError:
            ok, detail = False, f"no answer within {timeout_s:g} s"
        except StreamprocError as error:
            ok, detail = False, str(error)
        except OSError as error:
            ok, detail = False, error.strerror or str(error) or type(error).__name__
        except Exception as error:  # of a plug-in; its text may hold anything
            ok, detail = False, f"raised {type(error).__name__}"
        seconds = round(anyio.current_time() - start, 3)
        findings[number] = Finding(part=part, kind=kind, ok=ok, detail=detail, seconds=seconds)

    async with anyio.create_task_group() as group:
        for number, (part, kind, probe) in enumerate(probes):
            group.start_soon(run, number, part, kind, probe)
    return [findings[number] for number in range(len(probes))]


def _probes(config: WorkerConfig) -> list[tuple[str, str, Probe]]:
    probes: list[tuple[str, str, Probe]] = []
    if config.store is not None and (store := build_store(config)) is not None:
        probes.append(("store", kind_of(config.store), partial(_enter, store)))
    for at, source in enumerate(config.sources):
        probes.append((f"sources[{at}]", kind_of(source), partial(_look, source)))
    for at, (options, (sink, _)) in enumerate(zip(config.sinks, build_sinks(config), strict=True)):
        probes.append((f"sinks[{at}]", kind_of(options), partial(_enter, sink)))
    if config.proxy is not None:
        probes.append(("proxy.upstream", "http", partial(dial, config.proxy.upstream)))
    servers = [(name, server) for name in _SERVERS if (server := getattr(config, name)) is not None]
    return probes + [(name, "server", partial(_bind, server.host, server.port)) for name, server in servers]


async def _enter(part: Sink | Store) -> str:
    if not isinstance(part, AbstractAsyncContextManager):
        return "made"
    async with part:
        return "opened and closed"


async def _look(source: SourceConfig) -> str:
    probe = plugin_of("sources", kind_of(source)).probe
    return "made" if probe is None else await probe(source)


async def _bind(host: str, port: int) -> str:
    async with await anyio.create_tcp_listener(local_host=host, local_port=port):
        return f"{host}:{port} is free" if port else f"{host} has free ports"
