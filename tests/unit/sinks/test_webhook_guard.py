# ruff: noqa: RUF001 - signs that look like others are what some of these are about
"""Where requests must not go: every spelling of an internal address, names that mean one, redirects, proxies.

Nothing of ours is replaced. The interpreter itself tells of each attempt to connect, and listeners on loopback would
take the connections.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest

from streamproc.errors import ConfigError, SinkUnavailable
from streamproc.sinks._webhook_guard import Guard, TargetRefused, guarded_connector
from streamproc.sinks.webhook import WebhookSink
from streamproc.testing.changes import ordinary_changes
from tests.unit.sinks.webhooks import SECRET, Names, connects, sink_to
from tests.webhook_receiver import Receiver, Told, running

CHANGES = ordinary_changes("s", deltas=0)[:1]
# PORT is the one that something listens on.
LITERALS = [
    # IPv4, as it is and with what the system's resolver makes of other spellings
    *("http://127.0.0.1:PORT/", "http://127.1:PORT/", "http://127.0.1:PORT/", "http://127.255.255.254:PORT/"),
    *("http://2130706433:PORT/", "http://017700000001:PORT/", "http://0x7f000001:PORT/", "http://0X7F000001:PORT/"),
    *("http://0x7f.1:PORT/", "http://0x7f.0x0.0x0.0x1:PORT/", "http://0177.0.0.1:PORT/", "http://0177.1:PORT/"),
    *("http://127.0.0x1:PORT/", "http://0x7f.0.1:PORT/", "http://0177.0.0x0.1:PORT/", "http://127.000.000.001:PORT/"),
    *("http://00000177.0.0.1:PORT/", "http://127.65535.1:PORT/", "http://127.0x000001:PORT/", "http://0:PORT/"),
    *("http://0.0.0.0:PORT/", "http://0x0:PORT/", "http://127.0.0.1.:PORT/", "http://127.0.0.1..:PORT/"),
    *("http://2130706433.:PORT/", "http://0x7f.1.:PORT/", "http://3232235521/", "http://10.0.0.1/"),
    *("http://172.16.0.1/", "http://192.168.1.1/", "http://100.64.0.1/", "http://198.18.0.1/"),
    *("http://169.254.169.254/latest/meta-data/", "http://2852039166/", "http://0xa9fea9fe/", "http://0xa9.254.43518/"),
    *("http://168.63.129.16/", "http://100.100.100.200/", "http://192.0.0.192/", "http://255.255.255.255/"),
    *("http://224.0.0.1/", "http://1.1/", "http://134744072/"),  # the last two are public, and spelled to deceive
    # digits and dots of other scripts
    *("http://１２７.0.0.1:PORT/", "http://127。0。0。1:PORT/", "http://①②⑦.⓪.⓪.①:PORT/", "http://０ｘ７ｆ.１:PORT/"),
    *("http://١٢٧.0.0.1:PORT/", "http://0x7f.0.0.0.1:PORT/", "http://256.256.256.256:PORT/", "http://4294967297:PORT/"),
    *(
        "http://１２７。０。０。１:PORT/",
        "http://𝟏𝟐𝟕.𝟎.𝟎.𝟏:PORT/",
        "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ:PORT/",
        "http://127．0．0．1:PORT/",
    ),
    # IPv6
    *("http://[::1]:PORT/", "http://[0:0:0:0:0:0:0:1]:PORT/", "http://[0000::0001]:PORT/", "http://[::]:PORT/"),
    *("http://[::ffff:127.0.0.1]:PORT/", "http://[::ffff:7f00:1]:PORT/", "http://[0:0:0:0:0:ffff:7f00:0001]:PORT/"),
    *("http://[::127.0.0.1]:PORT/", "http://[64:ff9b::127.0.0.1]:PORT/", "http://[64:ff9b:1::7f00:1]:PORT/"),
    *("http://[2002:7f00:1::]:PORT/", "http://[2001:0:7f00:1::]:PORT/", "http://[fd00:ec2::254]/", "http://[fe80::1]/"),
    *("http://[fe80::1%25lo]:PORT/", "http://[fe80::1%lo]:PORT/", "http://[::1%25lo]:PORT/", "http://[::1%lo]:PORT/"),
    *(
        "http://[::ffff:169.254.169.254]/",
        "http://[::ffff:0:127.0.0.1]:PORT/",
        "http://[ff02::1]/",
        "http://[fec0::1]/",
    ),
    *("http://[127.0.0.1]:PORT/", "http://[::1:PORT/", "http://[v1.127]:PORT/", "http://::1:PORT/"),
    # localhost, which is no name to be looked up
    *("http://localhost:PORT/", "http://localhost.:PORT/", "http://LOCALHOST:PORT/", "http://a.localhost:PORT/"),
    # user names that look like hosts, and hosts that look like user names
    *("http://user@127.0.0.1:PORT/", "http://public.example@127.0.0.1:PORT/", "http://a:b@public.example/"),
    *("http://public.example:80@127.0.0.1:PORT/", "http://127.0.0.1:PORT@public.example/", "http://@127.0.0.1:PORT/"),
    *("http://public.example\\@127.0.0.1:PORT/", "http://127.0.0.1:PORT\\@public.example/", "http://:@127.0.0.1:PORT/"),
    *("http://127.0.0.1:PORT#@public.example/", "http://127.0.0.1:PORT?@public.example/", "http://a b@127.0.0.1:PORT/"),
    # percent signs, NUL, blanks, control characters, and what is removed by some and read by others
    *("http://127%2e0%2e0%2e1:PORT/", "http://%31%32%37.0.0.1:PORT/", "http://localhost%00.public.example:PORT/"),
    *("http://127.0.0.1%00.public.example:PORT/", "http://127.0.0.1\t:PORT/", "http://127.0.\n0.1:PORT/"),
    *(" http://127.0.0.1:PORT/", "http://127.0.0.1 :PORT/", "http://127.0.0.1\0:PORT/", "http://loca\u00adlhost:PORT/"),
    *("http://local\u200bhost:PORT/", "http://127.0.0.1%20:PORT/", "http://public.example,127.0.0.1:PORT/"),
    # other schemes, and URLs that have no host or not the one that they seem to have
    *("ftp://127.0.0.1:PORT/", "file:///etc/passwd", "gopher://127.0.0.1:PORT/", "unix:///run/x", "//127.0.0.1:PORT/"),
    *("http:/127.0.0.1:PORT/", "http:127.0.0.1:PORT/", "http:///127.0.0.1:PORT/", "127.0.0.1:PORT", "", "http://"),
    *("http://127.0.0.1:0/", "http://127.0.0.1:99999/", "http://127.0.0.1:80:PORT/", "http:\\\\127.0.0.1:PORT\\"),
    *("http+unix://127.0.0.1:PORT/", "ws://127.0.0.1:PORT/", f"http://{'a' * 64}.example/", "http://a..b.example/"),
    *(f"http://{'a.' * 130}example/", "http://\ud800.example/"),
]
NAMES = {
    "nip.example": ["127.0.0.1"],
    "127.0.0.1.nip.example": ["127.0.0.1"],
    "five.example": ["0.0.0.0"],
    "metadata.google.internal": ["169.254.169.254"],
    "private.example": ["10.0.0.1"],
    "v6.example": ["::1"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "nat64.example": ["64:ff9b::7f00:1"],
    "6to4.example": ["2002:7f00:1::1"],
    "scoped.example": ["fe80::1%lo"],
    "both.example": ["8.8.8.8", "127.0.0.1"],
    "both-reversed.example": ["127.0.0.1", "8.8.8.8"],
    "nonsense.example": ["localhost"],
    "short.example": ["127.1"],
    "trailing.example.": ["127.0.0.1"],
}


@asynccontextmanager
async def listening() -> AsyncGenerator[tuple[int, list[object]]]:
    """A port of loopback, IPv4 and, where there is one, IPv6; and who has connected to it."""
    accepted: list[object] = []

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(writer.get_extra_info("peername"))
        writer.close()

    first = await asyncio.start_server(accept, "127.0.0.1", 0)
    port: int = first.sockets[0].getsockname()[1]
    servers = [first]
    with suppress(OSError):  # no IPv6 here; an attempt would be seen all the same
        servers.append(await asyncio.start_server(accept, "::1", port))
    try:
        yield port, accepted
    finally:
        for server in servers:
            server.close()
            await server.wait_closed()


async def attempt(url: str, **options: Any) -> Exception | None:
    """Send one change, and return what that raised."""
    try:
        async with WebhookSink(url, secrets=[SECRET], allow_http=True, **options) as sink:
            await sink.write(CHANGES)
    except (ConfigError, SinkUnavailable) as error:
        return error
    return None


@pytest.mark.asyncio
async def test_no_spelling_of_an_internal_address_is_connected_to() -> None:
    """Each of them is a mistake in the config, which says so before anything is looked up or sent."""
    names = Names({})
    async with listening() as (port, accepted):
        with connects() as attempts:
            raised = {url: await attempt(url.replace("PORT", str(port)), resolver=names) for url in LITERALS}

    assert len(LITERALS) == len(set(LITERALS)) >= 60
    assert [url for url, error in raised.items() if not isinstance(error, ConfigError)] == []
    assert (attempts, accepted, names.asked) == ([], [], [])


@pytest.mark.asyncio
async def test_no_name_of_an_internal_address_is_connected_to() -> None:
    """A name may mean something else tomorrow, so these come again; and none of the error texts shows the path."""
    async with listening() as (port, accepted):
        with connects() as attempts:
            raised = {
                name: await attempt(f"http://{name}:{port}/t0ken", resolver=Names({name: [addresses]}))
                for name, addresses in NAMES.items()
            }

    assert [name for name, error in raised.items() if not isinstance(error, SinkUnavailable)] == []
    assert (attempts, accepted) == ([], [])
    assert not any("t0ken" in str(error) for error in raised.values())
    assert str(raised["both.example"]) == (
        f"both.example:{port} gave no answer"
        " (both.example is 127.0.0.1 (loopback), which is not among the allowed networks)"
    )


@pytest.mark.asyncio
async def test_the_same_listeners_are_connected_to_where_that_is_allowed() -> None:
    """So the two tests above would have seen it."""
    async with listening() as (port, accepted):
        with connects() as attempts:
            networks = ["127.0.0.0/8", "::1/128"]
            names = Names({"nip.example": [["127.0.0.1"]]})
            await attempt(f"http://127.0.0.1:{port}/", allow_networks=networks)
            await attempt(f"http://nip.example:{port}/", allow_networks=networks, resolver=names)
            await attempt(f"http://localhost:{port}/", allow_networks=networks)
            await attempt(f"http://[::1]:{port}/", allow_networks=networks)

    assert len(attempts) >= 4
    assert len(accepted) >= 3


@pytest.mark.asyncio
async def test_a_name_that_changes_its_meaning_is_judged_by_what_is_connected_to() -> None:
    """It is asked once for each connection, so there is no time between the judgement and the use."""
    names = Names({"rebinding.example": [["127.0.0.2"], ["127.0.0.1"], ["127.0.0.2"]]})
    receiver = Receiver(SECRET)
    receiver.tell(Told(cut=True, times=1))
    async with running(receiver, host="127.0.0.2"), listening() as (_, accepted):
        port = int(receiver.url.split(":")[2].split("/")[0])
        with connects() as attempts:
            url = f"http://rebinding.example:{port}/"
            async with sink_to(url, allow_networks=["127.0.0.2/32"], resolver=names) as sink:
                with pytest.raises(SinkUnavailable, match="gave no answer"):
                    await sink.write(CHANGES)
                with pytest.raises(SinkUnavailable, match="which is not among the allowed networks"):
                    await sink.write(CHANGES)
                await sink.write(CHANGES)
                await sink.write(CHANGES)  # over the connection that is there

    assert attempts == [("127.0.0.2", port)] * 2
    assert (names.asked, accepted) == (["rebinding.example"] * 3, [])
    assert len(receiver.arrived) == 3


@pytest.mark.asyncio
async def test_a_socket_for_an_internal_address_is_not_made() -> None:
    """The last judgement, for what came by neither of the others: aiohttp asks no resolver for an address."""
    async with listening() as (port, accepted):
        with connects() as attempts:
            for allowed in ([], ["127.0.0.0/8"]):
                connector = guarded_connector(Guard(allow_networks=allowed), None)
                async with aiohttp.ClientSession(connector=connector) as session:
                    with pytest.raises(aiohttp.ClientError) as caught:
                        await session.post(f"http://127.0.0.1:{port}/")
                is_refused = isinstance(getattr(caught.value, "os_error", None), TargetRefused)

                assert is_refused == (allowed == [])
                assert len(attempts) == len(allowed)

    assert len(accepted) == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    """Not even to a place that requests may go to."""
    receiver = Receiver(SECRET)
    async with running(receiver), listening() as (port, accepted):
        receiver.tell(Told(status=status, headers={"Location": f"http://127.0.0.1:{port}/t0ken"}))
        async with sink_to(receiver.url) as sink:
            with pytest.raises(SinkUnavailable, match=f"answered {status}$"):
                await sink.write(CHANGES)

    assert (len(receiver.arrived), accepted) == (1, [])


@pytest.mark.asyncio
async def test_no_proxy_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would connect to whatever it is told to; and a netrc file gives nobody a password."""
    receiver = Receiver(SECRET)
    async with running(receiver), listening() as (port, accepted):
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        async with sink_to(receiver.url) as sink:
            await sink.write(CHANGES)

    assert (len(receiver.arrived), accepted) == (1, [])


@pytest.mark.parametrize(
    ("url", "options", "said"),
    [
        ("http://hook.example/", {}, "url: expected https; allow_http = true allows http, for tests and internal"),
        ("https://hook.example:8443/", {"ports": [443]}, "url: port 8443 is not one of the allowed ports"),
        ("https://hook.example/", {"ports": [0]}, "ports: 0 is none; expected 1 to 65535"),
        ("https://u:t0ken@hook.example/", {}, "url: expected no user name and password; put them into headers"),
        ("https://0x7f.1/", {}, "url: 0x7f.1 means 127.0.0.1, which is loopback; allow_networks can name its network"),
        ("https://0x7f.1/", {"allow_networks": ["127.0.0.0/8"]}, "url: 0x7f.1 means 127.0.0.1; write it so"),
        (
            "https://localhost/",
            {},
            "url: localhost means 127.0.0.1, which is loopback; allow_networks can name its network",
        ),
        ("https://10.1.2.3/", {}, "url: 10.1.2.3 is private; allow_networks can name its network"),
        ("https://[fd00::1]/", {}, "url: fd00::1 is unique local; allow_networks can name its network"),
        ("https://hook.example/", {"allow_networks": ["10.0.0.1/8"]}, "allow_networks: '10.0.0.1/8' is no network;"),
        ("https://hook.example/", {"allow_networks": ["lan"]}, "allow_networks: 'lan' is no network; expected one"),
        ("hook.example/t0ken", {}, "url: expected an absolute https URL without spaces and control characters"),
        ("https://ho%6fk.example/t0ken", {}, "url: its host is neither a name nor an address"),
    ],
)
def test_what_is_said_of_a_url(url: str, options: dict[str, Any], said: str) -> None:
    """A path and a password are secrets."""
    with pytest.raises(ConfigError) as caught:
        WebhookSink(url, secrets=[SECRET], **options)

    assert str(caught.value).startswith(said)
    assert "t0ken" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("https://hook.example/", {}),
        ("https://HOOK.example./a?b=c#d", {}),
        ("https://münchen.example/", {}),
        ("https://hook_1.example:8443/", {"ports": [443, 8443]}),
        ("https://8.8.8.8/", {}),
        ("https://[2606:4700:4700::1111]/", {}),
        ("https://10.1.2.3/", {"allow_networks": ["10.0.0.0/8"]}),
        ("http://a.localhost/", {"allow_networks": ["127.0.0.1/32"], "allow_http": True}),
    ],
)
def test_targets_that_are_fine(url: str, options: dict[str, Any]) -> None:
    WebhookSink(url, secrets=[SECRET], **options)
