"""`streamproc check`: is a config right, and is everything there that it names?"""

import io
import sys
from contextlib import redirect_stdout
from functools import partial
from typing import Annotated, Final, Literal, TypeAlias

from cyclopts import Parameter

from streamproc.cli.exits import Exit
from streamproc.display.terminal import clean, escape_json, is_terminal, stdout
from streamproc.errors import ConfigError

__all__ = ["CHECK_EPILOGUE", "check"]

Form: TypeAlias = Literal["text", "json"]

CHECK_EPILOGUE: Final = """\
First the file alone: every mistake is a line on stderr that names file, line,
key and what to do. If there is none, everything that it names is opened and
closed again: the store, the sinks (which makes the files that the worker would
make), the hosts of sources and of the proxy, the ports of its servers. Nothing
is sent and no stream is read. A store or port that a running worker has is not
free.

Examples:
  streamproc check streamproc.toml
  streamproc check streamproc.toml --offline       the file alone
  streamproc check streamproc.toml --output json | jq 'select(.ok | not)'

Exit codes:
  0    all is well
  1    something that the config names cannot be opened or reached
  2    the config has mistakes, or there is none"""


def check(
    config: str,
    /,
    *,
    timeout_s: float = 5.0,
    offline: Annotated[bool, Parameter(negative="")] = False,
    output: Annotated[Form | None, Parameter(name=["--output", "-o"], show_default=False)] = None,
) -> int:
    """Look for mistakes in a config, then connect to everything that it names.

    Parameters
    ----------
    config
        The config file.
    timeout_s
        How long each part may take to open.
    offline
        Look at the file alone.
    output
        Lines of text, as on a terminal, or JSON lines.
    """
    if not 0 < timeout_s < float("inf"):
        raise ConfigError(f"--timeout-s: expected more than 0 seconds, got {timeout_s:g}")
    from streamproc.worker.config import load_config

    loaded = load_config(config)
    if offline:
        return Exit.OK
    import anyio
    import msgspec

    from streamproc.cli.logs import logs_as_notes
    from streamproc.worker.check import connect

    with logs_as_notes(), redirect_stdout(io.StringIO()):  # what a sink shows when it is entered is no answer
        findings = anyio.run(partial(connect, loaded, timeout_s))
    people = is_terminal(sys.stdout)
    out = stdout()
    for finding in findings:
        if people if output is None else output == "text":
            verdict = "ok" if finding.ok else "failed"
            line = f"{verdict:<6}  {finding.part:<16}  {clean(f'{finding.kind}: {finding.detail}')}\n"
            out.write(line.encode("utf-8", "replace"))
        else:
            data = msgspec.json.encode(finding)
            out.write((escape_json(data) if people else data) + b"\n")
    return Exit.OK if all(finding.ok for finding in findings) else Exit.DATA
