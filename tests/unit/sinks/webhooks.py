"""What the tests of the webhook sink share: names that we decide the meaning of, and who connects where."""

import socket
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any, Final

from aiohttp.abc import AbstractResolver, ResolveResult

from streamproc.sinks.webhook import WebhookSink
from tests.webhook_receiver import new_secret

__all__ = ["LOOPBACK", "SECRET", "Names", "connects", "sink_to"]

SECRET: Final = new_secret()
LOOPBACK: Final = ["127.0.0.0/8"]

_recorders: list[list[Any]] = []


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if event == "socket.connect":
        for recorder in _recorders:
            recorder.append(args[1])


sys.addaudithook(_audit)  # the interpreter tells of each `connect`, whoever calls it; a hook stays for good


@contextmanager
def connects() -> Generator[list[Any]]:
    """The addresses that sockets of this process are connected to meanwhile, attempts included."""
    found: list[Any] = []
    _recorders.append(found)
    try:
        yield found
    finally:
        _recorders.remove(found)


class Names(AbstractResolver):
    """A resolver that knows these names; each answer is used up but the last."""

    def __init__(self, names: Mapping[str, Sequence[Sequence[str]]]) -> None:
        self.asked: list[str] = []
        self._names = {name: [*answers] for name, answers in names.items()}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        self.asked.append(host)
        answers = self._names.get(host)
        if answers is None:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            ResolveResult(hostname=host, host=address, port=port, family=_family(address), proto=0, flags=0)
            for address in addresses
        ]

    async def close(self) -> None:
        raise AssertionError("a resolver that was handed in stays open")


def _family(address: str) -> socket.AddressFamily:
    try:
        return socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET
    except ValueError:
        return socket.AF_INET


def sink_to(url: str, **options: Any) -> WebhookSink:
    """A sink for a receiver on this machine."""
    all_options: dict[str, Any] = {"secrets": [SECRET], "allow_http": True, "allow_networks": LOOPBACK, **options}
    return WebhookSink(url, **all_options)
