"""The commands and their options, and what every command shares: usage errors, an interrupt, a reader that left."""

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import TYPE_CHECKING, Annotated, Final, Literal

from cyclopts import App, CycloptsError, Parameter

from streamproc import __version__
from streamproc.cli.check import CHECK_EPILOGUE, check
from streamproc.cli.dialects import DIALECTS_EPILOGUE, dialects
from streamproc.cli.exits import Exit
from streamproc.cli.explain import EXPLAIN_EPILOGUE, explain
from streamproc.cli.init import INIT_EPILOGUE, init
from streamproc.cli.interrupts import interrupts_held
from streamproc.cli.notes import note
from streamproc.cli.output import Output
from streamproc.cli.plugins import PLUGINS_EPILOGUE, plugins
from streamproc.cli.proxy import PROXY_EPILOGUE, proxy
from streamproc.cli.run import RUN_EPILOGUE
from streamproc.cli.run import run as run_worker
from streamproc.cli.store_commands import (
    DEAD_LETTERS_EPILOGUE,
    STEPS_EPILOGUE,
    TAIL_EPILOGUE,
    dead_letters,
    steps,
    tail,
)
from streamproc.display.terminal import is_terminal, stdout
from streamproc.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from streamproc.cost import Prices

__all__ = ["run"]

_DASH: Final = "\0"  # "-" while arguments are parsed, where it would be an option; no argument can hold this character

app = App(
    name="streamproc",
    version=f"streamproc {__version__}",
    help="Turns the event stream of an agent run into complete states of its steps, messages and runs.",
    help_epilogue="""\
Examples:
  streamproc demo                   a built-in run, live
  streamproc replay run.sse         the final state of every step, as JSON lines
  curl -sN ... | streamproc replay --output changes
                                    every change of a live stream, at once
  streamproc replay run.sse --store runs.db
                                    and kept; then: streamproc steps runs.db
  streamproc init streamproc.toml   a config for a worker; then: streamproc check
  streamproc run streamproc.toml    the worker

Exit codes:
  0    ok
  1    the data or a run had errors
  2    bad usage
  130  interrupted""",
    help_format="plaintext",
    version_format="plaintext",
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)

_REPLAY_EPILOGUE: Final = """\
Examples:
  streamproc replay first.sse second.sse
      two streams of one run: the second goes on where the first stopped
  streamproc replay 'recordings/*.sse' --output summary
      counts, sizes and oddities of many recordings
  streamproc replay run.sse --output summary --cost --price-as my-gpt=gpt-4o
      what its runs spent, and cost; my-gpt is a deployment of that model
  streamproc replay run.sse --output messages | jq -r '.content[].text.value'
      what the agent said
  streamproc replay run.sse --store runs.db --output summary
      every change and state into a store, which steps and tail look into

Output, as JSON lines on stdout:
  steps, messages, runs
      final states, complete: members unknown to this version are in them; an
      object that did not end may carry "inferred_status" or "truncated" beside
  changes
      every change as it happens
  summary
      counts and "usage" (tokens by run), one line for each input; with --cost
      also "cost", in US dollars as text, by run and model. A run without a
      price has null and says "why"; nothing is counted as 0. "basis" is
      "steps" where a run did not say its usage: it spent at least that
On a terminal, states are shown as tables. Everything else is on stderr.

With --store a change is durable before it is printed. The same file again is a
new epoch of its stream and ends in the same states; a run that the store has
open goes on.

Exit codes:
  0    ok; oddities that were tolerated are counted on stderr
  1    a run failed, the server sent an error, a stream was truncated, or a
       payload could not be decoded
  2    bad usage: a missing file, a directory, a pattern without a match, an
       unknown option, a store that cannot be used
  130  interrupted; what was merged until then is printed"""

_DEMO_EPILOGUE: Final = """\
It needs no network and no configuration: the run comes with the package.

Examples:
  streamproc demo --speed 2               twice as fast
  streamproc demo --compare               beside the openai package's handler
  streamproc demo --kill                  killed in a tool call, started again
  streamproc demo --svg docs/demo.svg     the final screen as a picture"""


@app.command(usage="Usage: streamproc replay [FILE...|-] [OPTIONS]", help_epilogue=_REPLAY_EPILOGUE)
def replay(
    *files: Annotated[str, Parameter(show_default=False)],
    output: Annotated[Output, Parameter(name=["--output", "-o"])] = "steps",
    dialect: Annotated[str, Parameter(name=["--dialect", "-d"])] = "auto",
    store: Annotated[str | None, Parameter(show_default=False)] = None,
    json: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    cost: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    price_as: Annotated[list[str] | None, Parameter(negative="", show_default=False)] = None,
) -> int:
    """Merge recorded streams and print the states they end in.

    Parameters
    ----------
    files
        Files or quoted patterns, in the order of their streams; - or nothing at all is standard input.
    output
        What to print.
    dialect
        The wire format of the streams; found out from the first event of each unless given.
    store
        Keep every change, and the states, in this SQLite file; it is made if it is not there.
    json
        JSON lines even on a terminal, where states are shown as tables.
    cost
        Add what runs cost to a summary, by the price table of genai-prices.
    price_as
        NAME=MODEL: the model that a name stands for, such as that of a deployment; may be repeated.
    """
    with interrupts_held() as waiting:
        from streamproc.cli.inputs import expand
        from streamproc.cli.output import Printer
        from streamproc.cli.progress import ProgressBar
        from streamproc.cli.replay import replay
        from streamproc.cli.tables import show_states
        from streamproc.core.dialect import dialect_factory

        dialect_factory(dialect.replace(_DASH, "-"))  # before anything is read
        prices = _prices(output, cost, price_as or [])
        sources = expand(_input_names(files))
        people = is_terminal(sys.stdout)
        show_table = show_states if people and not json else None
        printer = Printer(output, stdout(), escape=people, show_table=show_table, prices=prices)
        sizes = [source.size for source in sources]
        total = None if None in sizes else sum(size or 0 for size in sizes)
        # On a terminal, a bar among lines that keep coming would be unreadable.
        progress = ProgressBar(total, enabled=not (people and output == "changes"))
        if store is None:
            return replay(sources, dialect, printer, progress, waiting=waiting)
        if store == _DASH:
            raise ConfigError("--store: expected the name of a file, got -")
        from streamproc.cli.keeping import keeping
        from streamproc.cli.logs import logs_as_notes

        with logs_as_notes(), keeping(store) as keeper:
            return replay(sources, dialect, printer, progress, keeper, waiting)


def _input_names(files: Sequence[str]) -> list[str]:
    """What to read; nothing named is standard input.

    Raises:
        ConfigError: that is a terminal.
    """
    if not files and is_terminal(sys.stdin):
        raise ConfigError("name a file, or pipe a stream in: curl -sN ... | streamproc replay")
    return ["-" if name == _DASH else name for name in files] or ["-"]


_CONVERT_EPILOGUE: Final = """\
Examples:
  streamproc convert responses.sse > assistants.sse
      for a client that reads Assistants streams only
  curl -sN ... | streamproc convert | my-client
      a live stream: each event is written when it came
  streamproc convert --store runs.db --run run_abc
      a run that a store keeps, told by its last states

Several files are one stream, as in replay. A stream that broke off is written
without an end, so that its reader knows.

Exit codes:
  0    ok
  1    a run failed, the server sent an error, a stream was truncated, or a
       payload could not be decoded; what could be converted is written
  2    bad usage
  130  interrupted"""


@app.command(usage="Usage: streamproc convert [FILE...|-] [OPTIONS]", help_epilogue=_CONVERT_EPILOGUE)
def convert(
    *files: Annotated[str, Parameter(show_default=False)],
    to: Literal["assistants"] = "assistants",
    dialect: Annotated[str, Parameter(name=["--dialect", "-d"])] = "auto",
    store: Annotated[str | None, Parameter(show_default=False)] = None,
    run: Annotated[str | None, Parameter(show_default=False)] = None,
) -> int:
    """Write runs out again as the stream of another protocol.

    Parameters
    ----------
    files
        Files or quoted patterns, in the order of their streams; - or nothing at all is standard input.
    to
        The protocol to write.
    dialect
        The wire format of the input; found out from its first event unless given.
    store
        Take a run from this store instead of files.
    run
        The id of that run.
    """
    from streamproc.cli.convert import convert, convert_stored
    from streamproc.cli.inputs import expand
    from streamproc.cli.progress import ProgressBar
    from streamproc.core.dialect import dialect_factory

    if (store is None) != (run is None) or (store is not None and files):
        raise ConfigError("name files, or --store and --run")
    if store is not None and run is not None:
        return convert_stored(store, run, stdout(), escape=is_terminal(sys.stdout))
    dialect_factory(dialect.replace(_DASH, "-"))
    sources = expand(_input_names(files))
    people = is_terminal(sys.stdout)
    return convert(sources, dialect, stdout(), ProgressBar(None, enabled=not people), escape=people)


def _prices(output: Output, cost: bool, price_as: Sequence[str]) -> "Prices | None":
    """The price table, if `--cost` asks for it."""
    if not cost:
        if price_as:
            raise ConfigError("--price-as goes with --cost")
        return None
    if output != "summary":
        raise ConfigError("--cost goes with --output summary")
    models: dict[str, str] = {}
    for pair in price_as:
        name, _, model = pair.replace(_DASH, "-").partition("=")
        if not name or not model:
            raise ConfigError("--price-as: expected NAME=MODEL, such as my-gpt=gpt-4o")
        models[name] = model
    from streamproc.cost import Prices

    return Prices(models=models)


app.command(init, usage="Usage: streamproc init [PATH|-] [OPTIONS]", help_epilogue=INIT_EPILOGUE)
app.command(run_worker, name="run", usage="Usage: streamproc run CONFIG", help_epilogue=RUN_EPILOGUE)
app.command(check, usage="Usage: streamproc check CONFIG [OPTIONS]", help_epilogue=CHECK_EPILOGUE)
app.command(explain, usage="Usage: streamproc explain CONFIG", help_epilogue=EXPLAIN_EPILOGUE)
app.command(dialects, usage="Usage: streamproc dialects [NAME]", help_epilogue=DIALECTS_EPILOGUE)
app.command(plugins, usage="Usage: streamproc plugins [OPTIONS]", help_epilogue=PLUGINS_EPILOGUE)
app.command(steps, usage="Usage: streamproc steps DB [OPTIONS]", help_epilogue=STEPS_EPILOGUE)
app.command(tail, usage="Usage: streamproc tail DB [OPTIONS]", help_epilogue=TAIL_EPILOGUE)
app.command(proxy, usage="Usage: streamproc proxy --upstream URL [OPTIONS]", help_epilogue=PROXY_EPILOGUE)
app.command(
    dead_letters,
    name="dead-letters",
    usage="Usage: streamproc dead-letters DB [list|show|replay|drop] [ID...] [OPTIONS]",
    help_epilogue=DEAD_LETTERS_EPILOGUE,
)


@app.command(usage="Usage: streamproc demo [OPTIONS]", help_epilogue=_DEMO_EPILOGUE)
def demo(
    *,
    compare: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    kill: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    svg: Annotated[str | None, Parameter(show_default=False)] = None,
    speed: float = 1.0,
) -> int:
    """Play a built-in run: code interpreter, two parallel function calls, and a message over two streams.

    Parameters
    ----------
    compare
        Show what the event handler of the openai package makes of the same bytes (pip install openai).
    kill
        Have a process keep the run in a store, kill it in a tool call, start it again, and count what was lost.
    svg
        Write the final screen to this file as a picture.
    speed
        How fast it is played on a terminal; 2 is twice as fast.
    """
    if not speed > 0:  # nan is not either
        raise ConfigError(f"--speed: expected more than 0, got {speed:g}")
    if svg == _DASH:
        raise ConfigError("--svg: expected the name of a file, got -")
    if kill:
        if compare or svg is not None:
            raise ConfigError("--kill goes with neither --compare nor --svg")
        from streamproc.cli.kill import demo_kill

        return demo_kill(speed)
    from streamproc.cli.demo import demo

    return demo(compare=compare, svg=svg, speed=speed)


def run(argv: Sequence[str]) -> int:
    """Carry out one command line; returns the exit code."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal may know fewer characters than a table has
    try:
        result = app([_DASH if word == "-" else word for word in argv], exit_on_error=False, print_error=False)
        sys.stdout.flush()
        return int(result or 0)
    except CycloptsError as error:
        note(str(error).replace(_DASH, "-"))
        return Exit.USAGE
    except (ConfigError, StoreError) as error:
        for fault in getattr(error, "faults", (error,)):  # an `InvalidConfig` has a line for each mistake
            note(str(fault))
        return Exit.USAGE
    except OSError as error:  # of writing; what goes wrong with an input is told where it is read
        # What is still in the buffer must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return Exit.OK  # the reader has seen enough (`| head`)
        note(f"stdout: cannot be written: {error.strerror or error}")
        return Exit.USAGE
