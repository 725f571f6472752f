"""What the three servers of a worker have to agree on: who can connect, which ports they take, where a proxy leads.

Who can connect has to be known, unless it is this machine alone: a server that others can reach needs tokens, and the
proxy, which knows none, a word that this is meant.
"""

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Final, TypeAlias

from yarl import URL

from streamproc.secret import Secret, SecretUrl
from streamproc.worker.config.places import Path
from streamproc.worker.config.sections import AdminConfig, IngestConfig, ProxyConfig, WorkerConfig
from streamproc.worker.config.wording import quoted

__all__ = ["Found", "address_faults", "is_loopback", "server_faults"]

Found: TypeAlias = Iterator[tuple[Path, str]]
"""Faults: path and text."""

_TOKEN_MIN: Final = 16  # characters, where anybody can try
_TOKEN: Final = re.compile(r"[\x21-\x7e]+")
_MAKE_ONE: Final = "make one with `openssl rand -hex 32`"
_HOST: Final = re.compile(r"[A-Za-z0-9._-]+")
_ANY: Final = frozenset({"0.0.0.0", "::"})


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to a server that listens on `host`; a name other than localhost is not."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def server_faults(config: WorkerConfig) -> Found:
    """All that is wrong with the servers."""
    servers: list[tuple[str, IngestConfig | ProxyConfig | AdminConfig]] = [
        (name, server)
        for name, server in (("ingest", config.ingest), ("proxy", config.proxy), ("admin", config.admin))
        if server is not None
    ]
    taken: list[tuple[str, str, int]] = []
    for name, server in servers:
        host, port = server.host, server.port
        if not _is_host(host):
            yield (name, "host"), f"expected an address or a name alone, got {quoted(host)}{_without(host)}"
        else:
            yield from _access(name, server)
        for other, other_host, other_port in taken:
            if port == other_port != 0 and (host == other_host or _ANY & {host, other_host}):
                yield (name, "port"), f"{port} is the port of [{other}] too; choose another one"
        taken.append((name, host, port))
    if (ingest := config.ingest) is not None and ingest.max_connections < ingest.max_streams:
        text = f"expected at least max_streams ({ingest.max_streams}), got {ingest.max_connections}"
        yield ("ingest", "max_connections"), text
    if config.proxy is not None:
        yield from _upstream(config.proxy)


def _is_host(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return _HOST.fullmatch(host) is not None
    return True


def _without(host: str) -> str:
    """What to write instead of a host with something around it."""
    bare = host.partition("://")[2] or host
    bare = bare.rstrip("/")
    name, _, port = bare.rpartition(":")
    if bare.startswith("["):
        name, _, port = bare[1:].partition("]")
        port = port.removeprefix(":")
    if not name or not _is_host(name):
        return ""
    return f"; write host = {quoted(name)}" + (f" and port = {port}" if port.isascii() and port.isdigit() else "")


def _access(name: str, server: IngestConfig | ProxyConfig | AdminConfig) -> Found:
    path: Path = (name, "host")
    is_open = not is_loopback(server.host)
    match server:
        case IngestConfig(tokens=tokens):
            yield from _tokens({(name, "tokens", at): token for at, token in enumerate(tokens)}, name, is_open)
            if is_open and not tokens:
                yield path, f'{quoted(server.host)} is not loopback; add tokens = ["${{INGEST_TOKEN}}"]'
        case AdminConfig(token=token):
            yield from _tokens({} if token is None else {(name, "token"): token}, name, is_open)
            if is_open and token is None:
                yield path, f'{quoted(server.host)} is not loopback; add token = "${{ADMIN_TOKEN}}"'
        case ProxyConfig(allow_public=allowed):
            if is_open and not allowed:
                text = (
                    "is not loopback, and the proxy knows no tokens of its own; add allow_public = true if it is meant"
                )
                yield path, f"{quoted(server.host)} {text}"


def _tokens(tokens: Mapping[Path, Secret], server: str, is_open: bool) -> Found:
    for path, token in tokens.items():
        text = token.reveal()
        if not _TOKEN.fullmatch(text):
            yield path, f"expected a token of visible ASCII characters, others came; {_MAKE_ONE}"
        elif is_open and len(text) < _TOKEN_MIN:
            expected = f"expected {_TOKEN_MIN} characters or more where {server}.host is not loopback"
            yield path, f"{expected}, {len(text)} came; {_MAKE_ONE}"


def address_faults(address: SecretUrl, path: Path) -> Found:
    """What is wrong with a URL that HTTP is to be spoken with."""
    if _http_url(address) is None:
        yield path, 'expected an absolute URL of http or https, e.g. "https://api.example.com/v1"; something else came'


def _upstream(proxy: ProxyConfig) -> Found:
    path: Path = ("proxy", "upstream")
    url = _http_url(proxy.upstream)
    if url is None:
        yield from address_faults(proxy.upstream, path)
    elif url.query_string or url.fragment:
        yield path, "expected a base URL, one with a query or fragment came; cut it off before the ? or #"
    elif url.port == proxy.port and _is_same(url.host or "", proxy.host):
        yield path, "is the proxy's own address, so requests would go round in a circle; name the API's"


def _is_same(host: str, own: str) -> bool:
    return host == own or (is_loopback(host) and (is_loopback(own) or own in _ANY))


def _http_url(address: SecretUrl) -> URL | None:
    try:
        url = URL(address.reveal())
    except ValueError:
        return None
    return url if url.scheme in ("http", "https") and url.host else None
