"""The commands that look into a store: their options, their help, and what is checked before anything is opened."""

import sys
from typing import Annotated, Final, Literal, TypeAlias

from cyclopts import Parameter

from streamproc.display.terminal import is_terminal, stdout
from streamproc.errors import ConfigError

__all__ = ["DEAD_LETTERS_EPILOGUE", "STEPS_EPILOGUE", "TAIL_EPILOGUE", "dead_letters", "steps", "tail"]

Form: TypeAlias = Literal["table", "json"]
Verb: TypeAlias = Literal["list", "show", "replay", "drop"]

STEPS_EPILOGUE: Final = """\
Examples:
  streamproc steps runs.db --status failed --since 24h
      what failed since yesterday
  streamproc steps runs.db --run run_abc | jq -r '.usage.total_tokens'
      every step of a run, as JSON lines
  streamproc steps runs.db --tool get_weather --limit 5
      the newest five steps that call a function

It only reads, also while a worker has the store open. Each JSON line is the
complete step; after its own members stand "stream", "epoch", "revision" and,
when they say something, "inferred_status" and "truncated".

A time is 2026-01-31, 2026-01-31T12:00:00Z, Unix seconds, or a while ago: 90s,
15m, 2h, 7d. Without a zone it is local."""

TAIL_EPILOGUE: Final = """\
Examples:
  streamproc tail runs.db
      every change as it comes, a line each
  streamproc tail runs.db --run run_abc | jq -c '{event, delta}'
      one run, as JSON lines
  streamproc tail runs.db --from start --until-idle 0 > all.jsonl
      all that the journal keeps, then end

It only reads, and no worker waits for it. Each JSON line is a change with its
"position"; --from takes one, so a script can go on behind the last it saw. What
the journal no longer keeps is counted on stderr. A snapshot shows the newest
state that the store has of its object.

Exit codes:
  0    nothing came for --until-idle seconds, or SIGTERM
  1    the journal is damaged, or the store was replaced
  2    bad usage: no store, no such run, a position beyond the end
  130  interrupted"""

DEAD_LETTERS_EPILOGUE: Final = """\
A dead letter is a change that a sink would not take. What to do with it:
  list            a line for each, the oldest first; the default
  show ID...      reason, attempts, and the payload as it came
  replay ID...    the changes as JSON lines, to stdout or with --to to a file;
                  those that are safely in the file are dropped, unless --keep
  drop ID...      forget them; asks on a terminal, elsewhere it needs --yes

Examples:
  streamproc dead-letters runs.db
  streamproc dead-letters runs.db show 7
  streamproc dead-letters runs.db replay --all --sink webhook --to again.jsonl
  streamproc dead-letters runs.db drop 7 8 --yes

A worker may have the store open meanwhile."""


def steps(
    db: str,
    /,
    *,
    run: Annotated[str | None, Parameter(show_default=False)] = None,
    thread: Annotated[str | None, Parameter(show_default=False)] = None,
    status: Annotated[str | None, Parameter(show_default=False)] = None,
    tool: Annotated[str | None, Parameter(show_default=False)] = None,
    since: Annotated[str | None, Parameter(show_default=False)] = None,
    until: Annotated[str | None, Parameter(show_default=False)] = None,
    limit: Annotated[int | None, Parameter(name=["--limit", "-n"], show_default=False)] = None,
    output: Annotated[Form | None, Parameter(name=["--output", "-o"], show_default=False)] = None,
) -> int:
    """Show the steps in a store: tables on a terminal, JSON lines elsewhere.

    Parameters
    ----------
    db
        The file of the store.
    run
        Only steps of the run with this id.
    thread
        Only steps of the thread with this id.
    status
        Only steps of this status, said by the server or inferred from the end of their run.
    tool
        Only steps that call a function of this name, or a tool of this type.
    since
        Only steps created at this time or later.
    until
        Only steps created before this time.
    limit
        Only the newest ones, so many.
    output
        Tables or JSON lines, wherever it goes.
    """
    from streamproc.cli.steps import Filter, print_steps
    from streamproc.cli.stored import unix_time

    if limit is not None and limit < 1:
        raise ConfigError(f"--limit: expected 1 or more, got {limit}")
    chosen = Filter(
        run=run,
        thread=thread,
        status=status,
        tool=tool,
        since=None if since is None else unix_time("--since", since),
        until=None if until is None else unix_time("--until", until),
        limit=limit,
    )
    people = is_terminal(sys.stdout)
    return print_steps(db, chosen, stdout(), escape=people, table=_is_table(output))


def tail(
    db: str,
    /,
    *,
    run: Annotated[str | None, Parameter(show_default=False)] = None,
    since: Annotated[str, Parameter(name="--from")] = "end",
    until_idle: Annotated[float | None, Parameter(show_default=False)] = None,
    json: Annotated[bool, Parameter(negative="", show_default=False)] = False,
) -> int:
    """Follow the journal of a store: every change as it becomes durable.

    Parameters
    ----------
    db
        The file of the store.
    run
        Only changes of the run with this id.
    since
        The position to begin with: a number, start (the oldest one kept), or end (what comes from now on).
    until_idle
        End after so many seconds in which nothing came.
    json
        JSON lines even on a terminal, where a change is a short line of text.
    """
    from streamproc.cli.tail import Follow, follow

    begin: Follow
    if since == "start":
        begin = "start"
    elif since == "end":
        begin = "end"
    elif since.isascii() and since.isdigit() and 0 < int(since) < 2**63:
        begin = int(since)
    else:
        raise ConfigError(f"--from: expected a position from 1 on, start or end, got {since!r}")
    if until_idle is not None and not 0 <= until_idle < float("inf"):
        raise ConfigError(f"--until-idle: expected 0 or more seconds, got {until_idle:g}")
    people = is_terminal(sys.stdout)
    return follow(db, begin, run, stdout(), escape=people, people=people and not json, until_idle_s=until_idle)


def dead_letters(
    db: str,
    verb: Verb = "list",
    /,
    *ids: Annotated[int, Parameter(show_default=False)],
    every: Annotated[bool, Parameter(name="--all", negative="", show_default=False)] = False,
    sink: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = (),
    to: Annotated[str | None, Parameter(show_default=False)] = None,
    keep: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative="", show_default=False)] = False,
    output: Annotated[Form | None, Parameter(name=["--output", "-o"], show_default=False)] = None,
) -> int:
    """List, show, deliver again or drop the changes that sinks would not take.

    Parameters
    ----------
    db
        The file of the store.
    verb
        What to do.
    ids
        Numbers of dead letters, as list shows them.
    every
        All of them; with --sink all of those sinks.
    sink
        Only dead letters of the sink with this name; may be given several times.
    to
        replay: append to this file of JSON lines.
    keep
        replay: drop none.
    yes
        drop: do not ask.
    output
        Tables and text, or JSON lines, wherever it goes.
    """
    from streamproc.cli.letters import Chosen, choose, drop, list_letters, replay_letters, show_letters
    from streamproc.cli.stored import reading

    if ids and every:
        raise ConfigError("name dead letters or give --all, not both")
    if verb in ("replay", "drop") and not ids and not every:
        raise ConfigError(f"which ones? name dead letters to {verb}, or give --all")
    if verb == "show" and not ids and not every:
        raise ConfigError("which ones? name dead letters to show; list shows their numbers")
    if verb != "replay" and (to is not None or keep):
        raise ConfigError(f"--to and --keep are for replay, not for {verb}")
    if verb != "drop" and yes:
        raise ConfigError(f"--yes is for drop, not for {verb}")
    chosen = Chosen(numbers=ids, sinks=sink)
    people, table = is_terminal(sys.stdout), _is_table(output)
    match verb:
        case "list":
            return list_letters(db, chosen, stdout(), escape=people, table=table)
        case "show":
            return show_letters(db, chosen, stdout(), escape=people, people=table)
        case "replay":
            return replay_letters(db, chosen, stdout(), escape=people, to=to, keep=keep)
        case "drop":
            with reading(db) as store:
                numbers = choose(store, chosen, db)
            if numbers and not yes and not _is_sure(len(numbers)):
                return 0
            return drop(db, numbers)


def _is_table(output: Form | None) -> bool:
    return is_terminal(sys.stdout) if output is None else output == "table"


def _is_sure(count: int) -> bool:
    """Ask, where somebody can answer.

    Raises:
        ConfigError: nobody can.
    """
    if not is_terminal(sys.stdin):
        raise ConfigError("drop cannot be undone; add --yes where nobody can be asked")
    sys.stderr.write(f"Drop {count} dead letter{'' if count == 1 else 's'} for good? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
