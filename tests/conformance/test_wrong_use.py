"""Wrong use of the live part: an error of ours at once, whose text says what was expected, what came, what to do."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from streamproc import Change, DeliveryPolicy, Pipeline, RunHooks, RunStep
from streamproc.errors import ConfigError, SourceError
from streamproc.sinks import JsonlSink, MemorySink
from streamproc.sources import FileSource, HttpSource, IterableSource
from streamproc.testing import Response, ScriptedServer
from tests.streams import done, run, sse

SECRET: Final = "https://host/?key=secret"
STREAM: Final = sse(run("completed"), done())


class Misspelt(RunHooks):
    def on_step_don(self, step: RunStep, change: Change) -> None: ...


class TooFew(RunHooks):
    def on_step_done(self, step: RunStep) -> None: ...  # type: ignore[override]


MADE: Final[dict[str, tuple[Callable[[], object], str]]] = {
    "a hook that is misspelt": (
        lambda: Pipeline(hooks=Misspelt()),
        "Misspelt.on_step_don is no hook; did you mean on_step_done?",
    ),
    "a hook with too few arguments": (
        lambda: Pipeline(hooks=TooFew()),
        "TooFew.on_step_done must take the arguments (step, change)",
    ),
    "a class of hooks": (
        lambda: Pipeline(hooks=any_(RunHooks)),
        "expected hooks, an object of a subclass of RunHooks; the class RunHooks came",
    ),
    "a function as hooks": (
        lambda: Pipeline(hooks=any_([print])),
        "expected hooks, an object of a subclass of RunHooks; a builtin_function_or_method came",
    ),
    "a policy for hooks that is none": (
        lambda: Pipeline(hooks=RunHooks(), on_hook_error=any_("ignore")),
        "the policy for hooks that raise is 'ignore'; expected raise, log or disable",
    ),
    "a sink that is not in a list": (
        lambda: Pipeline(sinks=any_(MemorySink())),
        "expected a list of sinks, a MemorySink came",
    ),
    "a class of sinks": (
        lambda: Pipeline(sinks=[any_(MemorySink)]),
        "expected a sink, an object with a method `write(batch)`; the class MemorySink came",
    ),
    "a function as a sink": (
        lambda: Pipeline(sinks=[any_(open)]),
        "expected a sink, an object with a method `write(batch)`; a builtin_function_or_method came",
    ),
    "sink and policy in the wrong order": (
        lambda: Pipeline(sinks=[any_((DeliveryPolicy(), MemorySink()))]),
        "expected a sink, an object with a method `write(batch)`; a DeliveryPolicy came",
    ),
    "a dict as a policy": (
        lambda: Pipeline(sinks=[any_((MemorySink(), {"deliver": "final"}))]),
        "expected (sink, DeliveryPolicy(...)) for MemorySink, something else came",
    ),
    "a choice that is misspelt": (
        lambda: DeliveryPolicy(deliver=any_("finall")),
        "deliver is 'finall'; expected one of changes, latest, final",
    ),
    "another one": (
        lambda: DeliveryPolicy(when_full=any_("drop")),
        "when_full is 'drop'; expected one of block, coalesce, close_sink",
    ),
    "a URL without a scheme": (
        lambda: HttpSource("localhost:8080/runs?key=secret"),
        "expected an absolute http or https URL, something else came",
    ),
}

ITERABLE: Final = (
    "expected an iterable of bytes, text or events, {} came; HttpSource(url) reads a URL, FileSource(path) a file, "
    "IterableSource([data]) what is there already"
)
SOURCE: Final = (
    "expected a source or an iterable of bytes or events, {} came; such are HttpSource(url), FileSource(path), "
    "response.content.iter_any()"
)
RUN: Final[dict[str, tuple[object, str]]] = {
    "a URL": (SECRET, ITERABLE.format("a str")),
    "a chunk": (STREAM, ITERABLE.format("a bytes")),
    "an event": ({"event": "error", "data": None}, ITERABLE.format("a dict")),
    "a path": (Path("recording.sse"), SOURCE.format("a PosixPath")),
    "a class of sources": (HttpSource, SOURCE.format("the class HttpSource")),
    "nothing": (None, SOURCE.format("a NoneType")),
}


ACTION: Final = {
    "type": "submit_tool_outputs",
    "submit_tool_outputs": {"tool_calls": [{"id": "c", "type": "function"}]},
}
ASKING: Final = sse(run("requires_action", "run_2", required_action=ACTION), done())


async def iterate(pipeline: Pipeline, source: Any) -> None:
    async for _ in pipeline.changes(source):
        pass


WAYS: Final[dict[str, Callable[[Pipeline, Any], Awaitable[object]]]] = {
    "run": lambda pipeline, source: pipeline.run(source),
    "changes": iterate,
    "submit": lambda pipeline, source: pipeline.run([ASKING], submit=lambda action: source),
}


def any_(value: object) -> Any:
    """For arguments that a type checker would refuse."""
    return value


@pytest.mark.parametrize(("make", "text"), MADE.values(), ids=MADE)
def test_what_cannot_work_is_refused_when_it_is_made(make: Callable[[], object], text: str) -> None:
    """Before anything is opened; no content is in the text."""
    with pytest.raises(ConfigError) as caught:
        make()

    assert str(caught.value) == text


@pytest.mark.asyncio
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("source", "text"), RUN.values(), ids=RUN)
async def test_what_is_no_source_is_refused(source: Any, text: str, way: str) -> None:
    """However it is given: to `run`, to `changes`, or by `submit`; and the pipeline goes on."""
    async with Pipeline() as pipeline:
        with pytest.raises(ConfigError) as caught:
            await WAYS[way](pipeline, source)
        result = await pipeline.run([STREAM])

    assert str(caught.value) == text
    assert not result.truncated


@pytest.mark.asyncio
async def test_a_response_is_no_source_but_its_content_is() -> None:
    """The text names what to write instead."""
    async with ScriptedServer() as server, aiohttp.ClientSession() as session, Pipeline() as pipeline:
        server.script(None, [Response(STREAM)])
        async with session.get(server.url) as response:
            with pytest.raises(ConfigError, match=r"a ClientResponse came; .* response\.content\.iter_any\(\)$"):
                await pipeline.run(any_(response))
            result = await pipeline.run(response.content)

    assert not result.truncated


@pytest.mark.asyncio
async def test_a_pipeline_that_was_not_entered() -> None:
    """It says how."""
    with pytest.raises(ConfigError, match=r"use `async with Pipeline\(...\) as pipeline`$"):
        await Pipeline().run([STREAM])


@pytest.mark.asyncio
async def test_a_pipeline_is_entered_once() -> None:
    """Another one costs nothing."""
    pipeline = Pipeline()
    async with pipeline:
        pass
    with pytest.raises(ConfigError, match="a pipeline is entered once; make another one"):
        await pipeline.__aenter__()


@pytest.mark.asyncio
async def test_two_streams_of_one_name() -> None:
    """The second one is refused, the first one goes on."""
    async with Pipeline() as pipeline:
        first, second = await asyncio.gather(
            pipeline.run(IterableSource([STREAM])), pipeline.run(IterableSource([STREAM])), return_exceptions=True
        )

    assert not getattr(first, "truncated", True)
    assert str(second) == "a stream named 'default' is being followed already; give this one another name"


@pytest.mark.asyncio
async def test_a_sink_whose_file_cannot_be_opened(tmp_path: Path) -> None:
    """Nothing is read before; the sinks that were entered already are left again."""
    (tmp_path / "notes.txt").write_text("no changes\n")
    for path, text in (
        (tmp_path / "missing" / "changes.jsonl", "missing"),
        (tmp_path, "is a folder; name a file in it"),
        (tmp_path / "notes.txt", "holds something else than changes; it is left as it is"),
    ):
        with pytest.raises(ConfigError, match=text):
            async with Pipeline(sinks=[MemorySink(), JsonlSink(path)]):
                raise AssertionError("it was entered")


@pytest.mark.asyncio
async def test_a_recording_that_is_not_there() -> None:
    """As with all errors of a source: in the result, and raised when asked."""
    async with Pipeline() as pipeline:
        result = await pipeline.run(FileSource("missing.sse"))
    with pytest.raises(SourceError, match=r"^missing\.sse: No such file or directory$"):
        result.raise_for_error()

    assert (result.truncated, result.connections) == (True, 0)
