"""Each mistake in a config gets one line that says where it is and what to do: the table of them.

docs/config-mistakes.md shows the table to people; `STREAMPROC_WRITE_DOCS=1 pytest` on this file writes it anew.
"""

import os
import re
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from streamproc.worker.config import InvalidConfig, load_config
from tests.conftest import ROOT

DOCUMENT: Final = ROOT / "docs" / "config-mistakes.md"
ENVIRON: Final = {"SET": "kT3vQm9sXw2LbR8nYc5e", "WORD": "eighty", "EMPTY": ""}
# What a config needs beside a mistake; appended, so that lines keep their numbers.
COMES_IN: Final = "\n[ingest]\n"
GOES_OUT: Final = '\n[store]\npath = "runs.db"\n'


class Mistake(NamedTuple):
    """A config and what is said of it, behind the name of the file."""

    title: str
    config: str
    told: str


MISTAKES: Final = (
    Mistake(
        "a value without quotes",
        """\
[log]
level = info
""",
        "2: column 12: expected the end of the line; a string needs quotes around all of it, and each "
        "key a line of its own",
    ),
    Mistake(
        "a string that is not closed",
        """\
[store]
path = "runs.db
""",
        "2: column 16: a string does not end on its line; close its quotes",
    ),
    Mistake(
        "a key without a value",
        """\
[log]
level
""",
        "2: column 6: expected = after a key; a key with spaces or other signs needs quotes",
    ),
    Mistake(
        "a key twice",
        """\
[store]
path = "a.db"
path = "b.db"
""",
        "3: column 14: this key is there already; remove one of the two",
    ),
    Mistake(
        "a table twice",
        """\
[log]
level = "info"

[log]
format = "json"
""",
        "4: column 5: this table is there already; remove one of the two, or write [[...]] for a list of tables",
    ),
    Mistake(
        "a header that is not closed",
        """\
[log
level = "info"
""",
        "1: column 5: a header has no end; write [table] or [[table]]",
    ),
    Mistake(
        "a Windows path in double quotes",
        """\
[store]
path = "C:\\data\\runs.db"
""",
        "2: column 13: a \\ in double quotes begins an escape; write \\\\, or use single quotes",
    ),
    Mistake(
        "two keys on a line",
        """\
[store]
path = "a.db" max_bytes = 1
""",
        "2: column 15: expected the end of the line; a string needs quotes around all of it, and each "
        "key a line of its own",
    ),
    Mistake(
        "a section with a typo",
        """\
[limit]
drain_s = 5
""",
        '1: limit: unknown key; did you mean "limits"?',
    ),
    Mistake(
        "a section of something else",
        """\
[database]
url = "x"
""",
        "1: database: unknown key; known here: store, sources, sinks, ingest, proxy, admin, limits, log",
    ),
    Mistake(
        "a key with a typo",
        """\
[store]
path = "a.db"
max_byte = 1000000
""",
        '3: store.max_byte: unknown key; did you mean "max_bytes"?',
    ),
    Mistake(
        "a key with dashes",
        """\
[ingest]
max-streams = 10
""",
        '2: ingest.max-streams: unknown key; did you mean "max_streams"?',
    ),
    Mistake(
        "a key that belongs one level deeper",
        """\
[[sinks]]
kind = "jsonl"
path = "a.jsonl"
inbox_max = 100
""",
        '4: sinks[0].inbox_max: unknown key; it belongs under "policy"',
    ),
    Mistake(
        "a key of another kind of sink",
        """\
[[sinks]]
kind = "console"
path = "a.jsonl"
""",
        "3: sinks[0].path: unknown key; known here: name, policy, maximum",
    ),
    Mistake(
        "a key with a typo in the second sink's policy",
        """\
[[sinks]]
kind = "console"

[[sinks]]
kind = "jsonl"
path = "a.jsonl"
policy = { inbox_mx = 100 }
""",
        '7: sinks[1].policy.inbox_mx: unknown key; did you mean "inbox_max"?',
    ),
    Mistake(
        "a key with a typo three levels deep",
        """\
[[sinks]]
kind = "console"

[sinks.policy.retry]
max_attempt = 3
""",
        '5: sinks[0].policy.retry.max_attempt: unknown key; did you mean "max_attempts"?',
    ),
    Mistake(
        "a source without a kind",
        """\
[[sources]]
url = "https://api.example.com/stream"
""",
        '1: sources[0].kind: is missing; add kind = "http" or "file"',
    ),
    Mistake(
        "a kind with a typo",
        """\
[[sinks]]
kind = "jsnol"
path = "a.jsonl"
""",
        '2: sinks[0].kind: expected one of "jsonl", "console", "webhook", "otlp", "postgres", got "jsnol"; '
        'did you mean "jsonl"?',
    ),
    Mistake(
        "a kind that is not installed",
        """\
[[sinks]]
kind = "mqtt"
""",
        '2: sinks[0].kind: expected one of "jsonl", "console", "webhook", "otlp", "postgres", got "mqtt"; '
        "`streamproc plugins` lists what is installed",
    ),
    Mistake(
        "a kind that is no string",
        """\
[store]
kind = 3
""",
        '2: store.kind: expected one of "sqlite", "memory", got 3',
    ),
    Mistake(
        "a store without a path",
        """\
[store]
synchronous = "full"
""",
        '1: store.path: is missing; add path = "..."',
    ),
    Mistake(
        "a source without its URL",
        """\
[[sources]]
kind = "http"
name = "live"
""",
        '1: sources[0].url: is missing; add url = "..."',
    ),
    Mistake(
        "a proxy without an upstream",
        """\
[proxy]
port = 9000
""",
        '1: proxy.upstream: is missing; add upstream = "..."',
    ),
    Mistake(
        "nothing comes in",
        """\
[store]
path = "a.db"
""",
        "1: nothing comes in; add [[sources]], [ingest] or [proxy]",
    ),
    Mistake(
        "nothing goes out",
        """\
[ingest]
port = 9000
""",
        "1: nothing goes out; add [store] or [[sinks]]",
    ),
    Mistake(
        "a number in quotes",
        """\
[ingest]
port = "9000"
""",
        '2: ingest.port: expected a whole number from 0 to 65535, got "9000"; write 9000 without quotes',
    ),
    Mistake(
        "a duration with its unit",
        """\
[limits]
drain_s = "30s"
""",
        '2: limits.drain_s: expected a number of 0 or more, got "30s"; write seconds, as a number: 30',
    ),
    Mistake(
        "a size with its unit",
        """\
[ingest]
max_body_bytes = "64MiB"
""",
        '2: ingest.max_body_bytes: expected a whole number of 1 or more, got "64MiB"; write bytes, as a '
        "number: 67108864",
    ),
    Mistake(
        "a boolean in quotes",
        """\
[proxy]
upstream = "https://api.example.com/v1"
allow_public = "true"
""",
        '3: proxy.allow_public: expected true or false, got "true"; write true without quotes',
    ),
    Mistake(
        "a fraction where none can be",
        """\
[store]
path = "a.db"
keep_changes = 0.5
""",
        "3: store.keep_changes: expected a whole number of 0 or more, got 0.5",
    ),
    Mistake(
        "a string without quotes that is a number",
        """\
[store]
path = 5
""",
        "2: store.path: expected a string that is not empty, got 5; write it in quotes",
    ),
    Mistake(
        "one token that is not in a list",
        """\
[ingest]
tokens = "kT3vQm9sXw2LbR8nYc5e"
""",
        "2: ingest.tokens: expected a list of strings, got a string; write it in [ ]",
    ),
    Mistake(
        "a token that is a number",
        """\
[admin]
token = 12345678901234567890
""",
        "2: admin.token: expected a string that is not empty, got a number; write it in quotes",
    ),
    Mistake(
        "one bracket where two belong",
        """\
[sinks]
kind = "console"
""",
        "1: sinks: expected a list of tables, got a table; write [[sinks]], with two brackets",
    ),
    Mistake(
        "two brackets where one belongs",
        """\
[[store]]
path = "a.db"
""",
        "1: store: expected a table, got a list; write [store], with one bracket",
    ),
    Mistake(
        "a header that is no table",
        """\
[[sources]]
kind = "http"
url = "https://api.example.com/stream"
headers = "Authorization: Bearer kT3vQm9sXw2LbR8nYc5e"
""",
        "4: sources[0].headers: expected a table of strings, got a string; write headers = { name = value, ... }",
    ),
    Mistake(
        "a policy that is a word",
        """\
[[sinks]]
kind = "console"
policy = "latest"
""",
        '3: sinks[0].policy: expected a table, got "latest"; write policy = { name = value, ... }',
    ),
    Mistake(
        "a date",
        """\
[log]
level = 2026-01-31
""",
        '2: log.level: expected one of "debug", "error", "info", "warning", got a date or time',
    ),
    Mistake(
        "an unknown level",
        """\
[log]
level = "warn"
""",
        '2: log.level: expected one of "debug", "error", "info", "warning", got "warn"; did you mean "warning"?',
    ),
    Mistake(
        "an unknown way to fail",
        """\
[proxy]
upstream = "https://api.example.com/v1"
fail = "close"
""",
        '3: proxy.fail: expected one of "closed", "open", got "close"; did you mean "closed"?',
    ),
    Mistake(
        "a port that no machine has",
        """\
[admin]
port = 70000
""",
        "2: admin.port: expected a whole number from 0 to 65535, got 70000",
    ),
    Mistake(
        "a negative duration",
        """\
[limits]
idle_timeout_s = -1
""",
        "2: limits.idle_timeout_s: expected a number above 0, got -1",
    ),
    Mistake(
        "a duration without end",
        """\
[[sinks]]
kind = "console"
policy = { timeout_s = inf }
""",
        "3: sinks[0].policy.timeout_s: expected a number of 0 or more, got inf; write a finite number",
    ),
    Mistake(
        "an empty path",
        """\
[store]
path = ""
""",
        '2: store.path: expected a string that is not empty, got ""',
    ),
    Mistake(
        "an inbox of nothing",
        """\
[[sinks]]
kind = "console"
policy = { inbox_max = 0 }
""",
        "3: sinks[0].policy.inbox_max: expected 1 or more, got 0",
    ),
    Mistake(
        "a limit of nothing",
        """\
[limits]
max_open_runs = 0
""",
        "2: limits.max_open_runs: expected at least 1, got 0",
    ),
    Mistake(
        "a dialect with a typo",
        """\
[ingest]
dialect = "asistants"
""",
        '2: ingest.dialect: there is no dialect "asistants"; did you mean "assistants"?',
    ),
    Mistake(
        "a URL that is none",
        """\
[[sources]]
kind = "http"
url = "api.example.com/stream"
""",
        "3: sources[0].url: expected an absolute URL of http or https, e.g. "
        '"https://api.example.com/v1"; something else came',
    ),
    Mistake(
        "an upstream of another protocol",
        """\
[proxy]
upstream = "wss://api.example.com/v1"
""",
        "2: proxy.upstream: expected an absolute URL of http or https, e.g. "
        '"https://api.example.com/v1"; something else came',
    ),
    Mistake(
        "an upstream with a query",
        """\
[proxy]
upstream = "https://api.example.com/v1?key=x"
""",
        "2: proxy.upstream: expected a base URL, one with a query or fragment came; cut it off before the ? or #",
    ),
    Mistake(
        "a list of paths",
        """\
[store]
path = ["a.db"]
""",
        "2: store.path: expected a string that is not empty, got a list",
    ),
    Mistake(
        "coalescing what is not coalesced",
        """\
[[sinks]]
kind = "console"
policy = { when_full = "coalesce" }
""",
        '3: sinks[0].policy.when_full: "coalesce" needs deliver = "latest" or "final": changes are never coalesced',
    ),
    Mistake(
        "lines longer than their event",
        """\
[limits]
max_line_bytes = 100000000
""",
        "2: limits.max_line_bytes: expected at most max_frame_bytes (33554432), got 100000000",
    ),
    Mistake(
        "two bodies",
        """\
[[sources]]
kind = "http"
url = "https://api.example.com/stream"
method = "POST"
json = { stream = true }
body = "{}"
""",
        "6: sources[0].body: json is given too, and a request has one body; remove one of the two",
    ),
    Mistake(
        "a public ingest server without tokens",
        """\
[ingest]
host = "0.0.0.0"
""",
        '2: ingest.host: "0.0.0.0" is not loopback; add tokens = ["${INGEST_TOKEN}"]',
    ),
    Mistake(
        "a public ingest server with a short token",
        """\
[ingest]
host = "0.0.0.0"
tokens = ["secret"]
""",
        "3: ingest.tokens[0]: expected 16 characters or more where ingest.host is not loopback, 6 came; "
        "make one with `openssl rand -hex 32`",
    ),
    Mistake(
        "a host with its port",
        """\
[ingest]
host = "127.0.0.1:9000"
""",
        '2: ingest.host: expected an address or a name alone, got "127.0.0.1:9000"; write host = '
        '"127.0.0.1" and port = 9000',
    ),
    Mistake(
        "a host that is a URL",
        """\
[admin]
host = "http://[::1]:9000/"
""",
        '2: admin.host: expected an address or a name alone, got "http://[::1]:9000/"; write host = '
        '"::1" and port = 9000',
    ),
    Mistake(
        "a host that is none",
        """\
[proxy]
upstream = "https://api.example.com/v1"
host = "*"
""",
        '3: proxy.host: expected an address or a name alone, got "*"',
    ),
    Mistake(
        "a folder of somebody",
        """\
[store]
path = "~/runs.db"
""",
        '2: store.path: ~ is not replaced; write "${HOME}/runs.db"',
    ),
    Mistake(
        "a token that no header can hold",
        """\
[admin]
token = "two words"
""",
        "2: admin.token: expected a token of visible ASCII characters, others came; make one with "
        "`openssl rand -hex 32`",
    ),
    Mistake(
        "a public admin server without a token",
        """\
[admin]
host = "::"
""",
        '2: admin.host: "::" is not loopback; add token = "${ADMIN_TOKEN}"',
    ),
    Mistake(
        "a public proxy",
        """\
[proxy]
upstream = "https://api.example.com/v1"
host = "10.0.0.5"
""",
        '3: proxy.host: "10.0.0.5" is not loopback, and the proxy knows no tokens of its own; add '
        "allow_public = true if it is meant",
    ),
    Mistake(
        "a proxy of itself",
        """\
[proxy]
upstream = "http://localhost:8701/v1"
""",
        "2: proxy.upstream: is the proxy's own address, so requests would go round in a circle; name the API's",
    ),
    Mistake(
        "fewer connections than streams",
        """\
[ingest]
max_connections = 100
""",
        "2: ingest.max_connections: expected at least max_streams (2000), got 100",
    ),
    Mistake(
        "a result that is nowhere",
        """\
[[sources]]
kind = "http"
url = "https://api.example.com/stream"
resync = { base_url = "/v1" }
""",
        "4: sources[0].resync.base_url: expected an absolute URL of http or https, e.g. "
        '"https://api.example.com/v1"; something else came',
    ),
    Mistake(
        "one port for two servers",
        """\
[ingest]
port = 8700

[admin]
port = 8700
""",
        "5: admin.port: 8700 is the port of [ingest] too; choose another one",
    ),
    Mistake(
        "two sinks of one kind without names",
        """\
[[sinks]]
kind = "jsonl"
path = "a.jsonl"

[[sinks]]
kind = "jsonl"
path = "b.jsonl"
""",
        '5: sinks[1].name: "jsonl" is the name of sinks[0] too; add name = "...", to tell them apart',
    ),
    Mistake(
        "a schema of PostgreSQL that is no name",
        """\
[[sinks]]
kind = "postgres"
schema = "Agents-EU"
""",
        "3: sinks[0].schema: expected lower-case letters, digits and _, at most 63 of them, got 'Agents-EU'",
    ),
    Mistake(
        "an address of PostgreSQL that is none",
        """\
[[sinks]]
kind = "postgres"
dsn = "db.example.com:5432/agents"
""",
        '3: sinks[0].dsn: expected "postgresql://USER@HOST/DATABASE" or "host=HOST user=USER", got something else '
        "(it is not shown)",
    ),
    Mistake(
        "a host of PostgreSQL as an option of its own",
        """\
[[sinks]]
kind = "postgres"
host = "db.example.com"
""",
        "3: sinks[0].host: unknown key; known here: name, policy, dsn, schema, unholdable, connect_timeout_s, "
        "statement_timeout_s",
    ),
    Mistake(
        "a time-out shorter than the library keeps",
        """\
[[sinks]]
kind = "postgres"
connect_timeout_s = 0.5
""",
        "3: sinks[0].connect_timeout_s: expected a number of 2 or more, got 0.5",
    ),
    Mistake(
        "two sources with one name",
        """\
[[sources]]
kind = "file"
name = "live"
path = "a.sse"

[[sources]]
kind = "file"
name = "live"
path = "b.sse"
""",
        '8: sources[1].name: "live" is the name of sources[0] too; choose another one',
    ),
    Mistake(
        "two sinks with one file",
        """\
[[sinks]]
kind = "jsonl"
name = "one"
path = "a.jsonl"

[[sinks]]
kind = "jsonl"
name = "two"
path = "./a.jsonl"
""",
        "9: sinks[1].path: is the file of sinks[0] too; choose another one",
    ),
    Mistake(
        "a header with a line break",
        '''\
[[sources]]
kind = "http"
url = "https://api.example.com/stream"
headers = { Authorization = """Bearer
x""" }
''',
        "4: sources[0].headers.Authorization: a header cannot hold a line break or control character; remove it",
    ),
    Mistake(
        "a header name with a space",
        """\
[[sources]]
kind = "http"
url = "https://api.example.com/stream"
headers = { "Api Key" = "${SET}" }
""",
        '4: sources[0].headers."Api Key": no header can have this name; letters, digits and - are safe',
    ),
    Mistake(
        "a variable that is not set",
        """\
[admin]
token = "${ADMIN_TOKEN}"
""",
        "2: admin.token: the variable ADMIN_TOKEN is not set; set it, or write ${ADMIN_TOKEN:-default}",
    ),
    Mistake(
        "a variable that is not closed",
        """\
[store]
path = "${HOME/runs.db"
""",
        "2: store.path: a ${ without end or with a bad name; write ${NAME} or ${NAME:-default}, or $${ for a plain ${",
    ),
    Mistake(
        "a default with one character too few",
        """\
[store]
path = "${RUNS_DB-runs.db}"
""",
        "2: store.path: a ${ without end or with a bad name; write ${NAME} or ${NAME:-default}, or $${ for a plain ${",
    ),
    Mistake(
        "a webhook without TLS",
        """\
[[sinks]]
kind = "webhook"
url = "http://hook.example.com/steps"
secrets = ["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"]
""",
        "3: sinks[0].url: expected https; allow_http = true allows http, for tests and internal networks",
    ),
    Mistake(
        "a webhook to an internal address",
        """\
[[sinks]]
kind = "webhook"
url = "https://10.1.2.3/steps"
secrets = ["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"]
""",
        "3: sinks[0].url: 10.1.2.3 is private; allow_networks can name its network",
    ),
    Mistake(
        "a webhook's secret of another form",
        """\
[[sinks]]
kind = "webhook"
url = "https://hook.example.com/steps"
secrets = ["${SET}"]
""",
        "4: sinks[0].secrets: number 1 has another form than whsec_ and base64",
    ),
    Mistake(
        "a webhook's secret that is not in a list",
        """\
[[sinks]]
kind = "webhook"
url = "https://hook.example.com/steps"
secrets = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
""",
        "4: sinks[0].secrets: expected a list of strings, got a string; write it in [ ]",
    ),
    Mistake(
        "a collector without its scheme",
        """\
[[sinks]]
kind = "otlp"
endpoint = "localhost:4318"
""",
        "3: sinks[0].endpoint: expected http:// or https:// and a host",
    ),
    Mistake(
        "content in the older conventions",
        """\
[[sinks]]
kind = "otlp"
semconv = "1.36"
content = true
""",
        "4: sinks[0].content: version 1.36 of the conventions has no place for it in spans",
    ),
    Mistake(
        "a version of the conventions that is none",
        """\
[[sinks]]
kind = "otlp"
semconv = "1.37"
""",
        '3: sinks[0].semconv: expected one of "0.1", "1.36", got "1.37"; did you mean "1.36"?',
    ),
    Mistake(
        "a header that the sink sets",
        """\
[[sinks]]
kind = "otlp"
headers = { Content-Type = "application/json" }
""",
        "3: sinks[0].headers: content-type is set by the sink",
    ),
    Mistake(
        "a variable of the wrong type",
        """\
[ingest]
port = "${WORD}"
""",
        "2: ingest.port: expected a whole number from 0 to 65535, what ${WORD} gives is something else",
    ),
    Mistake(
        "a variable out of range",
        """\
[ingest]
port = "${NUMBER:-99999}"
""",
        "2: ingest.port: expected a whole number from 0 to 65535, what ${NUMBER} gives is something else",
    ),
    Mistake(
        "a variable that is empty",
        """\
[admin]
token = "${EMPTY}"
""",
        "2: admin.token: expected a string that is not empty, what ${EMPTY} gives is empty",
    ),
)


def complete(mistake: Mistake) -> str:
    """The config with nothing wrong in it but the mistake."""
    text = mistake.config
    if not re.search(r"^\[+(ingest|proxy|sources)", text, re.MULTILINE) and "nothing comes in" not in mistake.told:
        text += COMES_IN
    if not re.search(r"^\[+(store|sinks)", text, re.MULTILINE) and "nothing goes out" not in mistake.told:
        text += GOES_OUT
    return text


def told_of(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """All that is said of a config."""
    monkeypatch.chdir(folder)
    Path("streamproc.toml").write_text(text, encoding="utf-8")
    with pytest.raises(InvalidConfig) as caught:
        load_config("streamproc.toml", ENVIRON)
    return str(caught.value)


def document() -> str:
    """The table as people read it."""
    lines = [
        "# Mistakes in a config, and what is said of them",
        "",
        "`streamproc check` finds all mistakes of a file at once and tells each in one line: file, line, key, what is",
        "expected and what came, and what to write instead. This is the table that the tests hold it to.",
    ]
    for number, mistake in enumerate(MISTAKES, 1):
        lines += ["", f"**{number}. {mistake.title}**", "", "```toml", mistake.config.rstrip("\n"), "```", ""]
        lines += ["```text", f"streamproc.toml:{mistake.told}", "```"]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("mistake", MISTAKES, ids=[mistake.title for mistake in MISTAKES])
def test_mistake_is_told_in_one_line(mistake: Mistake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else is said of it."""
    told = told_of(complete(mistake), tmp_path, monkeypatch)

    assert told == f"streamproc.toml:{mistake.told}"
    assert "\n" not in told


def test_there_are_many_and_each_once() -> None:
    """The table is one of mistakes that differ."""
    titles = {mistake.title for mistake in MISTAKES}

    assert len(titles) == len(MISTAKES) >= 40
    assert len({mistake.told for mistake in MISTAKES}) >= 60


def test_no_secret_is_told() -> None:
    """Whatever is wrong with it, and wherever it is from."""
    told = "\n".join(mistake.told for mistake in MISTAKES)

    assert ENVIRON["SET"] in "".join(mistake.config for mistake in MISTAKES)
    assert ENVIRON["SET"] not in told
    assert ENVIRON["WORD"] not in told
    assert "12345678901234567890" not in told


def test_document_is_current() -> None:
    """People see what the tests see."""
    if os.environ.get("STREAMPROC_WRITE_DOCS"):
        DOCUMENT.write_text(document(), encoding="utf-8")

    assert DOCUMENT.read_text(encoding="utf-8") == document()


def test_all_mistakes_of_a_file_are_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of their lines."""
    text = '[log]\nlevel = "warn"\n\n[ingest]\nport = "x"\nprot = 1\n\n[[sinks]]\nkind = "jsonl"\n'
    told = told_of(text, tmp_path, monkeypatch).splitlines()

    assert [line.split(": ")[:2] for line in told] == [
        ["streamproc.toml:2", "log.level"],
        ["streamproc.toml:5", "ingest.port"],
        ["streamproc.toml:6", "ingest.prot"],
        ["streamproc.toml:8", "sinks[0].path"],
    ]
