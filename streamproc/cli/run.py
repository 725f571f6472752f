"""`streamproc run`: the worker that a config describes, until it is told to end."""

import sys
from importlib.util import find_spec
from typing import Final

from streamproc.cli.exits import Exit
from streamproc.errors import ConfigError, SinkError, StoreError, StreamprocError

__all__ = ["RUN_EPILOGUE", "run"]

RUN_EPILOGUE: Final = """\
Examples:
  streamproc init streamproc.toml && streamproc run streamproc.toml
      then, in another terminal:
  curl -T run.sse -X POST -H 'Content-Type: text/event-stream' \\
      http://127.0.0.1:8700/v1/streams/my-run
      a stream; it may take as long as its run does. Answers with a summary
  curl http://127.0.0.1:8702/readyz
      and /healthz, /metrics, /v1/runs, /v1/runs/ID/steps
  streamproc steps streamproc.db
      every step that came so far; `tail` follows

It logs on stderr; log.format = "json" is for machines. No content of streams is
in the log.

SIGTERM and SIGINT stop it: no new streams are taken, those under way go on for
half of limits.drain_s, then sinks are waited for. What is left is in the store,
and the next start goes on there. A second signal ends it at once, which loses
nothing that is in the store. A config with sources alone ends when they do.

Exit codes:
  0    told to end, or all sources have ended well
  1    a source failed, or changes were lost (without a store), or a fault
  2    the config has mistakes, or a part cannot be opened: a port that is
       taken, a store that another process has
  130, 143  a second SIGINT or SIGTERM"""


def run(config: str, /) -> int:
    """Run a worker: take streams, keep their states, hand changes to sinks.

    Parameters
    ----------
    config
        The config file.
    """
    from streamproc.worker.config import load_config

    loaded = load_config(config)
    import anyio
    import structlog

    from streamproc.wording import where_text
    from streamproc.worker.logs import logging_to
    from streamproc.worker.service import serve

    log = structlog.get_logger("streamproc")
    options = {"use_uvloop": find_spec("uvloop") is not None}  # installed by whoever wants it
    with logging_to(sys.stderr, loaded.log, loaded.redaction if loaded.redaction.enabled else None):
        try:
            outcome = anyio.run(serve, loaded, backend_options=options)
        except (ConfigError, StoreError):
            raise
        except SinkError as error:  # of a sink that cannot be entered now: the places would tell nothing
            log.critical("worker.failed", cause=str(error))
            return Exit.DATA
        except Exception as error:
            cause = str(error) if isinstance(error, StreamprocError) else type(error).__name__
            log.critical("worker.failed", cause=cause, exception=where_text(error))
            return Exit.DATA
    return Exit.OK if outcome.is_clean else Exit.DATA
