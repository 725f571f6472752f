"""Log events: docs/logging.md has all of them, and none of them holds content.

The table is compared with the calls in the source. Content is looked for by sending secrets through everything that
carries it, and rendering what was logged in the ways that people do.
"""

import ast
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import pytest
import structlog
from structlog.testing import capture_logs

from streamproc import Change, DeliveryPolicy, Pipeline, Retry, RunHooks
from streamproc.errors import SinkRejected, SinkUnavailable
from streamproc.protocols import Source
from streamproc.sources import AssistantsResync, HttpSource, IterableSource
from streamproc.testing import Response, ScriptedServer, cut_at, json_response
from tests.conftest import ROOT
from tests.streams import arguments, call, done, error, message, run, sse, step, step_delta, text, words

DOCUMENT: Final = ROOT / "docs" / "logging.md"
LEVELS: Final = ("debug", "info", "warning", "error", "exception", "critical")


class Logged(NamedTuple):
    event: str
    level: str
    fields: frozenset[str]


# --- the table --------------------------------------------------------------------------------------------------------


def documented() -> list[Logged]:
    rows = re.findall(r"^\| `(\w+\.\w+)` \| (\w+) \| (.*?) \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    return [Logged(event, level, frozenset(re.findall(r"`(\w+)`", fields))) for event, level, fields in rows]


def in_source(tree: ast.Module) -> Iterator[Logged]:
    """Every call of the module's logger, with the fields of dicts that are unpacked into it."""
    dicts = [found for node in ast.walk(tree) for found in named_dicts(node)]
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="log"), attr=level), args=args, keywords=keywords):
                (event,) = (ast.literal_eval(arg) for arg in args)
                assert level in LEVELS
                fields: set[str] = set()
                for keyword in keywords:
                    if keyword.arg:
                        fields.add(keyword.arg)
                    else:
                        wanted = unpacked(keyword.value)
                        (keys,) = (keys for name, keys in dicts if name == wanted)  # two could not be told apart
                        fields |= keys
                yield Logged(event, level, frozenset(fields))


def named_dicts(node: ast.AST) -> Iterator[tuple[str, set[str]]]:
    """The keys of dict literals that are assigned to a name, or returned by a function of that name."""
    match node:
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Dict(keys=keys)):
            pass
        case ast.FunctionDef(name=name, body=[*_, ast.Return(value=ast.Dict(keys=keys))]):
            pass
        case _:
            return
    if all(key is None or isinstance(key, ast.Constant) for key in keys):  # others are unpacked into no log event
        yield name, {ast.literal_eval(key) for key in keys if key is not None}


def unpacked(value: ast.expr) -> str:
    match value:
        case ast.Name(id=name) | ast.Call(func=ast.Attribute(attr=name)):
            return name
        case _:
            raise AssertionError(f"line {value.lineno}: fields that cannot be told from the source")


def modules() -> Iterator[ast.Module]:
    for path in sorted((ROOT / "streamproc").rglob("*.py")):
        yield ast.parse(path.read_text(encoding="utf-8"))


def test_the_table_has_every_event_with_its_level_and_fields() -> None:
    """Where an event is logged in two places, its row has the fields of both."""
    found: dict[tuple[str, str], frozenset[str]] = {}
    for logged in (logged for module in modules() for logged in in_source(module)):
        key = logged.event, logged.level
        found[key] = found.get(key, frozenset()) | logged.fields
    rows = documented()

    assert {(row.event, row.level): row.fields for row in rows} == found
    assert len(rows) == len({row.event for row in rows})


def test_the_reader_of_the_source_sees_all_forms() -> None:
    """Plain fields, and dicts from a name or a method; what it cannot read is no silent gap."""
    source = """
def names(self):
    return {"stream": 1, "run_id": 2}
facts = {"sink": 3}
log.info("a.b", count=4)
log.error("c.d", **self.names(), **facts)
"""
    unreadable = ast.parse("log.info('a.b', **(facts | other))")

    assert [*in_source(ast.parse(source))] == [
        Logged("a.b", "info", frozenset({"count"})),
        Logged("c.d", "error", frozenset({"stream", "run_id", "sink"})),
    ]
    with pytest.raises(AssertionError):
        list(in_source(unreadable))


def test_there_is_one_logger_and_no_exception_is_given_to_it() -> None:
    """Given the exception itself, renderers show the variables of its frames; `log.exception` would give it."""
    names: set[Any] = set()
    for module in modules():
        for node in ast.walk(module):
            match node:
                case ast.Call(func=ast.Attribute(attr="get_logger" | "getLogger"), args=args):
                    names |= {ast.literal_eval(arg) for arg in args}
                case ast.Call(func=ast.Attribute(value=ast.Name(id="log"), attr=level), keywords=keywords):
                    assert level != "exception"
                    assert "exc_info" not in {keyword.arg for keyword in keywords}
                case _:
                    pass

    assert names == {"streamproc"}


# --- no content -------------------------------------------------------------------------------------------------------

SECRET: Final = "c4n4ry"
"""In all content that is sent; what code of the user's raises says OWN."""
OWN: Final = "0wn-w0rds"

CONTENT: Final = sse(
    run("created", instructions=SECRET, metadata={SECRET: SECRET}),
    step("created", "step_1"),
    step_delta(call(f'{{"city":"{SECRET}', index=0, id="call_1", name=SECRET, output=None)),
    *(arguments(SECRET), arguments('"}')),
    *(message("created"), words(SECRET), words(f" {SECRET}")),
)
BROKEN: Final = b"event: thread.run.step.delta\ndata: {" + SECRET.encode() + b"\n\nid: " + SECRET.encode() + b"\n\n"
COMPLETE: Final = CONTENT + sse(
    error({"message": SECRET, "code": SECRET}),
    step("completed", "step_1", call("{}", id="call_1", name=SECRET, output=SECRET)),
    message("completed", "msg_1", text(SECRET, annotations=[])),
    *(run("completed"), done()),
)
HEADERS: Final = {"Authorization": f"Bearer {SECRET}", "api-key": SECRET, "Cookie": SECRET}


def about(number: int) -> bytes:
    """The content in another run, which has not ended yet."""
    return CONTENT.replace(b'_1"', b'_%d"' % number)


class Raising(RunHooks):
    """Hooks that raise in each way, with a batch in their variables."""

    def on_step_delta(self, delta: Any, change: Change) -> None:
        raise ValueError(OWN)

    async def on_message_done(self, message: Any, change: Change) -> None:
        raise ValueError(OWN) from KeyError(OWN)


class Failing:
    """A sink that fails in each way, in turn."""

    def __init__(self) -> None:
        self.failures = [SinkUnavailable("busy", 0.001), ValueError(OWN), None]

    async def __aenter__(self) -> "Failing":
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        raise OSError(OWN)

    async def write(self, batch: Sequence[Change]) -> None:
        first = [change.state for change in batch][:1]
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure
        if first:
            raise SinkRejected("no room", batch)


class Closing:
    """An iterable that breaks, and cannot be closed."""

    def __iter__(self) -> Iterator[bytes]:
        yield about(4)
        raise RuntimeError(SECRET)

    def close(self) -> None:
        raise OSError(SECRET)


def sources(server: ScriptedServer) -> Iterator[Source]:
    """Streams that break in many ways; each URL has a secret in its query, and a password."""
    url = server.url.replace("http://", f"http://user:{SECRET}@")
    answers: dict[str, Sequence[Response]] = {
        "whole": [Response(COMPLETE + BROKEN)],
        "cut": [Response(cut_at(about(2) + BROKEN, len(CONTENT) + 60))],
        "refused": [json_response({"error": SECRET}, 401, {"X-Secret": SECRET})],
        "busy": [json_response({"error": SECRET}, 503, {"Retry-After": SECRET})],
        "page": [Response(SECRET.encode(), content_type=f"text/html; charset={SECRET}")],
        "moved": [Response(status=302, headers={"Location": f"{url}/refused?{SECRET}"})],
        "nowhere": [Response(status=302, headers={"Location": f"http://[{SECRET}"})],
        "broken": [Response(status=302, headers={"Location": f"gopher://{SECRET}"})],
    }
    for name, script in answers.items():
        server.script(f"/{name}", script)
        yield HttpSource(f"{url}/{name}?key={SECRET}#{SECRET}", headers=HEADERS)
    final = {"id": "run_3", "object": "thread.run", "thread_id": "thread_3", "status": "completed", "x": SECRET}
    server.script_run(final)
    server.script("/post", [Response(cut_at(about(3), len(CONTENT) // 2))], method="POST")
    yield HttpSource(
        f"{url}/post?key={SECRET}",
        method="POST",
        json={"text": SECRET},
        headers=HEADERS,
        resync=AssistantsResync(f"{url}?key={SECRET}", headers=HEADERS),
    )
    yield HttpSource(f"http://user:{SECRET}@127.0.0.1:1/?{SECRET}", headers=HEADERS)
    yield IterableSource(Closing(), name="closing")
    yield IterableSource([about(5), {"event": 1, "data": SECRET}], name="items")


def raise_own(letter: object) -> None:
    raise ValueError(OWN)


@pytest.fixture(scope="module")
def logs() -> list[Mapping[str, Any]]:
    """What all those streams, hooks and sinks have logged."""
    import asyncio

    async def follow() -> list[Mapping[str, Any]]:
        quick = Retry(base_s=0.001, max_attempts=2)
        policy = DeliveryPolicy(batch_max=4, retry=Retry(base_s=0.001, retry_after_cap_s=0.001))
        with capture_logs() as entries:
            async with (
                ScriptedServer() as server,
                Pipeline(
                    sinks=[(Failing(), policy)], hooks=Raising(), retry=quick, on_dead_letter=raise_own
                ) as pipeline,
            ):
                for source in sources(server):
                    await pipeline.run(source)
        return [*entries]

    return asyncio.run(follow())


def test_the_secrets_went_through_what_is_logged(logs: list[Mapping[str, Any]]) -> None:
    """Or else the tests below would show nothing."""
    assert {entry["event"] for entry in logs} == {
        *("stream.reconnecting", "stream.resynced", "stream.truncated", "source.close_failed"),
        *("hook.failed", "sink.retry_scheduled", "sink.failed", "sink.dead_lettered", "dead_letter.callback_failed"),
    }
    assert len([entry for entry in logs if entry["event"] == "stream.truncated"]) >= 9


def as_json(entry: Mapping[str, Any]) -> str:
    text: str | bytes = structlog.processors.JSONRenderer()(None, "", dict(entry))
    assert isinstance(text, str)
    assert json.loads(text)["event"] == entry["event"]
    return text


def as_json_of_tracebacks(entry: Mapping[str, Any]) -> str:
    """With the processor that shows variables of frames, if it gets them."""
    return as_json(structlog.processors.dict_tracebacks(None, "error", dict(entry)))


def as_text(entry: Mapping[str, Any]) -> str:
    """The default of structlog: in colours, with a box for each frame where it gets them."""
    return str(structlog.dev.ConsoleRenderer()(None, "error", dict(entry)))


@pytest.mark.parametrize("render", [as_json, as_json_of_tracebacks, as_text])
def test_no_content_is_logged(logs: list[Mapping[str, Any]], render: Any) -> None:
    """Not in any field, and not in a traceback either, whatever the variables of its frames hold."""
    found = [entry["event"] for entry in logs if SECRET in render(entry)]

    assert found == []


def test_what_code_of_the_user_raises_is_in_its_traceback_alone(logs: list[Mapping[str, Any]]) -> None:
    """The one exception that the page names."""
    outside = [entry for entry in logs if OWN in as_json({**entry, "exception": ""})]
    inside = {entry["event"] for entry in logs if OWN in entry.get("exception", "")}

    assert outside == []
    assert inside == {"hook.failed", "sink.failed", "dead_letter.callback_failed"}


def test_tracebacks_can_be_read(logs: list[Mapping[str, Any]]) -> None:
    """Line by line, with the cause first, in each rendering of text."""
    (entry,) = [entry for entry in logs if entry["event"] == "hook.failed" and entry["hook"] == "on_message_done"][:1]
    shown = io.StringIO(as_text(entry)).read()

    assert f"KeyError: '{OWN}'\n\nThe above exception was the direct cause" in shown
    assert shown.rstrip().endswith(f"ValueError: {OWN}")
