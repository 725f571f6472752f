"""WebhookSink: what arrives at a receiver, in which order, what comes again, and what its answers lead to."""

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from email.utils import formatdate
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme
from msgspec.structs import replace

from streamproc import Change
from streamproc.core.body import Body
from streamproc.core.change import Origin
from streamproc.errors import ConfigError, SinkGone, SinkRejected, SinkUnavailable
from streamproc.secret import Secret
from streamproc.sinks import webhook
from streamproc.sinks._webhook_message import id_of
from streamproc.sinks.webhook import WebhookSink
from streamproc.testing.changes import ordinary_changes
from streamproc.testing.sinks import check_sink
from tests.loopback import in_loopback_time
from tests.unit.sinks.webhooks import LOOPBACK, SECRET, Names, connects, sink_to
from tests.webhook_receiver import Arrived, Receiver, Told, keys, new_secret, running

CHANGES = ordinary_changes("s", deltas=2)
NOW_S = 1_767_268_800.0  # 2026-01-01T12:00:00Z


def runs(*names: str, length: int = 3) -> list[Change]:
    """The changes of some runs, each in a stream of its own, in turn."""
    first = CHANGES[0]
    return [
        replace(first, origin=Origin(name, 1), seq=seq, body=Body("run", name, name, None, b"{}"))
        for seq in range(1, length + 1)
        for name in names
    ]


def seen(requests: Sequence[Arrived]) -> list[str]:
    """Stream and seq of each request, as one word."""
    return [f"{stream}{seq}" for stream, _, seq in keys(requests)]


@asynccontextmanager
async def exchange(*secrets: str, **options: Any) -> AsyncGenerator[tuple[Receiver, WebhookSink]]:
    """A receiver, and a sink that is entered and posts to it."""
    async with running(Receiver(*(secrets or (SECRET,)))) as receiver, sink_to(receiver.url, **options) as sink:
        yield receiver, sink


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"timeout_s": 0.0}, "timeout_s is 0; expected more than 0 seconds"),
        ({"max_in_flight": 0}, "max_in_flight is 0; expected 1 or more requests"),
        ({"secrets": []}, "secrets: expected at least one"),
        ({"headers": {"webhook-id": "x"}}, "headers: webhook-id is set by the sink"),
    ],
)
def test_settings_that_cannot_work(options: dict[str, Any], said: str) -> None:
    all_options: dict[str, Any] = {"secrets": [SECRET], **options}
    with pytest.raises(ConfigError) as caught:
        WebhookSink("https://hook.example/", **all_options)

    assert str(caught.value) == said


def test_extra_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "find_spec", lambda name: None)

    with pytest.raises(ConfigError, match=r'needs an extra: pip install "streamproc\[webhook\]"'):
        WebhookSink("https://hook.example/", secrets=[SECRET])


def test_what_is_shown_of_a_sink() -> None:
    """A path may be a password."""
    sink = WebhookSink(Secret("https://hook.example:8443/t0ken?t0ken"), secrets=[SECRET])

    assert repr(sink) == "WebhookSink(hook.example:8443)"


@pytest.mark.asyncio
async def test_a_sink_that_was_not_entered() -> None:
    with pytest.raises(RuntimeError, match="has to be entered"):
        await sink_to("http://127.0.0.1:1/").write(CHANGES)


# --- what arrives -----------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_the_contract() -> None:
    """Ordinary and odd changes, repetitions, cancellations."""
    async with running(Receiver(SECRET)) as receiver:
        await check_sink(lambda: sink_to(receiver.url), far_side=lambda: keys(receiver.arrived))

    assert all(one.valid for one in receiver.arrived)


@pytest.mark.asyncio
async def test_one_request() -> None:
    """Its headers are those of Standard Webhooks, ours, and what HTTP needs; no cookie, no encoding."""
    headers: dict[str, str | Secret] = {"Authorization": Secret("Bearer t0ken"), "X-Tenant": "a"}
    async with exchange(headers=headers, now=lambda: NOW_S + 0.9) as (receiver, sink):
        await sink.write(CHANGES[:1])
    (one,) = receiver.arrived
    shown = {name: value for name, value in one.headers.items() if name not in ("webhook-signature", "host")}

    assert shown == {
        "accept": "*/*",
        "accept-encoding": "identity",
        "authorization": "Bearer t0ken",
        "content-length": str(len(one.body.encode())),
        "content-type": "application/json",
        "user-agent": "streamproc",
        "webhook-id": id_of(CHANGES[0]),
        "webhook-timestamp": "1767268800",
        "x-tenant": "a",
    }
    assert one.body.startswith('{"type":"run.created","timestamp":"2026-01-01T12:00:00.900Z","data":{"stream":"s",')


@pytest.mark.asyncio
async def test_each_of_the_secrets_signs() -> None:
    """A receiver that knows the old one, and one that knows the new one already."""
    old, new = new_secret(b"old"), new_secret(b"new")
    for known in (old, new):
        async with exchange(known, secrets=[old, Secret(new)]) as (receiver, sink):
            await sink.write(CHANGES)

        assert len(receiver.arrived) == len(CHANGES)
        assert all(one.valid for one in receiver.arrived)


@pytest.mark.asyncio
async def test_an_attempt_has_a_new_time_and_the_same_id_and_body() -> None:
    """Also what the change has no time of its own for."""
    clock = [NOW_S]
    async with exchange(now=lambda: clock[0]) as (receiver, sink):
        receiver.tell(Told(status=500, times=1))
        with pytest.raises(SinkUnavailable, match="answered 500"):
            await sink.write(CHANGES[:1])
        clock[0] += 60
        await sink.write(CHANGES[:1])
        await sink.write(CHANGES[:1])  # a batch that was settled is a new one
    first, again, later = receiver.arrived

    assert first.id == again.id == later.id
    assert first.body == again.body != later.body
    assert [int(one.timestamp) - NOW_S for one in receiver.arrived] == [0, 60, 60]


@pytest.mark.asyncio
async def test_a_change_of_which_no_json_can_be_made_is_rejected() -> None:
    """The others of its batch arrive, those of its run too."""
    first, second, third = runs("a")
    broken = replace(second, body=Body("run", "a\ud800", "a", None, b"{}"))
    async with exchange() as (receiver, sink):
        with pytest.raises(SinkRejected, match="no JSON can be made of them") as caught:
            await sink.write([first, broken, third])

    assert caught.value.changes == [broken]
    assert seen(receiver.arrived) == ["a1", "a3"]


# --- order ------------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_runs_go_side_by_side_and_each_in_order() -> None:
    """As many as may be under way, and one request a run."""
    batch = runs(*"abcdef", length=5)
    async with exchange(max_in_flight=3) as (receiver, sink):
        receiver.tell(Told(delay_s=0.002))
        await sink.write(batch)

    assert receiver.under_way_max == 3
    assert sorted(seen(receiver.arrived)) == sorted(f"{change.stream}{change.seq}" for change in batch)
    for name in "abcdef":
        assert [one for one in seen(receiver.arrived) if one[0] == name] == [f"{name}{seq}" for seq in range(1, 6)]


@pytest.mark.asyncio
async def test_a_run_has_one_request_under_way() -> None:
    async with exchange() as (receiver, sink):
        receiver.tell(Told(delay_s=0.002))
        await sink.write(runs("a", length=5))

    assert receiver.under_way_max == 1


@pytest.mark.asyncio
async def test_after_a_failure_its_run_waits_and_what_arrived_does_not_come_again() -> None:
    """The other runs go on."""
    batch = runs("a", "b")
    async with exchange(max_in_flight=1) as (receiver, sink):
        receiver.tell(Told(times=1), Told(status=500, times=1))
        with pytest.raises(SinkUnavailable, match="answered 500"):
            await sink.write(batch)
        before = seen(receiver.arrived)
        await sink.write(batch)
        after = seen(receiver.arrived)[len(before) :]
        await sink.write(batch)

    assert before == ["a1", "a2", "b1", "b2", "b3"]
    assert after == ["a2", "a3"]
    assert len(receiver.arrived) == 7 + 6


@pytest.mark.asyncio
@pytest.mark.parametrize("told", [Told(status=503), Told(status=429), Told(status=302), Told(cut=True)])
async def test_an_endpoint_that_is_unable_gets_nothing_more_of_the_batch(told: Told) -> None:
    async with exchange(max_in_flight=1) as (receiver, sink):
        receiver.tell(Told(times=1), told)
        with pytest.raises(SinkUnavailable):
            await sink.write(runs("a", "b"))

    assert seen(receiver.arrived) == ["a1", "a2"]


@pytest.mark.asyncio
async def test_a_batch_that_comes_again_in_pieces() -> None:
    """As it does while the breaker is open: first a single change, which had arrived."""
    batch = runs("a", length=4)
    async with exchange() as (receiver, sink):
        receiver.tell(Told(times=2), Told(status=500, times=1))
        with pytest.raises(SinkUnavailable):
            await sink.write(batch)
        await sink.write(batch[:1])
        await sink.write(batch[1:])

    assert seen(receiver.arrived) == ["a1", "a2", "a3", "a3", "a4"]


@pytest.mark.asyncio
async def test_a_change_that_is_twice_in_a_batch_is_sent_once() -> None:
    async with exchange() as (receiver, sink):
        await sink.write([*runs("a"), *runs("a")])

    assert seen(receiver.arrived) == ["a1", "a2", "a3"]


# --- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_rejected_ones_are_named_and_the_rest_arrives() -> None:
    batch = runs("a")
    async with exchange() as (receiver, sink):
        receiver.tell(Told(times=1), Told(status=422, times=1), Told(status=400, times=1))
        with pytest.raises(SinkRejected) as caught:
            await sink.write(batch)

    assert caught.value.changes == batch[1:]
    assert caught.value.reason == f"{receiver.url[7:-5]}: answered 400, answered 422"
    assert [one.status for one in receiver.arrived] == [204, 422, 400]


@pytest.mark.asyncio
async def test_what_was_rejected_stays_so_until_the_batch_is_settled() -> None:
    """It is said when all others have arrived, as `SinkRejected` means, and not asked for again."""
    batch = runs("a", "b", length=1)
    async with exchange(max_in_flight=1) as (receiver, sink):
        receiver.tell(Told(status=404, times=1), Told(status=503, times=1))
        with pytest.raises(SinkUnavailable):
            await sink.write(batch)
        with pytest.raises(SinkRejected) as caught:
            await sink.write(batch)

    assert caught.value.changes == batch[:1]
    assert seen(receiver.arrived) == ["a1", "b1", "b1"]


@pytest.mark.asyncio
async def test_the_longest_wait_of_a_batch_counts() -> None:
    async with exchange(max_in_flight=3, now=lambda: NOW_S) as (receiver, sink):
        waits = {"a": "7", "b": formatdate(NOW_S + 90, usegmt=True), "c": "30"}
        receiver.tell(
            *(Told(status=503, headers={"Retry-After": wait}, delay_s=0.05, times=1) for wait in waits.values())
        )
        with pytest.raises(SinkUnavailable) as caught:
            await sink.write(runs(*"abc"))

    assert len(receiver.arrived) == 3
    assert caught.value.retry_after_s == 90.0


@pytest.mark.asyncio
async def test_gone_ends_the_batch() -> None:
    """Even if another run only has to wait."""
    async with exchange(max_in_flight=1) as (receiver, sink):
        receiver.tell(Told(status=500, times=1), Told(status=410))
        with pytest.raises(SinkGone) as caught:
            await sink.write(runs(*"abc"))

    assert caught.value.reason == f"{receiver.url[7:-5]} answered 410"
    assert seen(receiver.arrived) == ["a1", "b1"]


@in_loopback_time
async def test_a_receiver_that_gives_no_answer() -> None:
    async with exchange(timeout_s=15.0) as (receiver, sink):
        receiver.tell(Told(hang=True))
        began_s = anyio.current_time()
        with pytest.raises(SinkUnavailable, match=r"gave no answer \(within 15 s\)$"):
            await sink.write(runs("a"))
        took_s = anyio.current_time() - began_s

    assert 15.0 <= took_s < 16.0


@in_loopback_time
async def test_a_receiver_that_is_slow_but_in_time() -> None:
    async with exchange(timeout_s=15.0) as (receiver, sink):
        receiver.tell(Told(delay_s=14.0))
        await sink.write(runs("a", length=2))

    assert seen(receiver.arrived) == ["a1", "a2"]


@pytest.mark.asyncio
async def test_a_receiver_that_is_not_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        async with sink_to(f"http://127.0.0.1:{free.getsockname()[1]}/t0ken") as sink:
            with pytest.raises(SinkUnavailable, match="gave no answer") as caught:
                await sink.write(CHANGES)

    assert "t0ken" not in str(caught.value)


@pytest.mark.asyncio
async def test_a_name_that_is_not_known() -> None:
    async with sink_to("http://hook.example/t0ken", resolver=Names({})) as sink:
        with pytest.raises(SinkUnavailable, match=r"^hook\.example gave no answer \(no such name\)$"):
            await sink.write(CHANGES)


async def read_request(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))


@asynccontextmanager
async def answering(answer: bytes) -> AsyncGenerator[str]:
    """A server that reads a request, sends these bytes and closes; they need not be HTTP."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await read_request(reader)
            writer.write(answer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has gone
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/t0ken"


HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 2",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        HEAD + b"X: " + b"t0ken" * 10_000 + b"\r\n\r\n",
        HEAD + b"X: t0ken\r\n" * 10_000 + b"\r\n",
        HEAD + b"Content-Length: t0ken\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nt0ken\r\n",
    ],
    ids=[
        "nothing",
        "half a line",
        "another protocol",
        "no status",
        "a long header",
        "many headers",
        "a bad header",
        "a bad chunk",
    ],
)
async def test_answers_that_are_none(answer: bytes) -> None:
    """Nothing of them is shown."""
    async with answering(answer) as url, sink_to(url) as sink:
        with pytest.raises(SinkUnavailable, match="gave no answer") as caught:
            await sink.write(CHANGES[:1])

    assert "t0ken" not in str(caught.value)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"Content-Length: 10\r\n\r\nhalf",
        HEAD + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
        HEAD + b"Set-Cookie: a=t0ken\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=["a body that breaks off", "a body in no such encoding", "a cookie"],
)
async def test_a_change_is_taken_whatever_the_body(answer: bytes) -> None:
    """The status has said so."""
    async with answering(answer) as url, sink_to(url) as sink:
        await sink.write(CHANGES[:2])


@in_loopback_time
async def test_a_body_that_does_not_come() -> None:
    """Not the whole time-out is spent on it."""
    gate = anyio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(HEAD + b"Content-Length: 10\r\n\r\n")
        await gate.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, sink_to(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/") as sink:
        began_s = anyio.current_time()
        await sink.write(CHANGES[:1])
        took_s = anyio.current_time() - began_s
        gate.set()

    assert 1.0 <= took_s < 2.0


@pytest.mark.asyncio
async def test_a_body_that_does_not_stop() -> None:
    """Some of it is read, and its connection given up; the rest stays where it is."""
    sent = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + b"Content-Length: 999999999999\r\n\r\n")
        with suppress(ConnectionError):
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
                sent += 65536
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, sink_to(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/") as sink:
        await sink.write(CHANGES[:2])

    assert sent < 32 * 1024 * 1024  # what fits into the buffers of two connections


@pytest.mark.asyncio
async def test_a_short_body_leaves_the_connection_for_the_next_request() -> None:
    """Though it comes after its head."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            while True:
                await read_request(reader)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
                await anyio.sleep(0.01)
                writer.write(b"taken")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, sink_to(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/") as sink:
        with connects() as attempts:
            await sink.write(CHANGES[:4])

    assert len(attempts) == 1


@pytest.mark.asyncio
async def test_cookies_are_not_kept() -> None:
    names = Names({"hook.example": [["127.0.0.1"]]})
    async with running(Receiver(SECRET)) as receiver:
        receiver.tell(Told(headers={"Set-Cookie": "a=t0ken"}))
        async with sink_to(receiver.url.replace("127.0.0.1", "hook.example"), resolver=names) as sink:
            await sink.write(runs("a", length=2))

    assert ["cookie" in one.headers for one in receiver.arrived] == [False, False]


@pytest.mark.asyncio
async def test_a_connection_that_ends_while_the_body_is_sent() -> None:
    """What aiohttp says of it quotes the URL."""

    def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    large = replace(CHANGES[0], body=Body("run", "run_1", "run_1", None, b'{"x":"' + b"x" * 16 * 1024 * 1024 + b'"}'))
    server = await asyncio.start_server(reset, "127.0.0.1", 0)
    async with server, sink_to(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/t0ken") as sink:
        with pytest.raises(SinkUnavailable, match="gave no answer") as caught:
            await sink.write([large])

    assert "t0ken" not in str(caught.value)


# --- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def authority(tmp_path: Path) -> tuple[ssl.SSLContext, Path]:
    """The server's side of TLS for hook.example, and the file that a client trusts."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("hook.example").configure_cert(server)
    return server, tmp_path / "ca.pem"


@pytest.mark.asyncio
async def test_over_tls(authority: tuple[ssl.SSLContext, Path]) -> None:
    """The certificate is that of the name, though an address is connected to."""
    server, ca_file = authority
    names = Names({"hook.example": [["127.0.0.1"]], "other.example": [["127.0.0.1"]]})
    options: dict[str, Any] = {"secrets": [SECRET], "allow_networks": LOOPBACK, "resolver": names}
    async with running(Receiver(SECRET), tls=server) as receiver:
        port = receiver.url.split(":")[2]
        async with WebhookSink(f"https://hook.example:{port}", ca_file=ca_file, **options) as sink:
            await sink.write(CHANGES)
        async with WebhookSink(f"https://other.example:{port}", ca_file=ca_file, **options) as sink:
            with pytest.raises(SinkUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
                await sink.write(CHANGES)
        async with WebhookSink(f"https://hook.example:{port}", **options) as sink:
            with pytest.raises(SinkUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
                await sink.write(CHANGES)

    assert [one.valid for one in receiver.arrived] == [True] * len(CHANGES)


@pytest.mark.asyncio
async def test_authorities_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("t0ken")
    for path in (tmp_path / "none.pem", tmp_path / "empty.pem"):
        with pytest.raises(ConfigError, match=r"^ca_file: ") as caught:
            async with sink_to("https://hook.example", ca_file=path):
                pass

        assert "t0ken" not in str(caught.value)
