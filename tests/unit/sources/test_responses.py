"""`ResponsesResume` and `ResponsesResync`: what they ask for, what comes back, and what they do not put up with."""

from collections.abc import Sequence
from typing import Any

import anyio
import pytest
from yarl import URL

from streamproc import Message, Run, RunStep
from streamproc.errors import ConfigError, SourceError, SourceUnavailable
from streamproc.sources.http import HttpSource
from streamproc.sources.responses import ResponsesResume, ResponsesResync
from streamproc.testing.server import Response, ScriptedServer, cut_at, json_response, stall_at
from tests.loopback import in_loopback_time

ENDED = {"id": "resp_1", "status": "completed", "output": [{"id": "msg_1"}]}


def address(url: str, cursor: str, responses: str | None = None) -> URL:
    return ResponsesResume(responses).address(URL(url))(cursor)


def translate(response: dict[str, Any]) -> Sequence[Run | RunStep | Message]:
    """The run first, which is not where it belongs."""
    run = Run(id=response["id"], status=response["status"])
    return [run, *(Message(id=item["id"], status="completed") for item in response["output"])]


def resync_of(server: ScriptedServer, **given: Any) -> ResponsesResync:
    settings: dict[str, Any] = {"poll_s": 0.001, "translate": translate, **given}
    return ResponsesResync(f"{server.url}/v1/responses", **settings)


# --- resuming ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://h/v1/responses", "https://h/v1/responses/resp_1?stream=true&starting_after=42"),
        ("https://h/v1/responses/", "https://h/v1/responses/resp_1?stream=true&starting_after=42"),
        ("https://h/v1/responses#part", "https://h/v1/responses/resp_1?stream=true&starting_after=42"),
        ("https://h:8443", "https://h:8443/resp_1?stream=true&starting_after=42"),
        (
            "https://h/openai/responses?api-version=preview",
            "https://h/openai/responses/resp_1?api-version=preview&stream=true&starting_after=42",
        ),
        (
            "https://h/r?include[]=a&include[]=b%26c&stream=false&starting_after=1",
            "https://h/r/resp_1?include%5B%5D=a&include%5B%5D=b%26c&stream=true&starting_after=42",
        ),
        ("https://h/a%2Fb%20c/r", "https://h/a%2Fb%20c/r/resp_1?stream=true&starting_after=42"),
    ],
)
def test_address_follows_from_that_of_the_source(url: str, expected: str) -> None:
    """The id behind it, two members more in its query; all else stays, however it is quoted."""
    assert str(address(url, "resp_1/42")) == expected


def test_address_of_its_own() -> None:
    """With its own query; a user name in it is not used, since the source has one or has none."""
    found = address("https://h/agent?key=1", "resp_1/0", "https://user:secret@h/v1/responses?api-version=2")

    assert str(found) == "https://h/v1/responses/resp_1?api-version=2&stream=true&starting_after=0"


@pytest.mark.parametrize(
    ("id", "segment"),
    [
        ("a?b=c&d", "a%3Fb%3Dc%26d"),
        ("a#b", "a%23b"),
        ("a b+c", "a%20b%2Bc"),
        ("ü", "%C3%BC"),
        ("%2e%2e", "%252e%252e"),
        ("%2Fx", "%252Fx"),
        ("resp_bGl0ZWxsbTo=", "resp_bGl0ZWxsbTo%3D"),
        ("...", "..."),
        ("a:b@c", "a%3Ab%40c"),
        ("a\u2028b", "a%E2%80%A8b"),
    ],
)
@pytest.mark.asyncio
async def test_id_is_one_segment_of_the_path(id: str, segment: str) -> None:
    """Whatever is in it; so it arrives, too."""
    async with ScriptedServer() as server:
        server.script(None, [Response(b": hello\n\n")])
        source = HttpSource(f"{server.url}/v1/responses", method="POST", resume=ResponsesResume())
        async with source.open(f"{id}/3") as chunks:
            assert [chunk async for chunk in chunks] == [b": hello\n\n"]

    (request,) = server.requests
    assert request.path == f"/v1/responses/{segment}"
    assert request.query == {"stream": "true", "starting_after": "3"}


@pytest.mark.parametrize(
    "id", ["", ".", "..", "a/b", "../files", "resp_1/cancel", "/", "..\\x", "a\r\nX-Other: 1", "a\0", "\x7f", "\ud83e"]
)
@pytest.mark.asyncio
async def test_id_that_could_lead_elsewhere(id: str) -> None:
    """Many servers decode a path before they take it apart, so a quoted slash would be one. Nothing is sent."""
    async with ScriptedServer() as server:
        source = HttpSource(f"{server.url}/v1/responses", method="POST", resume=ResponsesResume())
        with pytest.raises(SourceError, match=rf"an id of {len(id)} characters came") as caught:
            async with source.open(f"{id}/3"):
                pass
        with pytest.raises(SourceError, match="an id of"):
            await resync_of(server).resync(id, None)

    assert server.requests == []
    assert type(caught.value) is SourceError


@pytest.mark.parametrize(
    "cursor", ["7", "resp_1", "resp_1/", "resp_1/x", "resp_1/-1", "resp_1/1.5", "resp_1/\u0663", "resp_1/1\n", "/ 1"]
)
def test_cursor_of_something_else(cursor: str) -> None:
    """E.g. an event id of a gateway: no background response was begun, so there is nothing to go on with."""
    with pytest.raises(SourceError, match=rf"^h: expected the cursor .*, another \({len(cursor)} characters\) came$"):
        address("https://h/v1/responses", cursor)


@pytest.mark.parametrize("url", ["http://h/v1/responses", "https://other/v1/responses", "https://h:8443/v1/responses"])
def test_another_origin_is_told_when_the_source_is_made(url: str) -> None:
    """The headers of the source must not go there."""
    with pytest.raises(ConfigError, match=r"^expected the responses at the origin of the source, another one came$"):
        HttpSource("https://h/v1/responses", method="POST", resume=ResponsesResume(url))


def test_same_origin_with_and_without_its_port() -> None:
    """The usual port is the usual one."""
    found = address("https://user:secret@h:443/agent", "resp_1/0", "https://h/v1/responses")

    assert found.path == "/v1/responses/resp_1"


@pytest.mark.parametrize("url", ["", "/v1/responses", "ftp://h/"])
def test_url_that_is_none_of_http(url: str) -> None:
    """Told when the object is made."""
    with pytest.raises(ConfigError, match="expected an absolute http or https URL"):
        ResponsesResume(url)
    with pytest.raises(ConfigError, match="expected an absolute http or https URL"):
        ResponsesResync(url)


# --- asking for the result --------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_result_with_the_run_last() -> None:
    """Whatever order the translation has; the rest stays in its own. A thread is not needed."""
    outputs = [{"id": f"msg_{n}"} for n in (2, 1, 3)]
    async with ScriptedServer() as server:
        server.script("/v1/responses/resp_1", [json_response({**ENDED, "output": outputs})], method="GET")
        found = await resync_of(server).resync("resp_1", None)

    assert [obj.id for obj in found] == ["msg_2", "msg_1", "msg_3", "resp_1"]
    assert isinstance(found[-1], Run)


@pytest.mark.asyncio
async def test_request() -> None:
    """No stream is asked for; parameters, headers and credentials go with it."""
    async with ScriptedServer() as server:
        server.script(None, [json_response(ENDED)])
        url = server.url.replace("http://", "http://user:secret@")
        resync = ResponsesResync(
            f"{url}/v1/responses/?api-version=1", headers={"api-key": "k"}, params={"more": "2"}, translate=translate
        )
        await resync.resync("resp 1", "thread_1")

    (request,) = server.requests
    assert repr(resync) == f"ResponsesResync({server.url.removeprefix('http://')}/v1/responses/)"
    assert (request.method, request.path) == ("GET", "/v1/responses/resp%201")
    assert request.query == {"api-version": "1", "more": "2"}
    assert request.headers["api-key"] == "k"
    assert request.headers["authorization"] == "Basic dXNlcjpzZWNyZXQ="
    assert request.headers["accept"] == "application/json"


@pytest.mark.asyncio
@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "incomplete"])
async def test_response_is_polled_until_it_ends(status: str) -> None:
    """Statuses on the way, none at all, and ones that nobody knows, mean: go on."""
    on_the_way: list[Any] = ["queued", "in_progress", "thinking", None, 7, []]
    before = [{"id": "resp_1"}, *({**ENDED, "status": other} for other in on_the_way)]
    async with ScriptedServer() as server:
        server.script(None, [json_response(state) for state in (*before, {**ENDED, "status": status})])
        found = await resync_of(server).resync("resp_1", None)

    assert [(obj.id, obj.status) for obj in found] == [("msg_1", "completed"), ("resp_1", status)]
    assert len(server.requests) == 8


@in_loopback_time
async def test_response_that_does_not_end_in_time() -> None:
    """Waits grow, and another attempt may find that it has."""
    async with ScriptedServer() as server:
        server.script(None, [json_response({**ENDED, "status": "in_progress"})])
        with pytest.raises(SourceUnavailable, match=r"response 'resp_1' did not end within 0\.02 s$"):
            await resync_of(server, timeout_s=0.02).resync("resp_1", None)

    assert 2 <= len(server.requests) <= 7


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Response(b"", 429, {"Retry-After": "3"}), SourceUnavailable),
        (Response(b"", 500), SourceUnavailable),
        (Response(b"", 307, {"Location": "/"}), SourceError),
        (Response(b"secret", 401), SourceError),
        (Response(b"", 404), SourceError),
        (Response(cut_at(b"{}", 1)), SourceUnavailable),
        (Response(stall_at(b"{}", 1)), SourceUnavailable),
        (Response(b"event: response.created\ndata: secret\n\n"), SourceError),
        (json_response(b"\xff"), SourceError),
        (json_response(b"[]"), SourceError),
        (json_response(b"[" * 100_000), SourceError),
        (json_response(b" " * 300_000 + b"{}"), SourceError),
    ],
)
@in_loopback_time
async def test_answer_that_is_no_response(answer: Response, error: type[SourceError]) -> None:
    """Failures are as with any stream; the error shows no content."""
    async with ScriptedServer() as server:
        server.script(None, [answer])
        with pytest.raises(SourceError) as caught:
            await resync_of(server, request_timeout_s=0.05, max_bytes=200_000).resync("resp_1", None)

    assert type(caught.value) is error
    assert "secret" not in str(caught.value)


@in_loopback_time
async def test_cancelling_leaves_nothing() -> None:
    """While it waits, and while a request is on its way."""
    async with ScriptedServer() as server:
        server.script("/v1/responses/slow", [Response(stall_at(b"{", 1))])
        server.script("/v1/responses/resp_1", [json_response({**ENDED, "status": "queued"})])
        for id in ("slow", "resp_1"):
            with anyio.move_on_after(0.03) as scope:
                await resync_of(server).resync(id, None)
            assert scope.cancelled_caught
