"""`AssistantsResync` against a scripted server: what it asks for, what comes back, and what it does not put up with."""

from typing import Any

import aiohttp
import anyio
import pytest

from streamproc import Message, Run, RunStep
from streamproc.errors import ConfigError, SourceError, SourceUnavailable
from streamproc.sources.assistants_resync import AssistantsResync
from streamproc.testing.server import Reset, Response, ScriptedServer, cut_at, json_response, stall_at
from tests.loopback import in_loopback_time
from tests.streams import message, run, step, wire

RUN = run("completed", unknown={"a": [1]}).data
STEPS = [step("completed", f"step_{n}", other=n).data for n in range(3)]
MESSAGES = [message("completed", "msg_1", x=None).data]


def resync_of(server: ScriptedServer, **given: Any) -> AssistantsResync:
    settings: dict[str, Any] = {"poll_s": 0.001, **given}
    return AssistantsResync(server.url, **settings)


def listing(*objects: Any, has_more: Any = False) -> Response:
    return json_response({"object": "list", "data": [*objects], "has_more": has_more})


@pytest.mark.asyncio
async def test_result_is_complete_and_in_order() -> None:
    """Steps, messages, and the run last; all with the members that no struct declares."""
    async with ScriptedServer() as server:
        server.script_run(RUN, STEPS, MESSAGES)
        found = await resync_of(server).resync("run_1", "thread_1")

    assert [type(obj) for obj in found] == [RunStep, RunStep, RunStep, Message, Run]
    assert [wire(obj) for obj in found] == [*STEPS, *MESSAGES, RUN]


@pytest.mark.asyncio
async def test_requests() -> None:
    """Pages of 100 in order of creation; parameters, headers and credentials go with each request."""
    async with ScriptedServer() as server:
        server.script_run(RUN, STEPS, MESSAGES, prefix="/api")
        url = server.url.replace("http://", "http://user:secret@")
        resync = AssistantsResync(f"{url}/api/?api-version=1", headers={"api-key": "k"}, params={"more": "2"})
        await resync.resync("run_1", "thread_1")

    assert repr(resync) == f"AssistantsResync({server.url.removeprefix('http://')}/api/)"
    assert [(request.method, request.path) for request in server.requests] == [
        ("GET", "/api/threads/thread_1/runs/run_1"),
        ("GET", "/api/threads/thread_1/runs/run_1/steps"),
        ("GET", "/api/threads/thread_1/messages"),
    ]
    usual = {"api-version": "1", "more": "2"}
    page = {"limit": "100", "order": "asc", **usual}
    assert [request.query for request in server.requests] == [usual, page, {**page, "run_id": "run_1"}]
    for request in server.requests:
        assert request.headers["api-key"] == "k"
        assert request.headers["authorization"] == "Basic dXNlcjpzZWNyZXQ="
        assert request.headers["accept-encoding"] == "identity"


@pytest.mark.asyncio
async def test_run_is_polled_until_it_ends() -> None:
    """Statuses on the way, and ones that nobody knows, mean: go on."""
    before = [run(what).data for what in ("queued", "in_progress", "cancelling")]
    async with ScriptedServer() as server:
        server.script_run(RUN, before=[*before, {**RUN, "status": "thinking"}, {**RUN, "status": 7}])
        found = await resync_of(server).resync("run_1", "thread_1")

    assert [wire(obj) for obj in found] == [RUN]
    assert len(server.requests) == 6 + 2


@pytest.mark.asyncio
@pytest.mark.parametrize("status", ["requires_action", "failed", "cancelled", "expired", "incomplete"])
async def test_run_that_does_not_go_on_by_itself(status: str) -> None:
    """It is the result."""
    async with ScriptedServer() as server:
        server.script_run({**RUN, "status": status}, STEPS)
        found = await resync_of(server).resync("run_1", "thread_1")

    assert [obj.status for obj in found] == ["completed", "completed", "completed", status]


@pytest.mark.asyncio
async def test_waits_grow_to_their_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half as long again each time, no longer than `max_poll_s`, and no wait that would end too late."""
    waits: list[float] = []

    async def sleep(delay: float) -> None:
        waits.append(delay)

    async with ScriptedServer() as server:
        server.script_run(RUN, before=[run("in_progress").data] * 8)
        monkeypatch.setattr(anyio, "sleep", sleep)
        await AssistantsResync(server.url).resync("run_1", "thread_1")

        assert waits == [0.5, 0.75, 1.125, 1.6875, 2.53125, 3.796875, 5.0, 5.0]

        server.script_run(RUN, before=[run("in_progress").data])
        with pytest.raises(SourceUnavailable, match=r"run 'run_1' did not end within 0\.4 s"):
            await AssistantsResync(server.url, timeout_s=0.4).resync("run_1", "thread_1")

    assert len(waits) == 8


@pytest.mark.asyncio
async def test_lists_of_many_pages() -> None:
    """250 steps are three requests, with the last id of a page as the cursor of the next."""
    steps = [step("completed", f"step_{n}").data for n in range(250)]
    async with ScriptedServer() as server:
        server.script_run(RUN, steps)
        found = await resync_of(server).resync("run_1", "thread_1")

    assert [wire(obj)["id"] for obj in found] == [*(f"step_{n}" for n in range(250)), "run_1"]
    asked = [request.query.get("after") for request in server.requests if request.path.endswith("/steps")]
    assert asked == [None, "step_99", "step_199"]


@pytest.mark.asyncio
async def test_server_that_repeats_a_page() -> None:
    """One that does not know `after` says for ever that there is more: what it has is taken once."""
    async with ScriptedServer() as server:
        server.script_run(RUN)
        server.script("*/steps", [listing(*STEPS, has_more=True)])
        found = await resync_of(server).resync("run_1", "thread_1")

    assert [wire(obj) for obj in found] == [*STEPS, RUN]
    assert len([request for request in server.requests if request.path.endswith("/steps")]) == 2


@pytest.mark.asyncio
@pytest.mark.parametrize("page", [{}, {"data": []}, {"data": STEPS, "has_more": None}])
async def test_page_that_does_not_say_whether_there_is_more(page: Any) -> None:
    """Then there is not."""
    async with ScriptedServer() as server:
        server.script_run(RUN)
        server.script("*/steps", [json_response(page)])
        found = await resync_of(server).resync("run_1", "thread_1")

    assert [wire(obj) for obj in found] == [*page.get("data", []), RUN]


@pytest.mark.asyncio
async def test_server_that_does_not_filter_messages() -> None:
    """Those of other runs, and of people, are not part of the result."""
    listed = [
        message("completed", "msg_user", run_id=None).data,
        message("completed", "msg_other", run_id="run_0").data,
        MESSAGES[0],
        {"id": "msg_plain", "object": "thread.message"},
    ]
    async with ScriptedServer() as server:
        server.script_run(RUN)
        server.script("*/messages", [listing(*listed)])
        found = await resync_of(server).resync("run_1", "thread_1")

    assert [obj.id for obj in found] == ["msg_1", "msg_plain", "run_1"]


@pytest.mark.asyncio
async def test_session_of_the_caller_stays_open() -> None:
    """Its default headers are sent."""
    async with ScriptedServer() as server, aiohttp.ClientSession(headers={"X-Mine": "1"}) as session:
        server.script_run(RUN)
        await resync_of(server, session=session).resync("run_1", "thread_1")
        assert not session.closed

    assert {request.headers["x-mine"] for request in server.requests} == {"1"}


@pytest.mark.asyncio
@pytest.mark.parametrize("id", ["a?b=c", "a#b", "a b", "ü", "%2e", "%2F..%2Fx", "...", "résp:1"])
async def test_id_is_one_segment_of_the_path(id: str) -> None:
    """Whatever a stream calls its run, no other address is asked."""
    async with ScriptedServer() as server:
        server.script(None, [json_response({"id": id, "status": "completed", "data": []})])
        await resync_of(server).resync(id, "thread_1")

    path = server.requests[0].path
    assert path.startswith("/threads/thread_1/runs/")
    assert path.count("/") == 4
    assert server.requests[0].query == {}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("run_id", "thread_id"),
    [
        *(("run_1", None), ("run_1", ""), ("..", "thread_1"), (".", "t")),
        *((id, "thread_1") for id in ("a/b", "../x", "..\\x", "a\r\nb", "a\0", "\x7f", "\ud83e", "..\n")),
    ],
)
async def test_id_that_names_nothing(run_id: str, thread_id: str | None) -> None:
    """Nothing is asked; many servers decode a path before they take it apart, so that a quoted slash is one."""
    async with ScriptedServer() as server:
        with pytest.raises(SourceError):
            await resync_of(server).resync(run_id, thread_id)

    assert server.requests == []


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Response(b"", 429, {"Retry-After": "3"}), SourceUnavailable),
        (Response(b"", 500), SourceUnavailable),
        (Response(b"", 307, {"Location": "/"}), SourceError),
        (Response(b"secret", 401), SourceError),
        (Response(b"", 404), SourceError),
        (Response(cut_at(b"{}", 1)), SourceUnavailable),
        (Response([Reset()], status=None), SourceUnavailable),
        (Response(stall_at(b"{}", 1)), SourceUnavailable),
        (json_response(b"secret"), SourceError),
        (json_response(b"\xff"), SourceError),
        (json_response(b'"secret"'), SourceError),
        (json_response(b"[]"), SourceError),
        (json_response(b"[" * 100_000), SourceError),
        (json_response({"status": "completed", "data": [7], "has_more": False}), SourceError),
        (json_response({"status": "completed", "data": {}}), SourceError),
        (json_response(b" " * 300_000 + b"{}"), SourceError),
    ],
)
@in_loopback_time
async def test_answer_that_is_no_result(answer: Response, error: type[SourceError]) -> None:
    """Failures are as with any stream; the error shows no content."""
    async with ScriptedServer() as server:
        server.script(None, [answer])
        resync = resync_of(server, request_timeout_s=0.05, max_bytes=200_000)
        with pytest.raises(error) as caught:
            await resync.resync("run_1", "thread_1")

    assert type(caught.value) is error
    assert "secret" not in str(caught.value)
    if isinstance(caught.value, SourceUnavailable) and answer.headers:
        assert caught.value.retry_after_s == 3


@pytest.mark.asyncio
async def test_list_longer_than_allowed() -> None:
    """Bounds hold over all pages."""
    steps = [step("completed", f"step_{n}").data for n in range(250)]
    async with ScriptedServer() as server:
        server.script_run(RUN, steps)
        with pytest.raises(SourceError, match="expected at most 150 objects"):
            await resync_of(server, max_objects=150).resync("run_1", "thread_1")

    assert len([request for request in server.requests if request.path.endswith("/steps")]) == 2


@in_loopback_time
async def test_cancelling_leaves_nothing() -> None:
    """While it waits, and while a request is on its way."""
    async with ScriptedServer() as server:
        server.script("/slow*", [Response(stall_at(b"{", 1))])
        server.script_run(RUN, before=[run("in_progress").data] * 10)
        for prefix in ("", "/slow"):
            with anyio.move_on_after(0.03) as scope:
                await AssistantsResync(f"{server.url}{prefix}").resync("run_1", "thread_1")
            assert scope.cancelled_caught


def test_url_that_is_none_of_http() -> None:
    """Told when it is made."""
    with pytest.raises(ConfigError, match="expected an absolute http or https URL"):
        AssistantsResync("api.example.com/v1")
