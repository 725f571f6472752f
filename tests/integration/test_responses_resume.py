"""A background response over a broken connection, from socket to states: nothing is lost, and nothing comes twice.

The dialect is a toy that keeps the contract of cursors.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

import pytest

from streamproc import Message, Pipeline, Run, RunStep, StreamResult
from streamproc.delivery.policy import Retry
from streamproc.errors import SourceError, StreamTruncated
from streamproc.sinks import MemorySink
from streamproc.sources import HttpSource, ResponsesResume, ResponsesResync
from streamproc.testing import Response, ScriptedServer, cut_at
from streamproc.testing.server import Answer, Request, Reset, Send, json_response
from tests.streams import anomalies, message, run, text, wire
from tests.toy_responses import PIECES, Toy, frames

QUICK: Final = Retry(base_s=0.001, max_attempts=4)
HEADERS: Final = {"Authorization": "Bearer secret"}


FRAMES: Final = frames()
BACKGROUND: Final = {"model": "m", "input": "?", "background": True, "stream": True}


def first(count: int, *, more_bytes: int = 0, of: Sequence[bytes] = FRAMES) -> Response:
    """So many events, perhaps the beginning of the next one, and the connection is gone."""
    size = len(b"".join(of[:count])) + more_bytes
    return Response(cut_at(b"".join(of), size))


def following(*, overlap: int = 0, count: int | None = None, of: Sequence[bytes] = FRAMES) -> Callable[..., Response]:
    """The events after the one that is asked for, and some before them; all, or so many and then a reset."""

    def answer(request: Request) -> Response:
        after = int(request.query["starting_after"])
        start = max(0, after + 1 - overlap)
        if count is None:
            return Response(b"".join(of[start:]))
        return Response([Send(b"".join(of[start : after + 1 + count])), Reset()])

    return answer


def final_objects(response: dict[str, Any]) -> Sequence[Run | RunStep | Message]:
    """What a dialect makes of a Response object."""
    whole = message("completed", "msg_1", text("".join(PIECES)), run_id="resp_1").payload
    final = run(response["status"], "resp_1").payload
    assert isinstance(whole, Message)
    assert isinstance(final, Run)
    return whole, final


class Followed:
    """One stream followed by a pipeline: what it came to, and what the server was asked."""

    result: StreamResult

    def __init__(self, begin: Answer, *then: Answer, state: Answer | None = None, resyncs: bool = False) -> None:
        self._script = (begin, then, state)
        self._resyncs = resyncs
        self._toys: list[Toy] = []
        self.sink = MemorySink()

    async def follow(self) -> "Followed":
        begin, then, state = self._script
        answers = iter(then)

        def get(request: Request) -> Response:
            if "stream" not in request.query and state is not None:
                return state if isinstance(state, Response) else state(request)
            answer = next(answers)
            return answer if isinstance(answer, Response) else answer(request)

        async with ScriptedServer() as server:
            self.server = server
            server.script("/v1/responses", [begin], method="POST")
            server.script("/v1/responses/*", [get], method="GET")
            url = f"{server.url}/v1/responses"
            source = HttpSource(
                f"{url}?api-version=1",
                method="POST",
                json=BACKGROUND,
                headers=HEADERS,
                resume=ResponsesResume(),
                resync=ResponsesResync(url, headers=HEADERS, translate=final_objects) if self._resyncs else None,
            )
            async with Pipeline([self.sink], retry=QUICK, random=Random(1)) as pipeline:
                self.result = await pipeline.run(source, dialect=self._toy)
                self.states = {id: wire(state) for id, state in (*pipeline.runs.items(), *pipeline.messages.items())}
        return self

    def _toy(self) -> Toy:
        self._toys.append(Toy())
        return self._toys[-1]

    @property
    def dropped(self) -> int:
        """How many events came again."""
        return sum(toy.dropped for toy in self._toys)

    @property
    def text(self) -> str:
        return str(self.states["msg_1"]["content"][0]["text"]["value"])

    @property
    def deltas(self) -> list[str]:
        """What was added to the message, change by change."""
        deltas: list[Any] = [change.delta for change in self.sink.changes if change.delta is not None]
        return [delta.content[0].text.value for delta in deltas]

    @property
    def asked(self) -> list[tuple[str, str | None]]:
        return [(request.method, request.query.get("starting_after")) for request in self.server.requests]

    def assert_whole(self) -> None:
        """Every piece came once, in one epoch and in one row of changes."""
        assert (self.result.truncated, self.result.error) == (False, None)
        assert (self.states["resp_1"]["status"], self.text, self.deltas) == ("completed", "".join(PIECES), PIECES)
        assert {change.epoch for change in self.sink.changes} == {self.result.epoch}
        assert [change.seq for change in self.sink.changes] == [*range(1, len(self.sink.changes) + 1)]
        assert anomalies(self.sink.changes) == []


@pytest.mark.asyncio
@pytest.mark.parametrize("overlap", [0, 1, 3, 99])
@pytest.mark.parametrize("count", range(1, len(FRAMES)))
async def test_cut_after_any_event(count: int, overlap: int) -> None:
    """The rest comes by one GET; what it has twice is dropped."""
    it = await Followed(first(count), following(overlap=overlap)).follow()

    it.assert_whole()
    assert it.asked == [("POST", None), ("GET", str(count - 1))]
    assert it.dropped == min(overlap, count)
    assert it.result.connections == 2


@pytest.mark.asyncio
async def test_request_that_goes_on() -> None:
    """On the path of the response, with the query and headers of the POST, without its body."""
    it = await Followed(first(3), following()).follow()
    get = it.server.requests[1]

    assert (get.path, get.body) == ("/v1/responses/resp_1", b"")
    assert get.query == {"api-version": "1", "stream": "true", "starting_after": "2"}
    assert get.headers["authorization"] == "Bearer secret"
    assert "content-type" not in get.headers


@pytest.mark.asyncio
@pytest.mark.parametrize("more_bytes", [1, 20, 40, -1])
async def test_cut_inside_an_event(more_bytes: int) -> None:
    """Half an event is none: the cursor stands before it, and it comes whole."""
    it = await Followed(first(4, more_bytes=more_bytes), following()).follow()

    it.assert_whole()
    assert it.asked[1] == ("GET", "3" if more_bytes > 0 else "2")


@pytest.mark.asyncio
async def test_connection_for_each_event() -> None:
    """Each brings one event and two known ones, more often than failures in a row may be."""
    rest = len(FRAMES) - 1
    it = await Followed(first(1), *[following(overlap=2, count=1)] * (rest - 1), following(overlap=2)).follow()

    it.assert_whole()
    assert it.result.connections == 1 + rest
    assert it.asked == [("POST", None), *(("GET", str(number)) for number in range(rest))]


@pytest.mark.asyncio
async def test_server_that_is_away_for_a_moment() -> None:
    """What may pass is tried again, with the same cursor."""
    it = await Followed(first(3), Response(b"", 503), Response([Reset()], status=None), following()).follow()

    it.assert_whole()
    assert it.asked[1:] == [("GET", "2")] * 3


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [400, 404])
async def test_response_that_is_no_longer_kept(status: int) -> None:
    """The stream is truncated; the POST is not sent again."""
    it = await Followed(first(3), json_response({}, status)).follow()

    assert it.asked == [("POST", None), ("GET", "2")]
    assert it.result.truncated
    assert isinstance(it.result.error, SourceError)
    assert f"answered {status}" in str(it.result.error)
    assert it.text == "".join(PIECES[:2])


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [400, 404])
async def test_response_that_is_no_longer_kept_but_can_be_asked_for(status: int) -> None:
    """Its final state takes the place of the rest of the stream."""
    state = json_response({"id": "resp_1", "status": "completed"})
    it = await Followed(first(3), json_response({}, status), state=state, resyncs=True).follow()

    assert (it.result.truncated, it.result.error) == (False, None)
    assert it.asked == [("POST", None), ("GET", "2"), ("GET", None)]
    assert (it.states["resp_1"]["status"], it.text) == ("completed", "".join(PIECES))


@pytest.mark.asyncio
async def test_response_that_was_cancelled() -> None:
    """No event says so, its stream just ends, on every connection; its state does."""
    state = json_response({"id": "resp_1", "status": "cancelled"})
    ended = Response(b"".join(FRAMES[:3]))
    it = await Followed(ended, Response(b": nothing\n\n"), state=state, resyncs=True).follow()

    assert it.asked == [("POST", None), ("GET", "2"), ("GET", None)]
    assert (it.result.truncated, it.states["resp_1"]["status"]) == (False, "cancelled")


@pytest.mark.asyncio
async def test_stream_that_ends_early_and_says_nothing_more() -> None:
    """Nobody to ask: it is resumed as often as may be, then it is truncated."""
    it = await Followed(first(3), *[Response(b": nothing\n\n")] * 9).follow()

    assert it.asked == [("POST", None), *[("GET", "2")] * 3]
    assert it.result.truncated
    assert isinstance(it.result.error, StreamTruncated)


@pytest.mark.asyncio
@pytest.mark.parametrize("resyncs", [False, True])
async def test_response_that_is_not_in_the_background(resyncs: bool) -> None:
    """It has no cursor, as leaving its stream ends it: it is never resumed, only asked about."""
    begin = first(3, of=frames(background=False))
    state = json_response({"id": "resp_1", "status": "cancelled"})
    it = await Followed(begin, state=state, resyncs=resyncs).follow()

    assert it.asked == [("POST", None), ("GET", None)][: 1 + resyncs]
    assert it.result.truncated is not resyncs


@pytest.mark.asyncio
async def test_cut_before_the_first_event() -> None:
    """A response may have been created, but nobody knows which: the POST is not sent again."""
    it = await Followed(first(0, more_bytes=10), resyncs=True).follow()

    assert it.asked == [("POST", None)]
    assert it.result.truncated


@pytest.mark.asyncio
@pytest.mark.parametrize("id", ["../files", "resp_1/cancel", "..", "a\r\nb"])
async def test_id_that_could_lead_elsewhere(id: str) -> None:
    """A server that makes up such an id gets no further request."""
    it = await Followed(first(3, of=frames(id=id))).follow()

    assert it.asked == [("POST", None)]
    assert "cannot be a segment of a path" in str(it.result.error)
