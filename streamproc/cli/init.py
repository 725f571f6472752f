"""`streamproc init`: a config to begin with, and the schema that editors complete it by."""

import os
import sys
from importlib.resources import files
from typing import Annotated, Final

from cyclopts import Parameter

from streamproc.cli.exits import Exit
from streamproc.cli.notes import note
from streamproc.display.terminal import stdout
from streamproc.errors import ConfigError

__all__ = ["INIT_EPILOGUE", "init"]

_STDOUT: Final = ("-", "\0")  # app.py passes the second one on

INIT_EPILOGUE: Final = """\
Examples:
  streamproc init streamproc.toml
  streamproc check streamproc.toml
  streamproc init --schema streamproc.schema.json
      for editors that know the first line of the config: keys are completed
      and checked while you type; it has the plug-ins that are installed now"""


def init(
    path: Annotated[str, Parameter(show_default=False)] = "-",
    /,
    *,
    schema: Annotated[bool, Parameter(negative="")] = False,
    force: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Print a commented config that works as it is, or write it to a file.

    Parameters
    ----------
    path
        Where to; - or nothing at all is standard output.
    schema
        The JSON Schema of a config in its place.
    force
        Write over a file that is there.
    """
    data = _schema() if schema else files("streamproc.worker.config").joinpath("starter.toml").read_bytes()
    if path in _STDOUT:
        stdout().write(data)
        return Exit.OK
    try:
        with open(path, "wb" if force else "xb") as file:
            file.write(data)
    except FileExistsError:
        raise ConfigError(f"{path}: is there already; add --force to write over it") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no file can have this name"
        raise ConfigError(f"{path}: cannot be written: {reason}") from error
    if not schema and sys.stderr.isatty():
        note(f"{os.fspath(path)} is written; next: streamproc check {path}")
    return Exit.OK


def _schema() -> bytes:
    import msgspec

    from streamproc.worker.config.schema import config_schema

    return msgspec.json.format(msgspec.json.encode(config_schema()), indent=2) + b"\n"
